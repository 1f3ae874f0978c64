//! Ports of InfiniBand and RoCE: the folders of `sys/class/infiniband` (`Documentation/ABI/stable/sysfs-class-infiniband`).

mod counters;

use super::files::{First, names, parsed, text_if_any};
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use counters::COUNTERS;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "infiniband",
    about: "ports of InfiniBand and RoCE",
    flags: &[&INCLUDE, &EXCLUDE],
    make: |setup| Ok(Box::new(InfiniBand::new(setup)?)),
    ..Collector::BASE
};

static INCLUDE: Flag = Flag {
    name: "collector.infiniband.device-include",
    form: Form::Regex,
    help: "Only devices whose name matches; not together with device-exclude.",
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.infiniband.device-exclude",
    form: Form::Regex,
    help: "No devices whose name matches; not together with device-include.",
    ..Flag::BASE
};

static INFO: Family = Family::new(
    "node_infiniband_info",
    "",
    "Board and firmware of a device.",
    Kind::Gauge,
);

/// What is told of the state of a port.
static STATES: [Family; 4] = [
    Family::new(
        "node_infiniband_state_id",
        "",
        "Logical state of a port; 4 is active.",
        Kind::Gauge,
    ),
    Family::new(
        "node_infiniband_physical_state_id",
        "",
        "Physical state of a port; 5 is up.",
        Kind::Gauge,
    ),
    Family::new(
        "node_infiniband_rate_bytes_per_second",
        "",
        "Bytes a second that a port carries.",
        Kind::Gauge,
    ),
    Family::new(
        "node_infiniband_lifespan_seconds",
        "seconds",
        "How old counters of a port may be.",
        Kind::Gauge,
    ),
];

/// Beginnings of the names of devices that have `hw_counters` which are known.
const WITH_HARDWARE: [&str; 2] = ["irdma", "mlx5_"];
/// What a counter says that the device does not have.
const NONE: &str = "N/A (no PMA)";

struct InfiniBand {
    folder: PathBuf,
    filter: Filter,
}

/// A device: its name, board, firmware and type.
type Device = [String; 4];

struct Port {
    device: String,
    name: String,
    states: [Option<f64>; STATES.len()],
    counters: [Option<u64>; COUNTERS.len()],
}

impl InfiniBand {
    fn new(setup: &Setup<'_>) -> Result<InfiniBand, String> {
        Ok(InfiniBand {
            folder: setup.host.sys.join("class/infiniband"),
            filter: setup.filter(&INCLUDE, &EXCLUDE)?,
        })
    }

    /// Reads a device and its ports.
    fn device(&self, name: String, ports: &mut Vec<Port>, first: &mut First) -> Device {
        let folder = self.folder.join(&name);
        for port in names(&folder.join("ports")).unwrap_or_default() {
            ports.push(Port::read(&folder.join("ports").join(&port), &name, port, first));
        }
        let [board, firmware, kind] =
            ["board_id", "fw_ver", "hca_type"].map(|file| text_if_any(&folder.join(file)).unwrap_or_default());
        [name, board, firmware, kind]
    }
}

impl Collect for InfiniBand {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let (mut devices, mut ports) = (Vec::new(), Vec::new());
        let mut first = First::default();
        for name in names(&self.folder)?.into_iter().filter(|name| self.filter.takes(name)) {
            devices.push(self.device(name, &mut ports, &mut first));
        }
        out.family(&INFO);
        for [name, board, firmware, kind] in &devices {
            let labels = [
                ("device", name.as_str()),
                ("board_id", board),
                ("firmware_version", firmware),
                ("hca_type", kind),
            ];
            out.number(&labels, 1.0);
        }
        for (place, family) in STATES.iter().enumerate() {
            out.family(family);
            for port in &ports {
                port.tell(out, port.states.get(place).copied().flatten());
            }
        }
        for (place, counter) in COUNTERS.iter().enumerate() {
            out.family(&counter.family);
            for port in &ports {
                port.tell(
                    out,
                    port.counters.get(place).copied().flatten().map(|count| count as f64),
                );
            }
        }
        first.result()
    }
}

impl Port {
    /// Reads a port as far as it can be read.
    fn read(folder: &Path, device: &str, name: String, first: &mut First) -> Port {
        let hardware = WITH_HARDWARE.iter().any(|begin| device.starts_with(begin));
        let mut state = |name: &str, parse: Parse| {
            let path = folder.join(name);
            first.ok(parse(&path, &text_if_any(&path)?))
        };
        let states = [
            state("state", number),
            state("phys_state", number),
            state("rate", rate),
            hardware.then(|| state("hw_counters/lifespan", lifespan)).flatten(),
        ];
        let mut counters = [None; COUNTERS.len()];
        for (counter, count) in COUNTERS.iter().zip(&mut counters) {
            if counter.is_hardware() && !hardware {
                continue;
            }
            let path = folder.join(counter.file);
            let text = text_if_any(&path).filter(|text| !text.contains(NONE));
            let number = text.and_then(|text| first.ok(parsed::<u64>(&path, &text)));
            *count = number.map(|number| number.wrapping_mul(counter.times));
        }
        Port {
            device: device.to_owned(),
            name,
            states,
            counters,
        }
    }

    fn tell(&self, out: &mut dyn Encoder, value: Option<f64>) {
        if let Some(value) = value {
            out.number(&[("device", &self.device), ("port", &self.name)], value);
        }
    }
}

/// Makes a number of the text of a file.
type Parse = fn(&Path, &str) -> Result<f64, CollectError>;

/// The number of a state: `4: ACTIVE`.
fn number(path: &Path, text: &str) -> Result<f64, CollectError> {
    let (number, _) = text.split_once(':').unwrap_or((text, ""));
    parsed::<u32>(path, number).map(f64::from)
}

/// Bytes a second: `2.5 Gb/sec (1X SDR)`.
fn rate(path: &Path, text: &str) -> Result<f64, CollectError> {
    let (number, _) = text.split_once(' ').unwrap_or((text, ""));
    parsed::<f32>(path, number).map(|gigabits| (f64::from(gigabits) * 125_000_000.0).trunc())
}

/// Milliseconds; node_exporter tells whole seconds.
fn lifespan(path: &Path, text: &str) -> Result<f64, CollectError> {
    parsed::<u64>(path, text).map(|time| (time / 1000) as f64)
}

#[cfg(test)]
mod tests;
