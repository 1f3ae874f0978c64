//! Whose child an exchange is. Three ways, in this order: the request carried a `traceparent`; a server exchange's request was
//! written by a client exchange on this host (join); a client exchange was begun by the thread that is handling exactly one
//! server exchange. What is not known stays a root of its own trace.
//!
//! Nothing is decided before somebody needs it (own end, a child's end, the join partner's end), because the records of the two
//! ends of a connection may come in either order. Every table has a limit.

use super::sampler::Sampler;
use super::tables::{Lingering, Pairs, Threads};
use crate::protocol::exchange::{Begin, ExchangeId, JoinKey};
use crate::signal::{Actor, Nanos, Role};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Ancestors looked at in one go. A longer chain (or one that bites its tail because of a wrong join key) begins a new trace.
const DEPTH: usize = 64;

/// A span's place in its trace, decided once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) sampled: bool,
    /// The trace id's last 56 bits are known to be random.
    pub(super) random: bool,
}

impl Ids {
    /// W3C trace flags.
    pub(super) fn flags(&self) -> u8 {
        use super::context::{FLAG_RANDOM, FLAG_SAMPLED};
        let sampled = if self.sampled { FLAG_SAMPLED } else { 0 };
        sampled | if self.random { FLAG_RANDOM } else { 0 }
    }
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Exchanges not followed because the table was full; their spans are roots (or children of their `traceparent`).
    pub refused: u64,
    /// Server exchanges that became children of their request's client exchange.
    pub joined: u64,
    /// Pairs found too late or twice, and so not joined.
    pub join_conflicts: u64,
    /// Client exchanges given up waiting for a server exchange because too many did.
    pub join_evicted: u64,
    /// Client exchanges that became children of what their thread was handling.
    pub linked: u64,
    /// Client exchanges not linked because their thread was handling several server exchanges.
    pub ambiguous: u64,
    /// Chains of ancestors cut at the limit.
    pub cut: u64,
}

/// What [`Links::end`] says.
#[derive(Debug)]
pub(super) enum End {
    /// Its place, and the `tracestate` that goes with it.
    Known(Ids, Option<Arc<str>>),
    /// Not known yet.
    Suspended,
    /// It is not in the table.
    Unknown,
}

#[derive(Debug)]
struct Open {
    role: Role,
    actor: Actor,
    /// Set while the join partner may still matter.
    join: Option<JoinKey>,
    /// The server exchange that the thread of this client exchange was handling.
    up: Option<ExchangeId>,
    ids: Option<Ids>,
    state: Option<Arc<str>>,
    /// Client exchanges, not ended, whose `up` this is.
    children: u32,
    /// Ended, but its span waits for the join partner's begin.
    suspended: bool,
    /// Kept only for the children or the join partner.
    ended: bool,
}

/// Exchanges that are open, and what ties them together.
#[derive(Debug)]
pub(super) struct Links {
    open: FxHashMap<ExchangeId, Open>,
    pairs: Pairs,
    threads: Threads,
    lingering: Lingering,
    /// Exchanges that are open but were refused: while there are some, no thread's work is known for sure.
    unseen: u64,
    limit: usize,
    sampler: Sampler,
    random: SmallRng,
    path: Vec<ExchangeId>,
    pub(super) counts: LinkCounts,
}

impl Links {
    /// `lines`: [`Links::handling`] is asked too.
    pub(super) fn new(sampler: Sampler, open_limit: usize, linger_limit: usize, lines: bool) -> Links {
        Links {
            open: FxHashMap::default(),
            pairs: Pairs::default(),
            threads: Threads::new(lines),
            lingering: Lingering::new(linger_limit),
            unseen: 0,
            limit: open_limit,
            sampler,
            random: SmallRng::from_os_rng(),
            path: Vec::with_capacity(DEPTH),
            counts: LinkCounts::default(),
        }
    }

    /// Exchanges in the table: open, or ended and still of use to others.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// An exchange began. Returns the server exchange that may have waited for this client exchange.
    pub(super) fn begin(&mut self, begin: &Begin) -> Option<ExchangeId> {
        if self.open.len() >= self.limit {
            self.counts.refused += 1;
            self.unseen += 1;
            return None;
        }
        let mut open = Open {
            role: begin.role,
            actor: begin.actor,
            join: None,
            up: None,
            ids: None,
            state: None,
            children: 0,
            suspended: false,
            ended: false,
        };
        if let Some(context) = &begin.context {
            open.ids = Some(self.child_of_header(context));
            open.state = context.state.as_deref().map(Arc::from);
        }
        match begin.role {
            Role::Server => self.threads.add(begin.actor, begin.id),
            Role::Client if open.ids.is_none() => open.up = self.handled_by(begin.actor),
            Role::Client => {}
        }
        let key = if open.ids.is_none() { begin.join } else { None };
        if let Some(key) = key {
            let pair = self.pairs.entry(key);
            if pair.is_empty() {
                *pair.slot(begin.role) = Some(begin.id);
                open.join = Some(key);
            }
        }
        let registered = open.join.is_some();
        self.open.insert(begin.id, open);
        if registered {
            None
        } else {
            self.register(begin.id, begin.role, key?)
        }
    }

