//! Bonds of network devices: `sys/class/net/bonding_masters` and the folders of bonds (`drivers/net/bonding/bond_sysfs.c`).

use super::files::{text, text_if_any};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "bonding",
    about: "bonds of network devices",
    make: |setup| Ok(Box::new(Bonding::new(setup))),
    ..Collector::BASE
};

static SLAVES: Family = Family::new(
    "node_bonding_slaves",
    "",
    "Devices that a bond is made of.",
    Kind::Gauge,
);
static ACTIVE: Family = Family::new(
    "node_bonding_active",
    "",
    "Devices of a bond whose link is up.",
    Kind::Gauge,
);

struct Bonding(PathBuf);

/// A bond: its name, its devices, and those of them that are up.
struct Bond(String, u32, u32);

impl Bonding {
    fn new(setup: &Setup<'_>) -> Bonding {
        Bonding(setup.host.sys.join("class/net"))
    }
}

impl Collect for Bonding {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let names = text(&self.0.join("bonding_masters"))?;
        let bonds: Vec<Bond> = names
            .split_ascii_whitespace()
            .filter_map(|name| bond(&self.0, name))
            .collect();
        out.family(&SLAVES);
        for Bond(name, slaves, _) in &bonds {
            out.number(&[("master", name)], f64::from(*slaves));
        }
        out.family(&ACTIVE);
        for Bond(name, _, active) in &bonds {
            out.number(&[("master", name)], f64::from(*active));
        }
        Ok(())
    }
}

/// Reads a bond; `None` when it is gone. A device that is gone meanwhile is not counted.
fn bond(root: &Path, name: &str) -> Option<Bond> {
    let folder = root.join(name);
    let slaves = text_if_any(&folder.join("bonding/slaves"))?;
    let mut bond = Bond(name.to_owned(), 0, 0);
    for slave in slaves.split_ascii_whitespace() {
        // Links are `slave_` on kernels before 3.13.
        let state = ["lower_", "slave_"].iter().find_map(|kind| {
            let link = folder.join(format!("{kind}{slave}"));
            text_if_any(&link.join("bonding_slave/mii_status"))
        });
        if let Some(state) = state {
            bond.1 += 1;
            bond.2 += u32::from(state == "up");
        }
    }
    Some(bond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn devices_of_bonds_are_counted() {
        let fixture = Fixture::new(&[
            ("sys/class/net/bonding_masters", "bond0 bond1 gone\n"),
            ("sys/class/net/bond0/bonding/slaves", "eth0 eth1 eth2\n"),
            ("sys/class/net/bond0/lower_eth0/bonding_slave/mii_status", "up\n"),
            ("sys/class/net/bond0/slave_eth1/bonding_slave/mii_status", "down\n"),
            ("sys/class/net/bond1/bonding/slaves", "\n"),
        ]);
        let told = "node_bonding_slaves{master=\"bond0\"} 2\nnode_bonding_slaves{master=\"bond1\"} 0\n\
                    node_bonding_active{master=\"bond0\"} 1\nnode_bonding_active{master=\"bond1\"} 0\n";
        assert_eq!(fixture.text(&COLLECTOR), told);
    }

    #[test]
    fn without_bonds_there_is_nothing() {
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
