//! Batches come back: those of a backlog oldest first, and beside them, while the receiver takes what comes, those that came since and found no
//! other way, oldest first as well. So a backlog of hours keeps nothing waiting that is of now.

use super::{Batch, Disk, FILE_HEAD, Lost, Place, Record, Segment};
use crate::export::queue::Loss;

impl Disk {
    /// The next batch, oldest first, claimed for who takes it. `None`: there is none, or the next one is claimed.
    pub(in crate::export) fn next(&mut self) -> Option<Batch> {
        let (at, batch) = self.read_on(self.reader, self.newer);
        self.reader = at;
        if batch.is_some() {
            return batch;
        }
        let newer = self.newer.take_if(|newer| at >= *newer)?;
        // There is no backlog any more.
        let (at, batch) = self.read_on(at.max(newer), None);
        self.reader = at;
        batch
    }

    /// The next one of those that came since [`Disk::takes`].
    pub(in crate::export) fn next_new(&mut self) -> Option<Batch> {
        let (at, batch) = self.read_on(self.newer?, None);
        self.newer = Some(at);
        batch
    }

    /// The receiver takes what comes: what is appended from here on needs not wait for what is there.
    pub(in crate::export) fn takes(&mut self) {
        let end = self.segments.back().map(|last| Place {
            segment: last.number,
            offset: last.end,
        });
        self.newer = Some(end.unwrap_or(Place {
            segment: self.next_number,
            offset: 0,
        }));
    }

    /// The receiver takes nothing: once it does again, all that is there by then is a backlog.
    pub(in crate::export) fn refuses(&mut self) {
        self.newer = None;
    }

    /// Reads on from a place, to the next batch that waits or to another place; tells where that is.
    fn read_on(&mut self, mut at: Place, until: Option<Place>) -> (Place, Option<Batch>) {
        let oldest = until.is_some() || self.newer.is_none();
        loop {
            if until.is_some_and(|until| at >= until) {
                return (at, None);
            }
            let index = self.segments.partition_point(|segment| segment.number < at.segment);
            let Some(segment) = self.segments.get(index).copied() else {
                return (at.max(until.unwrap_or_default()), None);
            };
            if segment.number > at.segment {
                at = Place {
                    segment: segment.number,
                    offset: FILE_HEAD,
                };
                continue;
            }
            // Where a segment is to begin that is there by now.
            at.offset = at.offset.max(FILE_HEAD);
            if at.offset >= segment.end || segment.batches == 0 {
                if index + 1 >= self.segments.len() {
                    at.offset = segment.end;
                    return (at.max(until.unwrap_or_default()), None);
                }
                at = Place {
                    segment: segment.number + 1,
                    offset: FILE_HEAD,
                };
                continue;
            }
            if self.claimed.contains_key(&at) {
                return (at, None);
            }
            let read = self.handle(at.segment).and_then(|file| {
                let record = Record::read(&*file, at.offset, segment.end)?;
                Ok(record.map(|record| (record, file)))
            });
            let (record, file) = match self.counted(read) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    self.spoilt(&segment, at, Loss::Corrupt);
                    continue;
                }
                Err(_) => {
                    self.spoilt(&segment, at, Loss::DiskError);
                    continue;
                }
            };
            let place = at;
            at.offset += record.size();
            if record.done || self.unmarked.remove(&place).is_some() {
                continue;
            }
            if let Some(segment) = self.segment(place.segment).filter(|_| oldest) {
                segment.oldest = record.time;
            }
            let body = record.body(&*file, place.offset);
            let loss = match self.counted(body) {
                Ok(Some(body)) if record.signal == self.signal => {
                    self.claimed.insert(place, record.items);
                    let batch = Batch {
                        place,
                        body,
                        items: record.items,
                        former: segment.former,
                    };
                    return (at, Some(batch));
                }
                Ok(_) => Loss::Corrupt,
                Err(_) => Loss::DiskError,
            };
            self.lost.push(Lost {
                items: u64::from(record.items),
                former: segment.former,
                loss,
            });
            self.settle_in(place, record.items);
        }
    }

    /// The rest of a segment cannot be read.
    fn spoilt(&mut self, segment: &Segment, at: Place, loss: Loss) {
        self.lose(segment, loss);
        self.torn_bytes += segment.end.saturating_sub(at.offset);
        // If it stays, the next life of the agent finds what is left of it.
        let removed = self.files.remove(segment.number);
        let _ = self.counted(removed);
        self.forget(segment.number);
    }
}
