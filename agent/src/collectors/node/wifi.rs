//! Wireless devices and their stations: netlink's family `nl80211` (`include/uapi/linux/nl80211.h`).

mod fixtures;
mod nl80211;

use super::files::First;
use super::flags::{Flag, Form, Setup};
use super::rows::{counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use nl80211::Nl80211;
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "wifi",
    about: "wireless devices and their stations",
    default: false,
    flags: &[&FIXTURES],
    make: |setup| Ok(Box::new(Wifi::new(setup))),
};

static FIXTURES: Flag = Flag {
    name: "collector.wifi.fixtures",
    form: Form::Path,
    help: "Folder of JSON files to read in place of the kernel, for tests.",
    ..Flag::BASE
};

static FREQUENCY: Family = Family::new(
    "node_wifi_interface_frequency_hertz",
    "hertz",
    "Frequency that a device works at.",
    Kind::Gauge,
);
static INFO: Family = Family::new(
    "node_wifi_station_info",
    "",
    "Network that a device belongs to.",
    Kind::Gauge,
);

/// In the order of [`Station::numbers`].
static NUMBERS: [Family; 12] = [
    counter(
        "node_wifi_station_connected_seconds_total",
        "Seconds since a station connected.",
    ),
    gauge(
        "node_wifi_station_inactive_seconds",
        "Seconds since a station last sent.",
    ),
    gauge(
        "node_wifi_station_receive_bits_per_second",
        "Bits a second that are received from a station.",
    ),
    gauge(
        "node_wifi_station_transmit_bits_per_second",
        "Bits a second that are sent to a station.",
    ),
    counter(
        "node_wifi_station_receive_bytes_total",
        "Bytes received from a station.",
    ),
    counter("node_wifi_station_transmit_bytes_total", "Bytes sent to a station."),
    counter(
        "node_wifi_station_received_packets_total",
        "Packets received from a station.",
    ),
    counter(
        "node_wifi_station_transmitted_packets_total",
        "Packets sent to a station.",
    ),
    gauge("node_wifi_station_signal_dbm", "Strength of a station's signal, dBm."),
    counter(
        "node_wifi_station_transmit_retries_total",
        "Packets to a station that were sent again.",
    ),
    counter(
        "node_wifi_station_transmit_failed_total",
        "Packets to a station that could not be sent.",
    ),
    counter("node_wifi_station_beacon_loss_total", "Losses of a station's beacon."),
];

/// A wireless device.
#[derive(Debug, Default, PartialEq)]
struct Interface {
    name: String,
    index: u32,
    /// MHz.
    frequency: u32,
}

/// A network that a device belongs to.
#[derive(Debug, Default, PartialEq)]
struct Network {
    name: String,
    address: String,
    mode: &'static str,
}

/// The other end of a device's link.
#[derive(Debug, Default, PartialEq)]
struct Station {
    address: String,
    /// In the order of the families; `None` what is not known.
    numbers: [Option<f64>; NUMBERS.len()],
}

/// Where it comes from.
enum Source {
    Kernel(Nl80211),
    Fixtures(PathBuf),
}

struct Wifi(Source);

impl Wifi {
    fn new(setup: &Setup<'_>) -> Wifi {
        Wifi(match setup.text(&FIXTURES) {
            path if path.is_empty() => Source::Kernel(Nl80211::new()),
            path => Source::Fixtures(path.into()),
        })
    }
}

impl Source {
    fn interfaces(&mut self) -> Result<Vec<Interface>, CollectError> {
        match self {
            Source::Kernel(kernel) => kernel.interfaces(),
            Source::Fixtures(folder) => fixtures::interfaces(folder),
        }
    }

    fn network(&mut self, interface: &Interface) -> Result<Option<Network>, CollectError> {
        match self {
            Source::Kernel(kernel) => kernel.network(interface),
            Source::Fixtures(folder) => fixtures::network(folder, interface),
        }
    }

    fn stations(&mut self, interface: &Interface) -> Result<Vec<Station>, CollectError> {
        match self {
            Source::Kernel(kernel) => kernel.stations(interface),
            Source::Fixtures(folder) => fixtures::stations(folder, interface),
        }
    }
}

