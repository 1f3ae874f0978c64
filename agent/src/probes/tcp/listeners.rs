//! Listening sockets: whose they are, their queues.

use super::read::told;
use super::told::family;
use crate::kernel::iterator::Walk;
use crate::kernel::tables::{TableError, Tables};
use crate::probes::tcp_open::{DROPS, LISTENING, QUEUE, QUEUE_LIMIT};
use crate::signal::*;
use aya::maps::{HashMap, MapData};
use onlooker_common::tcp::{Listener, Listening};
use rustc_hash::{FxHashMap, FxHashSet};

/// Owners of listening sockets that ended and are not replaced: looked for again every so many looks.
const AGAIN: u32 = 30;

/// By owner, port and family.
type Place = (Who, u16, u8);

pub(super) struct Listeners {
    walk: Option<Walk>,
    find: [Option<Walk>; 2],
    table: HashMap<MapData, u64, Listener>,
    /// Drops that were told of sockets that listen, by address of the socket.
    drops: FxHashMap<u64, (u16, u8, u32)>,
    /// Those of sockets that are gone, by port and family.
    gone: FxHashMap<(u16, u8), Gone>,
    /// What was told at the last look, so that what is gone is told as zero once.
    last: FxHashSet<Place>,
    owners: FxHashSet<ProcessKey>,
    /// An owner ended, or there are sockets without one: look for owners in so many looks.
    due: Option<u32>,
}

/// Drops of sockets that are gone. The kernel side counts all of theirs at their end, those too that were told before.
struct Gone {
    who: Who,
    /// As the kernel side counted them.
    all: u64,
    /// Told while they were there.
    before: u64,
    /// Told since.
    told: u64,
}

/// Ports of which that is kept.
const PORTS: usize = 4096;

impl Listeners {
    pub(super) fn new(tables: &mut Tables) -> Result<Listeners, TableError> {
        Ok(Listeners {
            walk: tables.walk("tcp_open_listeners", Some("TCP_LISTENERS"))?,
            find: [
                tables.walk("tcp_open_find_listeners", None)?,
                tables.walk("tcp_open_find_connections", None)?,
            ],
            table: tables.hash("TCP_LISTENERS")?,
            drops: FxHashMap::default(),
            gone: FxHashMap::default(),
            last: FxHashSet::default(),
            owners: FxHashSet::default(),
            due: None,
        })
    }

    /// Goes over the open files of the host: sockets that listen, then connections, which are told apart by these.
    pub(super) fn find(&mut self) {
        for walk in self.find.iter_mut().flatten() {
            // They write nothing.
            told("open files", walk.each(|_: &u64| ()));
        }
    }

    /// A process ended.
    pub(super) fn ended(&mut self, process: ProcessKey) {
        if self.owners.contains(&process) {
            self.due = Some(0);
        }
    }

    /// Sockets ended that had dropped so many in all.
    pub(super) fn dropped(&mut self, who: Who, port: u16, of: u8, count: u64) {
        let gone = self.of_gone(who, port, of);
        gone.who = who;
        gone.all += count;
    }

    fn of_gone(&mut self, who: Who, port: u16, of: u8) -> &mut Gone {
        if self.gone.len() >= PORTS && !self.gone.contains_key(&(port, of)) {
            // Nothing is owed where all is told.
            self.gone.retain(|_, gone| gone.all != gone.before + gone.told);
        }
        self.gone.entry((port, of)).or_insert(Gone {
            who,
            all: 0,
            before: 0,
            told: 0,
        })
    }

