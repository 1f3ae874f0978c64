//! How full the ring buffer is, read from the two pages in which kernel and reader keep their positions
//! (`kernel/bpf/ringbuf.c`): no system call, and nothing of the ring is touched.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The positions of a ring buffer, mapped for reading.
#[derive(Debug)]
pub struct RingFill {
    pages: NonNull<libc::c_void>,
    page: usize,
}

// SAFETY: the mapping is read alone, by atomic loads, and lives until the last owner drops it.
unsafe impl Send for RingFill {}
// SAFETY: as above.
unsafe impl Sync for RingFill {}

impl RingFill {
    /// Maps the positions of a map of type `BPF_MAP_TYPE_RINGBUF`.
    ///
    /// # Errors
    /// The descriptor is no ring buffer, or the process may map no more.
    pub fn new(ring: impl AsFd) -> io::Result<RingFill> {
        let page = procfs::page_size() as usize;
        // SAFETY: a new mapping at an address of the kernel's choice; the first page of a ring buffer holds the reader's
        // position and the second the kernel's, both at their start, and both may be mapped for reading.
        let pages = unsafe {
            libc::mmap(
                ptr::null_mut(),
                2 * page,
                libc::PROT_READ,
                libc::MAP_SHARED,
                ring.as_fd().as_raw_fd(),
                0,
            )
        };
        match NonNull::new(pages) {
            Some(pages) if pages.as_ptr() != libc::MAP_FAILED => Ok(RingFill { pages, page }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Bytes that wait to be read, records still being written included.
    pub fn bytes(&self) -> usize {
        // The reader's position first: it never overtakes the kernel's.
        let read = self.position(0);
        self.position(self.page).wrapping_sub(read)
    }

    fn position(&self, offset: usize) -> usize {
        // SAFETY: the offset is 0 or one page of two that stay mapped as long as `self`; pages are aligned for any integer,
        // and kernel and reader write the position as one aligned `unsigned long`.
        let position = unsafe { self.pages.byte_add(offset).cast::<AtomicUsize>().as_ref() };
        position.load(Ordering::Acquire)
    }
}

impl Drop for RingFill {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping made in `new`, and nobody borrows from it.
        unsafe { libc::munmap(self.pages.as_ptr(), 2 * self.page) };
    }
}
