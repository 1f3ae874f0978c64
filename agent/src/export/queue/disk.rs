//! Batches of one signal on the disk: appended to segment files, taken back oldest first, marked when the receiver has them.
//!
//! A segment whose batches are all marked is removed. When the folder has its limit, the oldest segment goes, with what is in it.
//! What is in memory of all this is a few numbers a segment. Nothing here waits but for the disk, and nothing here is asynchronous.
//!
//! A batch that is also on its way from memory is *claimed*: it is not taken back until it is released.

mod medium;
mod read;
mod recover;

use super::Loss;
use super::files::{Files, Store};
use super::segment::{DONE, FILE_HEAD, LONGEST, RECORD_HEAD, Record, file_head};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

/// Where a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::export) struct Place {
    segment: u64,
    offset: u64,
}

/// A batch as it comes back.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::export) struct Batch {
    pub(in crate::export) place: Place,
    pub(in crate::export) body: Vec<u8>,
    pub(in crate::export) items: u32,
    /// Of a former life of the agent.
    pub(in crate::export) former: bool,
}

/// Items that were lost here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) struct Lost {
    pub(in crate::export) items: u64,
    /// Of a former life of the agent.
    pub(in crate::export) former: bool,
    pub(in crate::export) loss: Loss,
}

/// Why a batch was not taken in.
#[derive(Debug, thiserror::Error)]
pub(in crate::export) enum AppendError {
    /// It is larger than all that may be kept.
    #[error("a batch of {0} bytes is larger than the queue may be")]
    TooLarge(usize),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// What is to be known of it from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::export) struct View {
    /// Bytes of its files, those of other versions too.
    pub(in crate::export) bytes: u64,
    /// Batches that the receiver has not.
    pub(in crate::export) batches: u64,
    /// Of these, those that nobody has claimed.
    pub(in crate::export) waiting: u64,
    /// Items of this life of the agent in them.
    pub(in crate::export) own_items: u64,
    /// When the oldest of them was made, about, nanoseconds since the epoch.
    pub(in crate::export) oldest: Option<u64>,
    /// Calls of the disk that failed.
    pub(in crate::export) errors: u64,
    /// Bytes that are no record: their writing was cut off, or they are spoilt.
    pub(in crate::export) torn_bytes: u64,
}

/// See the module.
pub(in crate::export) struct Disk {
    files: Arc<dyn Files>,
    signal: u8,
    /// Most bytes of all files.
    limit: u64,
    /// Bytes after which a new segment begins.
    segment_size: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The last of `segments` takes more in.
    open: bool,
    next_number: u64,
    /// Bytes of files that are left alone.
    foreign: u64,
    /// Up to here it was read.
    reader: Place,
    /// Of those that came since the receiver takes what comes: up to here they were read, ahead of the others. See `read`.
    newer: Option<Place>,
    /// Places and items of those that are on their way from memory, or in the hands of who read them.
    claimed: BTreeMap<Place, u32>,
    /// The receiver has them and they could not be marked; these lie ahead of the reader.
    unmarked: BTreeMap<Place, ()>,
    /// Files that are used again and again.
    handles: Vec<(u64, Arc<dyn Store>)>,
    lost: Vec<Lost>,
    errors: u64,
    torn_bytes: u64,
    closed: bool,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    /// Where its last record ends.
    end: u64,
    /// Batches that the receiver has not, and their items.
    batches: u64,
    items: u64,
    /// Of a former life of the agent.
    former: bool,
    /// When its oldest batch that waits was made, about.
    oldest: u64,
    /// Up to here it is on the medium.
    synced: u64,
    /// Writing it to the medium failed: what the kernel says of it from now on is not to be trusted.
    doubtful: bool,
}

/// Files open at the same time, about: the one that is read, the one that is written, the one before it.
const HANDLES: usize = 4;
/// Smallest and largest segment. Small, so that the limit costs little of what is old; not so small that there are many files.
const SEGMENT_SIZES: (u64, u64) = (64 << 10, 8 << 20);
/// Batches that are remembered because they could not be marked. Beyond them they are sent twice.
const UNMARKED: usize = 65_536;
/// Segments of a full queue, about.
const SEGMENTS: u64 = 16;

