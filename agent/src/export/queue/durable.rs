//! The disk queue as a task sees it: every call of the disk runs on a thread of the runtime's pool, so that a slow disk stops no
//! scrape; what was lost there is counted in the ledger of its life at once.

use super::disk::{AppendError, Batch, Disk, Place, View};
use super::{Loss, Queue, QueueCounts};
use crate::cost::{self, Stage};
use crate::export::Item;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What is to be known of a queue on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Bytes of its files.
    pub bytes: u64,
    /// Batches that the receiver has not.
    pub batches: u64,
    /// When the oldest of them was made, about, nanoseconds since the epoch.
    pub oldest: Option<u64>,
    /// Calls of the disk that failed.
    pub errors: u64,
    /// Bytes that were no record: their writing was cut off, or they are spoilt.
    pub torn_bytes: u64,
    /// Batches are written to the disk now; else the last one could not be.
    pub works: bool,
    /// What became of the items that a former life of the agent left: `seen` were found at the start.
    pub former: QueueCounts,
}

#[derive(Debug)]
struct Shown {
    view: View,
    works: bool,
    former: Former,
}

/// The ledger of what a former life left.
#[derive(Debug, Default)]
struct Former {
    seen: u64,
    delivered: u64,
    lost: [u64; Loss::NAMES.len()],
}

impl Former {
    fn settle(&mut self, items: u64, lost: u64, loss: Loss) {
        self.delivered += items.saturating_sub(lost);
        self.lost[loss as usize] += lost;
    }
}

/// What is shown of a queue on the disk. Reading it does not wait for the disk.
#[derive(Clone, Debug)]
pub(in crate::export) struct Showing(Arc<Mutex<Shown>>);

impl Showing {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(in crate::export) fn counts(&self) -> DiskCounts {
        let shown = self.lock();
        let (view, former) = (&shown.view, &shown.former);
        let lost: u64 = former.lost.iter().sum();
        DiskCounts {
            bytes: view.bytes,
            batches: view.batches,
            oldest: view.oldest,
            errors: view.errors,
            torn_bytes: view.torn_bytes,
            works: shown.works,
            former: QueueCounts {
                seen: former.seen,
                delivered: former.delivered,
                pending: former.seen.saturating_sub(former.delivered).saturating_sub(lost),
                waiting: 0,
                waiting_bytes: 0,
                lost: Loss::NAMES.into_iter().zip(former.lost).collect(),
            },
        }
    }

    /// Batches that nobody has claimed.
    pub(in crate::export) fn waiting(&self) -> u64 {
        self.lock().view.waiting
    }

    /// Items of this life.
    pub(in crate::export) fn own_items(&self) -> u64 {
        self.lock().view.own_items
    }
}

/// How a batch is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Write {
    pub(in crate::export) items: u32,
    /// When it was made, nanoseconds since the epoch.
    pub(in crate::export) time: u64,
    /// It is on its way from memory as well.
    pub(in crate::export) claim: bool,
}

/// See the module.
pub(in crate::export) struct Durable<T>(Arc<Inner<T>>);

struct Inner<T> {
    disk: Mutex<Disk>,
    queue: Arc<Queue<T>>,
    shown: Showing,
}

impl<T: Item> Inner<T> {
    /// A call of the disk, and what came of it.
    fn with_disk<R>(&self, call: impl FnOnce(&mut Disk) -> R) -> R {
        let mut disk = self.disk.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let result = call(&mut disk);
        self.account(&mut disk);
        result
    }

    /// Counts what was lost, and shows how things are. Under the lock of the disk, so that nothing older comes after it.
    fn account(&self, disk: &mut Disk) {
        let mut shown = self.shown.lock();
        for lost in disk.take_lost() {
            match lost.former {
                true => shown.former.settle(lost.items, lost.items, lost.loss),
                false => self.queue.settle(lost.items, lost.items, lost.loss),
            }
        }
        shown.view = disk.view();
    }
}

impl<T: Item> Durable<T> {
    /// `former`: items that a former life left.
    pub(in crate::export) fn new(disk: Disk, former: u64, queue: Arc<Queue<T>>) -> Durable<T> {
        let shown = Shown {
            view: View::default(),
            works: true,
            former: Former {
                seen: former,
                ..Former::default()
            },
        };
        let shown = Showing(Arc::new(Mutex::new(shown)));
        let inner = Inner {
            disk: Mutex::new(disk),
            queue,
            shown,
        };
        inner.with_disk(|_| ());
        Durable(Arc::new(inner))
    }

