//! What control groups use and are kept from: CPU, throttling, memory, IO, processes and pressure of systemd's units, of containers
//! and of every other cgroup, version 2 or 1. node_exporter tells none of it.
//!
//! Cost: up to twelve small files a cgroup at a scrape, which stay open, and once in [`EVERY`] a folder a cgroup for the search of those.

mod read;
mod search;

use super::node::flags::{Flag, Form, Setup};
use super::node::pool::Pool;
use super::node::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use read::{Devices, Reading};
use search::{Found, Group, Roots};
use std::time::{Duration, Instant};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "cgroup",
    about: "CPU, memory, IO, processes and pressure of each cgroup (systemd units, containers); not of node_exporter",
    flags: &[&LIMIT],
    make: |setup| Ok(Box::new(Cgroups::new(setup))),
    ..Collector::BASE
};

static LIMIT: Flag = Flag {
    name: "collector.cgroup.limit",
    form: Form::Number(1, 100_000),
    help: "Cgroups that are told of; those that are not are counted in onlooker_cgroups_left_out.",
    default: &["500"],
    ..Flag::BASE
};

/// Time between two searches.
const EVERY: Duration = Duration::from_secs(15);

struct Cgroups {
    roots: Option<Roots>,
    limit: usize,
    found: Option<(Instant, Found)>,
    devices: Devices,
    files: Pool,
}

/// Files that are kept open: those of some 340 cgroups.
const OPEN: usize = 4096;

impl Cgroups {
    fn new(setup: &Setup<'_>) -> Cgroups {
        Cgroups {
            roots: Roots::of(&setup.host.sys),
            limit: setup.number(&LIMIT) as usize,
            found: None,
            devices: Devices::new(&setup.host.sys),
            files: Pool::within_limits(OPEN),
        }
    }
}

impl Collect for Cgroups {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let Some(roots) = &self.roots else {
            return Err(CollectError::NoData("no hierarchy of cgroups is mounted".to_owned()));
        };
        let found = match self.found.take() {
            Some((at, found)) if at.elapsed() < EVERY => (at, found),
            _ => (Instant::now(), search::search(roots, self.limit)),
        };
        let (_, Found { groups, left_out }) = self.found.insert(found);
        let readings: Vec<(&Group, Reading)> = groups
            .iter()
            .map(|group| (group, Reading::of(roots, group, &mut self.devices, &mut self.files)))
            .collect();
        self.files.sweep();
        tell(&readings, out);
        out.family(&LEFT_OUT);
        out.number(&[], *left_out as f64);
        Ok(())
    }
}

/// A family of one number a cgroup.
type Plain = (Family, fn(&Reading) -> Option<f64>);

static PLAIN: &[Plain] = &[
    (
        counter(
            "onlooker_cgroup_cpu_periods_total",
            "",
            "Periods in which a cgroup with a CPU quota wanted to run (nr_periods of cpu.stat).",
        ),
        |reading| reading.throttling.map(|throttling| throttling.periods),
    ),
    (
        counter(
            "onlooker_cgroup_cpu_throttled_periods_total",
            "",
            "Periods in which a cgroup used up its CPU quota and was kept from running (nr_throttled of cpu.stat).",
        ),
        |reading| reading.throttling.map(|throttling| throttling.throttled),
    ),
    (
        counter(
            "onlooker_cgroup_cpu_throttled_seconds_total",
            "seconds",
            "Time for which a cgroup was kept from running, added up over CPUs (throttled_usec or throttled_time of cpu.stat).",
        ),
        |reading| reading.throttling.map(|throttling| throttling.seconds),
    ),
    (
        gauge(
            "onlooker_cgroup_memory_bytes",
            "Memory that is charged to a cgroup now (memory.current or memory.usage_in_bytes).",
        ),
        |reading| reading.memory,
    ),
    (
        gauge(
            "onlooker_cgroup_memory_peak_bytes",
            "The most memory that was charged to a cgroup (memory.peak, Linux 5.19, or memory.max_usage_in_bytes).",
        ),
        |reading| reading.memory_peak,
    ),
    (
        gauge(
            "onlooker_cgroup_memory_limit_bytes",
            "Memory that a cgroup may have, where it has a limit (memory.max or memory.limit_in_bytes).",
        ),
        |reading| reading.memory_limit,
    ),
    (
        gauge(
            "onlooker_cgroup_tasks",
            "Processes and threads of a cgroup and those below it (pids.current).",
        ),
        |reading| reading.tasks,
    ),
    (
        gauge(
            "onlooker_cgroup_tasks_limit",
            "Processes and threads that a cgroup may have, where it has a limit (pids.max).",
        ),
        |reading| reading.tasks_limit,
    ),
];

