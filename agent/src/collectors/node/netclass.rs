//! Properties of network devices: the files of `sys/class/net/DEVICE` (`net/core/net-sysfs.c`), or netlink.

mod rtnl;

use super::files::{First, Folder, integer};
use super::filter::Pattern;
use super::flags::{Flag, Form, Setup};
use super::netdev;
use super::netlink::link::{Link, STATS, links};
use super::netlink::{LinkWatch, Socket};
use super::pool::Pool;
use super::rows::{counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use rtnl::{Rtnl, address};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "netclass",
    about: "properties of network devices",
    flags: &[&IGNORED, &NO_INVALID_SPEED, &NETLINK, &WITH_STATS],
    make: |setup| Ok(Box::new(NetClass::new(setup)?)),
    ..Collector::BASE
};

static IGNORED: Flag = Flag {
    name: "collector.netclass.ignored-devices",
    form: Form::Regex,
    help: "No network devices whose name matches.",
    default: &["^$"],
    ..Flag::BASE
};
static NO_INVALID_SPEED: Flag = Flag {
    name: "collector.netclass.ignore-invalid-speed",
    form: Form::Switch,
    help: "Leave the speed out when the device does not know it.",
    default: &["false"],
    ..Flag::BASE
};

static NETLINK: Flag = Flag {
    name: "collector.netclass.netlink",
    form: Form::Switch,
    help: "Ask the kernel by netlink rather than read the files of every device.",
    default: &["false"],
    ..Flag::BASE
};
static WITH_STATS: Flag = Flag {
    name: "collector.netclass_rtnl.with-stats",
    form: Form::Switch,
    help: "With netlink, tell traffic in detail too, in place of the collector netdev.",
    default: &["false"],
    ..Flag::BASE
};

static UP: Family = Family::new(
    "node_network_up",
    "",
    "Whether a network device is in operation.",
    Kind::Gauge,
);
static INFO: Family = Family::new(
    "node_network_info",
    "",
    "Addresses and state of a network device.",
    Kind::Gauge,
);
static OTHER_NAMES: Family = Family::new(
    "node_network_altnames_info",
    "",
    "Another name of a network device.",
    Kind::Gauge,
);
static SPEED: Family = Family::new(
    "node_network_speed_bytes",
    "bytes",
    "Bytes a second that the link carries.",
    Kind::Gauge,
);

/// Files that hold a number, and what it is.
static NUMBERS: [(&str, Family); 16] = [
    (
        "addr_assign_type",
        gauge(
            "node_network_address_assign_type",
            "Where a device has its address from.",
        ),
    ),
    (
        "carrier",
        gauge("node_network_carrier", "Whether a device has a carrier."),
    ),
    (
        "carrier_changes",
        counter(
            "node_network_carrier_changes_total",
            "Times that the carrier came or went.",
        ),
    ),
    (
        "carrier_up_count",
        counter("node_network_carrier_up_changes_total", "Times that the carrier came."),
    ),
    (
        "carrier_down_count",
        counter(
            "node_network_carrier_down_changes_total",
            "Times that the carrier went.",
        ),
    ),
    (
        "dev_id",
        gauge("node_network_device_id", "Number among devices that share one address."),
    ),
    (
        "dormant",
        gauge(
            "node_network_dormant",
            "Whether a device waits for an event, such as a login.",
        ),
    ),
    (
        "flags",
        gauge("node_network_flags", "Flags of a device, the bits IFF_…"),
    ),
    ("ifindex", gauge("node_network_iface_id", "Index of a device.")),
    (
        "iflink",
        gauge("node_network_iface_link", "Index of the device below, or its own."),
    ),
    (
        "link_mode",
        gauge(
            "node_network_iface_link_mode",
            "Whether a device becomes dormant before it is up.",
        ),
    ),
    (
        "mtu",
        Family::new(
            "node_network_mtu_bytes",
            "bytes",
            "Bytes of a packet at most.",
            Kind::Gauge,
        ),
    ),
    (
        "name_assign_type",
        gauge("node_network_name_assign_type", "Where a device has its name from."),
    ),
    (
        "netdev_group",
        gauge("node_network_net_dev_group", "Group of a device."),
    ),
    (
        "tx_queue_len",
        gauge(
            "node_network_transmit_queue_length",
            "Packets that the queue of a sender holds.",
        ),
    ),
    (
        "type",
        gauge("node_network_protocol_type", "Kind of a device's link, ARPHRD_…"),
    ),
];
/// Places of the flags and of the index among the numbers.
const FLAGS: usize = 7;
const INDEX: usize = 8;

