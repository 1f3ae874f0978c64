//! On real files in a folder of the test; a disk that is full or fails is put before them (`Faulty`).

mod crash;
pub(in crate::export) mod faults;
mod model;

use super::recover::Recovered;
use super::*;
use crate::export::queue::files::Folder;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(in crate::export) const SIGNAL: u8 = b't';
const LARGE: u64 = 64 << 20;

fn open(path: &Path, limit: u64) -> (Disk, Recovered) {
    Disk::open(Arc::new(Folder::make(path).unwrap()), SIGNAL, limit).unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn body(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(10 + number as usize % 50)
}

/// Appends the batch of this number, which has so many items.
fn append(disk: &mut Disk, number: u32, claim: bool) -> Place {
    disk.append(&body(number), number, u64::from(number), claim).unwrap()
}

fn append_all(disk: &mut Disk, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        append(disk, number, false);
    }
}

/// Takes all that comes back, and tells that the receiver has it: the numbers.
fn drain(disk: &mut Disk) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some(batch) = disk.next() {
        assert_eq!(batch.body, body(batch.items));
        numbers.push(batch.items);
        disk.done(batch.place);
    }
    numbers
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn comes_back_in_order_once() {
    let folder = folder();
    let (mut disk, found) = open(folder.path(), LARGE);
    assert_eq!(found, Recovered::default());
    append_all(&mut disk, 1..=100);
    let view = disk.view();
    assert_eq!(
        (view.batches, view.waiting, view.own_items, view.oldest),
        (100, 100, 5050, Some(1))
    );
    assert_eq!(drain(&mut disk), (1..=100).collect::<Vec<_>>());
    assert_eq!(
        (disk.view().batches, disk.view().own_items, disk.view().oldest),
        (0, 0, None)
    );
    append(&mut disk, 101, false);
    assert_eq!(drain(&mut disk), [101]);
    assert_eq!(disk.take_lost(), []);
}

#[test]
fn what_the_receiver_has_not_is_there_after_a_restart() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), LARGE);
    append_all(&mut disk, 1..=10);
    for number in 1..=4 {
        let batch = disk.next().unwrap();
        assert_eq!((batch.items, batch.former), (number, false));
        if number != 2 {
            disk.done(batch.place);
        }
    }
    let sent = append(&mut disk, 11, true);
    append(&mut disk, 12, true);
    disk.done(sent);
    drop(disk);
    let (mut disk, found) = open(folder.path(), LARGE);
    assert_eq!((found.batches, found.items, found.torn_bytes), (8, 2 + 45 + 12, 0));
    assert_eq!(disk.view().own_items, 0, "they are of a former life");
    append(&mut disk, 13, false);
    let first = disk.next().unwrap();
    assert_eq!((first.items, first.former), (2, true));
    disk.done(first.place);
    assert_eq!(drain(&mut disk), [5, 6, 7, 8, 9, 10, 12, 13]);
    drop(disk);
    assert_eq!(open(folder.path(), LARGE).1, Recovered::default());
    assert_eq!(segments(folder.path()), [] as [PathBuf; 0]);
}

#[test]
fn files_go_when_nothing_in_them_waits() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), 1 << 20);
    let count = |disk: &Disk| (segments(folder.path()).len(), disk.segments.len());
    // Sent from memory as they come: the disk does not fill.
    for number in 1..=5000 {
        let place = append(&mut disk, number % 100, true);
        disk.done(place);
        assert!(disk.view().bytes < 64 << 10, "{:?}", disk.view());
    }
    assert!(count(&disk) <= (1, 1));
    append_all(&mut disk, 1..=2000);
    assert!(count(&disk).0 > 5 && count(&disk).0 == count(&disk).1);
    assert!(disk.handles.len() <= HANDLES);
    drain(&mut disk);
    assert!(count(&disk) <= (1, 1));
}

#[test]
fn the_oldest_goes_when_it_is_full() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), 1 << 20);
    for number in 1..=20_000 {
        append(&mut disk, number, false);
        assert!(disk.view().bytes <= 1 << 20);
    }
    let lost = disk.take_lost();
    assert!(lost.iter().all(|lost| lost.loss == Loss::QueueFull && !lost.former));
    let lost: u64 = lost.iter().map(|lost| lost.items).sum();
    let all: u64 = (1..=20_000).sum();
    assert_eq!(lost + disk.view().own_items, all);
    let left = drain(&mut disk);
    assert_eq!(left, (20_001 - left.len() as u32..=20_000).collect::<Vec<_>>());
    assert!(left.len() > 5000, "{}", left.len());
    let all_bytes: usize = left
        .iter()
        .map(|number| body(*number).len() + RECORD_HEAD as usize)
        .sum();
    assert!(
        all_bytes > (1 << 20) * 7 / 8,
        "one segment of sixteen is free at most: {all_bytes}"
    );
}

