//! DNS, as its clients see it: questions and their answers, over UDP and TCP. What is told: see [`instruments`].
//!
//! A question is known by socket, id, name, type and class. The same once more while it waits is a retry; so is the same of the same
//! thread from another socket (a resolver that asks the next server), and not what goes to another server within
//! [`PARALLEL`] (musl asks all at once). An answer from elsewhere than where the question went is none.

pub mod instruments;
pub mod name;
mod stream;
pub mod wire;

use crate::signal::*;
use rustc_hash::{FxHashMap, FxHasher};
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use stream::Stream;
use wire::Message;

/// Questions that wait for an answer at a time.
pub const OPEN: usize = 8192;
/// TCP connections whose streams are followed at a time.
pub const STREAMS: usize = 1024;
/// A question to which no answer came for so long after its last sending is given up. Most resolvers ask again after 5 s.
pub const PATIENCE: Nanos = 6_000_000_000;
/// See the module.
pub const PARALLEL: Nanos = 100_000_000;
/// A connection over which nothing moved for so long is forgotten.
const IDLE: Nanos = 60_000_000_000;
/// Servers that were asked the same at the same time.
const SERVERS: usize = 3;

/// Takes what is found.
pub trait Out {
    /// A number.
    fn measure(&mut self, measure: &MeasureSignal<'_>);
    /// An address has a name, for so many seconds, on the word of an answer.
    fn name(&mut self, address: IpAddr, name: &str, ttl: u32);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    socket: u64,
    transport: Transport,
    id: u16,
    question: u64,
}

/// The same without the socket, of a thread.
type Thread = (u32, u16, u64, Transport);

/// A question that waits.
#[derive(Debug)]
struct Open {
    asked: Nanos,
    last: Nanos,
    actor: Actor,
    name: Box<str>,
    kind: u16,
    servers: [Option<IpAddr>; SERVERS],
    /// The one that was asked last.
    server: Option<IpAddr>,
    /// Messages that the kernel side had lost when it was asked.
    lost: u64,
}

/// The state of all lookups.
#[derive(Debug, Default)]
pub struct Dns {
    open: FxHashMap<Key, Open>,
    threads: FxHashMap<Thread, Key>,
    /// What calls failed with last, by socket.
    errors: FxHashMap<u64, (Nanos, u32)>,
    streams: FxHashMap<(u64, u16, Way), (Nanos, Stream)>,
    /// Messages that the kernel side has lost.
    lost: u64,
}

/// `true`: sent.
type Way = bool;

impl Dns {
    /// Takes what a client sent or received.
    pub fn message(&mut self, signal: &MessageSignal<'_>, out: &mut dyn Out) {
        if let Some(error) = signal.error {
            if self.errors.len() < OPEN || self.errors.contains_key(&signal.socket) {
                self.errors.insert(signal.socket, (signal.at, error));
            }
            return;
        }
        match signal.transport {
            Transport::Udp => self.datagram(signal, signal.bytes, out),
            Transport::Tcp => {
                let key = (signal.socket, signal.port, signal.direction == Direction::Tx);
                let full = self.streams.len() >= STREAMS;
                let stream = match self.streams.entry(key) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(_) if full => {
                        count(out, signal.at, &instruments::LOST, Who::Host, &["table_full"]);
                        return;
                    }
                    Entry::Vacant(entry) => entry.insert(Default::default()),
                };
                stream.0 = signal.at;
                let mut found = Vec::new();
                stream.1.take(signal.bytes, signal.total as usize, &mut |message| {
                    found.push(message.to_vec());
                });
                for message in found {
                    self.datagram(signal, &message, out);
                }
            }
        }
    }

    fn datagram(&mut self, signal: &MessageSignal<'_>, bytes: &[u8], out: &mut dyn Out) {
        let who = Who::Process(signal.actor.process);
        let Ok(message) = Message::read(bytes) else {
            count(out, signal.at, &instruments::UNREADABLE, who, &[]);
            return;
        };
        let mut hasher = FxHasher::default();
        (&message.name, message.kind, message.class).hash(&mut hasher);
        let key = Key {
            socket: signal.socket,
            transport: signal.transport,
            id: message.id,
            question: hasher.finish(),
        };
        match (signal.direction, message.response) {
            (Direction::Tx, false) => self.asked(signal, &message, key, out),
            (Direction::Rx, true) => self.answered(signal, &message, key, out),
            // What servers say: not ours.
            _ => (),
        }
    }

