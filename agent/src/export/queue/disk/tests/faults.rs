//! A disk that is full, read-only, or fails to read or to sync.

use super::*;
use crate::export::queue::segment::ReadAt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What is wrong with the disk.
#[derive(Debug)]
pub(in crate::export) struct Faults {
    /// Bytes that can still be written.
    room: AtomicI64,
    reads: AtomicBool,
    syncs: AtomicBool,
}

impl Faults {
    pub(in crate::export) fn none() -> Arc<Faults> {
        Arc::new(Faults {
            room: AtomicI64::new(i64::MAX),
            reads: AtomicBool::new(false),
            syncs: AtomicBool::new(false),
        })
    }
    pub(in crate::export) fn set_room(&self, bytes: i64) {
        self.room.store(bytes, Ordering::Relaxed);
    }
    pub(in crate::export) fn fail_syncs(&self, fail: bool) {
        self.syncs.store(fail, Ordering::Relaxed);
    }
}

pub(in crate::export) struct Faulty(Folder, Arc<Faults>);

impl Faulty {
    pub(in crate::export) fn new(path: &Path, faults: &Arc<Faults>) -> Faulty {
        Faulty(Folder::make(path).unwrap(), faults.clone())
    }
}

struct FaultyFile(Arc<dyn Store>, Arc<Faults>);

/// Numbers of Linux.
#[derive(Clone, Copy)]
enum Errno {
    Io = 5,
    NoSpace = 28,
}

fn failed(error: Errno) -> io::Error {
    io::Error::from_raw_os_error(error as i32)
}

impl Files for Faulty {
    fn list(&self) -> io::Result<Vec<u64>> {
        self.0.list()
    }
    fn create(&self, number: u64) -> io::Result<Arc<dyn Store>> {
        if self.1.room.load(Ordering::Relaxed) <= 0 {
            return Err(failed(Errno::NoSpace));
        }
        Ok(Arc::new(FaultyFile(self.0.create(number)?, self.1.clone())))
    }
    fn open(&self, number: u64) -> io::Result<Arc<dyn Store>> {
        Ok(Arc::new(FaultyFile(self.0.open(number)?, self.1.clone())))
    }
    fn remove(&self, number: u64) -> io::Result<()> {
        self.0.remove(number)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

impl ReadAt for FaultyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.1.reads.load(Ordering::Relaxed) {
            true => Err(failed(Errno::Io)),
            false => self.0.read_at(into, offset),
        }
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}

impl Store for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let room = self.1.room.fetch_sub(bytes.len() as i64, Ordering::Relaxed);
        if room >= bytes.len() as i64 {
            return self.0.write_at(bytes, offset);
        }
        // As a full disk does: the first part is written.
        self.1.room.store(0, Ordering::Relaxed);
        self.0.write_at(&bytes[..usize::try_from(room).unwrap_or(0)], offset)?;
        Err(failed(Errno::NoSpace))
    }
    fn cut(&self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }
    fn sync(&self) -> io::Result<()> {
        match self.1.syncs.load(Ordering::Relaxed) {
            true => Err(failed(Errno::Io)),
            false => self.0.sync(),
        }
    }
}

fn faulty(path: &Path) -> (Disk, Arc<Faults>) {
    let faults = Faults::none();
    let files = Faulty::new(path, &faults);
    (Disk::open(Arc::new(files), SIGNAL, LARGE).unwrap().0, faults)
}

/// Writes what waits to the medium, as the task does.
fn sync(disk: &mut Disk) {
    for file in disk.unsynced() {
        let result = file.sync();
        disk.synced(&file, result);
    }
}

