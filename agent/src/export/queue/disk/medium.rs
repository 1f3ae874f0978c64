//! What a loss of power would leave.

use super::{Disk, Place, Segment};
use crate::export::queue::files::Store;
use std::io;
use std::sync::Arc;

impl Disk {
    /// Whether this batch outlives a loss of power, or needs not.
    pub(in crate::export) fn is_synced(&mut self, place: Place) -> bool {
        self.segment(place.segment)
            .is_none_or(|segment| segment.synced > place.offset)
    }

    /// Files that are to be written to the medium, with their numbers and ends: those that hold a batch which waits.
    pub(in crate::export) fn unsynced(&mut self) -> Vec<(u64, u64, Arc<dyn Store>)> {
        let dirty = |segment: &&Segment| segment.end > segment.synced && segment.batches > 0 && !segment.doubtful;
        let dirty: Vec<Segment> = self
            .segments
            .iter()
            .filter(|s| !s.former)
            .filter(dirty)
            .copied()
            .collect();
        let mut files = Vec::with_capacity(dirty.len());
        for segment in dirty {
            let handle = self.handle(segment.number);
            if let Ok(handle) = self.counted(handle) {
                files.push((segment.number, segment.end, handle));
            }
        }
        files
    }

    /// The file of this segment was written to the medium up to here, or could not be.
    pub(in crate::export) fn synced(&mut self, number: u64, end: u64, result: io::Result<()>) {
        let result = self.counted(result);
        let mut named = Ok(());
        if self.segment(number).is_some_and(|segment| segment.synced == 0) {
            named = self.files.sync();
            named = self.counted(named);
        }
        if let Some(segment) = self.segment(number) {
            match result.and(named) {
                Ok(()) => segment.synced = segment.synced.max(end),
                // The kernel may have dropped what it could not write, and say nothing of it the next time.
                Err(_) => segment.doubtful = true,
            }
        }
    }
}
