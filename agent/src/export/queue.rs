//! The bounded queue between the thread that makes items (spans, records of logs, pieces of metrics) and the task that exports them, and the ledger of
//! what became of them. Queue and ledger stand under one lock, so that `seen = delivered + pending + lost` holds whenever somebody
//! looks.
//!
//! An exporter only calls [`Queue::take`] and [`Queue::settle`], and every item taken is settled exactly once. Between the two a batch
//! may be in memory or on the disk (`durable`): it is pending.

pub(super) mod disk;
pub(super) mod durable;
mod files;
mod folder;
pub mod segment;

pub use folder::{QueueFolder, QueueFolderError};

use super::Item;
use crate::logs::Receipt;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Limits of the queue of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Items that wait.
    pub items: usize,
    /// Bytes of memory of the items that wait, about.
    pub bytes: usize,
    /// Items handed over at once.
    pub batch: usize,
    /// How long a batch may wait to become full.
    pub delay: Duration,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits {
            items: 8192,
            bytes: 8 << 20,
            batch: 512,
            delay: Duration::from_secs(1),
        }
    }
}

/// What became of items since the start. `seen = delivered + pending + (sum of lost)`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Offered. All but `waiting` and `waiting_bytes` in what items count as.
    pub seen: u64,
    /// Accepted by the receiver.
    pub delivered: u64,
    /// In the queue or on the way.
    pub pending: u64,
    /// Of these, in the queue now.
    pub waiting: usize,
    /// Bytes of memory of those in the queue, about.
    pub waiting_bytes: usize,
    /// By reason; every reason of the exporter is listed, also those with 0.
    pub lost: Vec<(&'static str, u64)>,
}

/// Why an item was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The queue had too many items or bytes.
    QueueFull,
    /// The receiver took the batch but not this item (OTLP partial success).
    Rejected,
    /// The receiver refused the batch with a 4xx status.
    Refused4xx,
    /// The receiver refused the batch with a 5xx status that says it is no use to try again.
    Refused5xx,
    /// The receiver answered with something that is no answer of the protocol.
    RefusedOther,
    /// Tried again and again, for too long.
    RetriesExhausted,
    /// The agent ended before it could be sent.
    Shutdown,
    /// Standard output is closed.
    Closed,
    /// Spoilt on the disk.
    Corrupt,
    /// On the disk, and cannot be read.
    DiskError,
}

impl Loss {
    const NAMES: [&str; 10] = [
        "queue_full",
        "rejected",
        "refused_4xx",
        "refused_5xx",
        "refused_other",
        "retries_exhausted",
        "shutdown",
        "closed",
        "corrupt",
        "disk_error",
    ];
}

/// A bounded queue with one consumer.
#[derive(Debug)]
pub(super) struct Queue<T> {
    limits: QueueLimits,
    state: Mutex<State<T>>,
    /// Something to take, or closing.
    filled: Notify,
    /// Closing began.
    closing: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    /// What those that wait count as.
    units: u64,
    bytes: usize,
    seen: u64,
    delivered: u64,
    /// Taken and not settled.
    taken: u64,
    lost: [u64; Loss::NAMES.len()],
    /// Nothing more is taken in; what waits may be exported until then.
    deadline: Option<Instant>,
    /// Nothing is exported any more; items are lost for this reason.
    ended: Option<Loss>,
}

impl<T> Default for State<T> {
    fn default() -> State<T> {
        State {
            waiting: VecDeque::new(),
            units: 0,
            bytes: 0,
            seen: 0,
            delivered: 0,
            taken: 0,
            lost: Default::default(),
            deadline: None,
            ended: None,
        }
    }
}

