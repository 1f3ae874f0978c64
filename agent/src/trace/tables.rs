//! The small tables behind [`super::links`]: pairs by join key, work by thread, and who waits for a partner.

use crate::protocol::exchange::{ExchangeId, JoinKey};
use crate::signal::{Actor, Nanos, ProcessKey, Role};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::Hash;

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

/// Exchanges that somebody has open: how many, and the exclusive or of their ids, which is the id when there is one.
type Open = (u32, u64);

fn add<K: Hash + Eq>(table: &mut FxHashMap<K, Open>, key: K, id: ExchangeId) {
    let (count, mix) = table.entry(key).or_default();
    *count += 1;
    *mix ^= id.0;
}

fn remove<K: Hash + Eq>(table: &mut FxHashMap<K, Open>, key: K, id: ExchangeId) {
    if let Entry::Occupied(mut entry) = table.entry(key) {
        let (count, mix) = entry.get_mut();
        *count -= 1;
        *mix ^= id.0;
        if *count == 0 {
            entry.remove();
        }
    }
}

fn only((count, mix): &Open) -> Option<ExchangeId> {
    (*count == 1).then_some(ExchangeId(*mix))
}

/// The server exchanges each thread has open, and each process, if somebody wants to know that.
#[derive(Debug, Default)]
pub(super) struct Threads {
    threads: FxHashMap<Actor, Open>,
    processes: Option<FxHashMap<ProcessKey, Open>>,
}

impl Threads {
    pub(super) fn new(by_process: bool) -> Threads {
        Threads {
            threads: FxHashMap::default(),
            processes: by_process.then(FxHashMap::default),
        }
    }
    pub(super) fn add(&mut self, actor: Actor, id: ExchangeId) {
        add(&mut self.threads, actor, id);
        if let Some(processes) = &mut self.processes {
            add(processes, actor.process, id);
        }
    }
    pub(super) fn remove(&mut self, actor: Actor, id: ExchangeId) {
        remove(&mut self.threads, actor, id);
        if let Some(processes) = &mut self.processes {
            remove(processes, actor.process, id);
        }
    }
    /// `None`: nothing open. `Some(None)`: several.
    pub(super) fn get(&self, actor: Actor) -> Option<Option<ExchangeId>> {
        self.threads.get(&actor).map(only)
    }
    /// The only one that a process has open.
    pub(super) fn of_process(&self, process: ProcessKey) -> Option<ExchangeId> {
        self.processes.as_ref()?.get(&process).and_then(only)
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
