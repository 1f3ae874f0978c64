//! Batteries and mains adapters: `sys/class/power_supply/<name>` (`Documentation/ABI/testing/sysfs-class-power`).

use super::files;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::rows::{Rows, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "powersupplyclass",
    about: "charge, power and state of batteries and mains adapters",
    flags: &[&IGNORED],
    make: |setup| Ok(Box::new(PowerSupplies::new(setup)?)),
    ..Collector::BASE
};

static IGNORED: Flag = Flag {
    name: "collector.powersupply.ignored-supplies",
    form: Form::Regex,
    help: "Batteries and adapters that are left out.",
    default: &["^$"],
    ..Flag::BASE
};

static INFO: Family = gauge(
    "node_power_supply_info",
    "What a battery or an adapter is, and its state.",
);

/// What numbers are divided by: the kernel counts in millionths (volts, amperes, watts), and temperatures in tenths.
const MICRO: f64 = 1e6;
const TENTHS: f64 = 10.0;

/// The files, what their numbers are divided by, and what they are told as.
#[rustfmt::skip]
static FILES: [(&str, f64, Family); 49] = [
    ("authentic", 1.0, gauge("node_power_supply_authentic", "Whether a battery is an original.")),
    ("calibrate", 1.0, gauge("node_power_supply_calibrate", "Whether a battery is being calibrated.")),
    ("capacity", 1.0, gauge("node_power_supply_capacity", "Charge of a battery in percent.")),
    ("capacity_alert_max", 1.0, gauge("node_power_supply_capacity_alert_max", "Charge in percent above which an alert is given.")),
    ("capacity_alert_min", 1.0, gauge("node_power_supply_capacity_alert_min", "Charge in percent below which an alert is given.")),
    ("charge_control_limit", MICRO, gauge("node_power_supply_charge_control_limit", "Limit of the current while charging, as it is set.")),
    ("charge_control_limit_max", MICRO, gauge("node_power_supply_charge_control_limit_max", "Highest limit of the current while charging.")),
    ("charge_counter", MICRO, gauge("node_power_supply_charge_counter", "Charge that went in, less what went out, in ampere-hours.")),
    ("charge_empty", MICRO, gauge("node_power_supply_charge_empty", "Charge of a battery when empty, in ampere-hours.")),
    ("charge_empty_design", MICRO, gauge("node_power_supply_charge_empty_design", "Charge of a new battery when empty, in ampere-hours.")),
    ("charge_full", MICRO, gauge("node_power_supply_charge_full", "Charge of a battery when full, in ampere-hours.")),
    ("charge_full_design", MICRO, gauge("node_power_supply_charge_full_design", "Charge of a new battery when full, in ampere-hours.")),
    ("charge_now", MICRO, gauge("node_power_supply_charge_ampere", "Charge of a battery, in ampere-hours.")),
    ("charge_term_current", MICRO, gauge("node_power_supply_charge_term_current", "Current in amperes at which charging ends.")),
    ("constant_charge_current", MICRO, gauge("node_power_supply_constant_charge_current", "Current in amperes while charging with constant current.")),
    ("constant_charge_current_max", MICRO, gauge("node_power_supply_constant_charge_current_max", "Highest such current in amperes.")),
    ("constant_charge_voltage", MICRO, gauge("node_power_supply_constant_charge_voltage", "Voltage in volts while charging with constant voltage.")),
    ("constant_charge_voltage_max", MICRO, gauge("node_power_supply_constant_charge_voltage_max", "Highest such voltage in volts.")),
    ("current_boot", MICRO, gauge("node_power_supply_current_boot", "Current in amperes when the host was started.")),
    ("current_max", MICRO, gauge("node_power_supply_current_max", "Highest current in amperes.")),
    ("current_now", MICRO, gauge("node_power_supply_current_ampere", "Current in amperes.")),
    ("cycle_count", 1.0, gauge("node_power_supply_cyclecount", "How often a battery was charged.")),
    ("energy_empty", MICRO, gauge("node_power_supply_energy_empty", "Energy of a battery when empty, in watt-hours.")),
    ("energy_empty_design", MICRO, gauge("node_power_supply_energy_empty_design", "Energy of a new battery when empty, in watt-hours.")),
    ("energy_full", MICRO, gauge("node_power_supply_energy_full", "Energy of a battery when full, in watt-hours.")),
    ("energy_full_design", MICRO, gauge("node_power_supply_energy_full_design", "Energy of a new battery when full, in watt-hours.")),
    ("energy_now", MICRO, gauge("node_power_supply_energy_watthour", "Energy of a battery, in watt-hours.")),
    ("input_current_limit", MICRO, gauge("node_power_supply_input_current_limit", "Limit of the current that is taken, in amperes.")),
    ("online", 1.0, gauge("node_power_supply_online", "Whether an adapter gives power.")),
    ("power_now", MICRO, gauge("node_power_supply_power_watt", "Power that is taken or given, in watts.")),
    ("precharge_current", MICRO, gauge("node_power_supply_precharge_current", "Current in amperes while an empty battery begins to be charged.")),
    ("present", 1.0, gauge("node_power_supply_present", "Whether a battery is there.")),
    ("temp", TENTHS, gauge("node_power_supply_temp_celsius", "Temperature of a battery.")),
    ("temp_alert_max", TENTHS, gauge("node_power_supply_temp_alert_max_celsius", "Temperature above which an alert is given.")),
    ("temp_alert_min", TENTHS, gauge("node_power_supply_temp_alert_min_celsius", "Temperature below which an alert is given.")),
    ("temp_ambient", TENTHS, gauge("node_power_supply_temp_ambient_celsius", "Temperature around a battery.")),
    ("temp_ambient_max", TENTHS, gauge("node_power_supply_temp_ambient_max_celsius", "Highest temperature around a battery.")),
    ("temp_ambient_min", TENTHS, gauge("node_power_supply_temp_ambient_min_celsius", "Lowest temperature around a battery.")),
    ("temp_max", TENTHS, gauge("node_power_supply_temp_max_celsius", "Highest temperature of a battery.")),
    ("temp_min", TENTHS, gauge("node_power_supply_temp_min_celsius", "Lowest temperature of a battery.")),
    ("time_to_empty_now", 1.0, gauge("node_power_supply_time_to_empty_seconds", "Time until a battery is empty.")),
    ("time_to_full_now", 1.0, gauge("node_power_supply_time_to_full_seconds", "Time until a battery is full.")),
    ("voltage_boot", MICRO, gauge("node_power_supply_voltage_boot", "Voltage in volts when the host was started.")),
    ("voltage_max", MICRO, gauge("node_power_supply_voltage_max", "Highest voltage in volts.")),
    ("voltage_max_design", MICRO, gauge("node_power_supply_voltage_max_design", "Highest voltage by design, in volts.")),
    ("voltage_min", MICRO, gauge("node_power_supply_voltage_min", "Lowest voltage in volts.")),
    ("voltage_min_design", MICRO, gauge("node_power_supply_voltage_min_design", "Lowest voltage by design, in volts.")),
    ("voltage_now", MICRO, gauge("node_power_supply_voltage_volt", "Voltage in volts.")),
    ("voltage_ocv", MICRO, gauge("node_power_supply_voltage_ocv", "Voltage in volts without a load.")),
];

