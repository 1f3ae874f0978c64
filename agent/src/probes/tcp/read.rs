//! Reads what the kernel side counted of connections, and what open ones are at.

use super::listeners::Listeners;
use super::told::{Teller, address, process, who};
use super::*;
use crate::collectors::own::events::Counts;
use crate::kernel::iterator::Walk;
use crate::kernel::tables::{GrowingTable, TableError};
use crate::probes::tcp_accept::ACCEPT;
use crate::probes::tcp_open::{OPEN, ZERO_WINDOWS};
use crate::probes::{Reader, Tools};
use crate::signal::*;
use aya::maps::{Array, MapData};
use onlooker_common::histogram;
use onlooker_common::tcp::{CANCELLED, FailureKey, Key, Open, TIME_WORDS, TimeKey, role, time};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Kinds of things of which some may find no room, in the agent's own numbers.
const REASONS: &[&str] = &["table_full"];
/// Beyond so many open connections they are looked at every [`SELDOM`] looks.
const MANY: usize = 1000;
const SELDOM: u32 = 5;
/// Round trip times of open connections are observed every so many nanoseconds.
const OBSERVED: Nanos = 5_000_000_000;

/// What the kernel times, by number.
const TIMES: [(u32, &Instrument); time::KINDS as usize] = [
    (time::CONNECT, &CONNECT),
    (time::LIFE, &LIFE),
    (time::RTT, &RTT),
    (time::VARIATION, &VARIATION),
    (time::ACCEPT, &ACCEPT),
];

pub(super) fn make(tools: &mut Tools<'_>) -> Result<Box<dyn Reader>, TableError> {
    let count = |kind| {
        let counts = Arc::new(Counts::new(kind, REASONS));
        tools.own.register_events(counts.clone());
        counts
    };
    let (connections, listening) = (count("tcp_connection"), count("tcp_listener"));
    let tables = &mut *tools.tables;
    // Before the maps are taken, for the iterators ask for them by name.
    let open = tables.walk("tcp_open_connections", Some("TCP_CONNECTIONS"))?;
    let listeners = Listeners::new(tables)?;
    Ok(Box::new(Tcp {
        open,
        listeners,
        counts: tables.growing("TCP_COUNTS")?,
        times: tables.growing("TCP_TIMES")?,
        failures: tables.growing("TCP_FAILURES")?,
        rest: tables.array("TCP_REST")?,
        rest_before: [0; count::REST],
        times_rest: tables.array("TCP_TIMES_REST")?,
        times_before: [[0; TIME_WORDS]; time::KINDS as usize],
        sums: FxHashMap::default(),
        last: FxHashMap::default(),
        looks: 0,
        observed: 0,
        connections,
        listening,
    }))
}

struct Tcp {
    open: Option<Walk>,
    listeners: Listeners,
    counts: GrowingTable<Key, { count::NUMBERS }>,
    times: GrowingTable<TimeKey, TIME_WORDS>,
    failures: GrowingTable<FailureKey, 1>,
    /// What found no entry: the host's, without service.
    rest: Array<MapData, [u64; count::REST]>,
    rest_before: [u64; count::REST],
    times_rest: Array<MapData, [u64; TIME_WORDS]>,
    times_before: [[u64; TIME_WORDS]; time::KINDS as usize],
    /// What was told, by key. Bounded by the kernel's tables of counts and of connections.
    sums: FxHashMap<Key, Sum>,
    /// Bytes that open connections had moved when their round trip time was last observed, by address.
    last: FxHashMap<u64, u64>,
    looks: u32,
    observed: Nanos,
    connections: Arc<Counts>,
    listening: Arc<Counts>,
}

/// What connections of one key moved.
#[derive(Default)]
struct Sum {
    /// Those that closed.
    closed: [u64; MOVED.len()],
    /// All, as told. Never more than the truth: what closes between two readings is missing in both until the next.
    told: [u64; MOVED.len()],
    /// Those that are open now, as of the present walk.
    open: [u64; MOVED.len()],
    connections: u64,
    zero_windows: u64,
    /// There was one with a window of zero.
    had_zero: bool,
}

impl Reader for Tcp {
    fn look(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        if self.looks == 0 {
            self.listeners.find();
        }
        self.looks = self.looks.wrapping_add(1).max(1);
        self.failed(at, gone, tell);
        self.counted(at, gone, tell);
        // After the counts of those that closed: a connection must not be in both.
        if self.last.len() < MANY || self.looks.is_multiple_of(SELDOM) {
            self.walk(at, tell);
        }
        self.timed(at, gone, tell);
        self.rest(at, tell);
        self.listeners.look(at, gone, tell);
    }

