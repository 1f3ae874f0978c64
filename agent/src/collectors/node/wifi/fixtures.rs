//! Wireless devices as files: `interfaces.json`, and for each device `bss.json` and `stationinfo.json`.

use super::{Interface, Network, Station, address};
use crate::collectors::node::{CollectError, files};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Device {
    name: String,
    frequency: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bss {
    ssid: String,
    bssid: String,
    status: u32,
}

/// Times are nanoseconds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    hardwareaddr: String,
    connected: i64,
    inactive: i64,
    receivebitrate: i64,
    transmitbitrate: i64,
    receivedbytes: i64,
    transmittedbytes: i64,
    receivedpackets: i64,
    transmittedpackets: i64,
    signal: i64,
    transmitretries: i64,
    transmitfailed: i64,
    beaconloss: i64,
}

pub(super) fn interfaces(folder: &Path) -> Result<Vec<Interface>, CollectError> {
    let devices: Vec<Device> = read(&folder.join("interfaces.json"))?;
    let interface = |device: Device| Interface {
        name: device.name,
        index: 0,
        frequency: device.frequency,
    };
    Ok(devices.into_iter().map(interface).collect())
}

pub(super) fn network(folder: &Path, interface: &Interface) -> Result<Option<Network>, CollectError> {
    let bss: Bss = read(&folder.join(&interface.name).join("bss.json"))?;
    Ok(Some(Network {
        name: bss.ssid,
        address: address(&base64(&bss.bssid)),
        // node_exporter's numbers, which are not the kernel's.
        mode: match bss.status {
            0 | 1 => "client",
            3 => "ad-hoc",
            _ => "unknown",
        },
    }))
}

pub(super) fn stations(folder: &Path, interface: &Interface) -> Result<Vec<Station>, CollectError> {
    let stations: Vec<Info> = read(&folder.join(&interface.name).join("stationinfo.json"))?;
    let station = |info: Info| Station {
        address: address(&base64(&info.hardwareaddr)),
        numbers: [
            seconds(info.connected),
            seconds(info.inactive),
            info.receivebitrate as f64,
            info.transmitbitrate as f64,
            info.receivedbytes as f64,
            info.transmittedbytes as f64,
            info.receivedpackets as f64,
            info.transmittedpackets as f64,
            info.signal as f64,
            info.transmitretries as f64,
            info.transmitfailed as f64,
            info.beaconloss as f64,
        ]
        .map(Some),
    };
    Ok(stations.into_iter().map(station).collect())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CollectError> {
    serde_json::from_str(&files::text(path)?).map_err(|error| CollectError::malformed(path, error))
}

/// Whole seconds and the rest by themselves, for the same last bit as Go has.
fn seconds(nanoseconds: i64) -> f64 {
    (nanoseconds / 1_000_000_000) as f64 + (nanoseconds % 1_000_000_000) as f64 / 1e9
}

/// Bytes of a text in base 64, up to what is none.
fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_addresses() {
        assert_eq!(base64("qrvM3e7/"), [0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
        assert_eq!(base64("AQI="), [1, 2]);
        assert!(base64("A?").is_empty());
        assert_eq!(seconds(400_000_000), 0.4);
    }
}
