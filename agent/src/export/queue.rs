//! The bounded queue between the thread that makes spans and the task that exports them, and the ledger of what became of them.
//! Queue and ledger stand under one lock, so that `seen = delivered + pending + lost` holds whenever somebody looks.
//!
//! This is the seam for a durable queue: an exporter only calls [`SpanQueue::take`] and [`SpanQueue::settle`], and every span
//! taken is settled exactly once.

use crate::trace::span::{AttributeValue, Span};
use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Limits of the queue of an exporter of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Spans that wait.
    pub spans: usize,
    /// Bytes of memory of the spans that wait, about.
    pub bytes: usize,
    /// Spans handed over at once.
    pub batch: usize,
    /// How long a batch may wait to become full.
    pub delay: Duration,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits {
            spans: 8192,
            bytes: 8 << 20,
            batch: 512,
            delay: Duration::from_secs(1),
        }
    }
}

/// What became of spans since the start. `seen = delivered + pending + (sum of lost)`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Offered.
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

/// Why a span was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The queue had too many spans or bytes.
    QueueFull,
    /// The receiver took the batch but not this span (OTLP partial success).
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
}

impl Loss {
    const NAMES: [&str; 8] = [
        "queue_full",
        "rejected",
        "refused_4xx",
        "refused_5xx",
        "refused_other",
        "retries_exhausted",
        "shutdown",
        "closed",
    ];
}

/// A bounded queue of spans with one consumer.
#[derive(Debug)]
pub(super) struct SpanQueue {
    limits: QueueLimits,
    state: Mutex<State>,
    /// Something to take, or closing.
    filled: Notify,
    /// Closing began.
    closing: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Span>,
    bytes: usize,
    seen: u64,
    delivered: u64,
    /// Taken and not settled.
    taken: u64,
    lost: [u64; Loss::NAMES.len()],
    /// No more spans are taken in; what waits may be exported until then.
    deadline: Option<Instant>,
    /// Nothing is exported any more; spans are lost for this reason.
    ended: Option<Loss>,
}

impl SpanQueue {
    pub(super) fn new(limits: QueueLimits) -> SpanQueue {
        SpanQueue {
            limits,
            state: Mutex::default(),
            filled: Notify::new(),
            closing: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes a span in, or counts it as lost. Wakes the consumer only when it can have a reason to look.
    pub(super) fn offer(&self, span: Span) {
        let weight = weight(&span);
        let mut state = self.state();
        state.seen += 1;
        let refuse = match (state.ended, state.deadline) {
            (Some(loss), _) => Some(loss),
            (None, Some(_)) => Some(Loss::Shutdown),
            _ if state.waiting.len() >= self.limits.spans || state.bytes + weight > self.limits.bytes => {
                Some(Loss::QueueFull)
            }
            _ => None,
        };
        if let Some(loss) = refuse {
            state.lost[loss as usize] += 1;
            return;
        }
        state.bytes += weight;
        state.waiting.push_back(span);
        let len = state.waiting.len();
        drop(state);
        if len == 1 || len == self.limits.batch {
            self.filled.notify_one();
        }
    }

    /// Waits for the next batch: full, or the delay after its first span is over, or closing began. `None`: closed and empty,
    /// or ended.
    pub(super) async fn take(&self) -> Option<Vec<Span>> {
        let mut until: Option<Instant> = None;
        loop {
            {
                let mut state = self.state();
                let (len, closing) = (state.waiting.len(), state.deadline.is_some());
                if state.ended.is_some() || (closing && len == 0) {
                    return None;
                }
                if len > 0 {
                    let due = *until.get_or_insert_with(|| Instant::now() + self.limits.delay);
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

    /// What became of `count` spans taken before: these were lost, the others delivered.
    pub(super) fn settle(&self, count: usize, lost: u64, loss: Loss) {
        let mut state = self.state();
        // After `end` they are already counted.
        let count = (count as u64).min(state.taken);
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
        let mut state = self.state();
        let pending = state.waiting.len() as u64 + state.taken;
        state.lost[loss as usize] += pending;
        state.taken = 0;
        state.bytes = 0;
        state.waiting = VecDeque::new();
        state.ended.get_or_insert(loss);
        drop(state);
        self.filled.notify_one();
    }

    pub(super) fn counts(&self) -> SpanCounts {
        let state = self.state();
        SpanCounts {
            seen: state.seen,
            delivered: state.delivered,
            pending: state.waiting.len() as u64 + state.taken,
            waiting: state.waiting.len(),
            waiting_bytes: state.bytes,
            lost: Loss::NAMES.into_iter().zip(state.lost).collect(),
        }
    }
}

impl State {
    fn take(&mut self, max: usize) -> Vec<Span> {
        let count = self.waiting.len().min(max);
        let spans: Vec<Span> = self.waiting.drain(..count).collect();
        self.bytes -= spans.iter().map(weight).sum::<usize>().min(self.bytes);
        self.taken += count as u64;
        spans
    }
}

/// Bytes of memory that a span holds, about; not the resource, which all spans of a process share.
fn weight(span: &Span) -> usize {
    let texts: usize = span
        .attributes
        .iter()
        .map(|(_, value)| match value {
            AttributeValue::Text(text) => text.len(),
            AttributeValue::Texts(texts) => texts.iter().map(|t| t.len() + size_of::<String>()).sum(),
            _ => 0,
        })
        .sum();
    size_of::<Span>()
        + span.name.len()
        + span.state.as_ref().map_or(0, |s| s.len())
        + span.attributes.capacity() * size_of::<crate::trace::span::Attribute>()
        + texts
}

#[cfg(test)]
pub(super) mod tests;