static CPU: Family = counter(
    "onlooker_cgroup_cpu_seconds_total",
    "seconds",
    "CPU time of a cgroup and those below it, by mode (cpu.stat or cpuacct.stat).",
);
static KINDS: Family = gauge(
    "onlooker_cgroup_memory_kind_bytes",
    "Memory of a cgroup by what it is for (memory.stat); kinds overlap.",
);
static EVENTS: Family = counter(
    "onlooker_cgroup_memory_events_total",
    "",
    "How often a cgroup met a limit of its memory, and processes that were ended for it (memory.events).",
);
static IO_BYTES: Family = counter(
    "onlooker_cgroup_io_bytes_total",
    "bytes",
    "Bytes that a cgroup read from and wrote to a device (io.stat or blkio.throttle.io_service_bytes).",
);
static IO_OPERATIONS: Family = counter(
    "onlooker_cgroup_io_operations_total",
    "",
    "Reads from and writes to a device by a cgroup (io.stat or blkio.throttle.io_serviced).",
);
static PRESSURE: Family = counter(
    "onlooker_cgroup_pressure_seconds_total",
    "seconds",
    "Time in which some or all tasks of a cgroup waited for a resource (cpu.pressure, memory.pressure, io.pressure).",
);
static LEFT_OUT: Family = Family::new(
    "onlooker_cgroups_left_out",
    "",
    "Cgroups that are not told of, and folders of cgroups that were not searched, for lack of room.",
    Kind::Gauge,
);

const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family::new(name, unit, help, Kind::Counter)
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    // Its unit, if it has one, is a part of the name.
    Family::new(name, "", help, Kind::Gauge)
}

fn tell(readings: &[(&Group, Reading)], out: &mut dyn Encoder) {
    for (family, number) in PLAIN {
        out.family(family);
        for (group, reading) in readings {
            if let Some(value) = number(reading) {
                out.number(group.labels().as_slice(), value);
            }
        }
    }
    out.family(&CPU);
    for (group, reading) in readings {
        for (mode, seconds) in ["user", "system"].into_iter().zip(reading.cpu) {
            if let Some(seconds) = seconds {
                out.number(&group.with(&[("mode", mode)]), seconds);
            }
        }
    }
    out.family(&KINDS);
    for (group, reading) in readings {
        for (kind, bytes) in &reading.kinds {
            out.number(&group.with(&[("kind", kind)]), *bytes);
        }
    }
    out.family(&EVENTS);
    for (group, reading) in readings {
        for (event, count) in &reading.events {
            out.number(&group.with(&[("event", event)]), *count);
        }
    }
    for (family, numbers) in [(&IO_BYTES, 0), (&IO_OPERATIONS, 1)] {
        out.family(family);
        for (group, reading) in readings {
            for io in &reading.io {
                for (direction, value) in ["read", "write"].into_iter().zip(io.numbers[numbers]) {
                    if let Some(value) = value {
                        out.number(&group.with(&[("device", &*io.device), ("direction", direction)]), value);
                    }
                }
            }
        }
    }
    out.family(&PRESSURE);
    for (group, reading) in readings {
        for (resource, stall, seconds) in &reading.pressure {
            out.number(&group.with(&[("resource", resource), ("stall", stall)]), *seconds);
        }
    }
}

#[cfg(test)]
mod tests;
