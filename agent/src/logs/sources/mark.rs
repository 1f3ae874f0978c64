//! Which file it is, and where in it: what is remembered so that a file is known again after it was renamed, copied, truncated,
//! or after the agent was killed.

use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// First bytes of a file that tell it from others.
pub(super) const HEAD: usize = 1024;
/// Bytes before a place that have to be there still.
pub(super) const ANCHOR: usize = 256;

/// Device and inode. Inodes are given anew once their file is gone, so this alone does not say that it is the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

impl FileId {
    /// Of what is open or was looked at.
    pub fn of(metadata: &Metadata) -> FileId {
        FileId {
            dev: metadata.dev(),
            ino: metadata.ino(),
        }
    }
}

/// Hash of no bytes.
const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

fn hashed(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

/// Some bytes, by number and hash (FNV-1a, 64 bits), so that nothing of a log is written to the file of checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    /// How many bytes.
    pub(super) len: u32,
    /// Their hash.
    pub(super) hash: u64,
}

impl Print {
    /// Of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Print {
        let hash = bytes.iter().fold(EMPTY, |hash, byte| hashed(hash, *byte));
        Print {
            len: bytes.len() as u32,
            hash,
        }
    }
}

/// The beginning of a file, read once and held against as many prints as there are.
#[derive(Debug)]
pub(super) struct Beginning {
    /// Hash of the first bytes, by their number.
    hashes: Vec<u64>,
}

impl Beginning {
    /// Of a file as it is now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn of(file: &File) -> io::Result<Beginning> {
        let mut bytes = [0; HEAD];
        let len = read_full(file, &mut bytes, 0)?;
        let mut hashes = Vec::with_capacity(len + 1);
        hashes.push(EMPTY);
        let first = bytes.get(..len).unwrap_or_default();
        hashes.extend(first.iter().scan(EMPTY, |hash, byte| {
            *hash = hashed(*hash, *byte);
            Some(*hash)
        }));
        Ok(Beginning { hashes })
    }

    fn has(&self, print: Print) -> bool {
        self.hashes.get(print.len as usize) == Some(&print.hash)
    }
}

/// A place between two lines of a file, with what stood at the file's beginning and right before the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Bytes from the beginning.
    pub(super) offset: u64,
    /// The file's first bytes, [`HEAD`] at most.
    pub(super) head: Print,
    /// The bytes before the place, [`ANCHOR`] at most.
    pub(super) before: Print,
}

impl Mark {
    /// Whether the file has what the mark remembers.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        Ok(has(file, 0, self.head)? && self.ends_in(file)?)
    }

    /// The same of a file whose beginning was read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn is_behind(&self, beginning: &Beginning, file: &File) -> io::Result<bool> {
        Ok(beginning.has(self.head) && self.ends_in(file)?)
    }

    fn ends_in(&self, file: &File) -> io::Result<bool> {
        let from = self.offset.saturating_sub(u64::from(self.before.len));
        has(file, from, self.before)
    }

    /// Whether a file that begins so and was this long before, can be one that is being copied and will have what the mark remembers. Only
    /// its length is looked at where it is shorter than the remembered head.
    pub(super) fn may_come(&self, beginning: &Beginning, size: u64) -> bool {
        size < self.offset && (size < u64::from(self.head.len) || beginning.has(self.head))
    }
}

fn has(file: &File, offset: u64, print: Print) -> io::Result<bool> {
    let mut bytes = [0; HEAD];
    let Some(wanted) = bytes.get_mut(..print.len as usize) else {
        return Ok(false); // no print of ours
    };
    Ok(read_full(file, wanted, offset)? == wanted.len() && Print::of(wanted) == print)
}

/// Reads until the buffer is full or the file ends; tells how many bytes.
pub(super) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text).expect("bytes");
        file
    }

    #[test]
    fn a_mark_is_in_its_file_and_in_copies_alone() {
        let text = b"one\ntwo\nthree\n";
        let mark = Mark {
            offset: 8,
            head: Print::of(&text[..8]),
            before: Print::of(&text[..8]),
        };
        assert!(mark.is_in(&file(text)).expect("read"));
        assert!(mark.is_in(&file(b"one\ntwo\n")).expect("read"));
        for other in [&b"one\n"[..], b"one\ntwX\nthree\n", b"0ne\ntwo\nthree\n", b""] {
            assert!(!mark.is_in(&file(other)).expect("read"), "{other:?}");
        }
        let begins = |text: &[u8]| Beginning::of(&file(text)).expect("read");
        assert!(mark.may_come(&begins(b"one\n"), 4));
        assert!(!mark.may_come(&begins(text), 14));
        for (text, is) in [
            (&text[..], true),
            (b"one\ntwo\n", true),
            (b"one\ntwX\nthree\n", false),
            (b"one\n", false),
            (b"", false),
        ] {
            assert_eq!(
                mark.is_behind(&begins(text), &file(text)).expect("read"),
                is,
                "{text:?}"
            );
        }
        let long = "long ".repeat(HEAD);
        for len in [0, 1, 700, HEAD] {
            let print = Print::of(&long.as_bytes()[..len]);
            assert!(begins(long.as_bytes()).has(print) && !begins(b"lo").has(Print { len: 3, ..print }));
        }
    }

    #[test]
    fn prints_of_nonsense_match_nothing() {
        let mark = Mark {
            head: Print { len: u32::MAX, hash: 0 },
            ..Mark::default()
        };
        assert!(!mark.is_in(&file(b"x")).expect("read"));
    }
}
