//! Wireless devices as the kernel tells them.

use super::{Interface, Network, Station, address};
use crate::collectors::node::CollectError;
use crate::collectors::node::netlink::generic::Generic;
use crate::collectors::node::netlink::{attribute, attributes, text, u16_at, u32_at, u64_at};

// `enum nl80211_commands`
const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_SCAN: u8 = 32;
// `enum nl80211_attrs`
const INDEX: u16 = 3;
const NAME: u16 = 4;
const ADDRESS: u16 = 6;
const STATION: u16 = 21;
const FREQUENCY: u16 = 38;
const BSS: u16 = 47;
// `enum nl80211_bss`
const BSS_ADDRESS: u16 = 1;
const BSS_ELEMENTS: u16 = 6;
const BSS_STATUS: u16 = 9;
/// Element of a beacon that is the name of the network.
const SSID: u8 = 0;

pub(super) struct Nl80211(Generic);

impl Nl80211 {
    pub(super) fn new() -> Nl80211 {
        Nl80211(Generic::new("nl80211"))
    }

    pub(super) fn interfaces(&mut self) -> Result<Vec<Interface>, CollectError> {
        self.dump(GET_INTERFACE, &[], |found: &mut Vec<Interface>, body| {
            found.push(interface(body))
        })
    }

    pub(super) fn network(&mut self, of: &Interface) -> Result<Option<Network>, CollectError> {
        self.dump(GET_SCAN, &asked(of), |found: &mut Option<Network>, body| {
            if found.is_none() {
                *found = network(body);
            }
        })
    }

    pub(super) fn stations(&mut self, of: &Interface) -> Result<Vec<Station>, CollectError> {
        self.dump(GET_STATION, &asked(of), |found: &mut Vec<Station>, body| {
            found.extend(station(body))
        })
    }

    fn dump<T: Default>(
        &mut self,
        command: u8,
        asked: &[u8],
        each: impl FnMut(&mut T, &[u8]),
    ) -> Result<T, CollectError> {
        self.0.dump(command, 1, asked, each)
    }
}

fn asked(interface: &Interface) -> Vec<u8> {
    let mut bytes = Vec::new();
    attribute(&mut bytes, INDEX, &interface.index.to_ne_bytes());
    bytes
}

fn interface(body: &[u8]) -> Interface {
    let mut interface = Interface::default();
    for (kind, value) in attributes(body) {
        match kind {
            NAME => interface.name = text(value),
            INDEX => interface.index = u32_at(value, 0).unwrap_or_default(),
            FREQUENCY => interface.frequency = u32_at(value, 0).unwrap_or_default(),
            _ => {}
        }
    }
    interface
}

/// A network that was seen; only one that the device belongs to has a status.
fn network(body: &[u8]) -> Option<Network> {
    let (_, bss) = attributes(body).find(|(kind, _)| *kind == BSS)?;
    let mut network = Network::default();
    let mut status = None;
    for (kind, value) in attributes(bss) {
        match kind {
            BSS_ADDRESS => network.address = address(value),
            BSS_ELEMENTS => network.name = ssid(value).unwrap_or_default(),
            BSS_STATUS => status = u32_at(value, 0),
            _ => {}
        }
    }
    network.mode = match status? {
        0 | 1 => "client",
        2 => "ad-hoc",
        _ => "unknown",
    };
    Some(network)
}

