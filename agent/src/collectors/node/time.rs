//! What time it is, in which zone, and what the kernel takes it from: `sys/devices/system/clocksource` (`kernel/time/clocksource.c`).

mod zone;

use super::files::Folder;
use super::flags::Setup;
use super::pool::Pool;
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};
use zone::Zone;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "time",
    about: "time, time zone and sources of the clock",
    make: |setup| Ok(Box::new(Time::new(setup))),
    ..Collector::BASE
};

static NOW: Family = Family::new("node_time_seconds", "seconds", "Unix time of the host.", Kind::Gauge);
static ZONE: Family = Family::new(
    "node_time_zone_offset_seconds",
    "seconds",
    "How far the host's time zone is ahead of UTC.",
    Kind::Gauge,
);
static AVAILABLE: Family = Family::new(
    "node_time_clocksource_available_info",
    "",
    "Sources that the clock can be taken from.",
    Kind::Gauge,
);
static CURRENT: Family = Family::new(
    "node_time_clocksource_current_info",
    "",
    "The source that the clock is taken from.",
    Kind::Gauge,
);

/// Small files that stay open.
const FILES: usize = 16;

struct Time {
    zone: Zone,
    sources: Folder,
    files: Pool,
}

impl Time {
    fn new(setup: &Setup<'_>) -> Time {
        Time {
            zone: Zone::of(setup.host, std::env::var_os("TZ").as_deref()),
            sources: Folder::new(setup.host.sys.join("devices/system/clocksource")),
            files: Pool::within_limits(FILES),
        }
    }

    fn sources(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let names = self.sources.names().unwrap_or_default();
        let devices = names.iter().filter(|name| {
            let number = name.strip_prefix("clocksource");
            number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        });
        let mut found = Vec::new();
        for (index, name) in devices.enumerate() {
            let mut read = |file| {
                let path = self.sources.path().join(name).join(file);
                let text = self.files.text(&path).map(Cow::into_owned);
                text.map_or_else(|| files::text(&path), Ok)
            };
            let (available, current) = (read("available_clocksource")?, read("current_clocksource")?);
            found.push((index.to_string(), available, current));
        }
        if found.is_empty() {
            return Ok(());
        }
        out.family(&AVAILABLE);
        for (device, available, _) in &found {
            for source in available.split_ascii_whitespace() {
                out.number(&[("device", device), ("clocksource", source)], 1.0);
            }
        }
        out.family(&CURRENT);
        for (device, _, current) in &found {
            out.number(&[("device", device), ("clocksource", current)], 1.0);
        }
        Ok(())
    }
}

impl Collect for Time {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        out.family(&NOW);
        out.number(&[], now.as_nanos() as f64 / 1e9);
        let kind = self.zone.at(now.as_secs() as i64);
        out.family(&ZONE);
        out.number(&[("time_zone", &kind.name)], kind.offset as f64);
        self.sources(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn time_and_its_sources() {
        let fixture = Fixture::new(&[
            (
                "sys/devices/system/clocksource/clocksource0/available_clocksource",
                "tsc hpet \n",
            ),
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "tsc\n",
            ),
            ("sys/devices/system/clocksource/power/x", ""),
        ]);
        let text = fixture.text(&COLLECTOR);
        let lines: Vec<&str> = text.lines().collect();
        let now: f64 = lines[0].strip_prefix("node_time_seconds ").unwrap().parse().unwrap();
        assert!((1.7e9..1e11).contains(&now), "{now}");
        assert_eq!(
            lines[2..],
            [
                "node_time_clocksource_available_info{device=\"0\",clocksource=\"tsc\"} 1",
                "node_time_clocksource_available_info{device=\"0\",clocksource=\"hpet\"} 1",
                "node_time_clocksource_current_info{device=\"0\",clocksource=\"tsc\"} 1",
            ]
        );
    }

    #[test]
    fn a_source_without_its_files_is_told_and_the_time_too() {
        let fixture = Fixture::new(&[("sys/devices/system/clocksource/clocksource0/", "")]);
        let (text, error) = fixture.collect(&COLLECTOR);
        assert!(text.starts_with("node_time_seconds "), "{text}");
        assert!(error.unwrap_err().is_no_data());
    }
}
