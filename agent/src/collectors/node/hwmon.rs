//! Hardware monitoring: `sys/class/hwmon/hwmon<n>/<type><number>_<property>` and the same in `device/`, where old drivers have them
//! (`Documentation/hwmon/sysfs-interface.rst`).

mod chips;

use super::files;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::rows::{Grouped, gauge, unit};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use chips::{Chip, clean};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "hwmon",
    about: "temperatures, fans, voltages and power of hardware sensors",
    flags: &[&CHIP_INCLUDE, &CHIP_EXCLUDE, &SENSOR_INCLUDE, &SENSOR_EXCLUDE],
    make: |setup| Ok(Box::new(HwMon::new(setup)?)),
    ..Collector::BASE
};

const fn flag(name: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        form: Form::Regex,
        help,
        ..Flag::BASE
    }
}

static CHIP_INCLUDE: Flag = flag(
    "collector.hwmon.chip-include",
    "Chips that are told, by the label chip; all others are left out.",
);
static CHIP_EXCLUDE: Flag = flag(
    "collector.hwmon.chip-exclude",
    "Chips that are left out, by the label chip.",
);
static SENSOR_INCLUDE: Flag = flag(
    "collector.hwmon.sensor-include",
    "Sensors that are told, as CHIP;SENSOR; all others are left out.",
);
static SENSOR_EXCLUDE: Flag = flag(
    "collector.hwmon.sensor-exclude",
    "Sensors that are left out, as CHIP;SENSOR.",
);

static CHIP_NAMES: Family = gauge("node_hwmon_chip_names", "How the driver calls a chip.");
static SENSOR_LABEL: Family = gauge("node_hwmon_sensor_label", "How the driver calls a sensor.");

/// Types of sensors. What else lies in the folders is none.
const TYPES: [&str; 14] = [
    "beep_enable",
    "cpu",
    "curr",
    "energy",
    "fan",
    "freq",
    "humidity",
    "in",
    "intrusion",
    "power",
    "pwm",
    "temp",
    "update_interval",
    "vrm",
];

struct HwMon {
    class: PathBuf,
    chips: Filter,
    sensors: Filter,
}

impl HwMon {
    fn new(setup: &Setup<'_>) -> Result<HwMon, String> {
        Ok(HwMon {
            class: setup.host.sys.join("class/hwmon"),
            chips: setup.filter(&CHIP_INCLUDE, &CHIP_EXCLUDE)?,
            sensors: setup.filter(&SENSOR_INCLUDE, &SENSOR_EXCLUDE)?,
        })
    }
}

impl Collect for HwMon {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut rows = Grouped::default();
        for chip in Chip::all(&self.class)? {
            if !self.chips.takes(&chip.label) {
                continue;
            }
            if let Some(name) = &chip.name {
                let labels = [("chip", &*chip.label), ("chip_name", name)];
                rows.number(&CHIP_NAMES.name, || CHIP_NAMES.clone(), &labels, 1.0);
            }
            for ((kind, number), sensor) in &sensors(&chip.folder) {
                let name = format!("{kind}{number}");
                if self.sensors.takes(&format!("{};{name}", chip.label)) {
                    tell(&chip.label, kind, &name, sensor, &mut rows);
                }
            }
        }
        rows.tell(out);
        Ok(())
    }
}

/// Texts of a sensor's files by property.
type Sensor = BTreeMap<String, String>;

/// All sensors of a chip by type and number.
fn sensors(folder: &Path) -> BTreeMap<(&'static str, u64), Sensor> {
    let mut sensors: BTreeMap<_, Sensor> = BTreeMap::new();
    for folder in [folder.to_owned(), folder.join("device")] {
        for name in files::names(&folder).unwrap_or_default() {
            let Some((kind, number, property)) = parse(&name) else {
                continue;
            };
            // One that cannot be read has nothing to say now: a fan that is off, a disk that sleeps.
            if let Some(text) = files::text_if_any(&folder.join(&name)) {
                let sensor = sensors.entry((kind, number)).or_default();
                sensor.insert(property.to_owned(), text);
            }
        }
    }
    sensors
}