/// What there is of it; that there is none is no error.
fn any<T: Default>(first: &mut First, read: Result<T, CollectError>) -> T {
    match read {
        Err(error) if error.is_no_data() => T::default(),
        read => first.ok(read).unwrap_or_default(),
    }
}

impl Collect for Wifi {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut first = First::default();
        let mut found = Vec::new();
        // Some have no name: they are no network devices.
        for interface in self
            .0
            .interfaces()?
            .into_iter()
            .filter(|interface| !interface.name.is_empty())
        {
            let network = any(&mut first, self.0.network(&interface));
            let stations = any(&mut first, self.0.stations(&interface));
            found.push((interface, network, stations));
        }
        out.family(&FREQUENCY);
        for (interface, ..) in &found {
            out.number(
                &[("device", &interface.name)],
                f64::from(interface.frequency) * 1000.0 * 1000.0,
            );
        }
        out.family(&INFO);
        for (interface, network, _) in &found {
            if let Some(network) = network {
                let labels = [
                    ("device", interface.name.as_str()),
                    ("bssid", &network.address),
                    ("ssid", &network.name),
                    ("mode", network.mode),
                ];
                out.number(&labels, 1.0);
            }
        }
        for (place, family) in NUMBERS.iter().enumerate() {
            out.family(family);
            for (interface, _, stations) in &found {
                for station in stations {
                    if let Some(number) = station.numbers.get(place).copied().flatten() {
                        out.number(
                            &[("device", &interface.name), ("mac_address", &station.address)],
                            number,
                        );
                    }
                }
            }
        }
        first.result()
    }
}

/// An address of hardware: `aa:bb:cc:dd:ee:ff`.
fn address(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    fn host(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture::new(files);
        let folder = fixture.host().proc.parent().unwrap().to_owned();
        fixture.set(FIXTURES.name, folder.to_str().unwrap())
    }

    #[test]
    fn devices_networks_and_stations_are_told() {
        let text = host(&[
            (
                "interfaces.json",
                r#"[{"name": "wlan0", "frequency": 5180}, {"type": 10}, {"name": "wlan1"}]"#,
            ),
            (
                "wlan0/bss.json",
                r#"{"ssid": "Example", "bssid": "ABEiM0RV", "status": 1}"#,
            ),
            (
                "wlan0/stationinfo.json",
                r#"[{"hardwareaddr": "qrvM3e7/", "connected": 30000000000, "inactive": 400000000, "signal": -52}]"#,
            ),
        ])
        .text(&COLLECTOR);
        let labels = "{device=\"wlan0\",mac_address=\"aa:bb:cc:dd:ee:ff\"}";
        for line in [
            "node_wifi_interface_frequency_hertz{device=\"wlan0\"} 5.18e+09\n",
            "node_wifi_interface_frequency_hertz{device=\"wlan1\"} 0\n",
            "node_wifi_station_info{device=\"wlan0\",bssid=\"00:11:22:33:44:55\",ssid=\"Example\",mode=\"client\"} 1\n",
            &format!("node_wifi_station_connected_seconds_total{labels} 30\n"),
            &format!("node_wifi_station_inactive_seconds{labels} 0.4\n"),
            &format!("node_wifi_station_signal_dbm{labels} -52\n"),
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert_eq!(text.lines().count(), 2 + 1 + NUMBERS.len());
    }

    #[test]
    fn garbage_is_told() {
        let fixture = host(&[("interfaces.json", r#"[{"name": "wlan0"}]"#), ("wlan0/bss.json", "{")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_wifi_interface_frequency_hertz{device=\"wlan0\"} 0\n");
        let error = result.unwrap_err().to_string();
        assert!(error.contains("wlan0/bss.json: EOF while parsing"), "{error}");
        assert!(host(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }

    #[test]
    fn a_host_without_wireless_devices_has_nothing() {
        let (_, result) = Fixture::new(&[]).collect(&COLLECTOR);
        assert!(result.as_ref().err().is_none_or(CollectError::is_no_data), "{result:?}");
    }
}
