//! Properties of network devices as netlink tells them: one question for all devices in place of some twenty files for each.
//! Speed and duplex are of the family `ethtool` (`include/uapi/linux/ethtool_netlink.h`); what neither tells is read from files.

use super::{Device, NUMBERS};
use crate::collectors::node::CollectError;
use crate::collectors::node::files::{First, integer, text_if_any};
use crate::collectors::node::netlink::generic::Generic;
use crate::collectors::node::netlink::link::{Link, links};
use crate::collectors::node::netlink::{Socket, attributes, u32_at};
use std::collections::HashMap;
use std::path::Path;

/// Names of states, by the kernel's numbers (RFC 2863).
const STATES: [&str; 7] = [
    "unknown",
    "notpresent",
    "down",
    "lowerlayerdown",
    "testing",
    "dormant",
    "up",
];

// Of `ethtool`.
const GET_LINK_MODES: u8 = 4;
const HEADER: u16 = 1;
const SPEED: u16 = 5;
const DUPLEX: u16 = 6;
const HEADER_INDEX: u16 = 1;
/// What a device says that does not know its speed.
const UNKNOWN: u32 = u32::MAX;

/// Speed, in megabits a second, and duplex of devices by their index.
type Modes = HashMap<u32, (Option<u32>, &'static str)>;

pub(super) struct Rtnl {
    socket: Socket,
    ethtool: Generic,
}

impl Rtnl {
    pub(super) fn new() -> Rtnl {
        Rtnl {
            socket: Socket::route(),
            ethtool: Generic::new("ethtool"),
        }
    }

    /// All devices that are wanted.
    pub(super) fn devices(
        &mut self,
        folder: &Path,
        wanted: &dyn Fn(&str) -> bool,
        first: &mut First,
    ) -> Result<Vec<Device>, CollectError> {
        let modes = match self.ethtool.dump(GET_LINK_MODES, 1, &[], mode) {
            // Kernels may be built without it.
            Err(error) if error.is_no_data() => Modes::new(),
            modes => first.ok(modes).unwrap_or_default(),
        };
        let mut links = links(&mut self.socket)?;
        links.retain(|link| wanted(&link.name));
        let devices = links.into_iter().map(|link| {
            let (speed, duplex) = modes.get(&link.index).copied().unwrap_or_default();
            let mut device = device(link);
            device.speed = speed.map(i128::from);
            device.duplex = duplex.to_owned();
            let folder = folder.join(&device.name);
            for file in ["addr_assign_type", "dev_id", "name_assign_type"] {
                let path = folder.join(file);
                device.set(
                    file,
                    text_if_any(&path).and_then(|text| first.ok(integer(&path, &text))),
                );
            }
            device
        });
        Ok(devices.collect())
    }
}

/// Adds what a device says of its link.
fn mode(modes: &mut Modes, body: &[u8]) {
    let (mut index, mut speed, mut duplex) = (None, None, "");
    for (kind, value) in attributes(body) {
        match kind {
            HEADER => {
                let found = attributes(value).find(|(kind, _)| *kind == HEADER_INDEX);
                index = found.and_then(|(_, value)| u32_at(value, 0));
            }
            SPEED => speed = u32_at(value, 0).filter(|speed| *speed != UNKNOWN),
            // As node_exporter writes them here.
            DUPLEX => {
                duplex = match value.first() {
                    Some(0) => "Half",
                    Some(1) => "Full",
                    _ => "Unknown",
                }
            }
            _ => {}
        }
    }
    if let Some(index) = index {
        modes.insert(index, (speed, duplex));
    }
}

fn device(link: Link) -> Device {
    let state = link.state.and_then(|state| STATES.get(usize::from(state)));
    let mut device = Device {
        address: address(&link.address),
        broadcast: address(&link.broadcast),
        state: state.copied().unwrap_or_default().to_owned(),
        ..Device::default()
    };
    for (name, number) in [
        ("carrier", link.carrier.map(u32::from)),
        ("carrier_changes", link.carrier_changes),
        ("carrier_up_count", link.carrier_ups),
        ("carrier_down_count", link.carrier_downs),
        ("dormant", link.mode.map(u32::from)),
        ("flags", Some(link.flags)),
        ("ifindex", Some(link.index)),
        // The kernel leaves out that a device is its own.
        ("iflink", link.below.or(Some(link.index))),
        ("link_mode", link.mode.map(u32::from)),
        ("mtu", link.mtu),
        ("netdev_group", link.group),
        ("tx_queue_len", link.queue),
        ("type", Some(u32::from(link.kind))),
    ] {
        device.set(name, number.map(i128::from));
    }
    (device.name, device.alias) = (link.name, link.alias);
    (device.other_names, device.stats) = (link.other_names, link.stats);
    device
}

impl Device {
    fn set(&mut self, file: &str, number: Option<i128>) {
        let place = NUMBERS.iter().position(|(name, _)| *name == file);
        if let Some(place) = place.and_then(|place| self.numbers.get_mut(place)) {
            *place = number;
        }
    }
}

/// An address of hardware: `aa:bb:cc:dd:ee:ff`.
pub(super) fn address(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::netlink::attribute;

    fn link_mode(speed: u32, duplex: u8) -> Vec<u8> {
        let (mut head, mut body) = (vec![], vec![]);
        attribute(&mut head, HEADER_INDEX, &[2, 0, 0, 0]);
        attribute(&mut body, HEADER | 0x8000, &head);
        attribute(&mut body, SPEED, &speed.to_ne_bytes());
        attribute(&mut body, DUPLEX, &[duplex]);
        body
    }

    #[test]
    fn speed_and_duplex() {
        let mut modes = Modes::new();
        mode(&mut modes, &link_mode(1000, 1));
        assert_eq!(modes[&2], (Some(1000), "Full"));
        mode(&mut modes, &link_mode(UNKNOWN, 255));
        assert_eq!(modes[&2], (None, "Unknown"));
        mode(&mut modes, &[1, 2, 3]);
        assert_eq!(modes.len(), 1);
    }

    #[test]
    fn a_link_becomes_a_device() {
        let device = device(Link {
            name: "eth0".to_owned(),
            index: 7,
            state: Some(6),
            address: vec![2, 0, 0, 0, 0, 1],
            mtu: Some(1500),
            ..Link::default()
        });
        let number = |file| device.numbers[NUMBERS.iter().position(|(name, _)| *name == file).unwrap()];
        assert_eq!(
            (device.name.as_str(), device.address.as_str(), device.state.as_str()),
            ("eth0", "02:00:00:00:00:01", "up")
        );
        assert_eq!(
            (number("mtu"), number("iflink"), number("carrier")),
            (Some(1500), Some(7), None)
        );
    }
}
