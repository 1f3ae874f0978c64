//! One file that is followed: what a turn does with it.

use super::counts::SourceCounts;
use super::feed::{Batch, Feed, PATIENCE};
use super::mark::Mark;
use super::sender::Sender;
use super::settings::Limits;
use super::tail::{Seen, Tail};
use super::tracker::Tracker;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Pause between looks at a file that grew not long ago.
const PAUSE: Duration = Duration::from_millis(100);
/// The same for others.
const IDLE_PAUSE: Duration = Duration::from_millis(500);
/// What grew within this time grew not long ago.
const RECENT: Duration = Duration::from_secs(10);
/// A renamed file that did not grow for this long is done with; it is opened again when it does.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// A removed file is not found again: its writer has longer.
const GRACE_REMOVED: Duration = Duration::from_secs(10);
/// Marks of what was in the file before it was truncated: as often as that may be between two looks.
const PAST: usize = 32;

/// A file.
#[derive(Debug)]
pub(super) struct Follow {
    /// Where it was found, or the file beside which it was found.
    pub(super) path: PathBuf,
    pub(super) feed: Feed,
    pub(super) tracker: Arc<Tracker<Mark>>,
    /// `None`: not open; all that was there is read.
    pub(super) tail: Option<Tail>,
    /// Up to where its lines were taken.
    pub(super) mark: Mark,
    /// How far it was settled when the checkpoint was told of it last.
    pub(super) told: Option<Mark>,
    /// How far it was read when it was truncated, and the number of the next chunk then; the newest last.
    pub(super) past: Vec<(Mark, u64)>,
    /// Bytes that are known to be there.
    pub(super) size: u64,
    /// Size and time of change when it was closed.
    pub(super) stamp: (u64, i128),
    /// When it grew last.
    pub(super) grew: Duration,
    /// When it is looked at next.
    pub(super) due: Duration,
    /// Since when it is not at its path.
    pub(super) away: Option<Duration>,
    /// It was found by the last look, under whatever name.
    pub(super) found: bool,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes were taken.
    Read,
    /// Nothing to do.
    Nothing,
    /// Lines wait for room.
    Full,
    /// It was truncated or written anew; a copy may stand beside it.
    Truncated,
    /// It is read to its end and was let go.
    Closed,
}

/// Size and time of change.
pub(super) fn stamp(metadata: &Metadata) -> (u64, i128) {
    let nanos = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    (metadata.len(), nanos)
}

