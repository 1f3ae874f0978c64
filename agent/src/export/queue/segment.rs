//! The bytes of a segment file: a head of 16 bytes, then records, each a batch.
//!
//! All numbers are little-endian. The head: the magic `onlookrq`, the version (u32), 4 bytes of 0. A record:
//!
//! | Offset | Bytes | What |
//! |---|---|---|
//! | 0 | 4 | mark: 0, or [`DONE`] once the receiver has the batch; the one thing that is written later, and no check covers it |
//! | 4 | 1 | number of the signal |
//! | 5 | 3 | 0 |
//! | 8 | 4 | length of the body |
//! | 12 | 4 | items of the batch |
//! | 16 | 8 | when the batch was made, nanoseconds since the epoch |
//! | 24 | 4 | CRC-32 (IEEE) of the body |
//! | 28 | 4 | CRC-32 (IEEE) of bytes 4 to 27 |
//! | 32 | | the body: an OTLP request in protobuf, packed with gzip |
//!
//! The head of a record has a check of its own, so that a record whose body is spoilt is passed over and its items are counted. A
//! mark that is neither of the two counts as 0: rather sent twice than lost.

use std::io;

/// Version of this format. A file of another one is left alone.
pub const VERSION: u32 = 1;
/// Bytes of the head of a file.
pub const FILE_HEAD: u64 = 16;
/// Bytes of the head of a record.
pub const RECORD_HEAD: u64 = 32;
/// The mark of a batch that the receiver has.
pub const DONE: u32 = 0xd04e_ed01;
/// Longest body. No queue of the exporters makes one that is longer.
pub const LONGEST: u32 = 64 << 20;

const MAGIC: [u8; 8] = *b"onlookrq";

/// Bytes that are read at any place.
pub trait ReadAt {
    /// Reads some bytes from there, as `pread(2)` does; 0: the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// How many there are.
    fn length(&self) -> io::Result<u64>;
}

impl ReadAt for &[u8] {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// Reads exactly so many bytes. `None`: there are not so many.
fn read_exactly(from: &(impl ReadAt + ?Sized), into: &mut [u8], mut offset: u64) -> io::Result<Option<()>> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read_at(rest, offset) {
            Ok(0) => return Ok(None),
            Ok(count) => {
                filled += count;
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(()))
}

/// The head of a file that is made now.
pub fn file_head() -> [u8; FILE_HEAD as usize] {
    let mut head = [0; FILE_HEAD as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head
}

/// What the head of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileHead {
    /// A segment of this version.
    Known,
    /// A segment of this other version.
    Other(u32),
    /// No whole head: its writing was cut off, or it is spoilt.
    Broken,
}

/// Reads the head of a file.
pub fn read_file_head(file: &(impl ReadAt + ?Sized)) -> io::Result<FileHead> {
    let mut head = [0; FILE_HEAD as usize];
    if read_exactly(file, &mut head, 0)?.is_none() || head[..8] != MAGIC {
        return Ok(FileHead::Broken);
    }
    Ok(match u32_at(&head, 8) {
        VERSION => FileHead::Known,
        other => FileHead::Other(other),
    })
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The receiver has the batch.
    pub done: bool,
    /// Number of the signal.
    pub signal: u8,
    /// Bytes of the body.
    pub length: u32,
    /// Items of the batch.
    pub items: u32,
    /// When the batch was made, nanoseconds since the epoch.
    pub time: u64,
    /// Of the body.
    pub crc: u32,
}

impl Record {
    /// The head of this body.
    pub fn of(signal: u8, body: &[u8], items: u32, time: u64) -> Record {
        Record {
            done: false,
            signal,
            length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            items,
            time,
            crc: crc32fast::hash(body),
        }
    }

    /// Bytes of the whole record.
    pub fn size(&self) -> u64 {
        RECORD_HEAD + u64::from(self.length)
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; RECORD_HEAD as usize] {
        let mut bytes = [0; RECORD_HEAD as usize];
        if self.done {
            bytes[..4].copy_from_slice(&DONE.to_le_bytes());
        }
        bytes[4] = self.signal;
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.items.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.crc.to_le_bytes());
        let check = crc32fast::hash(&bytes[4..28]);
        bytes[28..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads the head at this offset of a file that ends at `end`. `None`: there is none, or no whole record.
    pub fn read(file: &(impl ReadAt + ?Sized), offset: u64, end: u64) -> io::Result<Option<Record>> {
        let mut bytes = [0; RECORD_HEAD as usize];
        if read_exactly(file, &mut bytes, offset)?.is_none() {
            return Ok(None);
        }
        if crc32fast::hash(&bytes[4..28]) != u32_at(&bytes, 28) {
            return Ok(None);
        }
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[16..24]);
        let record = Record {
            done: u32_at(&bytes, 0) == DONE,
            signal: bytes[4],
            length: u32_at(&bytes, 8),
            items: u32_at(&bytes, 12),
            time: u64::from_le_bytes(time),
            crc: u32_at(&bytes, 24),
        };
        let whole = record.length <= LONGEST && record.size() <= end.saturating_sub(offset);
        Ok(whole.then_some(record))
    }

    /// Reads the body of the record at this offset. `None`: it is spoilt.
    pub fn body(&self, file: &(impl ReadAt + ?Sized), offset: u64) -> io::Result<Option<Vec<u8>>> {
        // Not longer than the file: `read` saw to it.
        let mut body = vec![0; self.length as usize];
        let whole = read_exactly(file, &mut body, offset + RECORD_HEAD)?;
        Ok(whole.filter(|()| crc32fast::hash(&body) == self.crc).map(|()| body))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    if let Some(found) = bytes.get(at..at + 4) {
        number.copy_from_slice(found);
    }
    u32::from_le_bytes(number)
}

/// What a walk over the heads of a segment's records found. Bodies are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Batches that the receiver has not.
    pub batches: u64,
    /// Their items.
    pub items: u64,
    /// When the first of them was made, nanoseconds since the epoch.
    pub oldest: Option<u64>,
    /// Where the last whole record ends.
    pub end: u64,
    /// Bytes behind it, which are no record: their writing was cut off, or they are spoilt.
    pub torn: u64,
}

/// Walks over the heads of a segment's records, to the first that is not whole.
pub fn walk(file: &(impl ReadAt + ?Sized)) -> io::Result<Found> {
    let length = file.length()?;
    let mut found = Found {
        end: FILE_HEAD.min(length),
        ..Found::default()
    };
    while let Some(record) = Record::read(file, found.end, length)? {
        if !record.done {
            found.batches += 1;
            found.items = found.items.saturating_add(u64::from(record.items));
            found.oldest.get_or_insert(record.time);
        }
        found.end += record.size();
    }
    found.torn = length - found.end;
    Ok(found)
}

#[cfg(test)]
mod tests;