    pub(in crate::export) fn shown(&self) -> Showing {
        self.0.shown.clone()
    }

    /// Runs work where it may wait.
    async fn away<R: Send + 'static>(&self, work: impl FnOnce(&Inner<T>) -> R + Send + 'static) -> io::Result<R> {
        let inner = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            cost::lap(Stage::Runtime);
            let result = work(&inner);
            cost::lap(Stage::Otlp);
            result
        });
        // Only when the runtime ends.
        done.await.map_err(io::Error::other)
    }

    /// Runs a call of the disk where it may wait.
    async fn call<R: Send + 'static>(&self, call: impl FnOnce(&mut Disk) -> R + Send + 'static) -> io::Result<R> {
        self.away(|inner| inner.with_disk(call)).await
    }

    /// Makes a batch and appends it, if `write` tells that and how; see [`Disk::append`]. Encoding and packing take as long as a write: they run
    /// there too. What is too large is for the caller to count.
    pub(in crate::export) async fn append<R: Send + 'static>(
        &self,
        make: impl FnOnce() -> (bytes::Bytes, R) + Send + 'static,
        write: Option<Write>,
    ) -> io::Result<(R, Option<Result<Place, AppendError>>)> {
        let work = move |inner: &Inner<T>| {
            let (body, made) = make();
            let written = write.map(|Write { items, time, claim }| {
                let result = inner.with_disk(|disk| disk.append(&body, items, time, claim));
                if !matches!(result, Err(AppendError::TooLarge(_))) {
                    inner.shown.lock().works = result.is_ok();
                }
                result
            });
            (made, written)
        };
        self.away(work).await
    }

    /// The next batch, oldest first, claimed.
    pub(in crate::export) async fn next(&self) -> Option<Batch> {
        self.call(Disk::next).await.ok().flatten()
    }

    /// The next one of those that came since the receiver takes what comes, claimed.
    pub(in crate::export) async fn next_new(&self) -> Option<Batch> {
        self.call(Disk::next_new).await.ok().flatten()
    }

    /// Whether the receiver takes what comes, from now on.
    pub(in crate::export) async fn takes(&self, takes: bool) {
        let _ = self.call(if takes { Disk::takes } else { Disk::refuses }).await;
    }

    /// What became of a claimed batch.
    pub(in crate::export) async fn done(&self, place: Place, former: bool, items: u32, lost: u64, loss: Loss) {
        let _ = self.call(move |disk| disk.done(place)).await;
        self.settle(former, items, lost, loss);
    }

    /// Counts what became of a batch in the ledger of its life.
    pub(in crate::export) fn settle(&self, former: bool, items: u32, lost: u64, loss: Loss) {
        match former {
            true => self.0.shown.lock().former.settle(u64::from(items), lost, loss),
            false => self.0.queue.settle(u64::from(items), lost, loss),
        }
    }

    /// See [`Disk::release`].
    pub(in crate::export) async fn release(&self, places: Vec<Place>) {
        let _ = self.call(move |disk| disk.release(&places)).await;
    }

    /// Writes what waits to the medium. Returns which of these places need not be made again after a loss of power.
    pub(in crate::export) async fn sync(&self, places: Vec<Place>) -> Vec<Place> {
        let files = self.call(Disk::unsynced).await.unwrap_or_default();
        for file in files {
            // Not under the lock: batches come and go while the medium is slow.
            let synced = tokio::task::spawn_blocking(move || {
                let result = file.sync();
                (file, result)
            });
            // Only when the runtime ends there is no answer.
            if let Ok((file, result)) = synced.await {
                let _ = self.call(move |disk| disk.synced(&file, result)).await;
            }
        }
        let safe = self.call(move |disk| {
            let safe = places.into_iter().filter(|place| disk.is_synced(*place));
            safe.collect()
        });
        safe.await.unwrap_or_default()
    }

    /// Takes nothing more in.
    pub(in crate::export) async fn close(&self) {
        let _ = self.call(Disk::close).await;
    }
}
