//! Watchdog timers: `sys/class/watchdog` (`drivers/watchdog/watchdog_dev.c`, `Documentation/ABI/testing/sysfs-class-watchdog`).

use super::files::First;
use super::flags::Setup;
use super::rows::Rows;
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::io::ErrorKind;
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "watchdog",
    about: "watchdog timers",
    make: |setup| Ok(Box::new(Watchdog::new(setup))),
    ..Collector::BASE
};

/// Files with a number, and their families.
static NUMBERS: [(&str, Family); 7] = [
    (
        "bootstatus",
        Family::new(
            "node_watchdog_bootstatus",
            "",
            "Why the host booted, in the bits of the timer's driver.",
            Kind::Gauge,
        ),
    ),
    (
        "fw_version",
        Family::new(
            "node_watchdog_fw_version",
            "",
            "Version of the timer's firmware.",
            Kind::Gauge,
        ),
    ),
    (
        "nowayout",
        Family::new(
            "node_watchdog_nowayout",
            "",
            "Whether the timer cannot be stopped.",
            Kind::Gauge,
        ),
    ),
    (
        "timeleft",
        Family::new(
            "node_watchdog_timeleft_seconds",
            "seconds",
            "Time until the timer resets the host.",
            Kind::Gauge,
        ),
    ),
    (
        "timeout",
        Family::new(
            "node_watchdog_timeout_seconds",
            "seconds",
            "Time that the timer is set to.",
            Kind::Gauge,
        ),
    ),
    (
        "pretimeout",
        Family::new(
            "node_watchdog_pretimeout_seconds",
            "seconds",
            "Time before the reset at which the timer gives notice.",
            Kind::Gauge,
        ),
    ),
    (
        "access_cs0",
        Family::new(
            "node_watchdog_access_cs0",
            "",
            "Whether the host booted from its other flash memory.",
            Kind::Gauge,
        ),
    ),
];
static INFO: Family = Family::new("node_watchdog_info", "", "What a timer is, in its labels.", Kind::Gauge);
/// Files that become its labels.
const LABELS: [&str; 5] = ["options", "identity", "state", "status", "pretimeout_governor"];

struct Watchdog(PathBuf);

impl Watchdog {
    fn new(setup: &Setup<'_>) -> Watchdog {
        Watchdog(setup.host.sys.join("class/watchdog"))
    }
}

impl Collect for Watchdog {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let timers = files::names(&self.0).map_err(|error| match error {
            CollectError::Read { error, .. } if error.kind() == ErrorKind::PermissionDenied => {
                CollectError::NoData("watchdog timers are not for this user".to_owned())
            }
            error => error,
        })?;
        let mut first = First::default();
        for (file, family) in &NUMBERS {
            let mut rows = Rows::new(out, family);
            for timer in &timers {
                let path = self.0.join(timer).join(file);
                // What a timer cannot do it has no file for, or one that cannot be read.
                let Some(text) = files::text_if_any(&path) else {
                    continue;
                };
                if let Some(value) = first.ok(files::parsed::<i64>(&path, &text)) {
                    rows.number(&[("name", timer)], value as f64);
                }
            }
        }
        if !timers.is_empty() {
            out.family(&INFO);
        }
        for timer in &timers {
            let folder = self.0.join(timer);
            let texts = LABELS.map(|file| files::text_if_any(&folder.join(file)).unwrap_or_default());
            let mut labels = vec![("name", timer.as_str())];
            labels.extend(LABELS.into_iter().zip(texts.iter().map(String::as_str)));
            out.number(&labels, 1.0);
        }
        first.result()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn what_each_timer_has() {
        let fixture = Fixture::new(&[
            ("sys/class/watchdog/watchdog0/timeout", "60\n"),
            ("sys/class/watchdog/watchdog0/identity", "Software Watchdog\n"),
            ("sys/class/watchdog/watchdog0/options", "0x8380\n"),
            ("sys/class/watchdog/watchdog1/bootstatus", "x\n"),
        ]);
        let (text, error) = fixture.collect(&COLLECTOR);
        let expect = "node_watchdog_timeout_seconds{name=\"watchdog0\"} 60\n\
            node_watchdog_info{name=\"watchdog0\",options=\"0x8380\",identity=\"Software Watchdog\",state=\"\",status=\"\",\
            pretimeout_governor=\"\"} 1\n\
            node_watchdog_info{name=\"watchdog1\",options=\"\",identity=\"\",state=\"\",status=\"\",pretimeout_governor=\"\"} 1\n";
        assert_eq!(text, expect);
        assert!(error.unwrap_err().to_string().contains("watchdog1/bootstatus: \"x\""));
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
