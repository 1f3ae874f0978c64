//! At how many waiting bytes of the ring the kernel side wakes the reader.

use aya::maps::{Array, MapData, MapError};

/// Waiting bytes at which a reader is woken that expects nothing: some 200 exchanges, or the lives of some 150 processes.
const EARLY: u32 = 64 << 10;

/// The mark that programs of the kernel side read with every record.
pub struct Mark {
    map: Array<MapData, u32>,
    usual: u32,
    now: u32,
}

impl Mark {
    /// Sets it to `usual` bytes.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(super) fn new(map: Array<MapData, u32>, usual: u32) -> Result<Mark, MapError> {
        let mut mark = Mark { map, usual, now: 0 };
        mark.put(usual)?;
        Ok(mark)
    }

    /// Whether the reader is woken early.
    pub fn set(&mut self, early: bool) {
        let wanted = if early { self.usual.min(EARLY) } else { self.usual };
        if let Err(error) = self.put(wanted) {
            tracing::warn!(%error, "the kernel does not take the mark of the ring: records may wait longer");
        }
    }

    fn put(&mut self, wanted: u32) -> Result<(), MapError> {
        if wanted != self.now {
            self.map.set(0, wanted, 0)?;
            self.now = wanted;
        }
        Ok(())
    }
}
