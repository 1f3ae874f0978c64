//! Sending by way of the disk.
//!
//! Every batch is written to the disk, and sent from memory at the same time while the receiver takes what comes: then no call
//! waits for the medium, and the file goes before the kernel has written it. When a try fails, what waits in memory is let go, and
//! from then on batches come back from the disk, oldest first, and are tried without end. When the receiver is back, new batches
//! and old ones take turns, and old ones are sent at a bounded rate.
//!
//! A batch that the receiver does not take soon is written to the medium, with all others until then; what its items were made of
//! needs not be read again from then on, and their receipts are handed back.
//!
//! When the disk fails, batches wait in memory as if there were none, and the disk is tried again.

use super::retry::{Sender, Sent, Transport, Trouble, over, receipts};
use super::{Backoff, Loss, OtlpCompression, OtlpItem, Queue};
use crate::export::queue::disk::{AppendError, Place};
use crate::export::queue::durable::{Durable, Showing, Write};
use crate::logs::Receipt;
use bytes::Bytes;
use flate2::read::GzDecoder;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Batches that wait in memory at most, and their bytes.
const LANE: usize = 4;
const LANE_BYTES: usize = 4 << 20;
/// New batches that are sent one after the other while there is a backlog.
const NEW_ONES: u32 = 3;
/// How long a batch waits to become full while the receiver takes nothing: only what is on the disk outlives a kill.
const DELAY_DOWN: Duration = Duration::from_millis(250);
/// A batch that the receiver has not taken after this time is written to the medium. A loss of power loses what came since.
const SYNC_AFTER: Duration = Duration::from_millis(500);
/// Batches whose receipts wait at most, before more is taken in.
const UNSETTLED: usize = 256;
/// Items that come back from the disk in a second, at most.
const REPLAYED: u32 = 20_000;
/// How long a disk that failed is left alone.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// How long the end of the agent waits for the medium.
const LAST_SYNC: Duration = Duration::from_secs(2);
/// Bytes of a request that is unpacked, at most.
const UNPACKED: u64 = 256 << 20;

/// A batch that waits in memory.
struct Hand {
    /// Where it is on the disk; `None`: nowhere.
    place: Option<Place>,
    /// As the transport packs it.
    request: Bytes,
    items: u32,
    /// Of a former life of the agent.
    former: bool,
    /// Handed back when it is settled; those of batches on the disk are in [`Exporter::unsettled`].
    receipts: Vec<Receipt>,
}

/// Sends by way of the disk.
pub(super) struct Exporter<I: OtlpItem, T> {
    queue: Arc<Queue<I>>,
    sender: Sender<T>,
    disk: Durable<I>,
    shown: Showing,
    /// New batches that are sent from memory.
    lane: Mutex<VecDeque<Hand>>,
    /// Of batches that are on the disk and may not be on the medium.
    unsettled: Mutex<BTreeMap<Place, Vec<Receipt>>>,
    /// Something to send, or nothing more will come.
    ready: Notify,
    /// There is room in the lane again.
    room: Notify,
    /// Something was written to the disk.
    written: Notify,
    /// Nothing more will come.
    drained: AtomicBool,
    /// A try failed since the receiver took a batch.
    troubled: AtomicBool,
    /// There was a backlog, and what came since is read ahead of it.
    ahead: AtomicBool,
}

impl<I: OtlpItem, T: Transport> fmt::Debug for Exporter<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("down", &self.sender.is_down())
            .finish_non_exhaustive()
    }
}

/// However it ends, nothing stays pending but what is on the disk.
impl<I: OtlpItem, T> Drop for Exporter<I, T> {
    fn drop(&mut self) {
        self.queue.end_keeping(Loss::Shutdown, self.shown.own_items());
    }
}

impl<I: OtlpItem, T: Transport + 'static> Trouble for Exporter<I, T> {
    async fn met(&self) {
        if !self.troubled.swap(true, Ordering::Relaxed) {
            self.ahead.store(false, Ordering::Relaxed);
            self.disk.takes(false).await;
        }
        self.release().await;
    }
}

/// Whose turn it is, and when.
struct Turn {
    /// New ones since the last one of the backlog.
    new: u32,
    /// Before then none of the backlog comes back.
    not_before: Instant,
}

