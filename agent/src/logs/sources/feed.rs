//! From bytes of a file to whole lines: newlines, the runtime's wrapping, parts of one line merged.

use super::counts::SourceCounts;
use super::decode::{Piece, Stream, unwrap};
use super::describe::Described;
use super::mark::Mark;
use super::sender::Sender;
use super::tracker::Tracker;
use crate::logs::Receipt;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How long a part of a line waits for its rest.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Lines of one file under way.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) source: Arc<Described>,
    counts: Arc<SourceCounts>,
    /// Longest line, bytes.
    line: usize,
    /// Parts of all files together that may wait, bytes.
    parts: usize,
    /// By stream: not known, stdout, stderr.
    held: [Option<Held>; 3],
    /// The rest of a line is passed over; whether it was told.
    pub(super) skips: Option<Skip>,
}

/// Why the rest of a line is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// Its beginning was handed on.
    TooLong,
    /// Reading began within it.
    Begun,
}

#[derive(Debug)]
struct Held {
    text: Vec<u8>,
    stream: Option<Stream>,
    time: Option<u64>,
    /// A place not behind its first part.
    from: Mark,
    since: Duration,
}

/// Records made in one turn of one file.
pub(super) struct Batch<'a> {
    pub(super) sender: &'a mut Sender,
    pub(super) tracker: &'a Arc<Tracker<Mark>>,
    pub(super) place: u64,
    /// Receipts that went out.
    pub(super) sent: u32,
}

impl Batch<'_> {
    fn send(&mut self, source: &Described, stream: Option<Stream>, time: Option<u64>, text: &[u8]) {
        let receipt = Receipt::new(self.tracker.clone(), self.place);
        if self.sender.send(source, stream, time, text, receipt) {
            self.sent += 1;
        }
    }
}

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// These are done with.
    pub(super) bytes: usize,
    /// More could not be handed on.
    pub(super) full: bool,
}

impl Feed {
    pub(super) fn new(source: Arc<Described>, counts: Arc<SourceCounts>, line: usize, parts: usize) -> Feed {
        Feed {
            source,
            counts,
            line,
            parts,
            held: [const { None }; 3],
            skips: None,
        }
    }

    /// Takes the whole lines of these bytes, which follow the mark.
    pub(super) fn take(&mut self, bytes: &[u8], from: &Mark, batch: &mut Batch<'_>) -> Taken {
        let mut done = 0;
        let mut lines = 0;
        let mut full = false;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = bytes.get(done..end).unwrap_or_default();
            if let Some(skip) = self.skips.take() {
                self.skipped(skip, line.len());
            } else if self.line(line, from, batch) {
                lines += 1;
            } else {
                full = true;
                break;
            }
            done = end + 1;
        }
        if let Some(skip) = self.skips
            && !full
        {
            let rest = bytes.len() - done;
            self.skipped(skip, rest);
            done = bytes.len();
        }
        self.counts.lines.add(lines);
        self.counts.bytes.add(done as u64);
        Taken { bytes: done, full }
    }

    /// Takes a line without its end: as long as the limit, or the last one of a file that nobody writes to any more.
    pub(super) fn cut(&mut self, bytes: &[u8], ends: bool, from: &Mark, batch: &mut Batch<'_>) -> Taken {
        if self.skips.is_some() {
            return self.take(bytes, from, batch);
        }
        let head = bytes.get(..self.line).unwrap_or(bytes);
        if !self.line(head, from, batch) {
            return Taken { bytes: 0, full: true };
        }
        let counts = &self.counts;
        counts.lines.add(1);
        counts.bytes.add(bytes.len() as u64);
        if ends {
            counts.parts.add(1);
        } else {
            counts.cut.add(1);
            counts.cut_bytes.add((bytes.len() - head.len()) as u64);
            self.skips = Some(Skip::TooLong);
        }
        Taken {
            bytes: bytes.len(),
            full: false,
        }
    }

    fn skipped(&self, skip: Skip, bytes: usize) {
        if skip == Skip::TooLong {
            self.counts.cut_bytes.add(bytes as u64);
        }
    }

    /// Takes one line; `false`: there is no room, it is to be taken later.
    fn line(&mut self, line: &[u8], from: &Mark, batch: &mut Batch<'_>) -> bool {
        let held = self
            .held
            .iter()
            .flatten()
            .map(|held| held.text.len())
            .max()
            .unwrap_or(0);
        if !batch.sender.has_room(line.len() + held) {
            return false;
        }
        let piece = unwrap(self.source.format, line).unwrap_or_else(|| {
            self.counts.malformed.add(1);
            Piece {
                time: None,
                stream: None,
                ends: true,
                text: Cow::Borrowed(line),
            }
        });
        let slot = piece.stream.map_or(0, |stream| 1 + stream as usize);
        let Some(held) = self.held.get_mut(slot) else {
            return true; // there is a slot for each stream
        };
        if piece.ends && held.is_none() {
            let text = piece.text.get(..self.line).unwrap_or(&piece.text);
            batch.send(&self.source, piece.stream, piece.time, text);
            return true;
        }
        let now = batch.sender.now();
        let its = held.get_or_insert_with(|| Held {
            text: Vec::new(),
            stream: piece.stream,
            time: piece.time,
            from: *from,
            since: now,
        });
        let counts = &self.counts;
        let fits = self.line.saturating_sub(its.text.len()).min(piece.text.len());
        let cut = piece.text.len() - fits;
        if cut > 0 {
            counts.cut_bytes.add(cut as u64);
            // Once for a line: when it passes the limit.
            counts.cut.add(u64::from(fits > 0 || its.text.is_empty()));
        }
        its.text.extend_from_slice(piece.text.get(..fits).unwrap_or_default());
        its.since = now;
        counts.held_bytes.add(fits as u64);
        let too_much = counts.held_bytes.get() > self.parts as u64;
        if piece.ends || too_much {
            if !piece.ends {
                counts.parts.add(1);
            }
            self.release(slot, batch);
        }
        true
    }

    fn release(&mut self, slot: usize, batch: &mut Batch<'_>) {
        if let Some(held) = self.held.get_mut(slot).and_then(Option::take) {
            self.let_go(&held);
            batch.send(&self.source, held.stream, held.time, &held.text);
        }
    }

    fn let_go(&self, held: &Held) {
        let gauge = &self.counts.held_bytes;
        gauge.set(gauge.get().saturating_sub(held.text.len() as u64));
    }

    /// Whether there are parts that waited since before that time.
    pub(super) fn holds(&self, since: Duration) -> bool {
        self.held.iter().flatten().any(|held| held.since <= since)
    }

    /// Bytes of the longest part that waits.
    pub(super) fn longest(&self) -> usize {
        self.held
            .iter()
            .flatten()
            .map(|held| held.text.len())
            .max()
            .unwrap_or(0)
    }

    /// Hands on the parts that waited since before that time.
    pub(super) fn flush(&mut self, since: Duration, batch: &mut Batch<'_>) {
        for slot in 0..self.held.len() {
            if self
                .held
                .get(slot)
                .is_some_and(|held| held.as_ref().is_some_and(|held| held.since <= since))
            {
                self.counts.parts.add(1);
                self.release(slot, batch);
            }
        }
    }

    /// Where to read on when all that was handed on so far is settled: not behind a part that waits for its rest.
    pub(super) fn resume(&self, end: Mark) -> Mark {
        let held = self.held.iter().flatten().map(|held| held.from);
        held.min_by_key(|mark| mark.offset).unwrap_or(end)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        for held in self.held.iter().flatten() {
            self.let_go(held);
        }
    }
}
