//! Entries that are lines of one event: what programs write to their standard output comes to the journal as an entry a line.

use super::entry::Entry;
use crate::logs::multiline::{Joiner, Limits};
use crate::logs::sources::counts::SourceCounts;
use crate::logs::sources::describe::Described;
use crate::logs::sources::feed::{Batch, PATIENCE};
use crate::logs::sources::groups::{nanos, told};
use crate::logs::sources::sender::About;
use crate::logs::sources::settings::Settings;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// Streams with lines that wait. Lines of further ones are handed on for themselves, and counted.
const STREAMS: usize = 1024;

type Turn<'a> = Batch<'a, Option<String>>;

/// Groups of all streams.
pub(super) struct Groups {
    /// `None`: every entry is a record.
    limits: Option<Limits>,
    /// Bytes of the groups of all sources together.
    total: usize,
    counts: Arc<SourceCounts>,
    /// Those with a group at hand.
    streams: FxHashMap<String, Stream>,
    /// Entries taken.
    taken: u64,
}

struct Stream {
    joiner: Joiner<About>,
    source: Arc<Described>,
    /// Number of the group's first entry.
    number: u64,
    /// Cursor of the entry before that one.
    before: Option<String>,
}

impl Groups {
    pub(super) fn new(settings: &Settings, counts: Arc<SourceCounts>) -> Groups {
        Groups {
            limits: settings.multiline,
            total: settings.limits.groups,
            counts,
            streams: FxHashMap::default(),
            taken: 0,
        }
    }

    /// Takes an entry that follows that of the cursor; `false`: there is no room, it is to be taken later.
    pub(super) fn take(
        &mut self,
        entry: &Entry,
        source: &Arc<Described>,
        before: Option<&String>,
        batch: &mut Turn<'_>,
    ) -> bool {
        let mut about = batch.sender.about(None, entry.time);
        about.severity = entry.severity();
        let text = entry.message.as_slice();
        let key = self.limits.and_then(|limits| Some((limits, entry.stream()?)));
        let Some((limits, key)) = key else {
            return alone(text, about, source, batch);
        };
        let known = self.streams.remove(&key);
        if known.is_none() && self.streams.len() >= STREAMS {
            let taken = alone(text, about, source, batch);
            self.counts.groups_cut.add(u64::from(taken));
            return taken;
        }
        let mut stream = known.unwrap_or_else(|| Stream {
            joiner: Joiner::new(limits),
            source: source.clone(),
            number: 0,
            before: None,
        });
        let held = stream.joiner.held();
        let taken = self.push(&mut stream, text, about, source, before, batch);
        self.counts.group_bytes.add(stream.joiner.held() as u64);
        self.counts.group_bytes.sub(held as u64);
        let total = self.counts.group_bytes.get();
        if taken && total > self.total as u64 && stream.joiner.held() > 0 {
            self.counts.groups_cut.add(1);
            self.end(stream, batch);
        } else if stream.joiner.since().is_some() {
            self.streams.insert(key, stream);
        }
        taken
    }

    fn push(
        &mut self,
        stream: &mut Stream,
        text: &[u8],
        about: About,
        source: &Arc<Described>,
        before: Option<&String>,
        batch: &mut Turn<'_>,
    ) -> bool {
        let Stream {
            joiner, source: its, ..
        } = stream;
        // One record at most before and one behind, so that both ask for room.
        if !batch.sender.has_room(joiner.held().max(text.len())) {
            return false;
        }
        joiner.make_way(text, |group| told(&group, group.first, &self.counts, its, batch));
        if joiner.since().is_none() {
            self.taken += 1;
            stream.number = self.taken;
            stream.before = before.cloned();
            its.clone_from(source);
        }
        if !batch.sender.has_room(joiner.held() + text.len() + 1) {
            return false;
        }
        let now = nanos(batch.sender.now());
        joiner.push(text, now, about, |group| {
            told(&group, group.first, &self.counts, its, batch);
        });
        true
    }

    /// Hands on what a stream has at hand.
    fn end(&self, mut stream: Stream, batch: &mut Turn<'_>) {
        self.counts.group_bytes.sub(stream.joiner.held() as u64);
        let source = stream.source;
        stream
            .joiner
            .close(|group| told(&group, group.first, &self.counts, &source, batch));
    }

    /// How long a group waits for a further line.
    pub(super) fn wait(&self) -> Duration {
        self.limits.map_or(PATIENCE, |limits| Duration::from_nanos(limits.wait))
    }

    /// Whether there are groups to which nothing came since that time.
    pub(super) fn holds(&self, since: Option<Duration>) -> bool {
        let since = since.map(nanos);
        self.streams.values().any(|stream| stream.joiner.since() <= since)
    }

    /// Hands on those groups, as far as there is room.
    pub(super) fn flush(&mut self, since: Option<Duration>, batch: &mut Turn<'_>) {
        let since = since.map(nanos);
        let mut old: Vec<(u64, String)> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.joiner.since() <= since)
            .map(|(key, stream)| (stream.number, key.clone()))
            .collect();
        old.sort_unstable();
        for (_, key) in old {
            let held = self.streams.get(&key).map_or(0, |stream| stream.joiner.held());
            if !batch.sender.has_room(held) {
                return;
            }
            if let Some(stream) = self.streams.remove(&key) {
                self.end(stream, batch);
            }
        }
    }

    /// Where to read on when all that was handed on so far is settled: not behind a line that waits for others.
    pub(super) fn resume(&self, cursor: Option<&String>) -> Option<String> {
        let first = self.streams.values().min_by_key(|stream| stream.number);
        first.map_or(cursor, |stream| stream.before.as_ref()).cloned()
    }
}

/// Hands an entry on as it is; `false`: there is no room.
fn alone(text: &[u8], about: About, source: &Described, batch: &mut Turn<'_>) -> bool {
    let room = batch.sender.has_room(text.len());
    if room {
        batch.send(source, about, text);
    }
    room
}

impl Drop for Groups {
    fn drop(&mut self) {
        let held: usize = self.streams.values().map(|stream| stream.joiner.held()).sum();
        self.counts.group_bytes.sub(held as u64);
    }
}
