//! Lines that programs are seen to write, between the settings and the exporters.

use super::logs::{Records, Sinks};
use crate::collectors::own::{Own, Reading};
use crate::config::Config;
use crate::kernel::loader::Kernel;
use crate::logs::lines::Lines;
use crate::logs::multiline;
use crate::logs::observed::{self, Judge, ObservedCounts, Queue, Settings};
use crate::logs::sources::{Line, Number};
use crate::pipeline::Observer;
use crate::probes::{Choice, WRITES, Writers};
use anyhow::Context;
use std::sync::Arc;

/// Bytes of writes that wait for those who make lines.
const QUEUE: usize = 8 << 20;

/// Which probes are attached: that of writes too, if they are to be observed.
pub(super) fn choice(config: &Config) -> Choice {
    let mut choice = config.probes.clone();
    if !config.logs.observe.is_empty() {
        choice.on.push(WRITES);
    }
    choice
}

/// Begins to make records of what programs write. `None`: the probe is not attached. Where nobody asked for lines, or nobody takes
/// records, no write is wanted. With the queue in which records of lines that are read wait for the ids of their writes.
pub(super) fn start(
    config: &Config,
    kernel: &mut Kernel,
    own: &Own,
    sinks: Records,
    lines: &Option<Arc<Lines>>,
) -> anyhow::Result<Option<(Observer, Option<Arc<Queue>>)>> {
    let mut states = kernel.probes.iter();
    if !states.any(|state| state.probe == WRITES && state.alternative.is_some()) {
        return Ok(None);
    }
    let writers = Box::new(Writers::take(&mut kernel.tables)?);
    let counts = Arc::new(ObservedCounts::default());
    let queue = Arc::new(Queue::new(QUEUE));
    let logs = &config.logs;
    let services = if lines.is_some() {
        logs.observe.clone()
    } else {
        Vec::new()
    };
    let running = match lines {
        Some(lines) if !services.is_empty() => {
            let lines = lines.clone();
            let make = Arc::new(move |line: &Line<'_>| lines.read(line));
            let settings = Settings {
                rate: logs.rate,
                multiline: logs.multiline.then(multiline::Limits::default),
                ..Settings::default()
            };
            register(own, &counts);
            let running = observed::start(&settings, queue.clone(), Arc::new(Sinks(sinks)), make, counts.clone());
            Some(running.context("cannot start the thread that makes lines of writes")?)
        }
        _ => None,
    };
    let judge = Judge::new(
        services,
        config.host.clone(),
        logs.containers,
        &logs.include,
        logs.journal,
    );
    let read = running.is_some().then(|| queue.clone());
    Ok(Some((Observer::new(judge, writers, queue, running, counts), read)))
}

type Read = fn(&ObservedCounts) -> &Number;
type Row = (&'static str, &'static str, &'static str, Read);

const COUNTERS: [Row; 9] = [
    (
        "onlooker_observed_lines_total",
        "",
        "Lines that programs were seen to write.",
        |counts| &counts.lines,
    ),
    (
        "onlooker_observed_bytes_total",
        "bytes",
        "Bytes that programs were seen to write.",
        |counts| &counts.bytes,
    ),
    (
        "onlooker_observed_lines_joined_total",
        "",
        "Observed lines that went to the record of the line before them: of one event of several lines.",
        |counts| &counts.joined,
    ),
    (
        "onlooker_observed_lines_correlated_total",
        "",
        "Records of observed lines that have the ids of the request for which the line was written.",
        |counts| &counts.correlated,
    ),
    (
        "onlooker_log_lines_correlated_total",
        "",
        "Records of lines of containers' logs that have the ids of the request for which the line was seen to be written.",
        |counts| &counts.joined_read,
    ),
    (
        "onlooker_observed_joins_refused_total",
        "",
        "Lines that containers were seen to write and that were forgotten before they were read from a log, because more than 65,536 were \
         not read.",
        |counts| &counts.joins_refused,
    ),
    (
        "onlooker_observed_lines_cut_total",
        "",
        "Observed lines that were longer than 64 KiB and were cut.",
        |counts| &counts.cut,
    ),
    (
        "onlooker_observed_parts_total",
        "",
        "Parts of observed lines that are records of their own: their rest did not come within 10 s or was lost, their program ended, or \
         too much waited.",
        |counts| &counts.parts,
    ),
    (
        "onlooker_observed_lines_invalid_total",
        "",
        "Observed lines with bytes that are no UTF-8, which were replaced.",
        |counts| &counts.invalid,
    ),
];

/// By `reason`.
const LOST: [(&str, Read); 4] = [
    ("ring_full", |counts| &counts.lost_ring),
    ("call_too_long", |counts| &counts.lost_cut),
    ("queue_full", |counts| &counts.lost_queue),
    ("line_too_long", |counts| &counts.cut_bytes),
];

const GAUGES: [Row; 2] = [
    (
        "onlooker_observed_streams",
        "",
        "Standard outputs and errors of programs that are observed now.",
        |counts| &counts.streams,
    ),
    (
        "onlooker_observed_held_bytes",
        "bytes",
        "Bytes of observed lines that wait for their end or for lines that belong to them.",
        |counts| &counts.held_bytes,
    ),
];

/// Tells what is counted.
fn register(own: &Own, counts: &Arc<ObservedCounts>) {
    let reads = |read: Read| {
        let counts = counts.clone();
        move || read(&counts).get() as f64
    };
    for (name, unit, help, read) in COUNTERS {
        own.register(Reading::counter(name, unit, help, reads(read)));
    }
    for (reason, read) in LOST {
        let reading = Reading::counter(
            "onlooker_observed_lost_bytes_total",
            "bytes",
            "Bytes that programs wrote and that are in no record. Those of `line_too_long` are among the ones that were seen, the others are not.",
            reads(read),
        );
        own.register(reading.label("reason", reason));
    }
    for (name, unit, help, read) in GAUGES {
        own.register(Reading::gauge(name, unit, help, reads(read)));
    }
    own.register_events(counts.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::REGISTRY;

    /// Without a service nothing of it is in the kernel.
    #[test]
    fn the_probe_is_attached_when_somebody_is_to_be_observed() {
        let wants = |config: &Config| {
            let choice = choice(config);
            let mut all = REGISTRY.iter().filter(|probe| choice.wants(probe));
            all.any(|probe| probe.name == WRITES)
        };
        let mut config = Config::default();
        assert!(!wants(&config));
        config.logs.observe.push("shop-*".parse().expect("a pattern"));
        assert!(wants(&config));
        config.probes.off.push(WRITES);
        assert!(!wants(&config));
    }
}
