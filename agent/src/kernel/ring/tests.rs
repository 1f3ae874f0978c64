//! The reader over a file in memory with the layout of a ring buffer, written as the kernel writes it.

use super::*;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::fs::File;
use std::os::unix::fs::FileExt;

const SIZE: usize = 128 << 10;

struct Kernel {
    file: File,
    page: usize,
    written: usize,
}

impl Kernel {
    fn new() -> (Kernel, Ring) {
        let page = procfs::page_size() as usize;
        let file = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, (2 * page + 2 * SIZE) as u64).unwrap();
        let ring = Ring::new(file.as_fd(), SIZE).unwrap();
        let file = File::from(file);
        (Kernel { file, page, written: 0 }, ring)
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        // As the data are there twice, in the part that is mapped.
        let start = 2 * self.page;
        for (n, byte) in bytes.iter().enumerate() {
            let at = (at + n) % SIZE;
            self.file.write_all_at(&[*byte], (start + at) as u64).unwrap();
            self.file.write_all_at(&[*byte], (start + SIZE + at) as u64).unwrap();
        }
    }

    fn header(&self, at: usize, length: usize, flags: u32) {
        self.put(at, &(length as u32 | flags).to_ne_bytes());
    }

    fn reserve(&mut self, length: usize) -> usize {
        let at = self.written;
        self.header(at, length, BUSY);
        self.written += (HEADER + length).next_multiple_of(8);
        let written = self.written.to_ne_bytes();
        self.file.write_all_at(&written, self.page as u64).unwrap();
        at
    }

    fn commit(&self, at: usize, bytes: &[u8], flags: u32) {
        self.put(at + HEADER, bytes);
        self.header(at, bytes.len(), flags);
    }

    fn submit(&mut self, bytes: &[u8]) {
        let at = self.reserve(bytes.len());
        self.commit(at, bytes, 0);
    }

    /// Where the reader says that it is.
    fn read(&self) -> usize {
        let mut bytes = [0; size_of::<usize>()];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        usize::from_ne_bytes(bytes)
    }
}

#[test]
fn records_come_in_order_and_give_their_room_back() {
    let (mut kernel, mut ring) = Kernel::new();
    assert!(ring.next().is_none());
    kernel.submit(b"first");
    kernel.submit(b"second, longer");
    let first = ring.next().unwrap();
    assert_eq!(&*first, b"first");
    assert_eq!(kernel.read(), 0);
    drop(first);
    assert_eq!(kernel.read(), 16);
    assert_eq!(&*ring.next().unwrap(), b"second, longer");
    assert!(ring.next().is_none());
    assert_eq!(kernel.read(), kernel.written);
}

#[test]
fn a_record_that_is_being_written_holds_those_behind_it() {
    let (mut kernel, mut ring) = Kernel::new();
    kernel.submit(b"before");
    let busy = kernel.reserve(3);
    kernel.submit(b"behind");
    assert_eq!(&*ring.next().unwrap(), b"before");
    assert!(ring.next().is_none());
    kernel.commit(busy, b"now", 0);
    assert_eq!(&*ring.next().unwrap(), b"now");
    assert_eq!(&*ring.next().unwrap(), b"behind");
}

#[test]
fn records_that_were_given_up_are_passed_over() {
    let (mut kernel, mut ring) = Kernel::new();
    let at = kernel.reserve(100);
    kernel.commit(at, &[7; 100], DISCARDED);
    assert!(ring.next().is_none());
    assert_eq!(kernel.read(), kernel.written);
    kernel.submit(b"");
    assert_eq!(&*ring.next().unwrap(), b"");
}

#[test]
fn a_record_over_the_end_is_in_one_piece() {
    let (mut kernel, mut ring) = Kernel::new();
    let mut rounds = 0;
    for n in 0.. {
        let bytes: Vec<u8> = (0..1_392 + n % 7).map(|k| (n + k) as u8).collect();
        let begins = kernel.written % SIZE;
        kernel.submit(&bytes);
        assert_eq!(*ring.next().unwrap(), *bytes);
        if begins > kernel.written % SIZE {
            rounds += 1;
        }
        if rounds == 3 {
            break;
        }
    }
}

/// No program writes such a one. It must not be read from memory that is not there.
#[test]
fn of_a_record_too_long_for_the_second_part_what_is_mapped_is_told() {
    let (mut kernel, mut ring) = Kernel::new();
    let (first, long) = (SIZE - 64, AGAIN + 64);
    kernel.submit(&vec![1; first]);
    assert_eq!(ring.next().unwrap().len(), first);
    let at = kernel.reserve(long);
    kernel.header(at, long, 0);
    let told = ring.next().unwrap().len();
    assert!(told >= AGAIN && told < long, "{told}");
    assert_eq!(kernel.read(), kernel.written);
}