impl Disk {
    fn handle(&mut self, number: u64) -> io::Result<Arc<dyn Store>> {
        if let Some((_, handle)) = self.handles.iter().find(|(known, _)| *known == number) {
            return Ok(handle.clone());
        }
        let handle = self.files.open(number)?;
        self.keep_handle(number, handle.clone());
        Ok(handle)
    }

    fn keep_handle(&mut self, number: u64, handle: Arc<dyn Store>) {
        if self.handles.len() >= HANDLES {
            self.handles.remove(0);
        }
        self.handles.push((number, handle));
    }

    fn segment(&mut self, number: u64) -> Option<&mut Segment> {
        let index = self
            .segments
            .binary_search_by_key(&number, |segment| segment.number)
            .ok()?;
        self.segments.get_mut(index)
    }

    fn used(&self) -> u64 {
        self.foreign + self.segments.iter().map(|segment| segment.end).sum::<u64>()
    }

    /// Counts what failed, and hands it on.
    fn counted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.errors += u64::from(result.is_err());
        result
    }

    /// Takes a batch in: it outlives the process when this returns, and a loss of power after [`Disk::synced`]. `claim`: it is
    /// on its way from memory as well.
    pub(in crate::export) fn append(
        &mut self,
        body: &[u8],
        items: u32,
        time: u64,
        claim: bool,
    ) -> Result<Place, AppendError> {
        if self.closed {
            return Err(io::Error::other("the queue is closed").into());
        }
        let record = Record::of(self.signal, body, items, time);
        let most = self.limit.saturating_sub(self.foreign).max(self.segment_size);
        if record.length > LONGEST || FILE_HEAD + record.size() > most {
            return Err(AppendError::TooLarge(body.len()));
        }
        let result = self
            .make_room(record.size() + FILE_HEAD, most)
            .and_then(|()| self.write(&record, body));
        let place = self.counted(result)?;
        if claim {
            self.claimed.insert(place, items);
        }
        Ok(place)
    }

    fn write(&mut self, record: &Record, body: &[u8]) -> io::Result<Place> {
        let fits = |last: &&Segment| last.end + record.size() <= self.segment_size && !last.doubtful;
        if !self.open || self.segments.back().filter(fits).is_none() {
            self.begin()?;
        }
        let Some(&last) = self.segments.back() else {
            return Err(io::Error::other("no segment"));
        };
        let handle = self.handle(last.number)?;
        let mut bytes = Vec::with_capacity(body.len() + RECORD_HEAD as usize);
        bytes.extend_from_slice(&record.to_bytes());
        bytes.extend_from_slice(body);
        if let Err(error) = handle.write_at(&bytes, last.end) {
            // What was written of it must not stand before the next record. If it cannot be cut off, a new segment begins.
            self.open = handle.cut(last.end).is_ok();
            return Err(error);
        }
        if let Some(last) = self.segments.back_mut() {
            if last.batches == 0 {
                last.oldest = record.time;
            }
            last.end += record.size();
            last.batches += 1;
            last.items += u64::from(record.items);
        }
        Ok(Place {
            segment: last.number,
            offset: last.end,
        })
    }

    /// Begins a new segment.
    fn begin(&mut self) -> io::Result<()> {
        self.open = false;
        self.remove_if_done(self.segments.back().map_or(0, |last| last.number));
        let number = self.next_number;
        let handle = self.files.create(number)?;
        // Whatever becomes of this file, its number is taken.
        self.next_number += 1;
        if let Err(error) = handle.write_at(&file_head(), 0) {
            let _ = self.files.remove(number);
            return Err(error);
        }
        self.keep_handle(number, handle);
        self.segments.push_back(Segment {
            number,
            end: FILE_HEAD,
            batches: 0,
            items: 0,
            former: false,
            oldest: 0,
            synced: 0,
            doubtful: false,
        });
        self.open = true;
        Ok(())
    }

    /// Drops the oldest segments until there is room for so many bytes.
    fn make_room(&mut self, need: u64, most: u64) -> io::Result<()> {
        while self.used() - self.foreign + need > most {
            let Some(&first) = self.segments.front() else { break };
            self.files.remove(first.number)?;
            self.forget(first.number);
            self.lose(&first, Loss::QueueFull);
        }
        Ok(())
    }

    /// What waits in a segment that is no more is lost; what is claimed is on its way all the same.
    fn lose(&mut self, segment: &Segment, loss: Loss) {
        let claimed: u64 = self
            .claimed_in(segment.number)
            .map(|(_, items)| u64::from(*items))
            .sum();
        let items = segment.items.saturating_sub(claimed);
        if items > 0 {
            self.lost.push(Lost {
                items,
                former: segment.former,
                loss,
            });
        }
    }

    fn claimed_in(&self, segment: u64) -> impl Iterator<Item = (&Place, &u32)> {
        let from = Place { segment, offset: 0 };
        let to = Place {
            segment,
            offset: u64::MAX,
        };
        self.claimed.range(from..=to)
    }

    /// A segment whose file is gone.
    fn forget(&mut self, number: u64) {
        if self.segments.back().is_some_and(|last| last.number == number) {
            self.open = false;
        }
        self.segments.retain(|segment| segment.number != number);
        self.handles.retain(|(known, _)| *known != number);
        self.unmarked.retain(|place, ()| place.segment != number);
    }

    /// Removes a segment that holds nothing any more, but for the one that is written and still small.
    fn remove_if_done(&mut self, number: u64) -> bool {
        let open = self.open && self.segments.back().is_some_and(|last| last.number == number);
        let least = self.segment_size / 4;
        let done = |segment: &mut Segment| segment.batches == 0 && (!open || segment.end >= least);
        if !self.segment(number).is_some_and(done) {
            return false;
        }
        let removed = self.files.remove(number);
        // If it stays, its marks (or the next life's look at it) tell that nothing in it waits.
        if self.counted(removed).is_ok() {
            self.forget(number);
            return true;
        }
        false
    }

    /// The receiver has a claimed batch, or will never have it.
    pub(in crate::export) fn done(&mut self, place: Place) {
        if let Some(items) = self.claimed.remove(&place) {
            self.settle_in(place, items);
        }
    }

    /// Nothing is to become of this batch any more.
    fn settle_in(&mut self, place: Place, items: u32) {
        let Some(segment) = self.segment(place.segment) else {
            return;
        };
        segment.batches = segment.batches.saturating_sub(1);
        segment.items = segment.items.saturating_sub(u64::from(items));
        if self.remove_if_done(place.segment) {
            return;
        }
        let handle = self.handle(place.segment);
        let marked = handle.and_then(|file| file.write_at(&DONE.to_le_bytes(), place.offset));
        if self.counted(marked).is_err() && place >= self.reader && self.unmarked.len() < UNMARKED {
            self.unmarked.insert(place, ());
        }
    }

    /// These are not on their way from memory any more: they are taken back from here.
    pub(in crate::export) fn release(&mut self, places: &[Place]) {
        for place in places {
            let Some(items) = self.claimed.remove(place) else {
                continue;
            };
            if self.segment(place.segment).is_none() {
                // It went with its segment, and now from memory as well.
                self.lost.push(Lost {
                    items: u64::from(items),
                    former: false,
                    loss: Loss::QueueFull,
                });
            }
        }
    }

    /// Takes nothing more in.
    pub(in crate::export) fn close(&mut self) {
        self.closed = true;
    }

    /// What was lost since the last call.
    pub(in crate::export) fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    pub(in crate::export) fn view(&self) -> View {
        let waiting = || self.segments.iter().filter(|segment| segment.batches > 0);
        let batches = waiting().map(|segment| segment.batches).sum::<u64>();
        let known = |number: u64| {
            self.segments
                .binary_search_by_key(&number, |segment| segment.number)
                .is_ok()
        };
        let claimed = self.claimed.keys().filter(|place| known(place.segment)).count() as u64;
        View {
            bytes: self.used(),
            batches,
            waiting: batches.saturating_sub(claimed),
            own_items: waiting()
                .filter(|segment| !segment.former)
                .map(|segment| segment.items)
                .sum(),
            oldest: waiting().map(|segment| segment.oldest).next(),
            errors: self.errors,
            torn_bytes: self.torn_bytes,
        }
    }
}

#[cfg(test)]
pub(in crate::export) mod tests;
