//! One open file, read on from a place. Every read begins some bytes before the place: are they no longer there, the file was
//! truncated or written anew, however much it grew since. That costs no call of its own and does not race with who truncates.

use super::mark::{ANCHOR, HEAD, Mark, Print, read_full};
use rustix::fs::{SeekFrom, seek};
use std::fs::File;
use std::io;

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Bytes of the buffer, from here to there, that follow the place.
    Bytes(std::ops::Range<usize>),
    /// Nothing follows.
    End,
    /// Other bytes stand where we have been.
    Replaced,
}

/// An open file and a place in it.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: File,
    offset: u64,
    /// The bytes before the place.
    anchor: Vec<u8>,
    head: Print,
}

impl Tail {
    /// From the first byte.
    pub(super) fn begin(file: File) -> Tail {
        Tail {
            file,
            offset: 0,
            anchor: Vec::new(),
            head: Print::default(),
        }
    }

    /// From a mark. `None`: it is another file than that of the mark.
    pub(super) fn resume(file: File, mark: &Mark) -> io::Result<Option<Tail>> {
        if !mark.is_in(&file)? {
            return Ok(None);
        }
        let mut tail = Tail::begin(file);
        tail.head = mark.head;
        tail.place(mark.offset)?;
        Ok(Some(tail))
    }

    /// From its present end; also tells whether that is within a line.
    pub(super) fn at_end(file: File) -> io::Result<(Tail, bool)> {
        let size = file.metadata()?.len();
        let mut tail = Tail::begin(file);
        tail.place(size)?;
        let within = tail.anchor.last().is_some_and(|last| *last != b'\n');
        Ok((tail, within))
    }

    fn place(&mut self, offset: u64) -> io::Result<()> {
        let len = offset.min(ANCHOR as u64);
        self.anchor.resize(len as usize, 0);
        let got = read_full(&self.file, &mut self.anchor, offset - len)?;
        if got < len as usize {
            return Err(io::ErrorKind::UnexpectedEof.into()); // truncated just now
        }
        self.offset = offset;
        Ok(())
    }

