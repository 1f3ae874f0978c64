//! The journal's export format (<https://systemd.io/JOURNAL_EXPORT_FORMATS/>): a field a line, `NAME=text`, or `NAME`, a newline, the
//! length as 64 bits in little endian, that many bytes, a newline; an empty line ends the entry.

use super::entry::Entry;

/// Bytes of a name; longer ones are no field's (64 by the journal's own rules).
const NAME: usize = 256;

/// Takes bytes as they come.
#[derive(Debug)]
pub(super) struct Parser {
    /// Longest value, bytes.
    limit: usize,
    pub(super) rest: Vec<u8>,
    state: State,
    entry: Entry,
    /// Bytes of values that were cut off.
    pub(super) cut: u64,
}

#[derive(Debug)]
enum State {
    Line,
    /// The length of the value of this name.
    Length(Vec<u8>),
    /// So many bytes of the value of this name are kept, so many passed over.
    Value(Vec<u8>, usize, u64),
    /// So many bytes are passed over.
    Drop(u64),
    /// The rest of a line is passed over.
    Rest,
}

impl Parser {
    pub(super) fn new(limit: usize) -> Parser {
        Parser {
            limit,
            rest: Vec::new(),
            state: State::Line,
            entry: Entry::default(),
            cut: 0,
        }
    }

    /// Entries that are whole by these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Entry> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut entries = Vec::new();
        let mut at = 0;
        while let Some(taken) = self.step(rest.get(at..).unwrap_or_default(), &mut entries) {
            at += taken;
        }
        rest.drain(..at.min(rest.len()));
        self.rest = rest;
        entries
    }

    /// Takes one thing off the front; tells how many bytes. `None`: more are needed.
    fn step(&mut self, bytes: &[u8], entries: &mut Vec<Entry>) -> Option<usize> {
        match std::mem::replace(&mut self.state, State::Line) {
            State::Line => {
                let Some(end) = memchr::memchr(b'\n', bytes) else {
                    if bytes.len() <= self.limit + NAME {
                        return None;
                    }
                    self.field(bytes);
                    self.state = State::Rest;
                    return Some(bytes.len());
                };
                let line = bytes.get(..end).unwrap_or_default();
                if line.is_empty() {
                    let entry = std::mem::take(&mut self.entry);
                    if !entry.is_empty() {
                        entries.push(entry);
                    }
                } else if line.contains(&b'=') {
                    self.field(line);
                } else {
                    self.state = State::Length(line.get(..NAME).unwrap_or(line).to_owned());
                }
                Some(end + 1)
            }
            State::Length(name) => match bytes.first_chunk() {
                Some(length) => {
                    let length = u64::from_le_bytes(*length);
                    let kept = length.min(self.limit as u64);
                    self.cut += length - kept;
                    self.state = State::Value(name, kept as usize, (length - kept).saturating_add(1));
                    Some(8)
                }
                None => {
                    self.state = State::Length(name);
                    None
                }
            },
            State::Value(name, kept, over) => match bytes.get(..kept) {
                Some(value) => {
                    self.entry.take(&name, value);
                    self.state = State::Drop(over);
                    Some(kept)
                }
                None => {
                    self.state = State::Value(name, kept, over);
                    None
                }
            },
            State::Drop(0) => Some(0),
            State::Drop(left) => {
                let taken = left.min(bytes.len() as u64);
                self.state = State::Drop(left - taken);
                (taken > 0).then_some(taken as usize)
            }
            State::Rest => {
                let end = memchr::memchr(b'\n', bytes);
                self.cut += end.unwrap_or(bytes.len()) as u64;
                if end.is_none() {
                    self.state = State::Rest;
                }
                let taken = end.map_or(bytes.len(), |end| end + 1);
                (taken > 0).then_some(taken)
            }
        }
    }

    fn field(&mut self, line: &[u8]) {
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let kept = value.get(..self.limit).unwrap_or(value);
            self.cut += (value.len() - kept.len()) as u64;
            self.entry.take(name, kept);
        }
    }
}