    pub(super) fn look(
        &mut self,
        at: Nanos,
        gone: &mut dyn FnMut(ProcessKey) -> bool,
        tell: &mut dyn FnMut(Signal<'_>),
    ) {
        let Some(walk) = &mut self.walk else { return };
        let mut all: Vec<Listening> = Vec::new();
        if !told(
            "listening sockets",
            walk.each(|listening: &Listening| all.push(*listening)),
        ) {
            return;
        }
        self.owners.clear();
        let mut orphans = false;
        for Listening { sock, listener } in &mut all {
            let owner = process(listener);
            if owner.pid == 0 {
                orphans = true;
            } else if gone(owner) {
                orphans = true;
                (listener.start, listener.tgid) = (0, 0);
                // As the kernel has it, but for the owner; drops there are those of its begin.
                if let Ok(mut entry) = self.table.get(sock, 0) {
                    (entry.start, entry.tgid) = (0, 0);
                    const EXIST: u64 = 2;
                    let _ = self.table.insert(*sock, entry, EXIST);
                }
            } else {
                self.owners.insert(owner);
            }
        }
        self.due = match (orphans, self.due) {
            (false, _) => None,
            (true, None) => Some(0),
            (true, due) => due,
        };
        match &mut self.due {
            Some(0) => {
                self.due = Some(AGAIN);
                if let Some(walk) = &mut self.find[0] {
                    told("open files", walk.each(|_: &u64| ()));
                }
            }
            Some(due) => *due -= 1,
            None => (),
        }
        self.tell(at, &all, tell);
    }

    fn tell(&mut self, at: Nanos, all: &[Listening], tell: &mut dyn FnMut(Signal<'_>)) {
        let mut now = FxHashSet::default();
        let mut drops = FxHashMap::default();
        for Listening { sock, listener } in all {
            let who = match listener.tgid {
                0 => Who::Host,
                _ => Who::Process(process(listener)),
            };
            let place = (who, listener.port, listener.family);
            now.insert(place);
            gauges(at, place, [1, listener.queue, listener.limit], tell);
            let before = self.drops.remove(sock).map_or(0, |(_, _, told)| told);
            let more = listener.drops.wrapping_sub(before);
            drops.insert(*sock, (listener.port, listener.family, listener.drops));
            if more > 0 {
                dropped(at, place, more.into(), Some(listener.limit), tell);
            }
        }
        for (port, of, told) in std::mem::replace(&mut self.drops, drops).into_values() {
            if told > 0 {
                self.of_gone(Who::Host, port, of).before += u64::from(told);
            }
        }
        for ((port, of), gone) in &mut self.gone {
            // Less than nothing while an end is not read yet.
            let more = gone.all.saturating_sub(gone.before + gone.told);
            if more > 0 {
                gone.told += more;
                dropped(at, (gone.who, *port, *of), more, None, tell);
            }
        }
        for place in self.last.difference(&now) {
            gauges(at, *place, [0; 3], tell);
        }
        self.last = now;
    }
}

fn process(listener: &Listener) -> ProcessKey {
    ProcessKey {
        pid: listener.tgid,
        start: listener.start,
    }
}

fn gauges(at: Nanos, place: Place, values: [u32; 3], tell: &mut dyn FnMut(Signal<'_>)) {
    for (instrument, value) in [&LISTENING, &QUEUE, &QUEUE_LIMIT].into_iter().zip(values) {
        measure(at, place, instrument, Amount::Set(value.into()), tell);
    }
}

fn measure(
    at: Nanos,
    (who, port, of): Place,
    instrument: &'static Instrument,
    amount: Amount<'_>,
    tell: &mut dyn FnMut(Signal<'_>),
) {
    tell(Signal::Measure(MeasureSignal {
        at,
        instrument,
        who,
        labels: &[Label::Text(&port.to_string()), Label::Text(family(of))],
        amount,
    }));
}

fn dropped(at: Nanos, place: Place, count: u64, limit: Option<u32>, tell: &mut dyn FnMut(Signal<'_>)) {
    measure(at, place, &DROPS, Amount::Add(count as f64), tell);
    let (who, port, _) = place;
    let mut body = format!("port {port}: connections dropped");
    if let Some(limit) = limit {
        body = format!("{body}, {limit} may wait for accept");
    }
    tell(Signal::Event(EventSignal {
        at,
        name: "onlooker.tcp.listen_overflow",
        severity: Severity::Warn,
        who,
        tid: 0,
        body: &body,
        attributes: &[("server.port", Detail::Int(port.into()))],
        count,
    }));
}
