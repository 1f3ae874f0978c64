//! What the kernel side knows of HTTP/1.x by itself, in the words of this side.

use super::schema::HTTP;
use super::target;
use crate::protocol::exchange::{Begin, Counted, ExchangeId};
use crate::signal::{Actor, ConnId, Last, Nanos, ProcessKey, Role};
use onlooker_common::fallback::{BOUNDS, FallbackCounts, FallbackKey};
use onlooker_common::method;
use onlooker_common::record::{self, role};
use onlooker_common::socket::{Grave, SocketState, phase};

/// Whose exchanges a key counts.
pub fn process(key: &FallbackKey) -> ProcessKey {
    ProcessKey {
        pid: key.tgid,
        start: key.start,
    }
}

/// Exchanges that were counted; `None` when the key holds what it cannot.
pub fn counted(key: &FallbackKey, counts: &FallbackCounts) -> Option<Counted> {
    Some(Counted {
        schema: &HTTP,
        role: side(key.role)?,
        operation: target::operation(name(key.method)).0,
        version: if key.version == 0 { "1.0" } else { "1.1" },
        status: key.status,
        durations: counts.buckets,
        sum: counts.sum,
    })
}

/// The exchange that a connection's entry is about to count.
pub fn last(state: &SocketState) -> (FallbackKey, FallbackCounts) {
    let key = FallbackKey::new(state.asker, state.role, state.method, state.version, state.status);
    let duration = state.last.saturating_sub(state.started);
    let mut counts = FallbackCounts::BLANK;
    counts.buckets[BOUNDS.partition_point(|&bound| bound < duration)] = 1;
    counts.sum = duration;
    (key, counts)
}

/// A request that waits for its answer in the kernel, as an exchange that is open.
pub fn waiting(id: u64, asker: record::Actor, role: u8, method: u8, started: Nanos) -> Option<Begin> {
    Some(Begin {
        id: ExchangeId(id),
        schema: &HTTP,
        role: side(role)?,
        conn: ConnId(0),
        actor: actor(asker),
        started,
        operation: target::operation(name(method)).0,
        context: None,
        join: None,
    })
}

/// What a connection's entry says of its last exchange.
pub fn last_seen(state: &SocketState) -> Last {
    Last {
        exchange: state.exchange,
        counted: phase::counted(state.exchange, state.phase),
        ended: state.ended,
        rx: state.rx,
        tx: state.tx,
    }
}

/// What is left of a connection says the same.
pub fn last_words(grave: &Grave) -> Last {
    Last {
        exchange: grave.exchange,
        counted: phase::counted(grave.exchange, grave.phase),
        ended: grave.ended,
        rx: grave.rx,
        tx: grave.tx,
    }
}

fn name(method: u8) -> &'static [u8] {
    match method::NAMES.get(usize::from(method)) {
        None | Some(&target::OTHER) => b"",
        Some(name) => name.as_bytes(),
    }
}

fn side(role: u8) -> Option<Role> {
    match role {
        role::SERVER => Some(Role::Server),
        role::CLIENT => Some(Role::Client),
        _ => None,
    }
}

fn actor(who: record::Actor) -> Actor {
    Actor {
        process: ProcessKey {
            pid: who.tgid,
            start: who.start,
        },
        tid: who.tid,
    }
}
