//! The pipeline thread: drains the ring and does all work per event: decode, attribute, follow protocols, fold into series,
//! build spans. One thread, so that its state needs no locks but the aggregate's, which a scrape reads.

mod counts;
mod dns;
mod events;
mod flow;
mod fresh;
mod kernel;
mod looks;
mod measures;
mod pace;
mod sink;
mod strangers;
mod writes;

pub use counts::PipelineCounts;
pub use fresh::Fresh;
pub use pace::Pace;
pub use writes::{Observer, Verdicts};

use crate::aggregate::{Aggregate, SharedAggregate, SharedMeasures};
use crate::attribute::connection::Connections;
use crate::attribute::names::Names;
use crate::attribute::process::Processes;
use crate::budget::Keeper;
use crate::cost::{self, Stage};
use crate::export::ItemSink;
use crate::kernel::clock;
use crate::kernel::loader::Kernel;
use crate::kernel::maps::{FallbackTable, Graves, SocketTable};
use crate::kernel::ring::RecordRing;
use crate::logs::LogRecord;
use crate::logs::events::Events;
use crate::probes::{Reader, Room, decode};
use crate::protocol::Ignored;
use crate::protocol::dns::Dns;
use crate::protocol::exchange::ExchangeId;
use crate::protocol::memo::Memo;
use crate::signal::{ConnId, Last, Nanos, PayloadSignal, Signal};
use crate::trace::Tracer;
use crate::trace::span::Span;
use events::Teller;
use looks::Looks;
use measures::Readers;
use onlooker_common::record::kind;
use sink::CoreSink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Records handled between two breaths, in which a scrape may read the aggregate.
const BATCH: usize = 4096;
const SECOND: Nanos = 1_000_000_000;
/// A connection that is quiet for so long is looked up in the kernel, in case its end was lost.
const QUIET: Nanos = 30 * SECOND;

/// What the pipeline works with.
pub struct Parts {
    /// The kernel side.
    pub kernel: Kernel,
    /// Attribution.
    pub processes: Processes,
    /// Traces.
    pub tracer: Tracer,
    /// Names of addresses.
    pub names: Names,
    /// Series.
    pub aggregate: SharedAggregate,
    /// Series of what probes measure.
    pub measures: SharedMeasures,
    /// Who reads what the kernel side counts.
    pub readers: Vec<Box<dyn Reader>>,
    /// Where spans go.
    pub sinks: Vec<Arc<dyn ItemSink<Span>>>,
    /// Makes records of events.
    pub events: Events,
    /// Where those go.
    pub logs: Vec<Arc<dyn ItemSink<LogRecord>>>,
    /// What becomes of writes; `None`: none are told.
    pub observer: Option<Observer>,
    /// Counters others read.
    pub counts: Arc<PipelineCounts>,
    /// Connections followed at once.
    pub connections: usize,
    /// When to look at the ring of `kernel`.
    pub pace: Pace,
    /// Who waits for that.
    pub fresh: Arc<Fresh>,
    /// What the agent may cost.
    pub keeper: Keeper,
}