    fn process(&mut self, signal: &ProcessSignal<'_>, _: &mut dyn FnMut(Signal<'_>)) {
        if let ProcessEvent::Exit { .. } = signal.event {
            self.listeners.ended(signal.process);
        }
    }
}

impl Tcp {
    fn failed(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let read = self
            .failures
            .fresh(&mut |key| gone(process(&key.key)), &mut |failure, [n]| {
                let key = &failure.key;
                let reason = match failure.errno {
                    CANCELLED => "cancelled",
                    number => errno(number).unwrap_or("_OTHER"),
                };
                Teller { at, key, tell }.add(&FAILURES, Some(reason), *n);
                if failure.errno != CANCELLED {
                    failure_event(at, key, reason, *n, tell);
                }
            });
        told("TCP_FAILURES", read);
    }

    fn counted(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let Tcp {
            counts,
            sums,
            connections,
            listeners,
            ..
        } = self;
        let mut over = Vec::new();
        let read = counts.fresh(
            &mut |key| {
                let over_now = key.tgid != 0 && gone(process(key));
                if over_now {
                    over.push(*key);
                }
                over_now
            },
            &mut |key, fresh| {
                connections.seen(fresh[count::OPENED]);
                connections.delivered(fresh[count::OPENED]);
                if fresh[count::DROPPED] > 0 {
                    listeners.dropped(who(key), key.port, key.family, fresh[count::DROPPED]);
                }
                let mut teller = Teller { at, key, tell };
                teller.add(&OPENED, None, fresh[count::OPENED]);
                teller.add(&CLOSED, None, fresh[count::CLOSED]);
                teller.add(&RESETS, Some("transmit"), fresh[count::RESETS_SENT]);
                teller.add(&RESETS, Some("receive"), fresh[count::RESETS_RECEIVED]);
                let sum = sums.entry(*key).or_default();
                for (closed, (place, _)) in sum.closed.iter_mut().zip(MOVED) {
                    *closed = closed.wrapping_add(fresh[place]);
                }
            },
        );
        told("TCP_COUNTS", read);
        if self.open.is_none() {
            self.tell_sums(at, tell);
        }
        for key in over {
            // What is open is told on; its entry comes again when it closes.
            if self.sums.get(&key).is_some_and(|sum| sum.connections == 0) {
                self.sums.remove(&key);
            }
        }
    }

