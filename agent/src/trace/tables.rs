//! The small tables behind [`super::links`]: pairs by join key, work by thread, and who waits for a partner.

use crate::protocol::exchange::{ExchangeId, JoinKey};
use crate::signal::{Actor, Nanos, Role};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;

/// How long an ended client exchange waits for its server exchange. The records of one request's two ends are apart by no more
/// than one batch of the ring buffer.
const LINGER: Nanos = 1_000_000_000;

/// The exchanges of both ends of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pair {
    pub(super) server: Option<ExchangeId>,
    pub(super) client: Option<ExchangeId>,
}

impl Pair {
    pub(super) fn is_empty(&self) -> bool {
        self.server.is_none() && self.client.is_none()
    }
    pub(super) fn slot(&mut self, role: Role) -> &mut Option<ExchangeId> {
        match role {
            Role::Server => &mut self.server,
            Role::Client => &mut self.client,
        }
    }
}

/// Pairs by key. Every pair has a member in the table of open exchanges, so that table's limit is this one's too.
#[derive(Debug, Default)]
pub(super) struct Pairs(FxHashMap<JoinKey, Pair>);

impl Pairs {
    pub(super) fn entry(&mut self, key: JoinKey) -> &mut Pair {
        self.0.entry(key).or_default()
    }
    pub(super) fn get(&self, key: JoinKey) -> Option<&Pair> {
        self.0.get(&key)
    }
    pub(super) fn remove(&mut self, key: JoinKey) -> Option<Pair> {
        self.0.remove(&key)
    }
}

/// The server exchanges each thread has open: how many, and the exclusive or of their ids, which is the id when there is one.
#[derive(Debug, Default)]
pub(super) struct Threads(FxHashMap<Actor, (u32, u64)>);

impl Threads {
    pub(super) fn add(&mut self, actor: Actor, id: ExchangeId) {
        let (count, mix) = self.0.entry(actor).or_default();
        *count += 1;
        *mix ^= id.0;
    }
    pub(super) fn remove(&mut self, actor: Actor, id: ExchangeId) {
        if let Entry::Occupied(mut entry) = self.0.entry(actor) {
            let (count, mix) = entry.get_mut();
            *count -= 1;
            *mix ^= id.0;
            if *count == 0 {
                entry.remove();
            }
        }
    }
    /// `None`: nothing open. `Some(None)`: several.
    pub(super) fn get(&self, actor: Actor) -> Option<Option<ExchangeId>> {
        let (count, mix) = self.0.get(&actor)?;
        Some((*count == 1).then_some(ExchangeId(*mix)))
    }
}

/// Ended client exchanges in the order of their ends.
#[derive(Debug)]
pub(super) struct Lingering {
    queue: VecDeque<(Nanos, ExchangeId)>,
    limit: usize,
}

impl Lingering {
    pub(super) fn new(limit: usize) -> Lingering {
        Lingering {
            queue: VecDeque::new(),
            limit,
        }
    }
    /// Adds one; returns the oldest when that is one too many.
    pub(super) fn push(&mut self, now: Nanos, id: ExchangeId) -> Option<ExchangeId> {
        self.queue.push_back((now, id));
        if self.queue.len() > self.limit {
            self.queue.pop_front().map(|(_, id)| id)
        } else {
            None
        }
    }
    /// Takes the oldest when it waited long enough.
    pub(super) fn overdue(&mut self, now: Nanos) -> Option<ExchangeId> {
        let &(since, id) = self.queue.front()?;
        if now.saturating_sub(since) < LINGER {
            return None;
        }
        self.queue.pop_front();
        Some(id)
    }
}
