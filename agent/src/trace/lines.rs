//! Which request a line was written for: the one that its thread was handling when it wrote it.
//!
//! The rule is that of client exchanges (see [`super::links`]): a thread that has exactly one server exchange open is handling that
//! one. Where a process is seen to answer a request on another thread than the one that read it (goroutines, tasks of a pool), a thread
//! says nothing of the request: there the process must have exactly one open. All else is not known, and such a line has no ids.
//!
//! Its ids are those of the exchange's own span. They may not be decided yet when the line is written, and a line must not decide them
//! before the client's end of the request is known: so the exchange is noted, and the line waits until it ended or for a moment.

use super::links::Ids;
use super::tracer::{DEFER, Tracer};
use crate::protocol::exchange::ExchangeId;
use crate::signal::{Actor, Nanos, ProcessKey};
use rustc_hash::{FxHashMap, FxHashSet};

/// How long it is known what became of an exchange after the last line that was written for it.
const KEEP: Nanos = 2_000_000_000;
/// Processes that are known to move requests between threads. Beyond it all are taken for such.
const MOVERS: usize = 4096;

/// Ids of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
}

impl SpanIds {
    fn of(ids: &Ids) -> SpanIds {
        SpanIds {
            trace_id: ids.trace_id,
            span_id: ids.span_id,
            flags: ids.flags(),
        }
    }
}

/// What is known of an exchange for which a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Its span.
    Span(SpanIds),
    /// To be asked again.
    Later,
    /// Nothing, and nothing will be.
    Nothing,
}

#[derive(Debug)]
struct Noted {
    /// The last line.
    at: Nanos,
    ids: Option<SpanIds>,
}

/// Exchanges for which lines were written, and processes that move requests between threads.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    noted: FxHashMap<ExchangeId, Noted>,
    movers: FxHashSet<ProcessKey>,
    tidied: Nanos,
}

impl Lines {
    /// For so many exchanges at a time.
    pub(super) fn new(limit: usize) -> Lines {
        Lines {
            limit,
            noted: FxHashMap::default(),
            movers: FxHashSet::default(),
            tidied: 0,
        }
    }

    fn moves(&self, process: ProcessKey) -> bool {
        self.movers.len() >= MOVERS || self.movers.contains(&process)
    }

    /// `false`: there is no room.
    fn note(&mut self, id: ExchangeId, at: Nanos) -> bool {
        let room = self.noted.len() < self.limit;
        match self.noted.get_mut(&id) {
            Some(noted) => noted.at = noted.at.max(at),
            None if room => {
                self.noted.insert(id, Noted { at, ids: None });
            }
            None => return false,
        }
        true
    }

    /// The place of an exchange is decided, and it is not in the table of open ones any more.
    pub(super) fn settle(&mut self, id: ExchangeId, ids: &Ids) {
        if !self.noted.is_empty()
            && let Some(noted) = self.noted.get_mut(&id)
        {
            noted.ids = Some(SpanIds::of(ids));
        }
    }

    /// Forgets exchanges that no line waits for.
    pub(super) fn tidy(&mut self, now: Nanos) {
        if now != Nanos::MAX && now.saturating_sub(self.tidied) >= KEEP {
            self.tidied = now;
            self.noted.retain(|_, noted| now.saturating_sub(noted.at) < KEEP);
        }
    }
}

impl Tracer {
    /// Whether there are ids of requests at all.
    pub fn tells_ids(&self) -> bool {
        self.config.enabled && self.config.lines
    }

    /// The exchange that a thread is handling as it writes a line; `None`: none, or it is not known. What becomes of it is known for a
    /// while.
    pub fn handling(&mut self, actor: Actor, at: Nanos) -> Option<ExchangeId> {
        if !self.tells_ids() {
            return None;
        }
        let id = self.links.handling(actor, self.lines.moves(actor.process))?;
        self.lines.note(id, at).then_some(id)
    }

    /// The span of an exchange that [`Tracer::handling`] gave for a line written `at` that time.
    pub fn span_of(&mut self, id: ExchangeId, at: Nanos, now: Nanos) -> Of {
        if let Some(Noted { ids: Some(ids), .. }) = self.lines.noted.get(&id) {
            return Of::Span(*ids);
        }
        if let Some(ids) = self.links.decided(id) {
            return Of::Span(SpanIds::of(&ids));
        }
        if now.saturating_sub(at) < DEFER {
            return Of::Later;
        }
        // By now the client's end would be known, if it is on this host.
        match self.links.decide(id) {
            Some(ids) => Of::Span(SpanIds::of(&ids)),
            None => Of::Nothing,
        }
    }

    /// A request that one thread read was answered by this one.
    pub fn answered(&mut self, asker: Actor, answerer: Actor) {
        if self.config.lines && asker.process == answerer.process && asker.tid != answerer.tid {
            self.moves_requests(asker.process);
        }
    }

    /// A process is known to move requests between threads.
    pub fn moves_requests(&mut self, process: ProcessKey) {
        if self.lines.movers.len() < MOVERS {
            self.lines.movers.insert(process);
        }
    }

    /// A process ended.
    pub fn ended(&mut self, process: ProcessKey) {
        self.lines.movers.remove(&process);
    }
}