impl<T: Item> Queue<T> {
    pub(super) fn new(limits: QueueLimits) -> Queue<T> {
        Queue {
            limits,
            state: Mutex::default(),
            filled: Notify::new(),
            closing: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes an item in, or counts it as lost. Wakes the consumer only when it can have a reason to look.
    pub(super) fn offer(&self, mut item: T) {
        let (weight, units) = (item.weight(), item.units());
        let mut state = self.state();
        state.seen += units;
        let refuse = match (state.ended, state.deadline) {
            (Some(loss), _) => Some(loss),
            (None, Some(_)) => Some(Loss::Shutdown),
            _ if state.waiting.len() >= self.limits.items || state.bytes + weight > self.limits.bytes => {
                Some(Loss::QueueFull)
            }
            _ => None,
        };
        if let Some(loss) = refuse {
            state.lost[loss as usize] += units;
            drop(state);
            // What comes too late is made again after the start, if its source can do that.
            if loss != Loss::Shutdown {
                item.take_receipt().into_iter().for_each(Receipt::settle);
            }
            return;
        }
        state.bytes += weight;
        state.units += units;
        state.waiting.push_back(item);
        let len = state.waiting.len();
        drop(state);
        if len == 1 || len == self.limits.batch {
            self.filled.notify_one();
        }
    }

    /// Items and bytes that find room now. What is lost for another reason than a full queue needs not be waited for.
    pub(super) fn room(&self) -> (usize, usize) {
        let state = self.state();
        if state.ended.is_some() || state.deadline.is_some() {
            return (usize::MAX, usize::MAX);
        }
        let items = self.limits.items.saturating_sub(state.waiting.len());
        (items, self.limits.bytes.saturating_sub(state.bytes))
    }

    /// Waits for the next batch: full, or the delay after its first item is over, or closing began. `None`: closed and empty,
    /// or ended.
    pub(super) async fn take(&self) -> Option<Vec<T>> {
        self.take_within(self.limits.delay).await
    }

    /// The same with another delay, if it is shorter.
    pub(super) async fn take_within(&self, delay: Duration) -> Option<Vec<T>> {
        let delay = delay.min(self.limits.delay);
        let mut until: Option<Instant> = None;
        loop {
            {
                let mut state = self.state();
                let (len, closing) = (state.waiting.len(), state.deadline.is_some());
                if state.ended.is_some() || (closing && len == 0) {
                    return None;
                }
                if len > 0 {
                    let due = *until.get_or_insert_with(|| Instant::now() + delay);
                    if closing || len >= self.limits.batch || Instant::now() >= due {
                        return Some(state.take(self.limits.batch));
                    }
                }
            }
            match until {
                Some(due) => drop(timeout_at(due, self.filled.notified()).await),
                None => self.filled.notified().await,
            }
        }
    }

    /// What became of items taken before, by what they count as: so many were lost, the others delivered.
    pub(super) fn settle(&self, count: u64, lost: u64, loss: Loss) {
        let mut state = self.state();
        // After `end` they are already counted.
        let count = count.min(state.taken);
        let lost = lost.min(count);
        state.taken -= count;
        state.delivered += count - lost;
        state.lost[loss as usize] += lost;
    }

    /// Takes nothing in any more; what waits may be exported until the deadline.
    pub(super) fn close(&self, deadline: Instant) {
        self.state().deadline.get_or_insert(deadline);
        self.filled.notify_one();
        self.closing.notify_waiters();
    }

    /// Closing began.
    pub(super) fn closing(&self) -> bool {
        self.state().deadline.is_some()
    }

    /// Resolves when closing begins.
    pub(super) async fn closed(&self) -> Instant {
        loop {
            // Made before the look, so that a call of `close` in between is not missed.
            let closing = self.closing.notified();
            if let Some(deadline) = self.state().deadline {
                return deadline;
            }
            closing.await;
        }
    }

    /// Counts everything that waits or is on the way as lost, and all that may come.
    pub(super) fn end(&self, loss: Loss) {
        self.end_keeping(loss, 0);
    }

    /// The same, but for so many that are on the way and outlive the agent: they stay pending.
    pub(super) fn end_keeping(&self, loss: Loss, kept: u64) {
        let mut state = self.state();
        let kept = kept.min(state.taken);
        let lost = state.units + state.taken - kept;
        state.lost[loss as usize] += lost;
        state.taken = kept;
        state.units = 0;
        state.bytes = 0;
        // Receipts of these are not handed back: what can be made again after the start is.
        state.waiting = VecDeque::new();
        state.ended.get_or_insert(loss);
        drop(state);
        self.filled.notify_one();
    }

    pub(super) fn counts(&self) -> QueueCounts {
        let state = self.state();
        QueueCounts {
            seen: state.seen,
            delivered: state.delivered,
            pending: state.units + state.taken,
            waiting: state.waiting.len(),
            waiting_bytes: state.bytes,
            lost: Loss::NAMES.into_iter().zip(state.lost).collect(),
        }
    }
}

impl<T: Item> State<T> {
    fn take(&mut self, max: usize) -> Vec<T> {
        let count = self.waiting.len().min(max);
        let items: Vec<T> = self.waiting.drain(..count).collect();
        self.bytes -= items.iter().map(T::weight).sum::<usize>().min(self.bytes);
        let units = items.iter().map(T::units).sum::<u64>();
        self.units -= units.min(self.units);
        self.taken += units;
        items
    }
}

#[cfg(test)]
pub(super) mod tests;
