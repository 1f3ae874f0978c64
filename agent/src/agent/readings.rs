//! Numbers about the agent that have no family of their own elsewhere.

use crate::collectors::own::{Own, Reading};
use crate::kernel::stats::{ProgramStat, ProgramStats};
use crate::pipeline::PipelineCounts;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What the kernel tells of one program.
pub(super) fn register_program(own: &Own, stats: &ProgramStats) {
    let read = |stat: ProgramStat, scale: f64| {
        let stats = stats.clone();
        move || stats.read(stat) as f64 * scale
    };
    let misses = "Runs skipped by the kernel because the program was running on that CPU already. What a program with a second copy \
                  (PROGRAM_again, Linux 7.0 and later) was skipped for the copy deals with: of these at most the lesser of both \
                  numbers is lost, of all others every one.";
    let runs = "Runs of a program, while kernel.bpf_stats_enabled is 1.";
    let seconds = "Time spent in a program, in seconds, while kernel.bpf_stats_enabled is 1.";
    let verified = "Instructions that the verifier walked.";
    for reading in [
        Reading::counter(
            "onlooker_program_misses_total",
            "",
            misses,
            read(ProgramStat::Misses, 1.0),
        ),
        Reading::counter("onlooker_program_runs_total", "", runs, read(ProgramStat::Runs, 1.0)),
        Reading::counter(
            "onlooker_program_run_seconds_total",
            "seconds",
            seconds,
            read(ProgramStat::RunNanos, 1e-9),
        ),
        Reading::gauge(
            "onlooker_program_verified_instructions",
            "",
            verified,
            read(ProgramStat::Verified, 1.0),
        ),
    ] {
        own.register(reading.label("program", stats.name));
    }
}

/// Numbers of the pipeline that have no family of their own elsewhere.
pub(super) fn register(own: &Own, counts: &Arc<PipelineCounts>) {
    type Read = fn(&PipelineCounts) -> u64;
    let gauges: [(&'static str, &'static str, Read); 1] = [(
        "onlooker_connections",
        "Connections in the table now, those left alone included.",
        |counts| counts.connections.load(Ordering::Relaxed) as u64,
    )];
    let counters: [(&'static str, &'static str, Read); 9] = [
        (
            "onlooker_connections_given_up_total",
            "Idle connections forgotten because the table was filling; their next request is seen again.",
            |counts| counts.given_up.load(Ordering::Relaxed),
        ),
        (
            "onlooker_connections_unrecognised_total",
            "Connections that looked like a request at first and were left alone.",
            |counts| counts.unrecognised.load(Ordering::Relaxed),
        ),
        (
            "onlooker_connections_upgraded_total",
            "Connections left alone after an upgrade or a tunnel began.",
            |counts| counts.upgraded.load(Ordering::Relaxed),
        ),
        (
            "onlooker_exchanges_counted_by_kernel_total",
            "Exchanges counted in the kernel because the ring was full: in the metrics, without route and span.",
            |counts| counts.by_kernel.load(Ordering::Relaxed),
        ),
        (
            "onlooker_payload_without_data_total",
            "Calls counted without their bytes, because the program's memory could not be read.",
            PipelineCounts::without_data,
        ),
        (
            "onlooker_trace_joined_total",
            "Server exchanges that were joined to the client exchange of the same request on this host.",
            |counts| counts.tracer().links.joined,
        ),
        (
            "onlooker_trace_thread_children_total",
            "Client exchanges that became children of what their thread was answering.",
            |counts| counts.tracer().links.linked,
        ),
        (
            "onlooker_trace_ambiguous_total",
            "Client exchanges without parent because their thread was answering several requests.",
            |counts| counts.tracer().links.ambiguous,
        ),
        (
            "onlooker_trace_unsampled_total",
            "Exchanges whose trace was not sampled.",
            |counts| counts.tracer().unsampled,
        ),
    ];
    for (name, help, read) in gauges {
        let counts = counts.clone();
        own.register(Reading::gauge(name, "", help, move || read(&counts) as f64));
    }
    for (name, help, read) in counters {
        let counts = counts.clone();
        own.register(Reading::counter(name, "", help, move || read(&counts) as f64));
    }
    own.register_events(counts.clone());
}