#[test]
fn more_than_all_there_may_be_is_refused() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), 1 << 20);
    append(&mut disk, 1, false);
    let large = vec![0; 1 << 20];
    assert!(matches!(
        disk.append(&large, 1, 1, false),
        Err(AppendError::TooLarge(_))
    ));
    assert_eq!(disk.view().errors, 0);
    // Larger than a segment is not too large.
    let large = vec![7; 900 << 10];
    disk.append(&large, 1, 1, false).unwrap();
    assert_eq!(disk.next().unwrap().items, 1);
    assert_eq!(disk.next().unwrap().body, large);
}

#[test]
fn a_smaller_limit_than_before() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), 4 << 20);
    append_all(&mut disk, 1..=20_000);
    drop(disk);
    let (mut disk, found) = open(folder.path(), 1 << 20);
    assert!(disk.view().bytes <= 1 << 20);
    let lost: u64 = disk.take_lost().iter().map(|lost| lost.items).sum();
    assert!(lost > 0);
    assert_eq!(
        drain(&mut disk).iter().map(|number| u64::from(*number)).sum::<u64>() + lost,
        found.items
    );
}

#[test]
fn what_is_on_its_way_from_memory_is_not_taken_back() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), LARGE);
    append(&mut disk, 1, false);
    let [two, three, four] = [2, 3, 4].map(|number| append(&mut disk, number, true));
    append(&mut disk, 5, false);
    assert_eq!(drain(&mut disk), [1]);
    assert_eq!(disk.view().waiting, 1);
    disk.done(two);
    assert_eq!(drain(&mut disk), [] as [u32; 0]);
    disk.done(four);
    disk.release(&[three]);
    assert_eq!(drain(&mut disk), [3, 5]);
    assert_eq!(disk.take_lost(), []);
}

#[test]
fn what_is_on_its_way_is_not_lost_with_its_segment() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), 1 << 20);
    let [sent, released] = [1, 2].map(|number| append(&mut disk, number, true));
    append(&mut disk, 3, false);
    let mut number = 4;
    while disk.take_lost().is_empty() {
        append(&mut disk, number, false);
        number += 1;
    }
    let (before, _) = (disk.view(), disk.take_lost());
    disk.done(sent);
    assert_eq!((disk.view(), disk.take_lost()), (before, vec![]));
    disk.release(&[released]);
    let lost = Lost {
        items: 2,
        former: false,
        loss: Loss::QueueFull,
    };
    assert_eq!(disk.take_lost(), [lost]);
}

#[test]
fn another_version_is_left_alone_and_counts() {
    let folder = folder();
    let path = folder.path().join("00000000000000000007.segment");
    let mut bytes = file_head().to_vec();
    bytes[8] = 9;
    bytes.resize(900 << 10, 1);
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(folder.path().join("note"), "not ours").unwrap();
    let (mut disk, found) = open(folder.path(), 1 << 20);
    assert_eq!(
        (found.other_versions, found.batches, found.torn_bytes),
        (Some((1, 9)), 0, 0)
    );
    for number in 1..=10_000 {
        append(&mut disk, number, false);
        assert!(disk.view().bytes <= 1 << 20);
    }
    assert_eq!(*drain(&mut disk).last().unwrap(), 10_000);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(
        segments(folder.path())[0].ends_with("00000000000000000007.segment"),
        "later ones have higher numbers"
    );
}

#[test]
fn batches_of_another_signal_are_not_sent() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), LARGE);
    append(&mut disk, 5, false);
    drop(disk);
    let files = Arc::new(Folder::make(folder.path()).unwrap());
    let (mut disk, _) = Disk::open(files, b'l', LARGE).unwrap();
    assert_eq!(disk.next(), None);
    let lost = Lost {
        items: 5,
        former: true,
        loss: Loss::Corrupt,
    };
    assert_eq!(disk.take_lost(), [lost]);
}

#[test]
fn a_closed_queue_takes_nothing_in() {
    let folder = folder();
    let (mut disk, _) = open(folder.path(), LARGE);
    append(&mut disk, 1, false);
    disk.close();
    assert!(disk.append(b"x", 1, 1, false).is_err());
    assert_eq!(drain(&mut disk), [1]);
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("deep/traces");
    let (mut disk, _) = open(&path, LARGE);
    append(&mut disk, 1, false);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o700));
    assert_eq!(mode(&segments(&path)[0]), 0o600);
}
