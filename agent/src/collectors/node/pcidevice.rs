//! Devices of PCI: the folders of `sys/bus/pci/devices` (`Documentation/ABI/testing/sysfs-bus-pci`).
//!
//! Where a device does not say a number, node_exporter's is told: -1 for links, 0 for virtual functions and D3cold.

mod ids;

use super::files::{First, integer, names, parsed, text_if_any};
use super::flags::{Flag, Form, Setup};
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use ids::Ids;
use std::fs;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "pcidevice",
    about: "devices of PCI",
    default: false,
    flags: &[&NAMES, &FILE],
    make: |setup| Ok(Box::new(PciDevices::new(setup))),
};

static NAMES: Flag = Flag {
    name: "collector.pcidevice.names",
    form: Form::Switch,
    help: "Tell names of vendors, devices and classes too, from a file pci.ids.",
    default: &["false"],
    ..Flag::BASE
};
static FILE: Flag = Flag {
    name: "collector.pcidevice.idsfile",
    form: Form::Path,
    help: "Path of the file pci.ids; without it /usr/share/misc/pci.ids or /usr/share/hwdata/pci.ids.",
    ..Flag::BASE
};

static INFO: Family = Family::new(
    "node_pcidevice_info",
    "",
    "Place and identity of a device of PCI.",
    Kind::Gauge,
);
static POWER: Family = Family::new(
    "node_pcidevice_power_state",
    "",
    "Which power state a device is in.",
    Kind::Gauge,
);
static NODE: Family = Family::new(
    "node_pcidevice_numa_node",
    "",
    "Node of NUMA that a device is at.",
    Kind::Gauge,
);

/// What is told of every device: the file, what is told without it, what its number means, and the family.
struct Number(&'static str, f64, fn(f64) -> f64, Family);

/// The number itself.
fn plain(number: f64) -> f64 {
    number
}

/// Transfers a second of a number of thousand millions.
fn giga(number: f64) -> f64 {
    number * 1e9
}

/// Whether it is not 0.
fn flag(number: f64) -> f64 {
    f64::from(u8::from(number != 0.0))
}

static NUMBERS: [Number; 9] = [
    Number(
        "max_link_speed",
        -1.0,
        giga,
        gauge(
            "node_pcidevice_max_link_transfers_per_second",
            "Transfers a second that the link could do.",
        ),
    ),
    Number(
        "max_link_width",
        -1.0,
        plain,
        gauge("node_pcidevice_max_link_width", "Lanes that the link could have."),
    ),
    Number(
        "current_link_speed",
        -1.0,
        giga,
        gauge(
            "node_pcidevice_current_link_transfers_per_second",
            "Transfers a second that the link does.",
        ),
    ),
    Number(
        "current_link_width",
        -1.0,
        plain,
        gauge("node_pcidevice_current_link_width", "Lanes that the link has."),
    ),
    Number(
        "d3cold_allowed",
        0.0,
        flag,
        gauge(
            "node_pcidevice_d3cold_allowed",
            "Whether a device may be put into D3cold.",
        ),
    ),
    Number(
        "sriov_drivers_autoprobe",
        0.0,
        flag,
        gauge(
            "node_pcidevice_sriov_drivers_autoprobe",
            "Whether drivers take virtual functions by themselves.",
        ),
    ),
    Number(
        "sriov_numvfs",
        0.0,
        plain,
        gauge("node_pcidevice_sriov_numvfs", "Virtual functions that are enabled."),
    ),
    Number(
        "sriov_totalvfs",
        0.0,
        plain,
        gauge(
            "node_pcidevice_sriov_totalvfs",
            "Virtual functions that a device could have.",
        ),
    ),
    Number(
        "sriov_vf_total_msix",
        0.0,
        plain,
        gauge(
            "node_pcidevice_sriov_vf_total_msix",
            "Interrupts that virtual functions share.",
        ),
    ),
];
/// Power states, as the kernel names them.
const STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];
/// Labels of a place.
const PLACE: [&str; 4] = ["segment", "bus", "device", "function"];
const PARENT: [&str; 4] = ["parent_segment", "parent_bus", "parent_device", "parent_function"];
/// Labels of an identity, and digits of each.
const IDENTITY: [(&str, &str, usize); 6] = [
    ("class_id", "class", 6),
    ("vendor_id", "vendor", 4),
    ("device_id", "device", 4),
    ("subsystem_vendor_id", "subsystem_vendor", 4),
    ("subsystem_device_id", "subsystem_device", 4),
    ("revision", "revision", 2),
];

struct PciDevices {
    folder: PathBuf,
    /// `None`: names are not told.
    ids: Option<Ids>,
}

