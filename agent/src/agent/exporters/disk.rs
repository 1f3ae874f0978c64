//! What is told of the queues on the disk.

use super::{EventCount, EventCounts, Names, event_count};
use crate::collectors::own::{Own, Reading};
use crate::export::otlp::{DiskCounts, OtlpItem, OtlpSink};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Registers the queue of one sort of item, which was to be on the disk.
pub(in crate::agent) fn register<T: OtlpItem>(own: &Own, names: &Names, sink: &Arc<OtlpSink<T>>) {
    let read = |value: fn(&DiskCounts) -> f64| {
        let sink = sink.clone();
        move || sink.disk().as_ref().map_or(f64::NAN, value)
    };
    let works = sink.clone();
    let readings = [
        Reading::gauge(
            "onlooker_otlp_queue_on_disk",
            "",
            "Whether batches are written to the disk now (1), as they are to be, or wait in memory (0).",
            move || f64::from(works.disk().is_some_and(|disk| disk.works)),
        ),
        Reading::gauge(
            "onlooker_otlp_queue_bytes",
            "bytes",
            "Files of a queue on the disk now, in bytes.",
            read(|disk| disk.bytes as f64),
        ),
        Reading::gauge(
            "onlooker_otlp_queue_batches",
            "",
            "Batches on the disk that the receiver has not.",
            read(|disk| disk.batches as f64),
        ),
        Reading::gauge(
            "onlooker_otlp_queue_oldest_seconds",
            "seconds",
            "Age of the oldest batch on the disk that the receiver has not, about, in seconds.",
            read(|disk| disk.oldest.map_or(0.0, age)),
        ),
        Reading::counter(
            "onlooker_otlp_queue_disk_errors_total",
            "",
            "Calls of the disk by a queue that failed.",
            read(|disk| disk.errors as f64),
        ),
        Reading::counter(
            "onlooker_otlp_queue_torn_bytes_total",
            "bytes",
            "Bytes in a queue's files that were no batch: their writing was cut off, or they are spoilt.",
            read(|disk| disk.torn_bytes as f64),
        ),
    ];
    for reading in readings {
        own.register(reading.label("kind", names.otlp));
    }
    if sink.disk().is_some() {
        own.register_events(Arc::new(Former {
            kind: names.former,
            sink: sink.clone(),
        }));
    }
}

/// Seconds since then, nanoseconds since the epoch.
fn age(then: u64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_secs_f64() - then as f64 * 1e-9).max(0.0)
}

/// What became of the items that the last run of the agent left.
struct Former<T> {
    kind: &'static str,
    sink: Arc<OtlpSink<T>>,
}

impl<T: OtlpItem> EventCounts for Former<T> {
    fn events(&self) -> Vec<EventCount> {
        let former = self.sink.disk().map(|disk| disk.former);
        former
            .map(|counts| event_count(self.kind, counts))
            .into_iter()
            .collect()
    }
}