    fn asked(&mut self, signal: &MessageSignal<'_>, message: &Message<'_>, key: Key, out: &mut dyn Out) {
        let thread = (signal.actor.tid, key.id, key.question, key.transport);
        let who = Who::Process(signal.actor.process);
        let mut parallel = false;
        let before = match self.open.remove(&key) {
            Some(open) => {
                parallel = signal.peer != open.server && signal.at.saturating_sub(open.last) < PARALLEL;
                Some(open)
            }
            None => self
                .threads
                .get(&thread)
                .copied()
                .and_then(|key| self.open.remove(&key)),
        };
        if let Some(mut open) = before {
            open.server = signal.peer;
            if !parallel {
                let labels = [wire::type_name(message.kind), key.transport.as_str()];
                count(out, signal.at, &instruments::RETRIES, who, &labels);
                open.last = signal.at;
            }
            if !open.servers.contains(&signal.peer) {
                open.servers.rotate_right(1);
                open.servers[0] = signal.peer;
            }
            self.threads
                .insert((open.actor.tid, key.id, key.question, key.transport), key);
            self.open.insert(key, open);
            return;
        }
        if self.open.len() >= OPEN {
            count(out, signal.at, &instruments::LOST, Who::Host, &["table_full"]);
            return;
        }
        self.threads.insert(thread, key);
        let open = Open {
            asked: signal.at,
            last: signal.at,
            actor: signal.actor,
            name: message.name.as_str().into(),
            kind: message.kind,
            servers: [signal.peer, None, None],
            server: signal.peer,
            lost: self.lost,
        };
        self.open.insert(key, open);
    }

    fn answered(&mut self, signal: &MessageSignal<'_>, message: &Message<'_>, key: Key, out: &mut dyn Out) {
        let Some(open) = self.open.get(&key).filter(|open| {
            let from = signal.peer.is_none() || open.servers[0].is_none() || open.servers.contains(&signal.peer);
            from && *open.name == *message.name
        }) else {
            let who = Who::Process(signal.actor.process);
            count(out, signal.at, &instruments::UNMATCHED, who, &[]);
            return;
        };
        let who = Who::Process(open.actor.process);
        let (kind, code) = (wire::type_name(open.kind), wire::code_name(message.code));
        let template = name::template(&open.name);
        let labels = [
            &*template,
            kind,
            code,
            if message.code == 0 { "" } else { code },
            key.transport.as_str(),
        ];
        out.measure(&MeasureSignal {
            at: signal.at,
            instrument: &instruments::DURATION,
            who,
            labels: &labels.map(Label::Text),
            amount: Amount::Observe(signal.at.saturating_sub(open.asked) as f64 * 1e-9),
        });
        if message.truncated {
            count(out, signal.at, &instruments::TRUNCATED, who, &[kind]);
        }
        if message.code == 0 {
            message.addresses(&mut |address, ttl| out.name(address, &message.name, ttl));
        }
        self.forget(&key);
    }

    fn forget(&mut self, key: &Key) -> Option<Open> {
        let open = self.open.remove(key)?;
        let thread = (open.actor.tid, key.id, key.question, key.transport);
        if self.threads.get(&thread) == Some(key) {
            self.threads.remove(&thread);
        }
        Some(open)
    }

    /// About once a second, later where nothing happens: gives up what was not answered. `lost`: messages that the kernel side has lost so far.
    pub fn tick(&mut self, now: Nanos, lost: u64, out: &mut dyn Out) {
        self.lost = lost;
        let since = now.saturating_sub(PATIENCE);
        let late = self.open.iter().filter(|(_, open)| open.last < since);
        let late: Vec<Key> = late.map(|(key, _)| *key).collect();
        for key in late {
            let Some(open) = self.forget(&key) else { continue };
            if open.lost != lost {
                // It may have been among these.
                count(out, now, &instruments::LOST, Who::Host, &["gap"]);
                continue;
            }
            let failed = self.errors.get(&key.socket).filter(|(at, _)| *at >= open.last);
            let template = name::template(&open.name);
            let labels = [
                &*template,
                wire::type_name(open.kind),
                failed.map_or("timeout", |(_, error)| errno_or_other(*error)),
                key.transport.as_str(),
            ];
            count(
                out,
                now,
                &instruments::UNANSWERED,
                Who::Process(open.actor.process),
                &labels,
            );
        }
        let idle = now.saturating_sub(IDLE);
        self.errors.retain(|_, (at, _)| *at >= idle);
        self.streams.retain(|_, (last, _)| *last >= idle);
    }

    /// Questions that wait now.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

fn count(out: &mut dyn Out, at: Nanos, instrument: &'static Instrument, who: Who, labels: &[&str]) {
    let labels: Vec<Label<'_>> = labels.iter().map(|label| Label::Text(label)).collect();
    out.measure(&MeasureSignal {
        at,
        instrument,
        who,
        labels: &labels,
        amount: Amount::Add(1.0),
    });
}

#[cfg(test)]
mod tests;