    /// The server exchange that a thread is surely handling.
    fn handled_by(&mut self, actor: Actor) -> Option<ExchangeId> {
        let handled = self.threads.get(actor)?;
        let known = if self.unseen == 0 { handled } else { None };
        match known.and_then(|id| Some((id, self.open.get_mut(&id)?))) {
            Some((id, parent)) => {
                parent.children += 1;
                self.counts.linked += 1;
                Some(id)
            }
            None => {
                self.counts.ambiguous += 1;
                None
            }
        }
    }

    /// The server exchange that a thread is surely handling; of a process whose requests move between threads, the only one it has.
    pub(super) fn handling(&self, actor: Actor, moves: bool) -> Option<ExchangeId> {
        match (self.unseen, moves) {
            (0, false) => self.threads.get(actor).flatten(),
            (0, true) => self.threads.of_process(actor.process),
            _ => None,
        }
    }

    /// The place of an exchange, if it is decided.
    pub(super) fn decided(&self, id: ExchangeId) -> Option<Ids> {
        self.open.get(&id)?.ids
    }

    /// Decides the place of an exchange.
    pub(super) fn decide(&mut self, id: ExchangeId) -> Option<Ids> {
        self.resolve(id).map(|(ids, _)| ids)
    }

    /// Puts an exchange beside its partner, or the one before it with this key. Where the partner is a server exchange that ended or was resolved before this
    /// client exchange came, settles what can be.
    fn register(&mut self, id: ExchangeId, role: Role, key: JoinKey) -> Option<ExchangeId> {
        let pair = self.pairs.entry(key);
        if let Some(before) = *pair.slot(role) {
            if self.open.get(&before).is_some_and(|open| !open.ended) {
                self.counts.join_conflicts += 1;
                return None;
            }
            // A key may come again once its exchange ended.
            self.forget(before);
        }
        let pair = self.pairs.entry(key);
        *pair.slot(role) = Some(id);
        let (server, client) = (pair.server, pair.client);
        if let Some(open) = self.open.get_mut(&id) {
            open.join = Some(key);
        }
        let (server, client) = (server?, client?);
        let early = self.open.get(&server)?;
        let suspended = early.suspended;
        if let Some(ids) = early.ids {
            self.adopt(client, server, ids);
            self.unpair(key);
        }
        (suspended && role == Role::Client).then_some(server)
    }

    /// A child needed the server's context before its request's client was known: it began a trace, which a client without a
    /// context of its own can still head.
    fn adopt(&mut self, client: ExchangeId, server: ExchangeId, ids: Ids) {
        let span_id = self.span_id();
        match self.open.get_mut(&client) {
            Some(head) if head.ids.is_none() && head.up.is_none() => {
                head.ids = Some(Ids {
                    span_id,
                    parent: None,
                    ..ids
                });
                if let Some(Open { ids: Some(ids), .. }) = self.open.get_mut(&server) {
                    ids.parent = Some(span_id);
                }
                self.counts.joined += 1;
            }
            _ => self.counts.join_conflicts += 1,
        }
    }

    /// An exchange ended. `may_wait`: if its request's client exchange was not seen yet, that may still come; the exchange then
    /// stays until it is ended again.
    pub(super) fn end(&mut self, id: ExchangeId, now: Nanos, may_wait: bool) -> End {
        self.tidy(now);
        let Some(open) = self.open.get_mut(&id) else {
            self.unseen = self.unseen.saturating_sub(1);
            return End::Unknown;
        };
        if open.role == Role::Server {
            if !open.suspended {
                self.threads.remove(open.actor, id);
            }
            if let Some(key) = open.join
                && self.pairs.get(key).is_none_or(|pair| pair.client.is_none())
            {
                if may_wait {
                    open.suspended = true;
                    return End::Suspended;
                }
                self.pairs.remove(key);
                open.join = None;
            }
        }
        // Most exchanges: nobody above, nobody below.
        if open.join.is_none() && open.up.is_none() && open.children == 0 {
            let (ids, state) = (open.ids, open.state.take());
            self.open.remove(&id);
            return End::Known(ids.unwrap_or_else(|| self.child(None)), state);
        }
        open.ended = true;
        let (role, up, join) = (open.role, open.up, open.join);
        let Some((ids, state)) = self.resolve(id) else {
            return End::Unknown;
        };
        if let Some(up) = up {
            self.release(up);
        }
        if let Some(key) = join {
            let server = self.pairs.get(key).and_then(|pair| pair.server);
            match (role, server) {
                // The server's end has the later records: it becomes our child now, whenever it ends.
                (Role::Client, Some(server)) => {
                    self.resolve(server);
                }
                (Role::Client, None) => {
                    if let Some(oldest) = self.lingering.push(now, id) {
                        self.counts.join_evicted += u64::from(self.waits(oldest));
                        self.forget(oldest);
                    }
                }
                (Role::Server, _) => self.unpair(key),
            }
        }
        self.drop_if_done(id);
        End::Known(ids, state)
    }