struct NetClass {
    folder: Folder,
    ignored: Option<Pattern>,
    no_invalid_speed: bool,
    /// `None`: files are read.
    rtnl: Option<Rtnl>,
    with_stats: bool,
    files: Pool,
    known: Known,
}

/// What was read last. Where the kernel says that no link has changed since, only what it does not tell of is read anew.
#[derive(Default)]
struct Known {
    devices: Vec<Device>,
    /// When all was read; `None`: not as the kernel's own list has it, or with errors.
    read: Option<Instant>,
    watch: LinkWatch,
    socket: Option<Socket>,
}

/// After this all is read anew: some settings can be written to files without a word (`netdev_group`, `link_mode`).
const AGAIN: Duration = Duration::from_secs(60);

/// Files that are kept open: those of 46 devices.
const OPEN: usize = 1024;

/// A device. What it does not have is `None`, or empty.
#[derive(Default)]
struct Device {
    name: String,
    address: String,
    broadcast: String,
    duplex: String,
    state: String,
    alias: String,
    numbers: [Option<i128>; NUMBERS.len()],
    /// Megabits a second.
    speed: Option<i128>,
    other_names: Vec<String>,
    stats: Option<[u64; STATS]>,
}

impl NetClass {
    fn new(setup: &Setup<'_>) -> Result<NetClass, String> {
        Ok(NetClass {
            folder: Folder::new(setup.host.sys.join("class/net")),
            ignored: setup.pattern(&IGNORED)?,
            no_invalid_speed: setup.is_on(&NO_INVALID_SPEED),
            rtnl: setup.is_on(&NETLINK).then(Rtnl::new),
            with_stats: setup.is_on(&WITH_STATS),
            files: Pool::within_limits(OPEN),
            known: Known::default(),
        })
    }

    /// Devices as their files have them.
    fn of_files(&mut self, first: &mut First) -> Result<(), CollectError> {
        let changed = self.known.watch.changed();
        let (known, files) = (&mut self.known, &mut self.files);
        if !changed && known.read.is_some_and(|read| read.elapsed() < AGAIN) {
            for device in &mut known.devices {
                let folder = self.folder.path().join(&device.name);
                device.read_modes(folder, files, first);
            }
            return Ok(());
        }
        known.read = None;
        let now = Instant::now();
        let wanted = |name: &str| self.ignored.as_ref().is_none_or(|ignored| !ignored.matches(name));
        let names = self.folder.names()?.into_iter().filter(|name| wanted(name));
        let folder = self.folder.path();
        let mut wrong = First::default();
        known.devices = names
            .filter_map(|name| Device::read(&folder.join(&name), name, files, &mut wrong))
            .collect();
        files.sweep();
        // Files of another network namespace are not of the links that are heard of here.
        let mut links = links(known.socket.get_or_insert_with(Socket::route)).unwrap_or_default();
        links.retain(|link| wanted(&link.name));
        let same = links.len() == known.devices.len() && known.devices.iter().all(|device| device.is_one_of(&links));
        if first.ok(wrong.result()).is_some() && same {
            known.read = Some(now);
        }
        Ok(())
    }

