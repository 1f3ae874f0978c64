//! Series of ended exchanges: one per set of labels, found by a key of small numbers.
//!
//! The table is bounded, and still counts every exchange: when it is full, new label sets lose labels step by step until they
//! fit ([`Fold`]). Each step has an allowance of its own, and the last step knows so few label sets that it always fits.

use super::histogram::{DURATION, DurationHistogram, Exemplars, FIRST_BYTE, FirstByteHistogram, SIZE, SizeHistogram};
use super::routes::OTHER_ROUTE;
use super::services::{OTHER_SERVICE, ServiceName};
use crate::protocol::exchange::{ErrorType, Exchange};
use crate::signal::Role;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// All that tells one series from another, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Number of the service.
    pub(crate) service: u32,
    /// Number of the route in the service and role.
    pub(crate) route: u32,
    /// See [`Status`].
    pub(crate) status: Status,
    /// Number of the operation; 0 is `_OTHER`.
    pub(crate) operation: u16,
    /// Number of the schema.
    pub(crate) schema: u8,
    /// Number of the version; 0 when folded.
    pub(crate) version: u8,
    /// What `error.type` is.
    pub(crate) error: Fault,
    /// Role.
    pub(crate) role: Role,
}

/// The status in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    /// Not known.
    Unknown,
    /// As it was.
    Code(u16),
    /// The hundreds alone, at most 9.
    Class(u8),
}

/// The error in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// None.
    No,
    /// On the way.
    Error(ErrorType),
    /// The status says so.
    Status,
}

/// Which labels a series gave up because the table was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fold {
    /// None.
    Nothing,
    /// The route is `_OTHER`.
    Route,
    /// Also the operation is `_OTHER`, and the version is left out.
    Operation,
    /// Also the status is only its class (`2xx`).
    Status,
    /// Also the service is `_OTHER`.
    Service,
}

impl Fold {
    const STEPS: [Fold; 5] = [Fold::Nothing, Fold::Route, Fold::Operation, Fold::Status, Fold::Service];

    /// The key with the labels of this step removed.
    pub(crate) fn apply(self, mut key: Key) -> Key {
        if self >= Fold::Route {
            key.route = OTHER_ROUTE;
        }
        if self >= Fold::Operation {
            key.operation = 0;
            key.version = 0;
        }
        if let (true, Status::Code(code)) = (self >= Fold::Status, key.status) {
            key.status = Status::Class((code / 100).min(9) as u8);
        }
        if self >= Fold::Service {
            key.service = OTHER_SERVICE;
        }
        key
    }
}

/// The labels of a series, as text.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) service: ServiceName,
    pub(crate) operation: Arc<str>,
    pub(crate) route: Arc<str>,
    /// Empty when not known.
    pub(crate) status: Box<str>,
    pub(crate) version: &'static str,
    /// Empty without error.
    pub(crate) error: Box<str>,
}

/// One series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) key: Key,
    pub(crate) labels: Arc<Labels>,
    pub(crate) duration: DurationHistogram,
    pub(crate) first_byte: FirstByteHistogram,
    pub(crate) request_body: SizeHistogram,
    pub(crate) response_body: SizeHistogram,
    /// Of the duration; only when some were given.
    pub(crate) exemplars: Option<Box<Exemplars>>,
    fold: Fold,
    seen: u64,
}

impl Series {
    /// Records the exchange; returns the bucket of its duration.
    pub(crate) fn record(&mut self, exchange: &Exchange, now: u64) -> usize {
        self.seen = self.seen.max(now);
        if let Some(first_byte) = exchange.first_byte {
            self.first_byte
                .record(&FIRST_BYTE, first_byte.saturating_sub(exchange.started));
        }
        if let Some(size) = exchange.request_body {
            self.request_body.record(&SIZE, size);
        }
        if let Some(size) = exchange.response_body {
            self.response_body.record(&SIZE, size);
        }
        self.duration
            .record(&DURATION, exchange.ended.saturating_sub(exchange.started))
    }

    /// Records an exchange that was answered at once.
    pub(crate) fn again(&mut self, duration: u64, (request_body, response_body): (u64, u64), now: u64) {
        self.seen = self.seen.max(now);
        self.duration.record(&DURATION, duration);
        self.first_byte.record(&FIRST_BYTE, duration);
        self.request_body.record(&SIZE, request_body);
        self.response_body.record(&SIZE, response_body);
    }

