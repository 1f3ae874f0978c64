//! The sending of batches: one after the other, tried again with exponential backoff where that can help, and the outcome of
//! every item settled.

use super::{Loss, OtlpItem, Queue};
use crate::logs::Receipt;
use rand::Rng;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause before the second try; each later one is twice as long. Half to all of it is waited, by chance.
    pub first: Duration,
    /// Longest pause (a longer `Retry-After` of the receiver is waited for).
    pub longest: Duration,
    /// A batch that is in memory alone is given up after this time.
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
    /// `pack` gives the request packed with gzip and nothing else, which is what the queue on the disk holds: it is packed once.
    fn packs_gzip(&self) -> bool {
        false
    }
    /// Where to, for the log.
    fn target(&self) -> &str;
}

/// Sends one batch after the other and tells of trouble when it begins, and when it ends.
pub(super) struct Sender<T> {
    pub(super) transport: Arc<T>,
    backoff: Backoff,
    /// What several items are called.
    plural: &'static str,
    /// Something was not taken since a batch was taken whole.
    failing: AtomicBool,
    /// The receiver did not take the last batch now, and is asked again.
    down: AtomicBool,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// So many of its items were lost, for this reason; the receiver has the others.
    Settled(u64, Loss),
    /// Nothing yet: the agent ends, and the batch is kept.
    Kept,
}

/// Who does something when a try failed, before the next one.
pub(super) trait Trouble: Sync {
    /// A try failed.
    fn met(&self) -> impl Future<Output = ()> + Send;
}

/// Does nothing.
struct Unmoved;

impl Trouble for Unmoved {
    async fn met(&self) {}
}

impl<T: Transport> Sender<T> {
    pub(super) fn new(transport: T, backoff: Backoff, plural: &'static str) -> Sender<T> {
        Sender {
            transport: Arc::new(transport),
            backoff,
            plural,
            failing: AtomicBool::new(false),
            down: AtomicBool::new(false),
        }
    }

    /// The receiver takes nothing now.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Sends a batch until it is taken or given up. `kept`: it outlives the agent, so it is not given up. `trouble` is told of
    /// each try that failed.
    pub(super) async fn deliver<I: OtlpItem>(
        &self,
        queue: &Queue<I>,
        request: bytes::Bytes,
        count: u64,
        kept: bool,
        trouble: &impl Trouble,
    ) -> Sent {
        let give_up = Instant::now() + self.backoff.total;
        let mut pause = self.backoff.first;
        loop {
            let outcome = self.transport.send(request.clone()).await;
            let down = matches!(outcome, Outcome::Retry { .. });
            self.down.store(down, Ordering::Relaxed);
            match outcome {
                Outcome::Accepted { rejected: 0, .. } => {
                    self.recovered();
                    return Sent::Settled(0, Loss::Rejected);
                }
                Outcome::Accepted { rejected, message } => {
                    let why = format_args!("{rejected} of {count} rejected: {message}");
                    self.failed(&why);
                    return Sent::Settled(rejected.min(count), Loss::Rejected);
                }
                Outcome::Refused { loss, why } => {
                    self.failed(&format_args!("{count} dropped: {why}"));
                    return Sent::Settled(count, loss);
                }
                Outcome::Retry { after, why } => {
                    self.failed(&format_args!("{why}; trying again"));
                    trouble.met().await;
                    let jittered = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
                    // A receiver that asks for no pause at all is not asked without end.
                    let next = Instant::now() + after.unwrap_or_default().max(jittered);
                    if next > give_up && !kept {
                        return Sent::Settled(count, Loss::RetriesExhausted);
                    }
                    // When closing begins there is no time to lose: try at once, then go on as before.
                    if !queue.closing() {
                        drop(timeout_at(next, queue.closed()).await);
                    } else if kept {
                        return Sent::Kept;
                    } else {
                        sleep_until(next).await;
                    }
                    pause = (pause * 2).min(self.backoff.longest);
                }
            }
        }
    }

    /// One line when trouble begins, not one per batch.
    fn failed(&self, why: &dyn fmt::Display) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target = self.transport.target(),
                "exporting {} fails: {why}",
                self.plural
            );
        }
    }

    fn recovered(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(
                target = self.transport.target(),
                "exporting {} works again",
                self.plural
            );
        }
    }
}

/// Sends from memory.
pub(super) struct Exporter<I: OtlpItem, T> {
    queue: Arc<Queue<I>>,
    sender: Sender<T>,
}

impl<I: OtlpItem, T: Transport> fmt::Debug for Exporter<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("down", &self.sender.is_down())
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
        let sender = Sender::new(transport, backoff, I::PLURAL);
        Exporter { queue, sender }
    }

    /// Until the queue is closed and empty, or its deadline is over.
    pub(super) async fn run(self) {
        let work = async {
            while let Some(mut items) = self.queue.take().await {
                let count = items.iter().map(I::units).sum();
                let receipts = receipts(&mut items);
                let request = self.sender.transport.pack(I::encode(items));
                let sent = self.sender.deliver(&self.queue, request, count, false, &Unmoved);
                if let Sent::Settled(lost, loss) = sent.await {
                    self.queue.settle(count, lost, loss);
                    receipts.into_iter().for_each(Receipt::settle);
                }
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            () = over(&self.queue) => {}
        }
    }
}

/// Until the deadline of a queue that was closed.
pub(super) async fn over<I: OtlpItem>(queue: &Queue<I>) {
    let deadline = queue.closed().await;
    sleep_until(deadline).await;
}

/// Who waits to hear of these items.
pub(super) fn receipts<I: OtlpItem>(items: &mut [I]) -> Vec<Receipt> {
    items.iter_mut().filter_map(I::take_receipt).collect()
}

#[cfg(test)]
mod tests;
