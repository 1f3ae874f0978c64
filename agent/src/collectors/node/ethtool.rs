//! What drivers of network devices say: `SIOCETHTOOL` (`include/uapi/linux/ethtool.h`).

use super::files::{First, names};
use super::filter::{Filter, Pattern};
use super::flags::{Flag, Form, Setup};
use super::rows::{Grouped, gauge};
use super::{Collect, CollectError, Collector};
use crate::host::calls::{self, Driver, Link};
use crate::metric::{Encoder, Family, Kind};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "ethtool",
    about: "statistics of drivers of network devices, and what their links can do",
    default: false,
    flags: &[&INCLUDE, &EXCLUDE, &METRICS],
    make: |setup| Ok(Box::new(Ethtool::new(setup)?)),
};

static INCLUDE: Flag = Flag {
    name: "collector.ethtool.device-include",
    form: Form::Regex,
    help: "Only network devices whose name matches; not together with device-exclude.",
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.ethtool.device-exclude",
    form: Form::Regex,
    help: "No network devices whose name matches; not together with device-include.",
    ..Flag::BASE
};
static METRICS: Flag = Flag {
    name: "collector.ethtool.metrics-include",
    form: Form::Regex,
    help: "Statistics whose name, in letters, digits and underscores alone, matches.",
    default: &[".*"],
    ..Flag::BASE
};

static INFO: Family = gauge("node_ethtool_info", "Driver and firmware of a network device.");
static PORT: Family = gauge("node_network_supported_port_info", "Sockets that a network device has.");
static NEGOTIATES: Family = gauge(
    "node_network_autonegotiate",
    "Is the speed agreed upon with the other end?",
);
static SUPPORTED: Family = Family::new(
    "node_network_supported_speed_bytes",
    "bytes",
    "Speeds that a network device can do, bytes a second.",
    Kind::Gauge,
);
static ADVERTISED: Family = Family::new(
    "node_network_advertised_speed_bytes",
    "bytes",
    "Speeds that a network device offers, bytes a second.",
    Kind::Gauge,
);
/// By the bit: what a device can do, and what it offers.
static ABILITIES: [(u32, Family, Family); 3] = [
    (
        6,
        gauge(
            "node_network_autonegotiate_supported",
            "Can the speed be agreed upon with the other end?",
        ),
        gauge(
            "node_network_autonegotiate_advertised",
            "Is it offered to agree upon the speed?",
        ),
    ),
    (
        13,
        gauge("node_network_pause_supported", "Can the other end be asked to pause?"),
        gauge("node_network_pause_advertised", "Are pauses offered?"),
    ),
    (
        14,
        gauge(
            "node_network_asymmetricpause_supported",
            "Can pauses be of one direction?",
        ),
        gauge(
            "node_network_asymmetricpause_advertised",
            "Are pauses of one direction offered?",
        ),
    ),
];

/// Sockets by their bit.
const PORTS: [(u32, &str); 6] = [
    (7, "TP"),
    (8, "AUI"),
    (9, "MII"),
    (10, "FIBRE"),
    (11, "BNC"),
    (16, "Backplane"),
];

/// Modes of a link by their bit: megabits a second, and what the line is. All are full duplex but those of `HALF`.
const MODES: [(u32, u32, &str); 22] = [
    (0, 10, "T"),
    (1, 10, "T"),
    (2, 100, "T"),
    (3, 100, "T"),
    (4, 1000, "T"),
    (5, 1000, "T"),
    (12, 10_000, "T"),
    (17, 1000, "KX"),
    (18, 10_000, "KX4"),
    (19, 10_000, "KR"),
    (20, 10_000, "R_FEC"),
    (21, 20_000, "MLD2"),
    (22, 20_000, "KR2"),
    (23, 40_000, "KR4"),
    (24, 40_000, "CR4"),
    (25, 40_000, "SR4"),
    (26, 40_000, "LR4"),
    (27, 56_000, "KR4"),
    (28, 56_000, "CR4"),
    (29, 56_000, "SR4"),
    (30, 56_000, "LR4"),
    (31, 25_000, "CR"),
];
const HALF: [u32; 3] = [0, 2, 4];

/// Statistics that nearly all drivers have, and names of counters for them.
const COMMON: [(&str, &str); 7] = [
    ("rx_bytes", "received_bytes_total"),
    ("rx_dropped", "received_dropped_total"),
    ("rx_errors", "received_errors_total"),
    ("rx_packets", "received_packets_total"),
    ("tx_bytes", "transmitted_bytes_total"),
    ("tx_errors", "transmitted_errors_total"),
    ("tx_packets", "transmitted_packets_total"),
];

struct Ethtool {
    folder: PathBuf,
    filter: Filter,
    metrics: Option<Pattern>,
    socket: Option<OwnedFd>,
}

/// What is known of a device.
#[derive(Default)]
struct Device {
    name: String,
    link: Option<Link>,
    driver: Option<Driver>,
    statistics: Vec<(String, u64)>,
}

impl Ethtool {
    fn new(setup: &Setup<'_>) -> Result<Ethtool, String> {
        Ok(Ethtool {
            folder: setup.host.sys.join("class/net"),
            filter: setup.filter(&INCLUDE, &EXCLUDE)?,
            metrics: setup.pattern(&METRICS)?,
            socket: None,
        })
    }

    /// Asks for all of a device that it can tell.
    fn read(&mut self, name: String, first: &mut First) -> Result<Device, CollectError> {
        let socket = match &mut self.socket {
            Some(socket) => &*socket,
            none => {
                let made = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
                none.insert(made.map_err(|error| CollectError::Other(format!("no socket to ask drivers by: {error}")))?)
            }
        };
        let socket = socket.as_fd();
        let link = told(&name, calls::link(socket, &name), first);
        let driver = told(&name, calls::driver(socket, &name), first);
        let count = driver.as_ref().map_or(0, |driver| driver.statistics);
        let statistics = told(&name, calls::statistics(socket, &name, count), first).unwrap_or_default();
        Ok(Device {
            name,
            link,
            driver,
            statistics,
        })
    }
}

