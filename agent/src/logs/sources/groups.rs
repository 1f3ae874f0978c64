//! Lines of one file that are one event: held by stream until it is known that no more of it comes.

use super::counts::SourceCounts;
use super::describe::Described;
use super::feed::Batch;
use super::mark::Mark;
use super::sender::About;
use crate::logs::multiline::{Group, Joiner, Limits};
use std::sync::Arc;
use std::time::Duration;

/// A group ends where the other streams of its file wrote so many bytes since: else a stream that says no more would hold back the
/// place of all of them for as long as there is something to read.
const APART: u64 = 1 << 20;

/// Where a line begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    offset: u64,
    /// Not behind it: where the read began that found it, until [`Start::pin`].
    mark: Mark,
}

impl Start {
    pub(super) fn new(offset: u64, from: &Mark) -> Start {
        Start { offset, mark: *from }
    }

    /// Makes the mark that of the line itself.
    pub(super) fn pin(&mut self, make: impl FnOnce(u64) -> Option<Mark>) {
        if self.mark.offset != self.offset {
            self.mark = make(self.offset).unwrap_or(self.mark);
        }
    }

    /// From where the line is read again.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }
}

/// What a group remembers of its first and last line.
#[derive(Clone, Copy, Debug)]
struct Its {
    about: About,
    start: Start,
}

/// Groups of the streams of one file.
#[derive(Debug)]
pub(super) struct Groups {
    limits: Limits,
    /// Bytes of the groups of all files together.
    total: usize,
    counts: Arc<SourceCounts>,
    /// By stream: not known, stdout, stderr. Without one where nothing came for some time.
    streams: [Option<Joiner<Its>>; 3],
}

/// Time of a turn as a joiner has it.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Groups {
    pub(super) fn new(limits: Limits, total: usize, counts: Arc<SourceCounts>) -> Groups {
        Groups {
            limits,
            total,
            counts,
            streams: [const { None }; 3],
        }
    }

    /// Takes a whole line; `false`: there is no room, it is to be taken later.
    pub(super) fn take(
        &mut self,
        slot: usize,
        text: &[u8],
        about: About,
        start: Start,
        source: &Described,
        batch: &mut Batch<'_>,
    ) -> bool {
        let Some(joiner) = self.streams.get_mut(slot) else {
            return true; // there is a slot for each stream
        };
        let joiner = joiner.get_or_insert_with(|| Joiner::new(self.limits));
        let counts = &self.counts;
        // One record at most before and one behind, so that both ask for room.
        if !batch.sender.has_room(joiner.held().max(text.len())) {
            return false;
        }
        let before = joiner.held();
        joiner.make_way(text, |group| told(&group, group.first.about, counts, source, batch));
        counts.group_bytes.sub((before - joiner.held()) as u64);
        let before = joiner.held();
        if !batch.sender.has_room(before + text.len() + 1) {
            return false;
        }
        let now = nanos(batch.sender.now());
        joiner.push(text, now, Its { about, start }, |group| {
            told(&group, group.first.about, counts, source, batch);
        });
        counts.group_bytes.add(joiner.held() as u64);
        counts.group_bytes.sub(before as u64);
        // Where it is held, nothing was told behind the room that was there.
        if joiner.held() > 0 && counts.group_bytes.get() > self.total as u64 {
            counts.groups_cut.add(1);
            self.end(slot, source, batch);
        }
        true
    }

    /// Hands on the group of a stream, and gives its memory back.
    fn end(&mut self, slot: usize, source: &Described, batch: &mut Batch<'_>) {
        let Some(mut joiner) = self.streams.get_mut(slot).and_then(Option::take) else {
            return;
        };
        self.counts.group_bytes.sub(joiner.held() as u64);
        joiner.close(|group| told(&group, group.first.about, &self.counts, source, batch));
    }

    /// Hands on what `wanted` says by the slot, the time of the last line and where that is; `false`: there was no room for all.
    fn end_some(
        &mut self,
        source: &Described,
        batch: &mut Batch<'_>,
        wanted: impl Fn(usize, u64, u64) -> bool,
    ) -> bool {
        for slot in 0..self.streams.len() {
            let Some(Some(joiner)) = self.streams.get_mut(slot) else {
                continue;
            };
            let (since, held) = (joiner.since(), joiner.held());
            let last = joiner.places().map(|(_, last)| last.start.offset);
            if let (Some(since), Some(last)) = (since, last)
                && wanted(slot, since, last)
            {
                if !batch.sender.has_room(held) {
                    return false;
                }
                self.end(slot, source, batch);
            }
        }
        true
    }

    /// Hands on the groups to which nothing came since that time, but those of streams that are `busy`; `false`: there was no room for
    /// all.
    pub(super) fn flush(
        &mut self,
        since: Option<Duration>,
        busy: [bool; 3],
        source: &Described,
        batch: &mut Batch<'_>,
    ) -> bool {
        let since = since.map(nanos);
        self.end_some(source, batch, |slot, its, _| {
            Some(its) <= since && busy.get(slot) == Some(&false)
        })
    }

    /// Hands on the groups that are far behind this place. Those that find no room are handed on a turn later.
    pub(super) fn leave_behind(&mut self, offset: u64, source: &Described, batch: &mut Batch<'_>) {
        self.end_some(source, batch, |_, _, last| offset.saturating_sub(last) > APART);
    }

    /// Whether there are groups to which nothing came since that time.
    pub(super) fn holds(&self, since: Option<Duration>) -> bool {
        let since = since.map(nanos);
        self.streams
            .iter()
            .flatten()
            .any(|joiner| joiner.since().is_some_and(|its| Some(its) <= since))
    }

    /// Gives back the memory of streams that hold nothing: their file is closed.
    pub(super) fn trim(&mut self) {
        for stream in &mut self.streams {
            stream.take_if(|joiner| joiner.since().is_none());
        }
    }

    /// How long a group waits for a further line.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_nanos(self.limits.wait)
    }

    /// Where the groups begin that are held.
    pub(super) fn starts(&mut self) -> impl Iterator<Item = &mut Start> {
        self.streams
            .iter_mut()
            .flatten()
            .filter_map(|joiner| joiner.places().map(|(first, _)| &mut first.start))
    }
}

/// Hands a group on.
pub(super) fn told<T, M: Clone + Send + 'static>(
    group: &Group<'_, T>,
    about: About,
    counts: &SourceCounts,
    source: &Described,
    batch: &mut Batch<'_, M>,
) {
    counts.joined.add(u64::from(group.lines - group.blank - 1));
    (0..group.blank).for_each(|_| counts.empty());
    batch.send(source, about, group.text);
}

impl Drop for Groups {
    fn drop(&mut self) {
        let held: usize = self.streams.iter().flatten().map(Joiner::held).sum();
        self.counts.group_bytes.sub(held as u64);
    }
}