    /// Reads up to `want` bytes that follow the place.
    pub(super) fn read(&self, buffer: &mut Vec<u8>, want: usize) -> io::Result<Seen> {
        let known = self.anchor.len();
        if buffer.len() < known + want {
            buffer.resize(known + want, 0);
        }
        let from = self.offset - known as u64;
        let Some(target) = buffer.get_mut(..known + want) else {
            return Ok(Seen::End); // it was made that long
        };
        let got = loop {
            match std::os::unix::fs::FileExt::read_at(&self.file, target, from) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if buffer.get(..known.min(got)) != Some(self.anchor.as_slice()) {
            return Ok(Seen::Replaced);
        }
        match got - known {
            0 => Ok(Seen::End),
            _ => Ok(Seen::Bytes(known..got)),
        }
    }

    /// Goes on behind these bytes, which followed the place.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        if self.offset == 0 {
            self.head = Print::of(bytes.get(..HEAD).unwrap_or(bytes));
        }
        self.offset += bytes.len() as u64;
        let new = bytes.get(bytes.len().saturating_sub(ANCHOR)..).unwrap_or(bytes);
        let keep = self.anchor.len().min(ANCHOR - new.len());
        self.anchor.drain(..self.anchor.len() - keep);
        self.anchor.extend_from_slice(new);
    }

    /// Begins anew, behind the hole that a writer leaves who goes on where it was.
    pub(super) fn again(&mut self) {
        self.head = Print::default();
        self.anchor.clear();
        self.offset = seek(&self.file, SeekFrom::Data(0)).unwrap_or(0);
    }

    /// The place.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// A mark of a place within what was read and taken last: `before` are the buffer's bytes before it, `from` is where the read began.
    pub(super) fn mark_at(&self, offset: u64, before: &[u8], from: &Mark) -> Mark {
        let head = if before.len() as u64 == offset {
            Print::of(before.get(..HEAD).unwrap_or(before))
        } else if offset >= HEAD as u64 {
            self.head
        } else {
            from.head
        };
        let known = before.get(before.len().saturating_sub(ANCHOR)..).unwrap_or(before);
        Mark {
            offset,
            head,
            before: Print::of(known),
        }
    }

    /// Remembers the place. The head grows with the file until it is whole.
    pub(super) fn mark(&mut self) -> Mark {
        let whole = self.offset.min(HEAD as u64);
        if u64::from(self.head.len) < whole {
            let mut bytes = [0; HEAD];
            let wanted = bytes.get_mut(..whole as usize).unwrap_or_default();
            // Truncated meanwhile or unreadable: the shorter head stays.
            if read_full(&self.file, wanted, 0).is_ok_and(|got| got == wanted.len()) {
                self.head = Print::of(wanted);
            }
        }
        Mark {
            offset: self.offset,
            head: self.head,
            before: Print::of(&self.anchor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    fn pair() -> (File, File) {
        let write = tempfile::NamedTempFile::new().expect("a file");
        let read = write.reopen().expect("again");
        (write.into_file(), read)
    }

    fn take(tail: &mut Tail, want: usize) -> Vec<u8> {
        let mut buffer = Vec::new();
        let Seen::Bytes(range) = tail.read(&mut buffer, want).expect("read") else {
            panic!("bytes were there");
        };
        let bytes = buffer[range].to_vec();
        tail.advance(&bytes);
        bytes
    }

    #[test]
    fn reads_on_where_it_was() {
        let (mut write, read) = pair();
        let mut tail = Tail::begin(read);
        assert_eq!(tail.read(&mut Vec::new(), 8).expect("read"), Seen::End);
        let text: Vec<u8> = (0..5000u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        write.write_all(&text).expect("bytes");
        let mut got = Vec::new();
        while got.len() < text.len() {
            got.extend(take(&mut tail, 100));
            let mark = tail.mark();
            let again = Tail::resume(tail.file.try_clone().expect("again"), &mark).expect("read");
            let mut again = again.expect("the same file");
            assert_eq!((again.offset(), again.mark()), (tail.offset(), mark));
        }
        assert_eq!(got, text);
        assert_eq!(tail.read(&mut Vec::new(), 8).expect("read"), Seen::End);
    }

    /// Wherever it is, a mark made of what was read is that of a reader who stopped there.
    #[test]
    fn marks_within_what_was_read_are_found_again() {
        let (mut write, read) = pair();
        let text: Vec<u8> = (0..900u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        write.write_all(&text).expect("bytes");
        for size in [1, 7, 100, 300, 5000] {
            let mut tail = Tail::begin(read.try_clone().expect("again"));
            let mut buffer = Vec::new();
            while let Seen::Bytes(range) = tail.read(&mut buffer, size).expect("read") {
                let (from, begun) = (tail.mark(), tail.offset());
                tail.advance(&buffer[range.clone()]);
                tail.mark();
                for at in [range.start, range.start + range.len() / 2, range.end - 1] {
                    let offset = begun + (at - range.start) as u64;
                    let mark = tail.mark_at(offset, &buffer[..at], &from);
                    assert!(u64::from(mark.head.len) <= offset && mark.offset == offset);
                    let file = read.try_clone().expect("again");
                    let again = Tail::resume(file, &mark).expect("read").expect("the same file");
                    assert_eq!(again.offset(), offset);
                    assert_eq!(u64::from(mark.before.len), offset.min(ANCHOR as u64));
                }
            }
            assert_eq!(tail.offset(), text.len() as u64);
        }
    }

    /// Also when the file is longer than it was by the time of the look.
    #[test]
    fn a_truncated_file_is_known_however_long_it_is() {
        for new in [
            &b""[..],
            b"new",
            b"new one\n",
            b"new one that is longer than the old one was\n",
        ] {
            let (mut write, read) = pair();
            let mut tail = Tail::begin(read);
            write.write_all(b"old line one\nold\n").expect("bytes");
            take(&mut tail, 100);
            write.set_len(0).expect("truncated");
            write.write_all_at(new, 0).expect("bytes");
            assert_eq!(
                tail.read(&mut Vec::new(), 100).expect("read"),
                Seen::Replaced,
                "{new:?}"
            );
            tail.again();
            if !new.is_empty() {
                assert_eq!(take(&mut tail, 100), new);
            }
        }
    }

    /// A writer without O_APPEND goes on at its offset after the file was truncated: a hole, then its line.
    #[test]
    fn holes_are_passed_over() {
        let (mut write, read) = pair();
        let mut tail = Tail::begin(read);
        write.write_all(&b"0123456789abcde\n".repeat(65_536)).expect("bytes");
        while let Seen::Bytes(range) = tail.read(&mut Vec::new(), 1 << 20).expect("read") {
            let bytes = vec![b'x'; range.len()];
            tail.advance(&bytes);
            tail.place(tail.offset()).expect("placed");
        }
        write.set_len(0).expect("truncated");
        write.write_all(b"next\n").expect("bytes");
        assert_eq!(tail.read(&mut Vec::new(), 100).expect("read"), Seen::Replaced);
        tail.again();
        let bytes = take(&mut tail, 2 << 20);
        assert!(bytes.ends_with(b"\0next\n") || bytes == b"next\n");
    }

    #[test]
    fn the_end_of_a_file_can_be_within_a_line() {
        let (mut write, read) = pair();
        write.write_all(b"one\ntw").expect("bytes");
        let (mut tail, within) = Tail::at_end(read.try_clone().expect("again")).expect("read");
        assert!(within);
        write.write_all(b"o\n").expect("bytes");
        assert_eq!(take(&mut tail, 100), b"o\n");
        assert!(!Tail::at_end(read).expect("read").1);
    }

    #[test]
    fn another_file_is_not_resumed() {
        let (mut write, read) = pair();
        write.write_all(b"one\ntwo\n").expect("bytes");
        let mut tail = Tail::begin(read);
        take(&mut tail, 4);
        let mark = tail.mark();
        let (mut write, read) = pair();
        write.write_all(b"One\ntwo\n").expect("bytes");
        assert!(Tail::resume(read, &mark).expect("read").is_none());
    }
}
