//! What was read and what was not.

use crate::collectors::own::events::{Counts, EventCount, EventCounts};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a line was not handed on, in the order of [`Dropped`].
pub(in crate::logs) const REASONS: [&str; 3] = ["rate_limited", "sampled", "empty"];

/// Why a line was not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::logs) enum Dropped {
    /// Its service had its lines of this second.
    Rate,
    /// It is not of the share that is kept.
    Sampled,
    /// There was nothing in it.
    Empty,
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What sources of lines count. Lines that were read whole are the events `log_line`: handed on, or lost by reason.
        #[derive(Debug)]
        pub struct SourceCounts {
            ledger: Counts,
            $($(#[$doc])* pub $name: Number,)*
        }

        impl Default for SourceCounts {
            fn default() -> SourceCounts {
                SourceCounts {
                    ledger: Counts::new("log_line", &REASONS),
                    $($name: Number::default(),)*
                }
            }
        }
    };
}

numbers! {
    /// Lines of files and entries of the journal that were read.
    lines,
    /// Their bytes.
    bytes,
    /// Lines that were longer than the limit and were cut.
    cut,
    /// Bytes that were cut off.
    cut_bytes,
    /// Lines with bytes that are no UTF-8; those were replaced.
    invalid,
    /// NUL bytes before a line, left out: what a writer leaves that goes on where it was after a truncation.
    nul_bytes,
    /// Lines of containers that are not as a runtime writes them, handed on as they are.
    malformed,
    /// Parts of lines that were handed on for themselves, because the rest did not come or there were too many.
    parts,
    /// Parts of lines that went to the part before them.
    merged,
    /// Lines that went to the record of the line before them: stack traces and the like. The lines that were read are `merged`, `joined`,
    /// those of the events `log_line`, and those that wait.
    joined,
    /// Groups of lines that were handed on early, because groups of all sources together had too many bytes.
    groups_cut,
    /// Times that a file was found truncated or written anew.
    truncations,
    /// Times that a file was found renamed or removed.
    rotations,
    /// Bytes that were seen and not read when a file was truncated. If a copy of it is read, they are read there.
    unread_truncated,
    /// Bytes of removed files that were not read, because too many or for too long were held open.
    unread_removed,
    /// Files not followed, because there are too many: counted at every look.
    refused,
    /// Times that a file could not be opened or read.
    unreadable,
    /// Times that reading waited for room in the queue of an exporter.
    waits_for_room,
    /// Times that reading waited for records to be settled.
    waits_for_settling,
    /// Checkpoints that could not be written or read.
    checkpoint_errors,
    /// Files known now.
    known,
    /// Files open now.
    open,
    /// Bytes of files that are known to be there and are not read yet.
    lag_bytes,
    /// Bytes of parts of lines that wait for their rest.
    held_bytes,
    /// Bytes of lines that wait for more that belongs to them.
    group_bytes,
    /// Folders that cannot be watched, and are looked at now and then only.
    unwatched,
    /// Times that the program that reads the journal ended by itself.
    journal_ends,
}

/// A counter or a gauge.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
    /// Takes off, a gauge.
    pub(super) fn sub(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
    /// Sets it, a gauge.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
    /// Its present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SourceCounts {
    pub(super) fn taken(&self) {
        self.ledger.seen(1);
        self.ledger.delivered(1);
    }

    pub(super) fn empty(&self) {
        self.dropped(Dropped::Empty);
    }

    pub(super) fn dropped(&self, reason: Dropped) {
        self.ledger.seen(1);
        self.ledger.lost(reason as usize, 1);
    }
}

impl EventCounts for SourceCounts {
    fn events(&self) -> Vec<EventCount> {
        self.ledger.events()
    }
}
