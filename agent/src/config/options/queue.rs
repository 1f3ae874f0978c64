//! Options of the export by OTLP; the rest of it is set by OpenTelemetry's variables.

use super::{BASE, Opt, Set, one_of};
use crate::config::value::bytes;
use crate::config::{MetricFamilies, QueueKind};

pub(super) static QUEUE: &[Opt] = &[
    Opt {
        name: "otlp.metrics.families",
        value: "WHICH",
        help: "Metrics that are pushed over OTLP: those of the agent and what OpenTelemetry has names for (docs/otlp-metrics.md), or \
               all of the host's too.",
        default: &["semconv"],
        words: MetricFamilies::WORDS,
        set: choice!(MetricFamilies, metric_families),
        ..BASE
    },
    Opt {
        name: "otlp.queue",
        path: "otlp.queue.kind",
        value: "WHERE",
        help: "Where batches wait until the OTLP receiver has them: on the disk, where they outlive the agent, or in memory.",
        default: &["disk"],
        words: QueueKind::WORDS,
        set: choice!(QueueKind, otlp_queue.kind),
        ..BASE
    },
    Opt {
        name: "otlp.queue.path",
        value: "DIR",
        help: "Folder of the queues on the disk; empty: they are in memory. One agent at a time has it.",
        default: &["/var/lib/onlooker/queue"],
        set: Set::Field(|config, value| {
            config.otlp_queue.path = value.into();
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "otlp.queue.max-bytes",
        value: "BYTES",
        help: "Size of the queues on the disk, all signals together, an equal share for each; beyond it the oldest batches are lost.",
        default: &["512MiB"],
        set: checked!(queue_bytes, otlp_queue.max_bytes),
        ..BASE
    },
];

/// A size that a few segments of every signal's queue fit in.
fn queue_bytes(value: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 20;
    match bytes(value)? {
        size if size >= LEAST => Ok(size),
        _ => Err("is too small for the queues: give at least 1MiB".to_string()),
    }
}
