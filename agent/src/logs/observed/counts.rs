//! What was observed and what was not.

use crate::collectors::own::events::{Counts, EventCount, EventCounts};
use crate::logs::sources::{Dropped, Number, REASONS};

/// Why a write did not reach those who make lines: too much waited for them.
const WRITE_REASONS: &[&str] = &["queue_full"];

/// What is counted of writes and their lines. Writes of services that are wanted, as they left the ring, are the events
/// `observed_write`; whole lines and events of several lines are the events `observed_line`.
#[derive(Debug)]
pub struct ObservedCounts {
    writes: Counts,
    lines_of: Counts,
    /// Lines that were written.
    pub lines: Number,
    /// Bytes that were written.
    pub bytes: Number,
    /// Lines that went to the record of the line before them.
    pub joined: Number,
    /// Records that have the ids of the request for which their line was written.
    pub correlated: Number,
    /// Records of lines that were read from the logs of containers and have the ids of the request for which they were written.
    pub joined_read: Number,
    /// Writes that were forgotten before their lines were read, because there were too many.
    pub joins_refused: Number,
    /// Lines that were longer than the limit and were cut.
    pub cut: Number,
    /// Bytes that were cut off.
    pub cut_bytes: Number,
    /// Parts of lines that were handed on for themselves: their rest did not come, was lost, or too much waited.
    pub parts: Number,
    /// Lines with bytes that are no UTF-8; those were replaced.
    pub invalid: Number,
    /// Bytes that are not known: the ring had no room for them.
    pub lost_ring: Number,
    /// Bytes that are not known: of long calls, or not readable.
    pub lost_cut: Number,
    /// Bytes that are not known: too much waited.
    pub lost_queue: Number,
    /// Streams that are followed now.
    pub streams: Number,
    /// Bytes that wait for the end of their line or for more lines.
    pub held_bytes: Number,
}

impl Default for ObservedCounts {
    fn default() -> ObservedCounts {
        ObservedCounts {
            writes: Counts::new("observed_write", WRITE_REASONS),
            lines_of: Counts::new("observed_line", &REASONS),
            lines: Number::default(),
            bytes: Number::default(),
            joined: Number::default(),
            correlated: Number::default(),
            joined_read: Number::default(),
            joins_refused: Number::default(),
            cut: Number::default(),
            cut_bytes: Number::default(),
            parts: Number::default(),
            invalid: Number::default(),
            lost_ring: Number::default(),
            lost_cut: Number::default(),
            lost_queue: Number::default(),
            streams: Number::default(),
            held_bytes: Number::default(),
        }
    }
}

impl ObservedCounts {
    /// A write of a service that is wanted came.
    pub fn seen(&self) {
        self.writes.seen(1);
    }
    /// It was handed to those who make lines.
    pub fn delivered(&self) {
        self.writes.delivered(1);
    }
    /// It was not, with so many bytes: too much waits.
    pub fn refused(&self, bytes: usize) {
        self.writes.lost(0, 1);
        self.lost_queue.add(bytes as u64);
    }
    pub(super) fn taken(&self) {
        self.lines_of.seen(1);
        self.lines_of.delivered(1);
    }
    pub(super) fn dropped(&self, why: Dropped) {
        self.lines_of.seen(1);
        self.lines_of.lost(why as usize, 1);
    }
}

impl EventCounts for ObservedCounts {
    fn events(&self) -> Vec<EventCount> {
        let mut events = self.writes.events();
        events.extend(self.lines_of.events());
        events
    }
}