/// Takes a file's name apart: `<type><number>_<property>`, where a number that is not there is 0.
fn parse(name: &str) -> Option<(&'static str, u64, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let (stem, rest) = name.split_at(name.find(is_digit).unwrap_or(name.len()));
    let (digits, rest) = rest.split_at(rest.find(|c| !is_digit(c)).unwrap_or(rest.len()));
    let property = match rest {
        "" => "",
        _ => rest.strip_prefix('_').filter(|property| !property.is_empty())?,
    };
    let kind = TYPES.iter().find(|kind| **kind == stem)?;
    let number = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some((kind, number, property))
}

/// How the number of a file is told.
struct Meaning {
    family: String,
    factor: Factor,
    help: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Factor {
    One,
    Thousandths,
    Millionths,
}

impl Factor {
    fn of(self, number: f64) -> f64 {
        match self {
            Factor::One => number,
            Factor::Thousandths => number * 0.001,
            Factor::Millionths => number / 1e6,
        }
    }
}

impl Meaning {
    /// Of a property of a sensor. `bare`: there is a file without property besides.
    fn of(kind: &str, property: &str, bare: bool) -> Option<Meaning> {
        use Factor::{Millionths, One, Thousandths};
        let (end, factor, help) = match (kind, property) {
            ("beep_enable", "") => ("", One, "Whether the chip may beep."),
            ("update_interval", "") => ("_seconds", Thousandths, "Time between two measurements of the chip."),
            ("vrm", "") => ("", One, "Version of the voltage regulator."),
            ("beep_enable" | "update_interval" | "vrm", _) | (_, "label") => return None,
            (_, "alarm") => ("", One, "Whether a sensor gives the alarm."),
            (_, "fault") => ("", One, "Whether a sensor is out of order."),
            (_, "beep") => ("_enabled", One, "Whether the alarm of a sensor beeps."),
            ("in" | "cpu", _) => ("_volts", Thousandths, "A voltage."),
            ("temp", "type") => ("", One, "Which sort of temperature sensor it is."),
            ("temp", _) => ("_celsius", Thousandths, "A temperature."),
            ("curr", _) => ("_amps", Thousandths, "A current."),
            ("energy", _) => ("_joule_total", Millionths, "Energy that was taken."),
            ("power", "accuracy") => ("", Millionths, "How far the power may be wrong, as a ratio."),
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
                ("_seconds", Thousandths, "Time over which power is averaged.")
            }
            ("power", _) => ("_watt", Millionths, "A power."),
            ("humidity", _) => ("", Millionths, "Humidity, as a ratio."),
            ("fan", "input" | "min" | "max" | "target") => ("_rpm", One, "Rotations of a fan a minute."),
            ("freq", "input") => ("_freq_mhz", Millionths, "Clock of a graphics chip in MHz."),
            _ => ("", One, "A setting of a sensor, as the driver has it."),
        };
        let base = match kind {
            "beep_enable" => "beep_enabled",
            "vrm" => "voltage_regulator_version",
            kind => kind,
        };
        let middle = match property {
            "" => String::new(),
            "input" if !bare => String::new(),
            property => format!("_{}", clean(property)),
        };
        Some(Meaning {
            family: format!("node_hwmon_{base}{middle}{end}"),
            factor,
            help,
            kind: if end.ends_with("_total") {
                Kind::Counter
            } else {
                Kind::Gauge
            },
        })
    }

    fn family(&self) -> Family {
        Family {
            name: self.family.clone().into(),
            unit: unit(&self.family).into(),
            help: self.help.into(),
            kind: self.kind,
        }
    }
}

/// Says what the files of a sensor hold.
fn tell(chip: &str, kind: &str, name: &str, sensor: &Sensor, rows: &mut Grouped) {
    let label = sensor.get("label");
    if let Some(label) = label {
        let labels = [("chip", chip), ("sensor", name), ("label", label)];
        rows.number(&SENSOR_LABEL.name, || SENSOR_LABEL.clone(), &labels, 1.0);
    }
    // Clocks are known by their labels alone.
    let clock = label.map(|label| clean(label)).unwrap_or_default();
    for (property, text) in sensor {
        let Some(meaning) = Meaning::of(kind, property, sensor.contains_key("")) else {
            continue;
        };
        let name = if (kind, &**property) == ("freq", "input") {
            &clock
        } else {
            name
        };
        if let (false, Ok(number)) = (name.is_empty(), text.parse()) {
            let labels = [("chip", chip), ("sensor", name)];
            rows.number(&meaning.family, || meaning.family(), &labels, meaning.factor.of(number));
        }
    }
}

#[cfg(test)]
mod tests;
