//! Numbers of the process table, for the agent's own metrics.

use crate::metric::{Encoder, Family, Kind, Source};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Numbers of [`super::Processes`], readable by other threads while it works.
#[derive(Debug, Default)]
pub struct ProcessCounts {
    live: AtomicU64,
    ended: AtomicU64,
    evicted: AtomicU64,
    deferred: AtomicU64,
    read_errors: AtomicU64,
    places_refused: AtomicU64,
}

/// Values of [`ProcessCounts`] at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessNumbers {
    /// Known processes that live.
    pub live: u64,
    /// Known processes that ended, in their grace time.
    pub ended: u64,
    /// Processes forgotten before their time because the table was full.
    pub evicted: u64,
    /// Execs whose process was not read at once because there were too many.
    pub deferred: u64,
    /// Files of `/proc` that could not be read although their process lives.
    pub read_errors: u64,
    /// Cgroups looked up without being remembered because the table of cgroups was full.
    pub places_refused: u64,
}

impl ProcessCounts {
    /// All numbers.
    pub fn numbers(&self) -> ProcessNumbers {
        ProcessNumbers {
            live: self.live.load(Relaxed),
            ended: self.ended.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            deferred: self.deferred.load(Relaxed),
            read_errors: self.read_errors.load(Relaxed),
            places_refused: self.places_refused.load(Relaxed),
        }
    }

    pub(super) fn evicted(&self, processes: u64) {
        self.evicted.fetch_add(processes, Relaxed);
    }

    pub(super) fn deferred(&self) {
        self.deferred.fetch_add(1, Relaxed);
    }

    pub(super) fn set(&self, live: u64, ended: u64, read_errors: u64, places_refused: u64) {
        self.live.store(live, Relaxed);
        self.ended.store(ended, Relaxed);
        self.read_errors.store(read_errors, Relaxed);
        self.places_refused.store(places_refused, Relaxed);
    }
}

const PROCESSES: Family = Family::new(
    "onlooker_processes",
    "",
    "Processes the agent knows, by state: live, or exited a short while ago.",
    Kind::Gauge,
);
const EVICTED: Family = Family::new(
    "onlooker_attribution_evicted_total",
    "",
    "Processes and cgroups forgotten early, or not remembered, because their table was full.",
    Kind::Counter,
);
const DEFERRED: Family = Family::new(
    "onlooker_attribution_deferred_total",
    "",
    "Program starts whose process was not read at once because there were too many a second.",
    Kind::Counter,
);
const READ_ERRORS: Family = Family::new(
    "onlooker_attribution_read_errors_total",
    "",
    "Files of /proc that could not be read although their process lives.",
    Kind::Counter,
);

impl Source for ProcessCounts {
    fn collect(&self, out: &mut dyn Encoder) {
        let numbers = self.numbers();
        out.family(&PROCESSES);
        out.number(&[("state", "live")], numbers.live as f64);
        out.number(&[("state", "exited")], numbers.ended as f64);
        out.family(&EVICTED);
        out.number(&[("table", "processes")], numbers.evicted as f64);
        out.number(&[("table", "cgroups")], numbers.places_refused as f64);
        out.family(&DEFERRED);
        out.number(&[], numbers.deferred as f64);
        out.family(&READ_ERRORS);
        out.number(&[], numbers.read_errors as f64);
    }
}
