//! What a loss of power would leave.

use super::{Disk, Place, Segment};
use crate::export::queue::files::{Files, Store};
use std::io;
use std::sync::Arc;

/// A file that is to be written to the medium.
pub(in crate::export) struct Unsynced {
    number: u64,
    end: u64,
    file: Arc<dyn Store>,
    /// Its name is not on the medium either.
    folder: Option<Arc<dyn Files>>,
}

impl Unsynced {
    /// Writes it. That can take long: not to be waited for by those who use the queue.
    pub(in crate::export) fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        self.folder.as_ref().map_or(Ok(()), |folder| folder.sync())
    }
}

impl Disk {
    /// Whether this batch outlives a loss of power, or needs not.
    pub(in crate::export) fn is_synced(&mut self, place: Place) -> bool {
        self.segment(place.segment)
            .is_none_or(|segment| segment.synced > place.offset)
    }

    /// Files that are to be written to the medium: those that hold a batch which waits.
    pub(in crate::export) fn unsynced(&mut self) -> Vec<Unsynced> {
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
            if let Ok(file) = self.counted(handle) {
                files.push(Unsynced {
                    number: segment.number,
                    end: segment.end,
                    file,
                    folder: (segment.synced == 0).then(|| self.files.clone()),
                });
            }
        }
        files
    }

    /// The file of this segment was written to the medium, or could not be.
    pub(in crate::export) fn synced(&mut self, file: &Unsynced, result: io::Result<()>) {
        let result = self.counted(result);
        if let Some(segment) = self.segment(file.number) {
            match result {
                Ok(()) => segment.synced = segment.synced.max(file.end),
                // The kernel may have dropped what it could not write, and say nothing of it the next time.
                Err(_) => segment.doubtful = true,
            }
        }
    }
}
