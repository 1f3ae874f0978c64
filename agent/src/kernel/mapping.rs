//! Memory of a map that this process sees too.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicUsize};

/// A part of a map's memory, shared with the kernel until this is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; others change what lies there by atomic stores alone, or not while it is
// read (`Mapping::bytes`).
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes from `offset` on, which is a multiple of the size of a page.
    ///
    /// # Errors
    /// The descriptor has no such memory, or the process may map no more.
    pub(super) fn new(of: BorrowedFd<'_>, offset: usize, length: usize, writable: bool) -> io::Result<Mapping> {
        let access = if writable {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                access,
                libc::MAP_SHARED,
                of.as_raw_fd(),
                offset,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Mapping { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// An `unsigned long`.
    ///
    /// # Panics
    /// When it is not all in the mapping, or not aligned.
    pub(super) fn long(&self, at: usize) -> &AtomicUsize {
        // SAFETY: `place` has seen to it that it is mapped, for as long as `self`, and aligned; any bits are a number.
        unsafe { self.place::<AtomicUsize>(at).as_ref() }
    }

    /// A `u32`.
    ///
    /// # Panics
    /// As above.
    pub(super) fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.place::<AtomicU32>(at).as_ref() }
    }

    /// What is mapped of these bytes.
    ///
    /// # Safety
    /// Nobody writes them as long as they are borrowed.
    pub(super) unsafe fn bytes(&self, at: usize, length: usize) -> &[u8] {
        let at = at.min(self.length);
        // SAFETY: all of it lies within the mapping, which lives as long as `self`; the caller says that nobody writes it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(at), length.min(self.length - at)) }
    }

    fn place<T>(&self, at: usize) -> NonNull<T> {
        let (size, align) = (size_of::<T>(), align_of::<T>());
        assert!(
            at.is_multiple_of(align) && at <= self.length && self.length - at >= size,
            "{at} of {} bytes that are mapped",
            self.length
        );
        // SAFETY: within the mapping.
        unsafe { self.start.add(at).cast() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping made in `new`, and nobody borrows from it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