/// Files that are labels of the same name.
const LABELS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

struct PowerSupplies {
    class: PathBuf,
    filter: Filter,
}

impl PowerSupplies {
    fn new(setup: &Setup<'_>) -> Result<PowerSupplies, String> {
        Ok(PowerSupplies {
            class: setup.host.sys.join("class/power_supply"),
            filter: Filter::new(None, setup.pattern(&IGNORED)?),
        })
    }
}

impl Collect for PowerSupplies {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let names = files::names(&self.class)?;
        let taken = names.iter().filter(|name| self.filter.takes(name));
        let supplies: Vec<(&String, HashMap<String, String>)> =
            taken.map(|name| (name, read(&self.class.join(name)))).collect();
        let mut result = Ok(());
        for (file, divisor, family) in &FILES {
            let mut rows = Rows::new(out, family);
            for (name, files) in &supplies {
                let Some(text) = files.get(*file) else {
                    continue;
                };
                match files::parsed::<i64>(&self.class.join(name).join(file), text) {
                    Ok(number) => rows.number(&[("power_supply", name)], number as f64 / divisor),
                    Err(error) => result = Err(error),
                }
            }
        }
        let mut rows = Rows::new(out, &INFO);
        for (name, files) in &supplies {
            let mut labels = vec![("power_supply", name.as_str())];
            let known = LABELS
                .iter()
                .map(|label| (*label, files.get(*label).map(String::as_str).unwrap_or_default()));
            labels.extend(known.filter(|(_, text)| !text.is_empty()));
            rows.number(&labels, 1.0);
        }
        result
    }
}

/// The texts of a supply's files. What cannot be read is not known at the moment: drivers say so by all sorts of errors.
fn read(folder: &Path) -> HashMap<String, String> {
    let mut files = files::names(folder).unwrap_or_default();
    files.retain(|name| LABELS.contains(&&**name) || FILES.iter().any(|(file, ..)| file == name));
    let texts = files.into_iter().filter_map(|name| {
        let text = files::text_if_any(&folder.join(&name))?;
        Some((name, text))
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn units_and_labels() {
        let fixture = Fixture::new(&[
            ("sys/class/power_supply/BAT0/voltage_now", "11660000\n"),
            ("sys/class/power_supply/BAT0/current_now", "-5\n"),
            ("sys/class/power_supply/BAT0/capacity", "81\n"),
            ("sys/class/power_supply/BAT0/temp", "301\n"),
            ("sys/class/power_supply/BAT0/status", "Not charging\n"),
            ("sys/class/power_supply/BAT0/serial_number", "\n"),
            ("sys/class/power_supply/BAT0/alarm", "7\n"),
            ("sys/class/power_supply/BAT0/present/", ""),
            ("sys/class/power_supply/AC/online", "1\n"),
            ("sys/class/power_supply/AC/type", "Mains\n"),
        ]);
        assert_eq!(
            fixture.text(&COLLECTOR),
            "node_power_supply_capacity{power_supply=\"BAT0\"} 81\n\
             node_power_supply_current_ampere{power_supply=\"BAT0\"} -5e-06\n\
             node_power_supply_online{power_supply=\"AC\"} 1\n\
             node_power_supply_temp_celsius{power_supply=\"BAT0\"} 30.1\n\
             node_power_supply_voltage_volt{power_supply=\"BAT0\"} 11.66\n\
             node_power_supply_info{power_supply=\"AC\",type=\"Mains\"} 1\n\
             node_power_supply_info{power_supply=\"BAT0\",status=\"Not charging\"} 1\n"
        );
        let fixture = fixture.set(IGNORED.name, "^BAT");
        assert!(!fixture.text(&COLLECTOR).contains("BAT0"));
    }

    #[test]
    fn what_is_no_number_is_told_and_the_rest_stays() {
        let fixture = Fixture::new(&[
            ("sys/class/power_supply/A/online", "maybe\n"),
            ("sys/class/power_supply/B/online", "1\n"),
        ]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert!(
            text.starts_with("node_power_supply_online{power_supply=\"B\"} 1\n"),
            "{text}"
        );
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("A/online: \"maybe\": invalid digit")
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