impl Follow {
    /// Takes what one turn may take.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn step(&mut self, buffer: &mut Vec<u8>, sender: &mut Sender, limits: &Limits) -> io::Result<Step> {
        let Some(tail) = self.tail.as_mut() else {
            return Ok(Step::Nothing);
        };
        let mut seen = tail.read(buffer, limits.turn)?;
        if let Seen::Bytes(range) = &seen
            && range.len() == limits.turn
            && self.feed.skips.is_none()
            && memchr::memchr(b'\n', buffer.get(range.clone()).unwrap_or_default()).is_none()
        {
            // A line longer than a turn.
            seen = tail.read(buffer, limits.line + 1)?;
        }
        match seen {
            Seen::Replaced => Ok(self.replaced(sender)),
            Seen::End => self.ended(&[], 0, sender),
            Seen::Bytes(range) => {
                let begin = range.start;
                let read = buffer.get(..range.end).unwrap_or_default();
                let bytes = read.get(begin..).unwrap_or_default();
                let size = tail.offset() + bytes.len() as u64;
                if size > self.size {
                    self.size = size;
                    self.grew = sender.now();
                }
                let ends = self.feed.skips.is_some() || memchr::memchr(b'\n', bytes).is_some();
                if !ends && bytes.len() <= limits.line {
                    return self.ended(read, begin, sender);
                }
                Ok(self.lines(read, begin, (!ends).then_some(false), sender))
            }
        }
    }

    /// Takes lines of what was read, from `begin` on. `cut`: it is one without its end, the file's last one or one that is too long.
    fn lines(&mut self, read: &[u8], begin: usize, cut: Option<bool>, sender: &mut Sender) -> Step {
        let bytes = read.get(begin..).unwrap_or_default();
        let place = self.tracker.begin();
        let mut batch = Batch {
            sender,
            tracker: &self.tracker,
            place,
            sent: 0,
        };
        let from = self.mark;
        let taken = match cut {
            Some(last) => self.feed.cut(bytes, last, &from, &mut batch),
            None => self.feed.take(bytes, &from, &mut batch),
        };
        let sent = batch.sent;
        if let Some(tail) = self.tail.as_mut()
            && taken.bytes > 0
        {
            tail.advance(bytes.get(..taken.bytes).unwrap_or(bytes));
            self.mark = tail.mark();
            self.feed.pin(|offset| {
                let at = usize::try_from(offset.checked_sub(from.offset)?).ok()?;
                Some(tail.mark_at(offset, read.get(..begin + at)?, &from))
            });
        }
        self.tracker.end(sent, self.feed.resume(self.mark));
        match taken.full {
            true => Step::Full,
            false => Step::Read,
        }
    }

    /// Hands on parts of lines that waited since before one time, and groups of lines that did since before the other; `false`: there
    /// is no room for all.
    pub(super) fn flush(&mut self, parts: Option<Duration>, groups: Option<Duration>, sender: &mut Sender) -> bool {
        if !self.feed.holds(parts, groups) {
            return true;
        }
        let place = self.tracker.begin();
        let mut batch = Batch {
            sender,
            tracker: &self.tracker,
            place,
            sent: 0,
        };
        let all = self.feed.flush(parts, groups, &mut batch);
        let sent = batch.sent;
        self.tracker.end(sent, self.feed.resume(self.mark));
        all
    }

    /// Hands on all that is held; `false`: there is no room for all.
    pub(super) fn release(&mut self, sender: &mut Sender) -> bool {
        self.flush(Some(Duration::MAX), Some(Duration::MAX), sender)
    }

    fn replaced(&mut self, sender: &mut Sender) -> Step {
        if !self.release(sender) {
            return Step::Full;
        }
        let counts = &sender.counts;
        counts.truncations.add(1);
        counts.unread_truncated.add(self.size.saturating_sub(self.mark.offset));
        if self.past.len() == PAST {
            self.past.remove(0);
        }
        self.past.push((self.mark, self.tracker.next()));
        self.feed.skips = None;
        self.grew = sender.now();
        if let Some(tail) = self.tail.as_mut() {
            tail.again();
            self.mark = tail.mark();
            self.size = self.mark.offset;
        }
        self.tracker.begin();
        self.tracker.end(0, self.mark);
        Step::Truncated
    }

    /// Nothing follows but a line without end, from `begin` on.
    fn ended(&mut self, read: &[u8], begin: usize, sender: &mut Sender) -> io::Result<Step> {
        let now = sender.now();
        let rest = read.get(begin..).unwrap_or_default();
        // What is written of a line may belong to the group.
        let wait = if rest.is_empty() { self.feed.wait() } else { PATIENCE };
        if !self.flush(now.checked_sub(PATIENCE), now.checked_sub(wait), sender) {
            return Ok(Step::Full);
        }
        let Some(away) = self.away else {
            self.due = now
                + if now.saturating_sub(self.grew) < RECENT {
                    PAUSE
                } else {
                    IDLE_PAUSE
                };
            return Ok(Step::Nothing);
        };
        let quiet = now.saturating_sub(self.grew.max(away));
        let grace = if self.found { GRACE } else { GRACE_REMOVED };
        if quiet < grace {
            self.due = now + PAUSE;
            return Ok(Step::Nothing);
        }
        if !rest.is_empty() {
            return Ok(self.lines(read, begin, Some(true), sender));
        }
        if !self.release(sender) {
            return Ok(Step::Full);
        }
        self.close(&sender.counts);
        Ok(Step::Closed)
    }

    /// Lets the file go. What is there of it and was not read is read if it is found again.
    pub(super) fn close(&mut self, counts: &SourceCounts) {
        let Some(tail) = self.tail.take() else {
            return;
        };
        self.feed.trim();
        counts.open.set(counts.open.get().saturating_sub(1));
        self.stamp = tail.file.metadata().map_or((self.size, 0), |metadata| stamp(&metadata));
        // Grown since the last read: told by its size at the next look, if it is found then.
        if self.stamp.0 != self.mark.offset {
            self.stamp.1 = 0;
        }
    }

    /// Bytes known to be there and not read.
    pub(super) fn lag(&self) -> u64 {
        self.size.saturating_sub(self.mark.offset)
    }
}
