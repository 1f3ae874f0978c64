//! Counters of the whole host: `proc/stat` (`fs/proc/stat.c`). The CPUs in that file are those of [`super::cpu`].

use super::files::{Kept, parsed};
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "stat",
    about: "interrupts, context switches, forks, boot time, processes that run and wait",
    flags: &[&SOFTIRQ],
    make: |setup| Ok(Box::new(Stat::new(setup))),
    ..Collector::BASE
};

static SOFTIRQ: Flag = Flag {
    name: "collector.stat.softirq",
    form: Form::Switch,
    help: "Tell soft interrupts by vector.",
    ..Flag::BASE
};

/// Words that lines begin with, and the family of their first number.
static FAMILIES: [(&str, Family); 6] = [
    (
        "intr",
        Family::new("node_intr_total", "", "Interrupts that were served.", Kind::Counter),
    ),
    (
        "ctxt",
        Family::new("node_context_switches_total", "", "Context switches.", Kind::Counter),
    ),
    (
        "processes",
        Family::new(
            "node_forks_total",
            "",
            "Processes and threads that were made.",
            Kind::Counter,
        ),
    ),
    (
        "btime",
        Family::new(
            "node_boot_time_seconds",
            "seconds",
            "Unix time of the boot.",
            Kind::Gauge,
        ),
    ),
    (
        "procs_running",
        Family::new("node_procs_running", "", "Threads that run or could.", Kind::Gauge),
    ),
    (
        "procs_blocked",
        Family::new("node_procs_blocked", "", "Threads that wait for a disk.", Kind::Gauge),
    ),
];
static SOFTIRQS: Family = Family::new(
    "node_softirqs_total",
    "",
    "Soft interrupts by vector, of all CPUs.",
    Kind::Counter,
);

/// Vectors in the kernel's order, behind their sum.
const VECTORS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

struct Stat {
    file: Kept,
    softirq: bool,
}

impl Stat {
    fn new(setup: &Setup<'_>) -> Stat {
        Stat {
            file: Kept::whole(setup.host.proc.join("stat")),
            softirq: setup.is_on(&SOFTIRQ),
        }
    }
}

impl Collect for Stat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        tell(&path, self.file.text()?, self.softirq, out)
    }
}

fn tell(path: &Path, text: &str, softirq: bool, out: &mut dyn Encoder) -> Result<(), CollectError> {
    let mut found = false;
    let lines = text.lines().skip_while(|line| line.starts_with("cpu"));
    for (name, rest) in lines.filter_map(|line| line.split_once(' ')) {
        let mut words = rest.split_ascii_whitespace();
        if let Some((_, family)) = FAMILIES.iter().find(|(begin, _)| *begin == name) {
            let value: u64 = parsed(path, words.next().unwrap_or_default())?;
            out.family(family);
            out.number(&[], value as f64);
            found = true;
        } else if softirq && name == "softirq" {
            out.family(&SOFTIRQS);
            for (vector, word) in VECTORS.iter().zip(words.skip(1)) {
                out.number(&[("vector", vector)], parsed::<u64>(path, word)? as f64);
            }
        }
    }
    if !found {
        return Err(CollectError::malformed(path, "it has none of the counters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const STAT: &str = "cpu  1 2\ncpu0 1 2\nintr 8885917 17 0 0\nctxt 38014093\nbtime 1418183276\nprocesses 26442\n\
        procs_running 2\nprocs_blocked 1\nsoftirq 66 1 2 3 4 5 6 7 8 9 10\n";

    #[test]
    fn counters_and_vectors() {
        let fixture = Fixture::new(&[("proc/stat", STAT)]);
        let plain = "node_intr_total 8.885917e+06\nnode_context_switches_total 3.8014093e+07\n\
            node_boot_time_seconds 1.418183276e+09\nnode_forks_total 26442\nnode_procs_running 2\nnode_procs_blocked 1\n";
        assert_eq!(fixture.text(&COLLECTOR), plain);
        let text = fixture.set(SOFTIRQ.name, "true").text(&COLLECTOR);
        let more = text.strip_prefix(plain).unwrap();
        assert_eq!(more.lines().count(), 10);
        assert!(more.starts_with("node_softirqs_total{vector=\"hi\"} 1\n") && more.ends_with("{vector=\"rcu\"} 10\n"));
    }

    #[test]
    fn garbage_is_told_and_what_stood_before_stays() {
        let fixture = Fixture::new(&[("proc/stat", "intr 5 many\nctxt many\n")]);
        let (text, error) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_intr_total 5\n");
        assert!(error.unwrap_err().to_string().contains("stat: \"many\": invalid digit"));
        fixture.put(&[("proc/stat", "cpu0 5\n")]);
        assert!(fixture.error(&COLLECTOR).ends_with("it has none of the counters"));
    }
}
