//! The reader's side of a ring buffer (`BPF_MAP_TYPE_RINGBUF`, `kernel/bpf/ringbuf.c`).
//!
//! The kernel offers the data twice in a row, so that a record which runs over its end lies in one piece. aya's reader maps all of both, and
//! each page counts twice as resident memory: 16 MiB for a ring of 8. Here it is the data once, and of the second time as much as
//! a record can need.

use super::mapping::Mapping;
use aya::maps::MapData;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{Ordering, fence};

/// Bytes before each record: its length with the two flags below, and what the kernel needs.
const HEADER: usize = 8;
/// Still being written.
const BUSY: u32 = 1 << 31;
/// Given up by who wrote it.
const DISCARDED: u32 = 1 << 30;
/// Bytes that are mapped a second time, a multiple of every size of pages. Records of the kernel side have 1.4 kB at most; of a longer one
/// that runs over the end what is mapped is given.
const AGAIN: usize = 64 << 10;

/// The ring buffer of the kernel side.
#[derive(Debug)]
pub struct RecordRing {
    map: MapData,
    ring: Ring,
}

impl RecordRing {
    /// The reader of a map of this type.
    ///
    /// # Errors
    /// It is no ring buffer, or the process may map no more.
    pub(super) fn new(map: MapData) -> io::Result<RecordRing> {
        let size = map.info().map_err(io::Error::other)?.max_entries() as usize;
        let ring = Ring::new(map.fd().as_fd(), size)?;
        Ok(RecordRing { map, ring })
    }

    /// The next record's bytes, and the room it gives back when dropped.
    pub fn next_record(&mut self) -> Option<impl Deref<Target = [u8]> + '_> {
        self.ring.next()
    }
}

impl AsFd for RecordRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

/// What is mapped of a ring buffer, and how far it was read.
#[derive(Debug)]
struct Ring {
    /// The page with the reader's position.
    reader: Mapping,
    /// The page with the kernel's position, and the data.
    data: Mapping,
    /// Where the data begin.
    page: usize,
    /// Bytes of the data, a power of two.
    size: usize,
    /// The reader's position.
    read: usize,
    /// The kernel's position when it was last looked at.
    written: usize,
    /// Something was read since.
    moved: bool,
}

impl Ring {
    fn new(map: BorrowedFd<'_>, size: usize) -> io::Result<Ring> {
        let page = procfs::page_size() as usize;
        let reader = Mapping::new(map, 0, page, true)?;
        let data = Mapping::new(map, page, page + size + AGAIN.min(size), false)?;
        let read = reader.long(0).load(Ordering::Acquire);
        Ok(Ring {
            reader,
            data,
            page,
            size,
            read,
            written: read,
            moved: false,
        })
    }

    fn next(&mut self) -> Option<Record<'_>> {
        loop {
            if self.read == self.written {
                self.show();
                self.written = self.data.long(0).load(Ordering::Acquire);
                if self.read == self.written {
                    return None;
                }
            }
            let at = self.page + (self.read & (self.size - 1));
            // What was written before the flag was taken away is seen.
            let header = self.data.word(at).load(Ordering::Acquire);
            let length = (header & !(BUSY | DISCARDED)) as usize;
            if header & BUSY != 0 {
                if !self.show() {
                    return None;
                }
            } else if header & DISCARDED != 0 {
                self.free(length);
            } else {
                let at = at + HEADER;
                return Some(Record { ring: self, at, length });
            }
        }
    }

    /// Whoever ends a record calls the reader only if it had read all before. So either he sees where the reader is now, or the reader
    /// sees what he ended. `false`: he has seen it before.
    fn show(&mut self) -> bool {
        let moved = std::mem::take(&mut self.moved);
        if moved {
            fence(Ordering::SeqCst);
        }
        moved
    }

    /// Gives the room of a record back.
    fn free(&mut self, length: usize) {
        self.read = self.read.wrapping_add((HEADER + length).next_multiple_of(8));
        // What was read of it was read before.
        self.reader.long(0).store(self.read, Ordering::Release);
        self.moved = true;
    }
}

/// A record whose room is not given back yet.
struct Record<'a> {
    ring: &'a mut Ring,
    at: usize,
    length: usize,
}

impl Deref for Record<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the record is ended, and its room not given back before this borrow is over: nobody writes it.
        unsafe { self.ring.data.bytes(self.at, self.length) }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.ring.free(self.length);
    }
}

#[cfg(test)]
mod tests;
