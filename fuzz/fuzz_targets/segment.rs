//! Any bytes as a segment of a queue on the disk: nothing panics, no more is read than there is, what is told of it before is what is
//! read of it, and what was written is read.
//!
//! Input: the bytes of a file. What is whole in it is written anew and cut off in its last record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::export::queue::segment::{FILE_HEAD, FileHead, Record, file_head, read_file_head, walk};

/// The records that are whole, their bodies too, and where the last one ends.
fn read(bytes: &[u8]) -> (Vec<(Record, Option<Vec<u8>>)>, u64) {
    let (mut records, mut offset) = (Vec::new(), FILE_HEAD);
    while let Ok(Some(record)) = Record::read(&bytes, offset, bytes.len() as u64) {
        let body = record.body(&bytes, offset).expect("memory can be read");
        records.push((record, body));
        offset += record.size();
    }
    (records, offset)
}

fuzz_target!(|data: &[u8]| {
    if !matches!(read_file_head(&data), Ok(FileHead::Known)) {
        return;
    }
    let found = walk(&data).expect("memory can be read");
    let (records, end) = read(data);
    assert_eq!((found.end, found.torn), (end, data.len() as u64 - end));
    let waiting = || records.iter().filter(|(record, _)| !record.done);
    assert_eq!(found.batches, waiting().count() as u64);
    assert_eq!(
        found.items,
        waiting().map(|(record, _)| u64::from(record.items)).sum::<u64>()
    );
    let bodies: usize = records.iter().flat_map(|(_, body)| body).map(Vec::len).sum();
    assert!(bodies <= data.len());

    let mut anew = file_head().to_vec();
    let mut whole = Vec::new();
    for (record, body) in records {
        if let Some(body) = body {
            let again = Record::of(record.signal, &body, record.items, record.time);
            anew.extend(again.to_bytes());
            anew.extend(&body);
            whole.push((again, Some(body)));
        }
    }
    assert_eq!(read(&anew).0, whole);
    if whole.pop().is_some() {
        assert_eq!(read(&anew[..anew.len() - 1]).0, whole);
    }
});