    /// Adds durations that were counted elsewhere; `sum` in nanoseconds.
    pub(crate) fn add(&mut self, durations: &[u64; 15], sum: u64, now: u64) {
        self.seen = self.seen.max(now);
        self.duration.add(durations, sum);
    }
}

/// All series.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    limit: usize,
    by_key: FxHashMap<Key, u32>,
    slots: Vec<Option<Box<Series>>>,
    free: Vec<u32>,
    /// Series per step of folding.
    counts: [usize; 5],
    /// Series that expired.
    pub(crate) expired: u64,
}

impl SeriesTable {
    pub(crate) fn new(limit: usize) -> SeriesTable {
        SeriesTable {
            limit: limit.max(1),
            by_key: FxHashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            counts: [0; 5],
            expired: 0,
        }
    }

    /// The series of the key, or of the key with as many labels folded as it takes. `labels` is asked only for a new series.
    pub(crate) fn find(&mut self, key: Key, now: u64, labels: impl FnOnce(Key) -> Labels) -> (&mut Series, Fold) {
        let (index, fold) = self.index(key, now, labels);
        // `index` is that of a slot in use.
        (self.at(index), fold)
    }

    /// The series at an index that is in use.
    pub(crate) fn at(&mut self, index: u32) -> &mut Series {
        match &mut self.slots[index as usize] {
            Some(series) => series,
            None => unreachable!("an index of `by_key` leads to a series"),
        }
    }

    /// As [`SeriesTable::find`].
    pub(crate) fn index(&mut self, key: Key, now: u64, labels: impl FnOnce(Key) -> Labels) -> (u32, Fold) {
        // The last step always has room.
        let fits = |fold: &Fold| self.by_key.contains_key(&fold.apply(key)) || self.has_room(*fold);
        let fold = match self.by_key.get(&key) {
            Some(&index) => return (index, Fold::Nothing),
            None => Fold::STEPS.into_iter().find(fits).unwrap_or(Fold::Service),
        };
        let key = fold.apply(key);
        if let Some(&index) = self.by_key.get(&key) {
            return (index, fold);
        }
        let series = Some(Box::new(Series {
            key,
            labels: Arc::new(labels(key)),
            duration: DurationHistogram::new(),
            first_byte: FirstByteHistogram::new(),
            request_body: SizeHistogram::new(),
            response_body: SizeHistogram::new(),
            exemplars: None,
            fold,
            seen: now,
        }));
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = series;
                index
            }
            None => {
                self.slots.push(series);
                self.slots.len() as u32 - 1
            }
        };
        self.by_key.insert(key, index);
        self.counts[fold as usize] += 1;
        (index, fold)
    }

    /// Whether another series of this step may be made. Beyond the limit there is a quarter of it for series without route,
    /// an eighth for each of the next two steps; of the last step there are at most 11 statuses times 8 errors for each
    /// protocol and role.
    fn has_room(&self, fold: Fold) -> bool {
        let allowance = match fold {
            Fold::Nothing => self.limit,
            Fold::Route => self.limit / 4,
            Fold::Operation | Fold::Status => self.limit / 8,
            Fold::Service => return true,
        };
        self.counts[fold as usize] < allowance
    }

    /// Series now.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The next series at or after `position`, which is moved behind it.
    pub(crate) fn next(&self, position: &mut usize) -> Option<&Series> {
        loop {
            let slot = self.slots.get(*position)?;
            *position += 1;
            if let Some(series) = slot {
                return Some(series);
            }
        }
    }

    /// Drops the series that were not used since `since`; tells of the others when they were used last.
    pub(crate) fn expire(&mut self, since: u64, mut used: impl FnMut(&Key, u64)) {
        for (index, slot) in (0u32..).zip(self.slots.iter_mut()) {
            if let Some(old) = slot.take_if(|series| series.seen < since) {
                self.by_key.remove(&old.key);
                self.free.push(index);
                self.counts[old.fold as usize] -= 1;
                self.expired += 1;
            }
            if let Some(series) = slot {
                used(&series.key, series.seen);
            }
        }
        if self.by_key.is_empty() {
            self.slots = Vec::new();
            self.free = Vec::new();
            self.by_key.shrink_to_fit();
        }
    }
}
