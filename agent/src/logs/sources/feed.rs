//! From bytes of a file to whole lines: newlines, the runtime's wrapping, parts of one line merged; and lines to those they belong to.

use super::counts::SourceCounts;
use super::decode::{Piece, unwrap};
use super::describe::Described;
use super::groups::{Groups, Start};
use super::mark::Mark;
use super::sender::{About, Sender};
use super::settings::Settings;
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
    /// `None`: every line is a record.
    groups: Option<Groups>,
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
    about: About,
    /// Where its first part is.
    start: Start,
    since: Duration,
    /// It is whole and waits for room.
    whole: bool,
}

/// Records made in one turn of one source.
pub(super) struct Batch<'a, M = Mark> {
    pub(super) sender: &'a mut Sender,
    pub(super) tracker: &'a Arc<Tracker<M>>,
    pub(super) place: u64,
    /// Receipts that went out.
    pub(super) sent: u32,
}

impl<M: Clone + Send + 'static> Batch<'_, M> {
    pub(super) fn send(&mut self, source: &Described, about: About, text: &[u8]) {
        let receipt = Receipt::new(self.tracker.clone(), self.place);
        if self.sender.send(source, about, text, receipt) {
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
    pub(super) fn new(source: Arc<Described>, counts: Arc<SourceCounts>, settings: &Settings) -> Feed {
        let limits = &settings.limits;
        let groups = settings
            .multiline
            .map(|its| Groups::new(its, limits.groups, counts.clone()));
        Feed {
            source,
            counts,
            line: limits.line,
            parts: limits.parts,
            held: [const { None }; 3],
            groups,
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
            } else if self.line(line, Start::new(from.offset + done as u64, from), batch) {
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
        if let Some(groups) = &mut self.groups {
            groups.leave_behind(from.offset + done as u64, &self.source, batch);
        }
        Taken { bytes: done, full }
    }

    /// Takes a line without its end: as long as the limit, or the last one of a file that nobody writes to any more.
    pub(super) fn cut(&mut self, bytes: &[u8], ends: bool, from: &Mark, batch: &mut Batch<'_>) -> Taken {
        if self.skips.is_some() {
            return self.take(bytes, from, batch);
        }
        let head = bytes.get(..self.line).unwrap_or(bytes);
        if !self.line(head, Start::new(from.offset, from), batch) {
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
    fn line(&mut self, line: &[u8], start: Start, batch: &mut Batch<'_>) -> bool {
        for slot in 0..self.held.len() {
            let whole = |held: &Held| held.whole;
            if self.held_in(slot).is_some_and(whole) && !self.release(slot, batch) {
                return false;
            }
        }
        let held = self.held.iter().flatten().map(|held| held.text.len());
        if !batch.sender.has_room(line.len() + held.max().unwrap_or(0)) {
            return false;
        }
        let piece = unwrap(self.source.format, line);
        let malformed = u64::from(piece.is_none());
        let piece = piece.unwrap_or(Piece {
            time: None,
            stream: None,
            ends: true,
            text: Cow::Borrowed(line),
        });
        let slot = piece.stream.map_or(0, |stream| 1 + stream as usize);
        let about = batch.sender.about(piece.stream, piece.time);
        let Some(held) = self.held.get_mut(slot) else {
            return true; // there is a slot for each stream
        };
        if piece.ends && held.is_none() {
            let text = piece.text.get(..self.line).unwrap_or(&piece.text);
            let taken = self.whole(slot, text, about, start, batch);
            self.counts.malformed.add(malformed * u64::from(taken));
            return taken;
        }
        let now = batch.sender.now();
        let counts = &self.counts;
        counts.malformed.add(malformed);
        counts.merged.add(u64::from(held.is_some()));
        let its = held.get_or_insert_with(|| Held {
            text: Vec::new(),
            about,
            start,
            since: now,
            whole: false,
        });
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
            its.whole = true;
            self.release(slot, batch);
        }
        true
    }

    /// Takes a whole line; `false`: there is no room, it is to be taken later.
    fn whole(&mut self, slot: usize, text: &[u8], about: About, start: Start, batch: &mut Batch<'_>) -> bool {
        match &mut self.groups {
            Some(groups) => groups.take(slot, text, about, start, &self.source, batch),
            None => {
                batch.send(&self.source, about, text);
                true
            }
        }
    }

    fn held_in(&self, slot: usize) -> Option<&Held> {
        self.held.get(slot).and_then(Option::as_ref)
    }

    /// Takes what is held of a line as a whole one; `false`: there is no room, it waits on.
    fn release(&mut self, slot: usize, batch: &mut Batch<'_>) -> bool {
        let Some(held) = self.held.get_mut(slot).and_then(Option::take) else {
            return true;
        };
        let taken =
            batch.sender.has_room(held.text.len()) && self.whole(slot, &held.text, held.about, held.start, batch);
        if taken {
            self.counts.held_bytes.sub(held.text.len() as u64);
        } else if let Some(slot) = self.held.get_mut(slot) {
            *slot = Some(Held { whole: true, ..held });
        }
        taken
    }

    /// Whether there are parts that waited since before one time, or groups that did since before the other.
    pub(super) fn holds(&self, parts: Option<Duration>, groups: Option<Duration>) -> bool {
        let waited = |held: &Held| held.whole || Some(held.since) <= parts;
        self.held.iter().flatten().any(waited) || self.groups.as_ref().is_some_and(|its| its.holds(groups))
    }

    /// Hands on the parts that waited since before one time, and groups that did since before the other; `false`: there is no room for
    /// all. A group waits as long as a part of its stream does, which may belong to it.
    pub(super) fn flush(&mut self, parts: Option<Duration>, groups: Option<Duration>, batch: &mut Batch<'_>) -> bool {
        for slot in 0..self.held.len() {
            let Some(held) = self.held_in(slot) else { continue };
            if held.whole || Some(held.since) <= parts {
                self.counts.parts.add(u64::from(!held.whole));
                if !self.release(slot, batch) {
                    return false;
                }
            }
        }
        let busy = self.held.each_ref().map(Option::is_some);
        let its = self.groups.as_mut();
        its.is_none_or(|its| its.flush(groups, busy, &self.source, batch))
    }

    /// Gives back memory that nothing is held in: the file is closed.
    pub(super) fn trim(&mut self) {
        self.groups.iter_mut().for_each(Groups::trim);
    }

    /// How long a group waits for a further line.
    pub(super) fn wait(&self) -> Duration {
        self.groups.as_ref().map_or(PATIENCE, Groups::wait)
    }

    /// Where the lines begin that are held.
    fn starts(&mut self) -> impl Iterator<Item = &mut Start> {
        let held = self.held.iter_mut().flatten().map(|held| &mut held.start);
        held.chain(self.groups.iter_mut().flat_map(Groups::starts))
    }

    /// Makes marks of the lines that are held, by their offsets; `None`: it is before what was read now.
    pub(super) fn pin(&mut self, make: impl Fn(u64) -> Option<Mark>) {
        self.starts().for_each(|start| start.pin(&make));
    }

    /// Where to read on when all that was handed on so far is settled: not behind a line that waits for its rest or for others.
    pub(super) fn resume(&mut self, end: Mark) -> Mark {
        let starts = self.starts().map(|start| start.mark());
        starts.min_by_key(|mark| mark.offset).unwrap_or(end)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        for held in self.held.iter().flatten() {
            self.counts.held_bytes.sub(held.text.len() as u64);
        }
    }
}