/// Runs until `stop` is set; then handles what is in the ring, gives up what is open and returns.
pub fn run(parts: Parts, stop: &AtomicBool) {
    let Parts {
        kernel,
        processes,
        tracer,
        names,
        aggregate,
        measures,
        readers,
        sinks,
        events,
        logs,
        observer,
        counts,
        connections,
        mut pace,
        fresh,
        mut keeper,
    } = parts;
    let Kernel {
        mut ring,
        mut mark,
        sockets,
        fallback,
        graves,
        log,
        tables,
        ..
    } = kernel;
    let mut log = log;
    pace::go_first();
    let mut pipeline = Pipeline {
        sockets,
        fallback,
        graves,
        waiting: Vec::new(),
        connections: Connections::new(connections),
        readers: Readers::new(readers),
        dns: Dns::default(),
        core: Core {
            names,
            measures,
            processes,
            tracer,
            sinks,
            teller: Teller::new(events, logs),
            observer,
            counts,
            next_id: 0,
            ignored: None,
            whole: 0,
            heavy: 0,
            memo: Memo::default(),
            strangers: Default::default(),
        },
    };
    let mut looks = Looks::default();
    let (mut handled, mut heard) = (0, 0);
    let mut now = monotonic();
    while !stop.load(Ordering::Acquire) {
        let mut left = looks.left(now);
        if pipeline.core.works() {
            left = left.min(SECOND);
        }
        pace.pause(handled, Duration::from_nanos(left), &mut mark);
        handled = 0;
        let asked = fresh.asked();
        let drained = monotonic();
        let waits = asked > heard;
        if waits {
            heard = asked;
            looks.asked(drained);
        }
        loop {
            let mut series = aggregate.lock();
            let n = pipeline.drain(&mut ring, &mut series);
            handled += n;
            if n > 0 {
                cost::lap(Stage::Drain);
            }
            if n < BATCH {
                break;
            }
        }
        looks.heard(handled + std::mem::take(&mut pipeline.core.heavy));
        now = monotonic();
        let due = looks.due(now, waits);
        // A look at an empty ring is a part of the pause: reading the clock of a thread is a system call.
        let works = handled > 0 || due || pipeline.core.works();
        if works && handled == 0 {
            cost::lap(Stage::Wait);
        }
        pipeline.core.emit_waiting(now);
        if due {
            pipeline.tidy(now, drained, &mut aggregate.lock());
            pipeline.dns(drained);
            pipeline.readers.look(now, &mut pipeline.core);
            pipeline.core.teller.tidy(now);
            keeper.tick();
            if let Some(log) = &mut log {
                log.flush();
            }
            let core = &pipeline.core;
            let presses = core.waits_for_strangers() || pipeline.connections.overfull() || tables.take_crowded();
            // Lines of the kernel side are wanted while they are true.
            let rests = !keeper.watches() && !presses && log.is_none();
            let rest = if rests { pipeline.readers.rest() } else { 0 };
            looks.taken(now, rest, core.sends());
            fresh.looked(now);
        }
        fresh.done(asked);
        if works {
            cost::lap(Stage::Tidy);
        }
    }
    // Detach first, so that the ring runs dry.
    drop(tables);
    let mut series = aggregate.lock();
    while pipeline.drain(&mut ring, &mut series) > 0 {}
    pipeline.look(Nanos::MAX, &mut series);
    pipeline.readers.end(monotonic(), &mut pipeline.core);
    pipeline.core.teller.end(monotonic());
    // What is open will not end, but it has its place.
    pipeline.core.release_writes(Nanos::MAX);
    pipeline.abandon_all(&mut series);
    pipeline.core.emit_waiting(Nanos::MAX);
    drop(series);
    pipeline.core.end_writes();
}

struct Pipeline {
    sockets: SocketTable,
    fallback: FallbackTable,
    graves: Graves,
    /// Exchanges whose requests wait in the kernel, as of the last look.
    waiting: Vec<ExchangeId>,
    connections: Connections,
    readers: Readers,
    dns: Dns,
    core: Core,
}

/// What a protocol's sink needs, apart from the connection at hand.
struct Core {
    names: Names,
    measures: SharedMeasures,
    processes: Processes,
    tracer: Tracer,
    sinks: Vec<Arc<dyn ItemSink<Span>>>,
    teller: Teller,
    observer: Option<Observer>,
    counts: Arc<PipelineCounts>,
    next_id: u64,
    ignored: Option<Ignored>,
    /// Exchanges that were whole when they were heard of, in this batch.
    whole: u64,
    /// Weight of records about processes, connections and events since it was asked for.
    heavy: usize,
    memo: Memo,
    strangers: strangers::Strangers,
}

impl Pipeline {
    /// Handles up to a batch of records.
    fn drain(&mut self, ring: &mut RecordRing, series: &mut Aggregate) -> usize {
        let mut delivered = [0u64; kind::COUNT];
        let mut handled = 0;
        while handled < BATCH
            && let Some(record) = ring.next_record()
        {
            if handled == 0 {
                cost::lap(Stage::Wait);
            }
            handled += 1;
            let room = Room::default();
            match decode(&record, &room) {
                Ok((kind, signal)) => {
                    if let Some(signal) = &signal {
                        tracing::trace!(?signal);
                    }
                    let known = signal.is_none_or(|signal| self.signal(signal, series));
                    if known {
                        delivered[usize::from(kind)] += 1;
                    } else {
                        self.core.counts.unknown[usize::from(kind)].fetch_add(1, Ordering::Release);
                    }
                }
                Err(error) => {
                    let kind = usize::from(error.kind()).min(kind::COUNT - 1);
                    self.core.counts.invalid[kind].fetch_add(1, Ordering::Release);
                    tracing::warn!(%error, "record of the kernel side cannot be read");
                }
            }
        }
        let whole = std::mem::take(&mut self.core.whole);
        self.core.counts.exchanges.seen(whole);
        self.core.counts.exchanges.delivered(whole);
        for (counter, n) in self.core.counts.delivered.iter().zip(delivered) {
            if n > 0 {
                counter.fetch_add(n, Ordering::Release);
            }
        }
        handled
    }

