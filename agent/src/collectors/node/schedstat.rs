//! Time that threads ran on each CPU and waited for it: `proc/schedstat` (`kernel/sched/stats.c`,
//! `Documentation/scheduler/sched-stats.rst`).

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "schedstat",
    about: "time that threads ran on each CPU and waited for it",
    make: |setup| Ok(Box::new(SchedStat::new(setup))),
    ..Collector::BASE
};

static RUNNING: Family = Family::new(
    "node_schedstat_running_seconds_total",
    "seconds",
    "Time that threads ran on a CPU.",
    Kind::Counter,
);
static WAITING: Family = Family::new(
    "node_schedstat_waiting_seconds_total",
    "seconds",
    "Time that threads waited for a CPU.",
    Kind::Counter,
);
static SLICES: Family = Family::new(
    "node_schedstat_timeslices_total",
    "",
    "How often a thread was put on a CPU.",
    Kind::Counter,
);
/// The kernel counts in nanoseconds.
const PER_SECOND: f64 = 1e9;
/// Columns between the CPU and the three that are told.
const BEFORE: usize = 6;

struct SchedStat(Kept);

impl SchedStat {
    fn new(setup: &Setup<'_>) -> SchedStat {
        SchedStat(Kept::new(setup.host.proc.join("schedstat")))
    }
}

impl Collect for SchedStat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let cpus = parse(self.0.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        for (place, family, unit) in [(0, &RUNNING, PER_SECOND), (1, &WAITING, PER_SECOND), (2, &SLICES, 1.0)] {
            out.family(family);
            for (cpu, values) in &cpus {
                let value = values.get(place).copied().unwrap_or_default();
                out.number(&[("cpu", cpu)], value as f64 / unit);
            }
        }
        Ok(())
    }
}

/// CPUs, and the last three columns of their lines.
fn parse(text: &str) -> Result<Vec<(&str, [u64; 3])>, String> {
    let mut cpus = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let Some(text) = text.strip_prefix("cpu") else { continue };
        let wrong = || format!("line {}: \"cpu{text}\" is no CPU with its times", line + 1);
        let mut words = text.split_ascii_whitespace();
        let cpu = words
            .next()
            .filter(|cpu| cpu.parse::<u32>().is_ok())
            .ok_or_else(wrong)?;
        let mut next = || words.next()?.parse::<u64>().ok();
        for _ in 0..BEFORE {
            next().ok_or_else(wrong)?;
        }
        let mut values = [0; 3];
        for value in &mut values {
            *value = next().ok_or_else(wrong)?;
        }
        cpus.push((cpu, values));
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn times_and_slices() {
        let text = "version 15\ntimestamp 1\ncpu0 1 0 2 3 4 5 2045936778163039 343796328169361 4767485306\n\
            domain0 00000003 1 2 3\ncpu1 1 0 2 3 4 5 1000000000 0 7\n";
        let fixture = Fixture::new(&[("proc/schedstat", text)]);
        let expect = "node_schedstat_running_seconds_total{cpu=\"0\"} 2.045936778163039e+06\n\
            node_schedstat_running_seconds_total{cpu=\"1\"} 1\n\
            node_schedstat_waiting_seconds_total{cpu=\"0\"} 343796.328169361\n\
            node_schedstat_waiting_seconds_total{cpu=\"1\"} 0\n\
            node_schedstat_timeslices_total{cpu=\"0\"} 4.767485306e+09\n\
            node_schedstat_timeslices_total{cpu=\"1\"} 7\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
    }

    #[test]
    fn short_lines_are_told() {
        let fixture = Fixture::new(&[("proc/schedstat", "version 15\ncpu0 1 2 3\n")]);
        assert!(
            fixture
                .error(&COLLECTOR)
                .contains("schedstat: line 2: \"cpu0 1 2 3\" is no CPU")
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
