//! The sending of batches: one after the other, tried again with exponential backoff where that can help, and the outcome of
//! every item settled.

use super::{Loss, OtlpItem, Queue};
use rand::Rng;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause before the second try; each later one is twice as long. Half to all of it is waited, by chance.
    pub first: Duration,
    /// Longest pause (a longer `Retry-After` of the receiver is waited for).
    pub longest: Duration,
    /// A batch is given up after this time.
    pub total: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

/// What the receiver made of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Taken, but for so many items.
    Accepted { rejected: u64, message: String },
    /// Not now.
    Retry { after: Option<Duration>, why: String },
    /// Never.
    Refused { loss: Loss, why: String },
}

/// Sends an encoded request.
pub(super) trait Transport: Send + Sync {
    /// Sends it once. May be given the same bytes again.
    fn send(&self, request: bytes::Bytes) -> impl Future<Output = Outcome> + Send;
    /// What bytes of a request to send, made once per batch.
    fn pack(&self, request: Vec<u8>) -> bytes::Bytes;
    /// Where to, for the log.
    fn target(&self) -> &str;
}

pub(super) struct Exporter<I: OtlpItem, T> {
    queue: Arc<Queue<I>>,
    transport: T,
    backoff: Backoff,
    failing: bool,
}

impl<I: OtlpItem, T> fmt::Debug for Exporter<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("failing", &self.failing)
            .finish_non_exhaustive()
    }
}

/// However it ends (also when its task is aborted), nothing stays pending.
impl<I: OtlpItem, T> Drop for Exporter<I, T> {
    fn drop(&mut self) {
        self.queue.end(Loss::Shutdown);
    }
}

impl<I: OtlpItem, T: Transport> Exporter<I, T> {
    pub(super) fn new(queue: Arc<Queue<I>>, transport: T, backoff: Backoff) -> Exporter<I, T> {
        Exporter {
            queue,
            transport,
            backoff,
            failing: false,
        }
    }

    /// Until the queue is closed and empty, or its deadline is over.
    pub(super) async fn run(mut self) {
        let queue = self.queue.clone();
        let work = async {
            while let Some(items) = queue.take().await {
                let count = items.len();
                let request = self.transport.pack(I::encode(items));
                let (lost, loss) = self.deliver(request, count).await;
                queue.settle(count, lost, loss);
            }
        };
        let over = async {
            let deadline = queue.closed().await;
            sleep_until(deadline).await;
        };
        tokio::select! {
            biased;
            () = work => {}
            () = over => {}
        }
    }

    /// Sends a batch until it is taken or given up: how many of its items were lost, and why.
    async fn deliver(&mut self, request: bytes::Bytes, count: usize) -> (u64, Loss) {
        let all = count as u64;
        let give_up = Instant::now() + self.backoff.total;
        let mut pause = self.backoff.first;
        loop {
            match self.transport.send(request.clone()).await {
                Outcome::Accepted { rejected: 0, .. } => {
                    self.recovered();
                    return (0, Loss::Rejected);
                }
                Outcome::Accepted { rejected, message } => {
                    let why = format_args!("{rejected} of {count} rejected: {message}");
                    self.failed(&why);
                    return (rejected.min(all), Loss::Rejected);
                }
                Outcome::Refused { loss, why } => {
                    self.failed(&format_args!("{count} dropped: {why}"));
                    return (all, loss);
                }
                Outcome::Retry { after, why } => {
                    self.failed(&format_args!("{why}; trying again"));
                    let jittered = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
                    // A receiver that asks for no pause at all is not asked without end.
                    let next = Instant::now() + after.unwrap_or_default().max(jittered);
                    if next > give_up {
                        return (all, Loss::RetriesExhausted);
                    }
                    // When closing begins there is no time to lose: try at once, then go on as before.
                    if self.queue.closing() {
                        sleep_until(next).await;
                    } else {
                        drop(timeout_at(next, self.queue.closed()).await);
                    }
                    pause = (pause * 2).min(self.backoff.longest);
                }
            }
        }
    }

    /// One line when trouble begins, not one per batch.
    fn failed(&mut self, why: &dyn fmt::Display) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(target = self.transport.target(), "exporting {} fails: {why}", I::PLURAL);
        }
    }

    fn recovered(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            tracing::info!(target = self.transport.target(), "exporting {} works again", I::PLURAL);
        }
    }
}

#[cfg(test)]
mod tests;
