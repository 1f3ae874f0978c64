//! Energy that parts of a processor used: `sys/class/powercap` (`drivers/powercap/powercap_sys.c`,
//! `Documentation/power/powercap/powercap.rst`).

use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "rapl",
    about: "energy that parts of a processor used",
    flags: &[&ZONE_LABEL],
    make: |setup| Ok(Box::new(Rapl::new(setup))),
    ..Collector::BASE
};

static ZONE_LABEL: Flag = Flag {
    name: "collector.rapl.enable-zone-label",
    form: Form::Switch,
    help: "One family for all zones, with the zone in a label, instead of a family a zone.",
    ..Flag::BASE
};

static JOULES: Family = Family::new(
    "node_rapl_joules_total",
    "joules",
    "Energy that a zone used.",
    Kind::Counter,
);

struct Rapl {
    folder: PathBuf,
    label: bool,
}

/// A zone of power.
#[derive(Debug, PartialEq)]
struct Zone {
    name: String,
    index: u64,
    path: String,
    joules: f64,
}

impl Rapl {
    fn new(setup: &Setup<'_>) -> Rapl {
        Rapl {
            folder: setup.host.sys.join("class/powercap"),
            label: setup.is_on(&ZONE_LABEL),
        }
    }

    /// Zones, and the first thing that is wrong.
    fn zones(&self) -> Result<(Vec<Zone>, Option<CollectError>), CollectError> {
        let (mut zones, mut wrong) = (Vec::new(), None);
        let mut same: HashMap<String, u64> = HashMap::new();
        for entry in files::names(&self.folder)? {
            let folder = self.folder.join(&entry);
            // A kind of zone has no name itself.
            let Some(name) = files::text_if_any(&folder.join("name")) else {
                continue;
            };
            let (name, index) = match indexed(&name) {
                Some((name, index)) => (name.to_owned(), index),
                None => {
                    let index = same.get(&name).copied().unwrap_or(0);
                    (name, index)
                }
            };
            same.insert(name.clone(), index.saturating_add(1));
            match files::number::<u64>(&folder.join("energy_uj")) {
                Ok(energy) => zones.push(Zone {
                    name,
                    index,
                    path: folder.to_string_lossy().into_owned(),
                    joules: energy as f64 / 1_000_000.0,
                }),
                // Gone, or one that has power and no energy.
                Err(CollectError::NoData(_)) => {}
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        Ok((zones, wrong))
    }
}

/// `package-1` is the second package.
fn indexed(name: &str) -> Option<(&str, u64)> {
    let (name, index) = name.split_once('-')?;
    Some((name, index.parse().ok()?))
}

impl Collect for Rapl {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let (zones, wrong) = self.zones()?;
        if self.label {
            if !zones.is_empty() {
                out.family(&JOULES);
            }
            for zone in &zones {
                let index = zone.index.to_string();
                out.number(
                    &[("index", &index), ("path", &zone.path), ("rapl_zone", &zone.name)],
                    zone.joules,
                );
            }
        } else {
            let mut families: BTreeMap<String, Vec<&Zone>> = BTreeMap::new();
            for zone in &zones {
                let name = zone.name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
                families.entry(name).or_default().push(zone);
            }
            for (name, zones) in families {
                out.family(&Family {
                    name: format!("node_rapl_{name}_joules_total").into(),
                    ..JOULES.clone()
                });
                for zone in zones {
                    out.number(&[("index", &zone.index.to_string()), ("path", &zone.path)], zone.joules);
                }
            }
        }
        match wrong {
            // Energy tells what others compute: since 2020 it is for root alone.
            Some(CollectError::Read { error, .. }) if error.kind() == ErrorKind::PermissionDenied => {
                Err(CollectError::NoData("energy is not for this user".to_owned()))
            }
            wrong => wrong.map_or(Ok(()), Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    fn host() -> Fixture {
        let fixture = Fixture::new(&[("sys/class/powercap/intel-rapl/enabled", "1\n")]);
        for (zone, name, energy) in [
            ("intel-rapl:0", "package-0", "240422366267"),
            ("intel-rapl:0:0", "dram", "1000000"),
            ("intel-rapl:1", "package-1", "5"),
            ("intel-rapl:1:0", "dram", "2000000"),
            ("intel-rapl:2", "package-0-die-1", "3000000"),
        ] {
            fixture.put(&[
                (&format!("sys/class/powercap/{zone}/name"), name),
                (&format!("sys/class/powercap/{zone}/energy_uj"), energy),
            ]);
        }
        fixture
    }

    fn samples(fixture: &Fixture) -> String {
        let folder = fixture.host().sys.join("class/powercap");
        fixture.text(&COLLECTOR).replace(folder.to_str().unwrap(), "")
    }

    #[test]
    fn a_family_a_zone_or_one_with_labels() {
        let expect = "node_rapl_dram_joules_total{index=\"0\",path=\"/intel-rapl:0:0\"} 1\n\
            node_rapl_dram_joules_total{index=\"1\",path=\"/intel-rapl:1:0\"} 2\n\
            node_rapl_package_joules_total{index=\"0\",path=\"/intel-rapl:0\"} 240422.366267\n\
            node_rapl_package_joules_total{index=\"1\",path=\"/intel-rapl:1\"} 5e-06\n\
            node_rapl_package_0_die_1_joules_total{index=\"0\",path=\"/intel-rapl:2\"} 3\n";
        assert_eq!(samples(&host()), expect);
        let text = samples(&host().set(ZONE_LABEL.name, "true"));
        assert!(
            text.starts_with(
                "node_rapl_joules_total{index=\"0\",path=\"/intel-rapl:0\",rapl_zone=\"package\"} 240422.3"
            )
        );
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn none_and_garbage() {
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
        let fixture = host();
        fixture.put(&[("sys/class/powercap/intel-rapl:0/energy_uj", "much\n")]);
        let (text, error) = fixture.collect(&COLLECTOR);
        assert_eq!(text.lines().count(), 4);
        assert!(error.unwrap_err().to_string().contains("energy_uj: \"much\""));
    }
}
