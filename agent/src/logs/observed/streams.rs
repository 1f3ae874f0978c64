//! From bytes that were written to whole lines, by process and stream.

use super::counts::ObservedCounts;
use super::queue::Written;
use crate::logs::SpanContext;
use crate::logs::multiline::{self, Group, Joiner};
use crate::logs::sources::Described;
use crate::signal::{ProcessKey, Stream};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Nanoseconds that the beginning of a line waits for its rest.
const PATIENCE: u64 = 10_000_000_000;

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that are followed at a time.
    pub streams: usize,
    /// Longest line, bytes; longer ones are cut.
    pub line: usize,
    /// Bytes that wait for the end of their line or for more lines, of all streams.
    pub held: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            streams: 4096,
            line: 64 << 10,
            held: 8 << 20,
        }
    }
}

/// Where and when a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When its first byte was: Unix time, nanoseconds.
    pub at: u64,
    /// The thread that wrote it.
    pub tid: u32,
    /// The span of the request that was handled, the same for all of it.
    pub span: Option<SpanContext>,
}

/// One line, or several that are one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Event<'a> {
    pub(super) stream: Stream,
    pub(super) place: Place,
    /// See [`Written::container`].
    pub(super) container: Option<u64>,
    pub(super) text: &'a [u8],
}

/// Takes events of a source.
pub(super) type Out<'a> = &'a mut dyn FnMut(&Described, Event<'_>);

#[derive(Debug)]
struct Assembly {
    source: Arc<Described>,
    container: Option<u64>,
    /// The beginning of a line, and where it was written.
    line: Vec<u8>,
    begun: Place,
    /// The rest of a line is passed over: it was longer than the limit.
    skips: bool,
    joiner: Option<Joiner<Place>>,
    /// When something was written last, in the clock of the one who calls.
    touched: u64,
    /// What it holds, as counted.
    held: usize,
}

/// Lines under way.
#[derive(Debug)]
pub(super) struct Streams {
    limits: Limits,
    multiline: Option<multiline::Limits>,
    all: FxHashMap<(ProcessKey, Stream), Assembly>,
    held: usize,
    counts: Arc<ObservedCounts>,
}

impl Streams {
    /// Without one yet. `multiline`: how much may be one event; `None`: every line is one.
    pub(super) fn new(limits: Limits, multiline: Option<multiline::Limits>, counts: Arc<ObservedCounts>) -> Streams {
        Streams {
            limits,
            multiline,
            all: FxHashMap::default(),
            held: 0,
            counts,
        }
    }

    /// Takes what was written. `now`: any clock in nanoseconds that does not go back.
    pub(super) fn take(&mut self, source: &Arc<Described>, written: &Written, now: u64, out: Out<'_>) {
        let key = (written.process, written.stream);
        if self.all.len() >= self.limits.streams && !self.all.contains_key(&key) {
            self.make_room(out);
        }
        let mut its = match self.all.remove(&key) {
            // It writes for another service from now on.
            Some(mut its) if !Arc::ptr_eq(&its.source.resource, &source.resource) => {
                its.end(key.1, &self.counts, out);
                self.counted(&mut its);
                Assembly::new(source, written, self.multiline)
            }
            Some(its) => its,
            None => Assembly::new(source, written, self.multiline),
        };
        its.touched = now;
        its.take(written, now, &self.limits, &self.counts, out);
        self.counted(&mut its);
        if self.held > self.limits.held {
            its.end(key.1, &self.counts, out);
            self.counted(&mut its);
        }
        self.all.insert(key, its);
        self.counts.streams.set(self.all.len() as u64);
    }

    /// A process writes no more: tells what is held of it.
    pub(super) fn ended(&mut self, process: ProcessKey, out: Out<'_>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.end((process, stream), out);
        }
        self.counts.streams.set(self.all.len() as u64);
    }

    /// Tells the events to which nothing came for a while, and beginnings of lines whose rest does not come.
    pub(super) fn flush(&mut self, now: u64, out: Out<'_>) {
        let mut held = 0;
        for ((_, stream), its) in &mut self.all {
            if its.held == 0 {
                continue;
            }
            if !its.line.is_empty() && now.saturating_sub(its.touched) >= PATIENCE {
                its.end(*stream, &self.counts, out);
            } else if its.line.is_empty()
                && let Some(joiner) = &mut its.joiner
            {
                // What is written of a line may belong to the event: that waits for it.
                let source = &its.source;
                joiner.flush(now, |group| tell(*stream, source, &group, &self.counts, out));
            }
            its.held = its.holds();
            held += its.held;
        }
        self.held = held;
        self.counts.held_bytes.set(held as u64);
    }

    /// Tells all that is held: the agent ends.
    pub(super) fn close(&mut self, out: Out<'_>) {
        let keys: Vec<_> = self.all.keys().copied().collect();
        for key in keys {
            self.end(key, out);
        }
        self.counts.streams.set(0);
    }

    fn end(&mut self, key: (ProcessKey, Stream), out: Out<'_>) {
        if let Some(mut its) = self.all.remove(&key) {
            its.end(key.1, &self.counts, out);
            self.counted(&mut its);
        }
    }

    /// Ends the sixteenth of the streams that was idle for the longest time: nothing of them is lost but that a line may be told in two
    /// parts.
    fn make_room(&mut self, out: Out<'_>) {
        let mut idle: Vec<_> = self.all.iter().map(|(key, its)| (its.touched, *key)).collect();
        idle.sort_unstable_by_key(|(touched, _)| *touched);
        for (_, key) in idle.into_iter().take(self.limits.streams / 16 + 1) {
            self.end(key, out);
        }
    }

    /// Counts what a stream holds by now.
    fn counted(&mut self, its: &mut Assembly) {
        let now = its.holds();
        self.held = (self.held + now).saturating_sub(std::mem::replace(&mut its.held, now));
        self.counts.held_bytes.set(self.held as u64);
    }
}