/// What a driver answers; that it has no answer is no error, nor that the device is gone.
fn told<T>(device: &str, answer: io::Result<T>, first: &mut First) -> Option<T> {
    match answer {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENODEV)) => None,
        answer => first.ok(answer.map_err(|error| CollectError::Other(format!("driver of {device}: {error}")))),
    }
}

impl Collect for Ethtool {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut first = First::default();
        let mut devices = Vec::new();
        for name in names(&self.folder)? {
            // A bond's list of names is a file among the devices.
            if self.filter.takes(&name) && self.folder.join(&name).is_dir() {
                devices.push(self.read(name, &mut first)?);
            }
        }
        write(&devices, self.metrics.as_ref(), out);
        first.result()
    }
}

fn write(devices: &[Device], metrics: Option<&Pattern>, out: &mut dyn Encoder) {
    let links = || {
        devices
            .iter()
            .filter_map(|device| Some((device.name.as_str(), device.link?)))
    };
    let has = |bits: u32, bit: u32| 1u32.checked_shl(bit).is_some_and(|mask| bits & mask != 0);
    for (family, bits) in [
        (&SUPPORTED, (|link| link.supported) as fn(Link) -> u32),
        (&ADVERTISED, |link| link.advertised),
    ] {
        out.family(family);
        for (device, link) in links() {
            for (bit, speed, line) in MODES.into_iter().filter(|(bit, ..)| has(bits(link), *bit)) {
                let duplex = if HALF.contains(&bit) { "half" } else { "full" };
                let labels = [
                    ("device", device),
                    ("duplex", duplex),
                    ("mode", &format!("{speed}base{line}")),
                ];
                out.number(&labels, f64::from(speed) * (1_000_000.0 / 8.0));
            }
        }
    }
    out.family(&PORT);
    for (device, link) in links() {
        for (_, port) in PORTS.into_iter().filter(|(bit, _)| has(link.supported, *bit)) {
            out.number(&[("device", device), ("type", port)], 1.0);
        }
    }
    for (bit, supported, advertised) in &ABILITIES {
        out.family(supported);
        links().for_each(|(device, link)| out.number(&[("device", device)], number(has(link.supported, *bit))));
        out.family(advertised);
        links().for_each(|(device, link)| out.number(&[("device", device)], number(has(link.advertised, *bit))));
    }
    out.family(&NEGOTIATES);
    links().for_each(|(device, link)| out.number(&[("device", device)], link.autonegotiates.into()));
    out.family(&INFO);
    for (device, driver) in devices
        .iter()
        .filter_map(|device| Some((&device.name, device.driver.as_ref()?)))
    {
        let labels = [
            ("bus_info", driver.bus.as_str()),
            ("device", device),
            ("driver", &driver.name),
            ("expansion_rom_version", &driver.rom),
            ("firmware_version", &driver.firmware),
            ("version", &driver.version),
        ];
        out.number(&labels, 1.0);
    }
    let mut grouped = Grouped::default();
    for device in devices {
        for (family, (statistic, value)) in chosen(&device.statistics, metrics) {
            let make = || Family {
                name: family.clone().into(),
                unit: "".into(),
                help: format!("Statistic {statistic} of a driver.").into(),
                kind: Kind::Unknown,
            };
            grouped.number(&family, make, &[("device", &device.name)], value as f64);
        }
    }
    grouped.tell(out);
}

fn number(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Statistics by the family each is told in. Where several of a device would be one, none is.
fn chosen(statistics: &[(String, u64)], metrics: Option<&Pattern>) -> BTreeMap<String, (String, u64)> {
    let mut families: BTreeMap<String, Option<(String, u64)>> = BTreeMap::new();
    for (name, value) in statistics {
        let name = plain(name);
        if metrics.is_none_or(|metrics| metrics.matches(&name)) {
            let family = family_of(&name);
            let again = families.contains_key(&family);
            families.insert(family, (!again).then_some((name, *value)));
        }
    }
    let alone = families
        .into_iter()
        .filter_map(|(family, statistic)| Some((family, statistic?)));
    alone.collect()
}

/// A name in letters, digits and underscores: what is between them becomes one underscore, with those around it.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    // Behind something odd, and behind underscores after it.
    let (mut odd, mut after) = (false, false);
    for c in name.chars() {
        match c {
            '_' if odd => after = true,
            '_' => plain.push('_'),
            c if c.is_ascii_alphanumeric() => {
                plain.push(c);
                (odd, after) = (false, false);
            }
            _ if odd && !after => {}
            _ => {
                if !odd {
                    plain.truncate(plain.trim_end_matches('_').len());
                }
                plain.push('_');
                (odd, after) = (true, false);
            }
        }
    }
    plain
}

fn family_of(statistic: &str) -> String {
    if let Some((_, family)) = COMMON.iter().find(|(name, _)| *name == statistic) {
        return format!("node_ethtool_{family}");
    }
    let name = statistic.to_ascii_lowercase();
    let name = word(
        &word(name.trim_start_matches('_'), "rx", "received"),
        "tx",
        "transmitted",
    );
    format!("node_ethtool_{name}")
}

/// Puts a word between underscores in place of another; of two in a row the first alone.
fn word(name: &str, from: &str, to: &str) -> String {
    let mut before = false;
    let words = name.split('_').map(|word| {
        before = word == from && !before;
        if before { to } else { word }
    });
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests;