    /// Looks at open connections.
    fn walk(&mut self, at: Nanos, tell: &mut dyn FnMut(Signal<'_>)) {
        let Some(walk) = &mut self.open else { return };
        for sum in self.sums.values_mut() {
            sum.open = [0; MOVED.len()];
            sum.connections = 0;
            sum.zero_windows = 0;
        }
        let observing = at >= self.observed.saturating_add(OBSERVED);
        if observing {
            self.observed = at;
        }
        let mut now = FxHashMap::with_capacity_and_hasher(self.last.len(), rustc_hash::FxBuildHasher);
        let (sums, last) = (&mut self.sums, &self.last);
        let read = walk.each(|open: &Open| {
            let sum = sums.entry(open.key).or_default();
            for (sum, more) in sum.open.iter_mut().zip(moved(open)) {
                *sum = sum.wrapping_add(more);
            }
            sum.connections += u64::from(open.established);
            sum.zero_windows += u64::from(open.zero_window);
            let bytes = open.sent.wrapping_add(open.received);
            let before = last.get(&open.sock).copied();
            let moves = before.unwrap_or_default() != bytes;
            if observing && moves && open.rtt != 0 && open.established != 0 {
                let mut teller = Teller {
                    at,
                    key: &open.key,
                    tell,
                };
                let seconds = |micros: u32| Amount::Observe(f64::from(micros) / 1e6);
                teller.amount(&RTT, None, seconds(open.rtt));
                teller.amount(&VARIATION, None, seconds(open.variation));
            }
            now.insert(open.sock, if observing { bytes } else { before.unwrap_or_default() });
        });
        if told("connections", read) {
            self.last = now;
            self.tell_sums(at, tell);
            self.tell_gauges(at, tell);
        }
    }

    fn tell_sums(&mut self, at: Nanos, tell: &mut dyn FnMut(Signal<'_>)) {
        for (key, sum) in &mut self.sums {
            for (index, (_, instrument)) in MOVED.iter().enumerate() {
                let all = sum.closed[index].wrapping_add(sum.open[index]);
                // What is read of a connection while it moves may be less than before by a byte.
                let more = all.wrapping_sub(sum.told[index]);
                if (more as i64) > 0 {
                    Teller { at, key, tell }.add(instrument, None, more);
                    sum.told[index] = all;
                }
            }
        }
    }

    fn tell_gauges(&mut self, at: Nanos, tell: &mut dyn FnMut(Signal<'_>)) {
        for (key, sum) in &mut self.sums {
            let mut teller = Teller { at, key, tell };
            teller.amount(&OPEN, None, Amount::Set(sum.connections as f64));
            sum.had_zero |= sum.zero_windows > 0;
            if sum.had_zero {
                teller.amount(&ZERO_WINDOWS, None, Amount::Set(sum.zero_windows as f64));
            }
        }
    }

    fn timed(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let read = self.times.fresh(
            &mut |key| key.key.tgid != 0 && gone(process(&key.key)),
            &mut |time, fresh| {
                let found = TIMES.iter().find(|(what, _)| *what == time.what);
                if let (Some((_, instrument)), Some((buckets, sum))) = (found, histogram::read(fresh)) {
                    Teller {
                        at,
                        key: &time.key,
                        tell,
                    }
                    .amount(instrument, None, Amount::Buckets(buckets, sum));
                }
            },
        );
        told("TCP_TIMES", read);
    }

    /// What found no entry in a table of the kernel's: the host's.
    fn rest(&mut self, at: Nanos, tell: &mut dyn FnMut(Signal<'_>)) {
        let mut host = |instrument: &'static Instrument, first: Option<&str>, amount: Amount<'_>| {
            let labels: Vec<Label<'_>> = first.map(Label::Text).into_iter().collect();
            tell(Signal::Measure(MeasureSignal {
                at,
                instrument,
                who: Who::Host,
                labels: &labels,
                amount,
            }));
        };
        if let Ok(now) = self.rest.get(&0, 0) {
            let fresh: [u64; count::REST] = std::array::from_fn(|n| now[n].wrapping_sub(self.rest_before[n]));
            self.rest_before = now;
            let mut add = |instrument, first, place: usize| {
                if fresh[place] > 0 {
                    host(instrument, first, Amount::Add(fresh[place] as f64));
                }
            };
            add(&OPENED, None, count::OPENED);
            add(&CLOSED, None, count::CLOSED);
            add(&RESETS, Some("transmit"), count::RESETS_SENT);
            add(&RESETS, Some("receive"), count::RESETS_RECEIVED);
            add(&FAILURES, Some("_OTHER"), count::FAILED);
            for (place, instrument) in MOVED {
                add(instrument, None, place);
            }
            self.connections.seen(fresh[count::OPENED] + fresh[count::LOST]);
            self.connections.delivered(fresh[count::OPENED]);
            self.connections.lost(0, fresh[count::LOST]);
            self.listening.seen(fresh[count::LISTENERS_LOST]);
            self.listening.lost(0, fresh[count::LISTENERS_LOST]);
        }
        for (index, instrument) in TIMES {
            let Ok(now) = self.times_rest.get(&index, 0) else {
                continue;
            };
            let before = &mut self.times_before[index as usize];
            let fresh: [u64; TIME_WORDS] = std::array::from_fn(|n| now[n].wrapping_sub(before[n]));
            *before = now;
            if let Some((buckets, sum)) = histogram::read(&fresh)
                && buckets.iter().any(|count| *count > 0)
            {
                host(instrument, None, Amount::Buckets(buckets, sum));
            }
        }
    }
}

/// What an open connection has moved, in the order of [`MOVED`].
fn moved(open: &Open) -> [u64; MOVED.len()] {
    let [sent, received, again, disordered] = open.segments.map(u64::from);
    [open.sent, open.received, sent, received, again, disordered]
}

/// `connect 10.0.0.1:5432: ECONNREFUSED`.
fn failure_event(at: Nanos, key: &Key, reason: &str, count: u64, tell: &mut dyn FnMut(Signal<'_>)) {
    if count == 0 || key.role != role::CLIENT {
        return;
    }
    let server = address(key).map(|address| address.to_string());
    let body = match (address(key), &server) {
        (Some(address), _) => format!("connect {}: {reason}", std::net::SocketAddr::new(address, key.port)),
        (None, _) => format!("connect to port {} of this host: {reason}", key.port),
    };
    let mut attributes = vec![
        ("error.type", Detail::Text(reason)),
        ("server.port", Detail::Int(key.port.into())),
    ];
    if let Some(server) = &server {
        attributes.push(("server.address", Detail::Text(server)));
    }
    tell(Signal::Event(EventSignal {
        at,
        name: "onlooker.tcp.connect_failed",
        severity: Severity::Warn,
        who: who(key),
        tid: 0,
        body: &body,
        attributes: &attributes,
        count,
    }));
}

/// Says so when something cannot be read.
pub(super) fn told(what: &'static str, read: std::io::Result<()>) -> bool {
    if let Err(error) = &read {
        tracing::warn!(%error, table = what, "what the kernel side counted of TCP cannot be read");
    }
    read.is_ok()
}