    fn write(&self, devices: &[Device], out: &mut dyn Encoder) {
        out.family(&UP);
        for device in devices {
            out.number(&[("device", &device.name)], f64::from(u8::from(device.state == "up")));
        }
        out.family(&INFO);
        for device in devices {
            let labels = [
                ("device", device.name.as_str()),
                ("address", &device.address),
                ("broadcast", &device.broadcast),
                ("duplex", &device.duplex),
                ("operstate", &device.state),
                ("ifalias", &device.alias),
                ("adminstate", device.admin_state()),
            ];
            // node_exporter leaves the last out when it asks by netlink.
            let told = labels.len() - usize::from(self.rtnl.is_some());
            out.number(labels.get(..told).unwrap_or(&labels), 1.0);
        }
        for (place, (_, family)) in NUMBERS.iter().enumerate() {
            out.family(family);
            for device in devices {
                if let Some(number) = device.numbers.get(place).copied().flatten() {
                    out.number(&[("device", &device.name)], number as f64);
                }
            }
        }
        self.write_speed(devices, out);
        out.family(&OTHER_NAMES);
        for device in devices {
            for other in &device.other_names {
                out.number(&[("device", &device.name), ("altname", other)], 1.0);
            }
        }
        if self.with_stats {
            let stats = devices
                .iter()
                .filter_map(|device| Some((device.name.as_str(), device.stats.as_ref()?)));
            netdev::write_each(stats, out);
        }
    }

    fn write_speed(&self, devices: &[Device], out: &mut dyn Encoder) {
        out.family(&SPEED);
        for device in devices {
            // Devices say -1 when they do not know it.
            if let Some(speed) = device.speed.filter(|speed| *speed >= 0 || !self.no_invalid_speed) {
                out.number(
                    &[("device", &device.name)],
                    (speed.saturating_mul(1_000_000) / 8) as f64,
                );
            }
        }
    }
}

impl Collect for NetClass {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut first = First::default();
        match &mut self.rtnl {
            Some(rtnl) => {
                let wanted = |name: &str| self.ignored.as_ref().is_none_or(|ignored| !ignored.matches(name));
                self.known.devices = rtnl.devices(self.folder.path(), &wanted, &mut first)?;
            }
            None => self.of_files(&mut first)?,
        }
        self.write(&self.known.devices, out);
        first.result()
    }
}

impl Device {
    /// Reads a device as far as it can be read; none when there is no such device, or no more.
    fn read(folder: &Path, name: String, files: &mut Pool, first: &mut First) -> Option<Device> {
        files.check(folder);
        let mut path = folder.to_owned();
        let mut device = Device {
            name,
            ..Device::default()
        };
        let mut number = |name: &str| {
            path.push(name);
            let number = files.text(&path).and_then(|text| first.ok(integer(&path, &text)));
            path.pop();
            number
        };
        for ((name, _), place) in NUMBERS.iter().zip(&mut device.numbers) {
            *place = number(name);
        }
        for (name, text) in [
            ("address", &mut device.address),
            ("broadcast", &mut device.broadcast),
            ("operstate", &mut device.state),
            ("ifalias", &mut device.alias),
        ] {
            path.push(name);
            *text = files.text(&path).unwrap_or_default().into_owned();
            path.pop();
        }
        device.read_modes(path, files, first);
        // A file among the devices, or one that is gone.
        let there = device.numbers.iter().any(Option::is_some) || folder.is_dir();
        there.then_some(device)
    }

    /// Reads what drivers say when they are asked, and no sooner.
    fn read_modes(&mut self, mut folder: PathBuf, files: &mut Pool, first: &mut First) {
        folder.push("speed");
        self.speed = files.text(&folder).and_then(|text| first.ok(integer(&folder, &text)));
        folder.set_file_name("duplex");
        self.duplex = files.text(&folder).unwrap_or_default().into_owned();
    }

    /// Whether the kernel tells of this device.
    fn is_one_of(&self, links: &[Link]) -> bool {
        let index = self.numbers[INDEX];
        let mut links = links.iter().filter(|link| index == Some(i128::from(link.index)));
        links.any(|link| link.name == self.name && address(&link.address) == self.address)
    }

    fn admin_state(&self) -> &'static str {
        match self.numbers[FLAGS] {
            None => "unknown",
            Some(flags) if flags & i128::from(libc::IFF_UP) != 0 => "up",
            Some(_) => "down",
        }
    }
}

#[cfg(test)]
mod tests;