impl<I: OtlpItem, T: Transport + 'static> Exporter<I, T> {
    pub(super) fn new(queue: Arc<Queue<I>>, transport: T, backoff: Backoff, disk: Durable<I>) -> Exporter<I, T> {
        Exporter {
            queue,
            sender: Sender::new(transport, backoff, I::PLURAL),
            shown: disk.shown(),
            disk,
            lane: Mutex::default(),
            unsettled: Mutex::default(),
            ready: Notify::new(),
            room: Notify::new(),
            written: Notify::new(),
            drained: AtomicBool::new(false),
            troubled: AtomicBool::new(false),
            ahead: AtomicBool::new(false),
        }
    }

    /// Until the queue is closed and all was sent, or its deadline is over, or the receiver takes nothing.
    pub(super) async fn run(self) {
        self.recovered().await;
        let work = async { tokio::join!(self.take_in(), self.send_out()) };
        tokio::select! {
            biased;
            _ = work => {}
            () = self.sync_now_and_then() => {}
            () = over(&self.queue) => {}
        }
        let last = async {
            self.disk.close().await;
            self.sync().await;
        };
        if timeout(LAST_SYNC, last).await.is_err() {
            tracing::warn!("the disk is slow: not all {} are safe from a loss of power", I::PLURAL);
        }
    }

    fn lane(&self) -> MutexGuard<'_, VecDeque<Hand>> {
        self.lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeMap<Place, Vec<Receipt>>> {
        self.unsettled.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn lane_has_room(&self) -> bool {
        let lane = self.lane();
        lane.len() < LANE && lane.iter().map(|hand| hand.request.len()).sum::<usize>() < LANE_BYTES
    }

    /// The receiver takes what comes, as far as is known: what is on the disk now is a backlog.
    async fn recovered(&self) {
        if self.shown.waiting() > 0 {
            self.disk.takes(true).await;
            self.ahead.store(true, Ordering::Relaxed);
        }
    }

    /// The next items.
    async fn taken(&self) -> Option<Vec<I>> {
        match self.sender.is_down() {
            true => self.queue.take_within(DELAY_DOWN).await,
            false => self.queue.take().await,
        }
    }

    /// From the queue to disk and lane.
    async fn take_in(&self) {
        let mut disk_after = Instant::now();
        let mut failed = false;
        while let Some(mut items) = self.taken().await {
            let units: u64 = items.iter().map(I::units).sum();
            let count = u32::try_from(units).unwrap_or(u32::MAX);
            let receipts = receipts(&mut items);
            let live = !self.sender.is_down() && self.lane_has_room();
            let write = (Instant::now() >= disk_after).then(|| Write {
                items: count,
                time: unix_nanos(),
                claim: live,
            });
            let transport = self.sender.transport.clone();
            let made = self
                .disk
                .append(move || pack(&*transport, I::encode(items)), write)
                .await;
            let Ok((request, written)) = made else {
                // The runtime ends.
                self.queue.settle(u64::from(count), u64::from(count), Loss::Shutdown);
                continue;
            };
            let hand = |place, receipts| Hand {
                place,
                request: request.clone(),
                items: count,
                former: false,
                receipts,
            };
            match written {
                Some(Ok(place)) => {
                    if std::mem::take(&mut failed) {
                        tracing::info!("the queue of {} is on the disk again", I::PLURAL);
                    }
                    if !receipts.is_empty() {
                        self.unsettled().insert(place, receipts);
                    }
                    if live {
                        self.lane().push_back(hand(Some(place), Vec::new()));
                        if self.sender.is_down() {
                            self.release().await;
                        }
                    }
                    self.written.notify_one();
                }
                Some(Err(AppendError::TooLarge(bytes))) => {
                    tracing::warn!(
                        "{count} {} of {bytes} bytes are more than the queue may hold",
                        I::PLURAL
                    );
                    self.queue.settle(u64::from(count), u64::from(count), Loss::QueueFull);
                    receipts.into_iter().for_each(Receipt::settle);
                }
                other => {
                    if let Some(Err(AppendError::Disk(error))) = other {
                        disk_after = Instant::now() + DISK_PAUSE;
                        if !std::mem::replace(&mut failed, true) {
                            tracing::warn!(
                                "{} wait in memory: the queue cannot be written to the disk: {error}",
                                I::PLURAL
                            );
                        }
                    }
                    while !self.lane_has_room() {
                        self.room.notified().await;
                    }
                    self.lane().push_back(hand(None, receipts));
                }
            }
            self.ready.notify_one();
            while self.unsettled().len() >= UNSETTLED {
                self.sync().await;
                if self.unsettled().len() >= UNSETTLED {
                    // Only what the receiver takes can help.
                    sleep(SYNC_AFTER).await;
                }
            }
        }
        self.drained.store(true, Ordering::Relaxed);
        self.ready.notify_one();
    }

    /// From lane and disk to the receiver.
    async fn send_out(&self) {
        let mut turn = Turn {
            new: 0,
            not_before: Instant::now(),
        };
        while let Some(hand) = self.next(&mut turn).await {
            let items = u64::from(hand.items);
            let kept = hand.place.is_some();
            let sent = self.sender.deliver(&self.queue, hand.request, items, kept, self);
            let Sent::Settled(lost, loss) = sent.await else {
                return;
            };
            if !self.sender.is_down() && self.troubled.swap(false, Ordering::Relaxed) {
                self.recovered().await;
            }
            match hand.place {
                Some(place) => {
                    self.disk.done(place, hand.former, hand.items, lost, loss).await;
                    let receipts = self.unsettled().remove(&place);
                    receipts.into_iter().flatten().for_each(Receipt::settle);
                }
                None => {
                    self.queue.settle(u64::from(hand.items), lost, loss);
                    hand.receipts.into_iter().for_each(Receipt::settle);
                }
            }
        }
    }

    /// The next batch to send. `None`: the queue is closed, and there is none.
    async fn next(&self, turn: &mut Turn) -> Option<Hand> {
        loop {
            // Set before the looks, so that what comes in between is not missed.
            let ready = self.ready.notified();
            let drained = self.drained.load(Ordering::Relaxed);
            let may_replay = self.shown.waiting() > 0 && Instant::now() >= turn.not_before;
            let owed = may_replay && turn.new >= NEW_ONES;
            if !owed && let Some(hand) = self.live().await {
                turn.new += 1;
                return Some(hand);
            }
            if may_replay {
                if let Some(hand) = self.replayed(false).await {
                    turn.new = 0;
                    turn.not_before = Instant::now() + Duration::from_secs(1) * hand.items / REPLAYED;
                    return Some(hand);
                }
                turn.new = 0;
                if let Some(hand) = self.live().await {
                    return Some(hand);
                }
            }
            let later = self.shown.waiting() > 0 && !may_replay;
            match (later, drained) {
                (true, _) => drop(timeout_at(turn.not_before, ready).await),
                (false, true) => return None,
                (false, false) => ready.await,
            }
        }
    }

    /// The next one that is new: those that are on the disk alone came before those that wait in memory.
    async fn live(&self) -> Option<Hand> {
        if self.ahead.load(Ordering::Relaxed)
            && self.shown.waiting() > 0
            && let Some(hand) = self.replayed(true).await
        {
            return Some(hand);
        }
        let hand = self.lane().pop_front();
        self.room.notify_one();
        hand
    }

    /// The next one of the backlog, or of those on the disk that are new.
    async fn replayed(&self, new: bool) -> Option<Hand> {
        loop {
            let batch = match new {
                true => self.disk.next_new().await?,
                false => self.disk.next().await?,
            };
            let request = match self.sender.transport.packs_gzip() {
                true => Some(batch.body.into()),
                false => unpack(&batch.body).map(|request| self.sender.transport.pack(request)),
            };
            if let Some(request) = request {
                return Some(Hand {
                    place: Some(batch.place),
                    request,
                    items: batch.items,
                    former: batch.former,
                    receipts: Vec::new(),
                });
            }
            let items = u64::from(batch.items);
            self.disk
                .done(batch.place, batch.former, batch.items, items, Loss::Corrupt)
                .await;
        }
    }

    /// What waits in memory and is on the disk as well comes back from there when it is its turn.
    async fn release(&self) {
        let mut places = Vec::new();
        self.lane().retain(|hand| {
            places.extend(hand.place);
            hand.place.is_none()
        });
        if !places.is_empty() {
            self.room.notify_one();
            self.disk.release(places).await;
        }
    }

    async fn sync_now_and_then(&self) {
        loop {
            self.written.notified().await;
            sleep(SYNC_AFTER).await;
            self.sync().await;
        }
    }

    /// Writes what waits to the medium, and hands back the receipts of what is safe.
    async fn sync(&self) {
        let places = self.unsettled().keys().copied().collect();
        for place in self.disk.sync(places).await {
            let receipts = self.unsettled().remove(&place);
            receipts.into_iter().flatten().for_each(Receipt::settle);
        }
    }
}

/// A request as the disk holds it, and as it is sent.
fn pack(transport: &impl Transport, request: Vec<u8>) -> (Bytes, Bytes) {
    if transport.packs_gzip() {
        let packed = transport.pack(request);
        return (packed.clone(), packed);
    }
    let kept = OtlpCompression::Gzip.append(&request, Vec::with_capacity(request.len() / 4));
    (kept.into(), transport.pack(request))
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn unpack(kept: &[u8]) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let read = GzDecoder::new(kept).take(UNPACKED).read_to_end(&mut request).ok()?;
    ((read as u64) < UNPACKED).then_some(request)
}

#[cfg(test)]
mod tests;