    /// An exchange's end will not be known: nobody becomes its child any more.
    pub(super) fn lost(&mut self, id: ExchangeId) {
        let Some(open) = self.open.remove(&id) else {
            self.unseen = self.unseen.saturating_sub(1);
            return;
        };
        if open.role == Role::Server && !open.ended && !open.suspended {
            self.threads.remove(open.actor, id);
        }
        if let Some(key) = open.join {
            self.unpair(key);
        }
        if let Some(up) = open.up {
            self.release(up);
        }
    }

    /// Gives up client exchanges that waited long enough for their server exchange.
    pub(super) fn tidy(&mut self, now: Nanos) {
        while let Some(id) = self.lingering.overdue(now) {
            self.forget(id);
        }
    }

    /// Ids for an exchange that is not in the table.
    pub(super) fn stranger(&mut self, context: Option<&super::context::TraceContext>) -> Ids {
        match context {
            Some(context) => self.child_of_header(context),
            None => self.child(None),
        }
    }

    /// Decides an exchange's place and, before it, that of all its ancestors.
    fn resolve(&mut self, id: ExchangeId) -> Option<(Ids, Option<Arc<str>>)> {
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        let mut at = id;
        let mut above: Option<(Ids, Option<Arc<str>>)> = None;
        while let Some(open) = self.open.get(&at) {
            if let Some(ids) = open.ids {
                above = Some((ids, open.state.clone()));
                break;
            }
            if path.len() == DEPTH {
                self.counts.cut += 1;
                break;
            }
            path.push(at);
            let up = match open.role {
                Role::Client => open.up,
                Role::Server => open.join.and_then(|key| self.pairs.get(key)?.client),
            };
            let Some(up) = up else { break };
            at = up;
        }
        for &at in path.iter().rev() {
            let ids = self.child(above.as_ref().map(|(ids, _)| ids));
            let Some(open) = self.open.get_mut(&at) else { break };
            // A chain that bites its own tail comes here twice.
            let ids = *open.ids.get_or_insert(ids);
            if let Some((_, state)) = &above {
                open.state.clone_from(state);
            }
            let state = open.state.clone();
            if let (Role::Server, Some(key), Some(_)) = (open.role, open.join, ids.parent) {
                self.counts.joined += 1;
                self.unpair(key);
            }
            above = Some((ids, state));
        }
        self.path = path;
        above
    }

    fn child(&mut self, parent: Option<&Ids>) -> Ids {
        let span_id = self.span_id();
        match parent {
            Some(parent) => Ids {
                span_id,
                parent: Some(parent.span_id),
                sampled: self.sampler.decide(&parent.trace_id, Some(parent.sampled)),
                ..*parent
            },
            None => {
                let trace_id = loop {
                    let id: [u8; 16] = self.random.random();
                    if id != [0; 16] {
                        break id;
                    }
                };
                let sampled = self.sampler.decide(&trace_id, None);
                Ids {
                    trace_id,
                    span_id,
                    parent: None,
                    sampled,
                    random: true,
                }
            }
        }
    }

    fn child_of_header(&mut self, context: &super::context::TraceContext) -> Ids {
        Ids {
            trace_id: context.trace_id,
            span_id: self.span_id(),
            parent: Some(context.span_id),
            sampled: self.sampler.decide(&context.trace_id, Some(context.sampled())),
            random: context.flags & super::context::FLAG_RANDOM != 0,
        }
    }

    fn span_id(&mut self) -> [u8; 8] {
        loop {
            let id: u64 = self.random.random();
            if id != 0 {
                return id.to_be_bytes();
            }
        }
    }

    /// The two ends of a request have nothing more to say to each other.
    fn unpair(&mut self, key: JoinKey) {
        let Some(pair) = self.pairs.remove(key) else { return };
        for id in [pair.server, pair.client].into_iter().flatten() {
            if let Some(open) = self.open.get_mut(&id) {
                open.join = None;
                self.drop_if_done(id);
            }
        }
    }

    fn waits(&self, id: ExchangeId) -> bool {
        self.open.get(&id).is_some_and(|open| open.join.is_some())
    }

    /// Waits no longer for a join partner.
    fn forget(&mut self, id: ExchangeId) {
        if let Some(key) = self.open.get(&id).and_then(|open| open.join) {
            self.unpair(key);
        }
    }

    fn release(&mut self, up: ExchangeId) {
        if let Some(open) = self.open.get_mut(&up) {
            open.children = open.children.saturating_sub(1);
            self.drop_if_done(up);
        }
    }

    fn drop_if_done(&mut self, id: ExchangeId) {
        if self
            .open
            .get(&id)
            .is_some_and(|open| open.ended && open.children == 0 && open.join.is_none())
        {
            self.open.remove(&id);
        }
    }
}