#[test]
fn full_at_any_byte_and_free_again() {
    // Every place of a record, and of a new file.
    for room in 0..=FILE_HEAD as i64 + 2 * (RECORD_HEAD as i64 + 60) {
        let folder = folder();
        let (mut disk, faults) = faulty(folder.path());
        faults.set_room(room);
        let mut kept = Vec::new();
        for number in 1..=5 {
            match disk.append(&body(number), number, 1, false) {
                Ok(_) => kept.push(number),
                Err(AppendError::Disk(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(kept.len() as u64, disk.view().batches);
        assert_eq!(disk.view().errors, 5 - kept.len() as u64);
        faults.set_room(i64::MAX);
        append(&mut disk, 6, false);
        kept.push(6);
        drop(disk);
        let (mut disk, found) = open(folder.path(), LARGE);
        assert_eq!(found.torn_bytes, 0, "with room for {room}");
        assert_eq!(drain(&mut disk), kept, "with room for {room}");
    }
}

#[test]
fn what_cannot_be_marked_is_not_sent_twice_in_this_life() {
    let folder = folder();
    let (mut disk, faults) = faulty(folder.path());
    append(&mut disk, 1, false);
    let sent = append(&mut disk, 2, true);
    append(&mut disk, 3, false);
    faults.set_room(0);
    disk.done(sent);
    assert_eq!(disk.view().errors, 1);
    assert_eq!(drain(&mut disk), [1, 3]);
    assert_eq!((disk.view().batches, disk.unmarked.len()), (0, 0));
    // The next life knows nothing of it.
    drop(disk);
    assert_eq!(drain(&mut open(folder.path(), LARGE).0), [1, 2, 3]);
}

#[test]
fn what_cannot_be_read_is_counted() {
    let folder = folder();
    let (mut disk, faults) = faulty(folder.path());
    append_all(&mut disk, 1..=3);
    faults.reads.store(true, Ordering::Relaxed);
    assert_eq!(disk.next(), None);
    let lost = Lost {
        items: 6,
        former: false,
        loss: Loss::DiskError,
    };
    assert_eq!((disk.take_lost(), disk.view().batches), (vec![lost], 0));
    faults.reads.store(false, Ordering::Relaxed);
    append(&mut disk, 4, false);
    assert_eq!(drain(&mut disk), [4]);
}

#[test]
fn safe_is_what_the_medium_has() {
    let folder = folder();
    let (mut disk, faults) = faulty(folder.path());
    let one = append(&mut disk, 1, false);
    assert!(!disk.is_synced(one));
    sync(&mut disk);
    let two = append(&mut disk, 2, false);
    assert!(disk.is_synced(one) && !disk.is_synced(two));
    // After a failure the kernel's word is worth nothing for what was written before.
    faults.fail_syncs(true);
    sync(&mut disk);
    faults.fail_syncs(false);
    sync(&mut disk);
    assert!(!disk.is_synced(two));
    let three = append(&mut disk, 3, false);
    sync(&mut disk);
    assert!(disk.is_synced(three) && !disk.is_synced(two));
    assert_eq!(segments(folder.path()).len(), 2);
    assert_eq!(drain(&mut disk), [1, 2, 3]);
}

#[test]
fn nothing_is_synced_that_the_receiver_has() {
    let folder = folder();
    let (mut disk, _) = faulty(folder.path());
    let one = append(&mut disk, 1, true);
    assert_eq!(disk.unsynced().len(), 1);
    disk.done(one);
    assert!(disk.unsynced().is_empty());
}

#[test]
fn a_spoilt_body_costs_its_own_items() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), LARGE);
    let places = [1, 2, 3].map(|number| append(&mut disk, number, false));
    let path = &segments(folder.path())[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[(places[1].offset + RECORD_HEAD) as usize + 5] ^= 1;
    std::fs::write(path, bytes).unwrap();
    assert_eq!(drain(&mut disk), [1, 3]);
    let lost = Lost {
        items: 2,
        former: false,
        loss: Loss::Corrupt,
    };
    assert_eq!((disk.take_lost(), disk.view().batches), (vec![lost], 0));
}

#[test]
fn a_spoilt_head_costs_the_rest_of_its_segment() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), LARGE);
    let places = [1, 2, 3].map(|number| append(&mut disk, number, false));
    let path = &segments(folder.path())[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[places[1].offset as usize + 9] ^= 1;
    std::fs::write(path, bytes).unwrap();
    assert_eq!(drain(&mut disk), [1]);
    let lost: u64 = disk.take_lost().iter().map(|lost| lost.items).sum();
    assert_eq!((lost, disk.view().batches), (5, 0));
    assert!(disk.view().torn_bytes > 2 * RECORD_HEAD);
    append(&mut disk, 4, false);
    assert_eq!(drain(&mut disk), [4]);
}