impl Assembly {
    fn new(source: &Arc<Described>, written: &Written, multiline: Option<multiline::Limits>) -> Assembly {
        Assembly {
            source: source.clone(),
            container: written.container,
            line: Vec::new(),
            begun: Place {
                at: 0,
                tid: 0,
                span: None,
            },
            skips: false,
            // Lines that are read elsewhere are found one by one.
            joiner: multiline.filter(|_| written.container.is_none()).map(Joiner::new),
            touched: 0,
            held: 0,
        }
    }

    fn holds(&self) -> usize {
        self.line.len() + self.joiner.as_ref().map_or(0, Joiner::held)
    }

    fn take(&mut self, written: &Written, now: u64, limits: &Limits, counts: &ObservedCounts, out: Out<'_>) {
        counts.bytes.add(written.text.len() as u64);
        let stream = written.stream;
        if written.gap {
            self.end(stream, counts, out);
        }
        let place = Place {
            at: written.at,
            tid: written.tid,
            span: written.span,
        };
        let mut rest = &*written.text;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (part, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.grow(part, place, limits, counts);
            self.whole(stream, now, counts, out);
        }
        if !rest.is_empty() {
            self.grow(rest, place, limits, counts);
        }
    }

    /// Adds to the line under way.
    fn grow(&mut self, part: &[u8], place: Place, limits: &Limits, counts: &ObservedCounts) {
        if self.line.is_empty() && !self.skips {
            self.begun = place;
        } else if self.begun.span != place.span {
            // Parts of it were written for different requests, or it is not known of all.
            self.begun.span = None;
        }
        let fits = match self.skips {
            true => 0,
            false => part.len().min(limits.line.saturating_sub(self.line.len())),
        };
        self.line.extend_from_slice(part.get(..fits).unwrap_or_default());
        let cut = part.len() - fits;
        if cut > 0 {
            counts.cut.add(u64::from(!std::mem::replace(&mut self.skips, true)));
            counts.cut_bytes.add(cut as u64);
        }
    }

    /// The line under way is whole.
    fn whole(&mut self, stream: Stream, now: u64, counts: &ObservedCounts, out: Out<'_>) {
        counts.lines.add(1);
        self.skips = false;
        let (source, place, line) = (&self.source, self.begun, &self.line);
        match &mut self.joiner {
            Some(joiner) => {
                // Lines that were written for different requests are not one event.
                if joiner.places().is_some_and(|(first, _)| first.span != place.span) {
                    joiner.close(|group| tell(stream, source, &group, counts, out));
                }
                joiner.push(line, now, place, |group| tell(stream, source, &group, counts, out));
            }
            None => out(
                source,
                Event {
                    stream,
                    place,
                    container: self.container,
                    text: line,
                },
            ),
        }
        self.line.clear();
        // A long line does not keep its memory for ever.
        self.line.shrink_to(1024);
    }

    /// Tells what is held: a beginning of a line as it is, and the event that it may belong to.
    fn end(&mut self, stream: Stream, counts: &ObservedCounts, out: Out<'_>) {
        if !self.line.is_empty() {
            counts.parts.add(1);
            let now = self.touched;
            self.whole(stream, now, counts, out);
        }
        self.skips = false;
        let source = &self.source;
        if let Some(joiner) = &mut self.joiner {
            joiner.close(|group| tell(stream, source, &group, counts, out));
        }
    }
}

fn tell(stream: Stream, source: &Described, group: &Group<'_, Place>, counts: &ObservedCounts, out: Out<'_>) {
    counts.joined.add(u64::from(group.lines - group.blank - 1));
    // Empty lines behind it are lines too, of nothing.
    let blank = Event {
        stream,
        place: group.last,
        container: None,
        text: b"",
    };
    out(
        source,
        Event {
            stream,
            place: group.first,
            container: None,
            text: group.text,
        },
    );
    (0..group.blank).for_each(|_| out(source, blank));
}

#[cfg(test)]
mod tests;