/// The name among elements, each of a kind, a length and so many bytes.
fn ssid(mut elements: &[u8]) -> Option<String> {
    loop {
        let (kind, length) = (*elements.first()?, usize::from(*elements.get(1)?));
        let value = elements.get(2..2 + length)?;
        if kind == SSID {
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        elements = elements.get(2 + length..)?;
    }
}

/// What is counted of a station (`enum nl80211_sta_info`).
fn station(body: &[u8]) -> Option<Station> {
    let (mut station, mut info) = (Station::default(), None);
    for (kind, value) in attributes(body) {
        match kind {
            ADDRESS => station.address = address(value),
            STATION => info = Some(value),
            _ => {}
        }
    }
    let [
        connected,
        inactive,
        receive_rate,
        transmit_rate,
        received,
        transmitted,
        received_packets,
        transmitted_packets,
        signal,
        retries,
        failed,
        beacons,
    ] = &mut station.numbers;
    for (kind, value) in attributes(info?) {
        let small = u32_at(value, 0).map(f64::from);
        let large = u64_at(value, 0).map(|number| number as f64);
        match kind {
            1 => *inactive = small.map(|milliseconds| milliseconds / 1000.0),
            // Of 32 bits, unless those of 64 are there too.
            2 => *received = received.or(small),
            3 => *transmitted = transmitted.or(small),
            7 => *signal = value.first().map(|byte| f64::from(*byte as i8)),
            8 => *transmit_rate = rate(value),
            9 => *received_packets = small,
            10 => *transmitted_packets = small,
            11 => *retries = small,
            12 => *failed = small,
            14 => *receive_rate = rate(value),
            16 => *connected = small,
            18 => *beacons = small,
            23 => *received = large,
            24 => *transmitted = large,
            _ => {}
        }
    }
    Some(station)
}

/// Bits a second (`enum nl80211_rate_info`): 100 kbit/s in 32 bits, or in 16 of old kernels.
fn rate(value: &[u8]) -> Option<f64> {
    let mut rate = None;
    for (kind, value) in attributes(value) {
        match kind {
            1 => rate = rate.or(u16_at(value, 0).map(u32::from)),
            5 => rate = u32_at(value, 0),
            _ => {}
        }
    }
    Some(f64::from(rate?) * 100_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::wifi::NUMBERS;

    fn nested(kind: u16, inner: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![];
        inner
            .iter()
            .for_each(|(kind, value)| attribute(&mut bytes, *kind, value));
        let mut outer = vec![];
        attribute(&mut outer, kind | 0x8000, &bytes);
        outer
    }

    #[test]
    fn a_device_is_taken_apart() {
        let mut body = vec![];
        attribute(&mut body, INDEX, &[3, 0, 0, 0]);
        attribute(&mut body, NAME, b"wlan0\0");
        attribute(&mut body, FREQUENCY, &5180u32.to_ne_bytes());
        let told = Interface {
            name: "wlan0".to_owned(),
            index: 3,
            frequency: 5180,
        };
        assert_eq!(interface(&body), told);
        assert_eq!(interface(&[1]), Interface::default());
    }

    #[test]
    fn a_network_is_one_that_the_device_belongs_to() {
        let seen: [(u16, &[u8]); 2] = [
            (BSS_ADDRESS, &[0, 1, 2, 3, 4, 5]),
            (BSS_ELEMENTS, b"\x01\x01\x82\x00\x04Home"),
        ];
        assert_eq!(network(&nested(BSS, &seen)), None);
        let [one, two] = seen;
        let network = network(&nested(BSS, &[one, two, (BSS_STATUS, &[1, 0, 0, 0])])).unwrap();
        assert_eq!(
            (network.name.as_str(), network.address.as_str(), network.mode),
            ("Home", "00:01:02:03:04:05", "client")
        );
        assert_eq!(ssid(b"\x00\x09short"), None);
    }

    #[test]
    fn a_station_is_taken_apart() {
        let rate = nested(14, &[(1, &[10, 0]), (5, &[20, 0, 0, 0])]);
        let mut body = vec![];
        attribute(&mut body, ADDRESS, &[0xaa; 6]);
        assert_eq!(station(&body), None);
        let mut info = rate;
        attribute(&mut info, 1, &400u32.to_ne_bytes());
        attribute(&mut info, 23, &(1u64 << 33).to_ne_bytes());
        attribute(&mut info, 2, &7u32.to_ne_bytes());
        attribute(&mut info, 7, &[(-52i8) as u8]);
        attribute(&mut info, 16, &30u32.to_ne_bytes());
        attribute(&mut body, STATION, &info);
        let station = station(&body).unwrap();
        assert_eq!(station.address, "aa:aa:aa:aa:aa:aa");
        let mut told = [None; NUMBERS.len()];
        (told[0], told[1], told[2]) = (Some(30.0), Some(0.4), Some(2e6));
        (told[4], told[8]) = (Some(8_589_934_592.0), Some(-52.0));
        assert_eq!(station.numbers, told);
    }
}