/// A device. What it does not say is `None`.
struct Device {
    place: [String; 4],
    parent: Option<[String; 4]>,
    /// With `0x`, in the order of [`IDENTITY`].
    identity: [String; 6],
    numbers: [f64; NUMBERS.len()],
    power: Option<String>,
    node: Option<i128>,
}

impl PciDevices {
    fn new(setup: &Setup<'_>) -> PciDevices {
        PciDevices {
            folder: setup.host.sys.join("bus/pci/devices"),
            ids: setup.is_on(&NAMES).then(|| Ids::new(&setup.text(&FILE))),
        }
    }
}

impl Collect for PciDevices {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut first = First::default();
        let names = names(&self.folder)?.into_iter();
        let devices: Vec<Device> = names
            .filter_map(|name| Device::read(&self.folder.join(name), &mut first))
            .collect();
        if let Some(ids) = &mut self.ids {
            ids.learn(devices.iter().map(|device| &device.identity));
        }
        out.family(&INFO);
        for device in &devices {
            let mut labels = device.labels();
            match &device.parent {
                Some(parent) => labels.extend(PARENT.into_iter().zip(parent.iter().map(String::as_str))),
                None => labels.extend(PARENT.map(|label| (label, "*"))),
            }
            labels.extend(
                IDENTITY
                    .iter()
                    .zip(&device.identity)
                    .map(|((label, ..), id)| (*label, id.as_str())),
            );
            let names = self.ids.as_ref().map(|ids| ids.labels(&device.identity));
            labels.extend(names.iter().flatten().map(|(label, name)| (*label, name.as_ref())));
            out.number(&labels, 1.0);
        }
        for (place, Number(.., family)) in NUMBERS.iter().enumerate() {
            out.family(family);
            for device in &devices {
                if let Some(number) = device.numbers.get(place) {
                    out.number(&device.labels(), *number);
                }
            }
        }
        out.family(&POWER);
        for device in &devices {
            let Some(power) = &device.power else { continue };
            for state in STATES {
                let mut labels = device.labels();
                labels.push(("state", state));
                out.number(&labels, f64::from(u8::from(power == state)));
            }
        }
        out.family(&NODE);
        for device in &devices {
            // -1: the host has none, or does not say.
            if let Some(node) = device.node.filter(|node| *node != -1) {
                out.number(&device.labels(), node as f64);
            }
        }
        first.result()
    }
}

impl Device {
    /// Reads a device; none when it is gone, or when it does not say what it is.
    fn read(folder: &Path, first: &mut First) -> Option<Device> {
        let link = fs::read_link(folder).ok()?;
        let name = |path: &Path| place(path.file_name()?.to_str()?);
        let mut identity = [const { String::new() }; 6];
        for ((_, file, digits), id) in IDENTITY.iter().zip(&mut identity) {
            let path = folder.join(file);
            let number = first.ok(integer(&path, &text_if_any(&path)?))?;
            *id = format!("{number:#0width$x}", width = digits + 2);
        }
        let mut numbers = [0.0; NUMBERS.len()];
        for (Number(file, without, meaning, _), number) in NUMBERS.iter().zip(&mut numbers) {
            let path = folder.join(file);
            let told = text_if_any(&path).filter(|text| !text.is_empty() && !text.starts_with("Unknown"));
            // A speed has its unit behind it.
            let told = told.and_then(|text| first.ok(parsed::<f64>(&path, text.split(' ').next().unwrap_or_default())));
            *number = told.map_or(*without, meaning);
        }
        let path = folder.join("numa_node");
        Some(Device {
            place: name(&link)?,
            // The one above may be a bridge to something else than PCI.
            parent: link.parent().and_then(name),
            identity,
            numbers,
            power: text_if_any(&folder.join("power_state")).filter(|state| !state.is_empty()),
            node: text_if_any(&path).and_then(|text| first.ok(integer(&path, &text))),
        })
    }

    /// Labels of its place, with room for more.
    fn labels(&self) -> Vec<(&'static str, &str)> {
        let mut labels = Vec::with_capacity(20);
        labels.extend(PLACE.into_iter().zip(self.place.iter().map(String::as_str)));
        labels
    }
}

/// Segment, bus, device and function of `0000:00:02.1`.
fn place(name: &str) -> Option<[String; 4]> {
    let (segment, rest) = name.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let digits = |text: &str, width: usize| Some(format!("{:0width$x}", u32::from_str_radix(text, 16).ok()?));
    Some([
        digits(segment, 4)?,
        digits(bus, 2)?,
        digits(device, 2)?,
        digits(function, 1)?,
    ])
}

#[cfg(test)]
mod tests;