    /// Handles one signal. `false`: it is about a connection that is not known.
    fn signal(&mut self, signal: Signal<'_>, series: &mut Aggregate) -> bool {
        match signal {
            Signal::Process(signal) => {
                self.core.heavy += looks::HEAVY;
                self.core.processes.signal(&signal);
                self.core.renew(series);
                self.core.writer(&signal);
                self.readers.process(&signal, &mut self.core);
                true
            }
            Signal::Payload(payload) => self.payload(&payload, series),
            Signal::Flow(flow) => {
                self.core.heavy += looks::HEAVY;
                self.flow(flow, series)
            }
            Signal::Measure(measure) => {
                self.core.measure(&measure);
                true
            }
            Signal::Event(event) => {
                self.core.heavy += looks::EVENT;
                self.core.event(&event);
                true
            }
            Signal::Message(message) => {
                self.dns.message(&message, &mut self.core);
                true
            }
            Signal::Write(write) => {
                self.core.write(&write);
                true
            }
        }
    }

    fn payload(&mut self, payload: &PayloadSignal<'_>, series: &mut Aggregate) -> bool {
        let Some(connection) = self.connections.get(payload.conn) else {
            return false;
        };
        connection.last = payload.at;
        if connection.ignored {
            return true;
        }
        connection.follow(payload);
        let eof = connection.eof;
        if let Some(asked) = &payload.asked {
            self.core.tracer.answered(asked.actor, payload.actor);
        }
        let Some(conversation) = &mut connection.conversation else {
            return true;
        };
        let mut sink = CoreSink {
            core: &mut self.core,
            series,
            open: &connection.open,
        };
        conversation.payload(payload, &mut sink);
        if let Some(why) = self.core.ignored.take() {
            self.ignore(payload.conn, why);
        }
        if eof {
            self.close_finished(payload.conn, payload.at, series);
        }
        true
    }

    /// At a look: forget what is over, expire what is old.
    fn tidy(&mut self, now: Nanos, drained: Nanos, series: &mut Aggregate) {
        self.look(drained, series);
        for (conn, sock) in self.connections.surplus(now.saturating_sub(SECOND)) {
            if self.sockets.get(sock, conn).is_some_and(|state| state.held > 0) {
                // It waits for an answer.
                if let Some(connection) = self.connections.get(conn) {
                    connection.last = now;
                }
                continue;
            }
            self.forget(sock, conn, series);
            self.abandon(conn, series);
            self.core.counts.given_up.fetch_add(1, Ordering::Relaxed);
        }
        let quiet = if self.connections.overfull() { SECOND } else { QUIET };
        for (conn, sock) in self.connections.quiet(now.saturating_sub(quiet)) {
            if self.sockets.get(sock, conn).is_some() {
                // Alive: look again when it was quiet for as long once more.
                if let Some(connection) = self.connections.get(conn) {
                    connection.last = now;
                }
            } else {
                self.closed(now, conn, Last::default(), series);
            }
        }
        for (conn, open) in self.connections.waiting() {
            if let Some(conversation) = self.connections.get(conn).and_then(|c| c.conversation.as_mut()) {
                let mut sink = CoreSink {
                    core: &mut self.core,
                    series,
                    open: &open,
                };
                conversation.tick(now, &mut sink);
            }
        }
        self.core.processes.doubt(self.core.counts.lost_lives());
        self.core.processes.expire(now);
        self.core.renew(series);
        series.tidy(now);
        self.core
            .counts
            .connections
            .store(self.connections.len(), Ordering::Relaxed);
        if let Ok(mut counts) = self.core.counts.tracer.lock() {
            *counts = self.core.tracer.counts();
        }
    }

    fn abandon(&mut self, conn: ConnId, series: &mut Aggregate) {
        if let Some(mut connection) = self.connections.remove(conn)
            && let Some(conversation) = &mut connection.conversation
        {
            conversation.abandon(&mut CoreSink {
                core: &mut self.core,
                series,
                open: &connection.open,
            });
            self.core.ignored = None;
        }
    }

    fn abandon_all(&mut self, series: &mut Aggregate) {
        for conn in self.connections.ids() {
            self.abandon(conn, series);
        }
    }
}

impl Core {
    /// What is remembered of a process that is another service's now must not be used any longer.
    fn renew(&mut self, series: &mut Aggregate) {
        if self.processes.take_renamed() {
            series.renew();
            self.renew_writers();
        }
    }

    /// Whether spans or records are sent somewhere.
    fn sends(&self) -> bool {
        !self.sinks.is_empty() || self.teller.sends()
    }

    /// Whether there may be something to do where nothing came.
    fn works(&self) -> bool {
        !self.sinks.is_empty() || self.observer.is_some()
    }

    /// Spans that waited for their place in a trace.
    fn emit_waiting(&mut self, now: Nanos) {
        let sinks = &self.sinks;
        self.tracer.expire(now, &mut |span| {
            for sink in sinks {
                sink.accept(span.clone());
            }
        });
        self.release_writes(now);
    }
}

fn monotonic() -> Nanos {
    clock::nanos(rustix::time::ClockId::Monotonic)
}
