//! How full the ring buffer is, read from the two pages in which kernel and reader keep their positions
//! (`kernel/bpf/ringbuf.c`): no system call, and nothing of the ring is touched.

use super::mapping::Mapping;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

/// The positions of a ring buffer, mapped for reading.
#[derive(Debug)]
pub struct RingFill {
    positions: Mapping,
    page: usize,
}

impl RingFill {
    /// Maps the positions of a map of type `BPF_MAP_TYPE_RINGBUF`: the reader's is at the start of its first page, the kernel's at
    /// that of the second.
    ///
    /// # Errors
    /// The descriptor is no ring buffer, or the process may map no more.
    pub fn new(ring: impl AsFd) -> io::Result<RingFill> {
        let page = procfs::page_size() as usize;
        let positions = Mapping::new(ring.as_fd(), 0, 2 * page, false)?;
        Ok(RingFill { positions, page })
    }

    /// Bytes that wait to be read, records still being written included.
    pub fn bytes(&self) -> usize {
        // The reader's position first: it never overtakes the kernel's.
        let read = self.positions.long(0).load(Ordering::Acquire);
        self.positions
            .long(self.page)
            .load(Ordering::Acquire)
            .wrapping_sub(read)
    }
}
