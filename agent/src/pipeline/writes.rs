//! Writes of programs on their way to those who make lines of them: whose they are, whether they are wanted, for which request they
//! were made.

use super::Core;
use crate::attribute::process::Processes;
use crate::logs::SpanContext;
use crate::logs::observed::{Ended, Judge, Message, ObservedCounts, Queue, Running, Wanted, Written, container};
use crate::logs::sources::{Described, Format};
use crate::probes::Writers;
use crate::protocol::exchange::ExchangeId;
use crate::signal::{Nanos, ProcessEvent, ProcessKey, ProcessSignal, Stream, WriteSignal};
use crate::trace::clock::Clock;
use crate::trace::{Of, Tracer};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Processes that are known to write at a time; of more, those that wrote longest ago are judged again when they write.
const WRITERS: usize = 4096;
/// Bytes of writes that wait until it is known for which request they were made.
const WAITING: usize = 4 << 20;

/// What observes writes.
pub struct Observer {
    judge: Judge,
    /// The kernel side's tables.
    writers: Box<dyn Verdicts>,
    clock: Clock,
    queue: Arc<Queue>,
    running: Option<Running>,
    counts: Arc<ObservedCounts>,
    known: FxHashMap<ProcessKey, Writer>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    uses: u64,
}

/// Takes what is found out of processes to the kernel side.
pub trait Verdicts: Send {
    /// See [`Writers::judge`].
    fn judge(&mut self, process: ProcessKey, wanted: bool);
    /// See [`Writers::forget`].
    fn forget(&mut self, process: ProcessKey);
    /// Bytes that the ring had no room for, and bytes that were cut, of a stream that is over.
    fn lost(&mut self, process: ProcessKey, stream: Stream) -> (u64, u64);
}

impl Verdicts for Writers {
    fn judge(&mut self, process: ProcessKey, wanted: bool) {
        self.judge(process, wanted);
    }
    fn forget(&mut self, process: ProcessKey) {
        self.forget(process);
    }
    fn lost(&mut self, process: ProcessKey, stream: Stream) -> (u64, u64) {
        let lost = self.lost(process, stream);
        (lost.refused, lost.cut)
    }
}

/// A process that writes.
#[derive(Debug)]
struct Writer {
    /// `None`: nothing of it is wanted.
    source: Option<Arc<Described>>,
    /// See [`Written::container`].
    container: Option<u64>,
    streams: [Its; 2],
    used: u64,
}

/// What is known of one of its streams.
#[derive(Clone, Copy, Debug, Default)]
struct Its {
    /// Whether it is wanted; `None`: not judged.
    wanted: Option<bool>,
    /// Bytes that were lost in the kernel.
    lost: (u64, u64),
    /// Something was lost since.
    gap: bool,
}

struct Waiting {
    message: Message,
    at: Nanos,
    exchange: Option<ExchangeId>,
}

impl Observer {
    /// Without one known yet. Lines are made by `running` of what goes through `queue`.
    pub fn new(
        judge: Judge,
        writers: Box<dyn Verdicts>,
        queue: Arc<Queue>,
        running: Option<Running>,
        counts: Arc<ObservedCounts>,
    ) -> Observer {
        Observer {
            judge,
            writers,
            clock: Clock::system(),
            queue,
            running,
            counts,
            known: FxHashMap::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            uses: 0,
        }
    }

    /// Takes a write.
    fn write(&mut self, write: &WriteSignal<'_>, processes: &mut Processes, tracer: &mut Tracer) {
        let process = write.actor.process;
        self.uses += 1;
        if !self.known.contains_key(&process) {
            let writer = self.first_sight(process, processes, tracer);
            self.known.insert(process, writer);
        }
        let Some(writer) = self.known.get_mut(&process) else {
            return;
        };
        writer.used = self.uses;
        let Some(source) = &writer.source else { return };
        let Some(its) = writer.streams.get_mut(write.stream as usize) else {
            return;
        };
        let judge = &self.judge;
        let wanted = its
            .wanted
            .get_or_insert_with(|| judge.wants_stream(process, write.stream, write.behind));
        let more = (
            write.lost.0.saturating_sub(its.lost.0),
            write.lost.1.saturating_sub(its.lost.1),
        );
        its.lost = (its.lost.0 + more.0, its.lost.1 + more.1);
        if !*wanted {
            return;
        }
        its.gap |= more != (0, 0);
        self.counts.lost_ring.add(more.0);
        self.counts.lost_cut.add(more.1);
        self.counts.seen();
        let exchange = tracer.handling(write.actor, write.at);
        let message = Message::Written(
            source.clone(),
            Written {
                process,
                stream: write.stream,
                tid: write.actor.tid,
                at: self.clock.unix(write.at),
                gap: std::mem::take(&mut its.gap),
                span: None,
                container: writer.container,
                text: write.bytes.into(),
            },
        );
        if self.waiting_bytes + message.weight() > WAITING {
            its.gap = true;
            return self.counts.refused(write.bytes.len());
        }
        self.waiting_bytes += message.weight();
        self.waiting.push_back(Waiting {
            message,
            at: write.at,
            exchange,
        });
    }

    /// Judges a process.
    fn first_sight(&mut self, process: ProcessKey, processes: &mut Processes, tracer: &mut Tracer) -> Writer {
        if self.known.len() >= WRITERS {
            self.make_room();
        }
        let service = processes.service(process);
        let facts = processes.facts(process);
        let wanted = self.judge.wants(process, &service, &facts);
        let container = container(&service.resource).filter(|_| wanted == Wanted::Ids);
        let wanted = match wanted {
            Wanted::Lines => true,
            // Of use where there are ids.
            Wanted::Ids => container.is_some() && tracer.tells_ids(),
            Wanted::Nothing => false,
        };
        self.writers.judge(process, wanted);
        if wanted && self.judge.moves_requests(process) {
            tracer.moves_requests(process);
        }
        Writer {
            source: wanted.then(|| {
                Arc::new(Described {
                    format: Format::Plain,
                    resource: service.resource.clone(),
                    service: service.name.clone(),
                })
            }),
            container,
            streams: [Its::default(); 2],
            used: self.uses,
        }
    }

    /// Forgets the sixteenth of the processes that wrote longest ago.
    fn make_room(&mut self) {
        let mut used: Vec<u64> = self.known.values().map(|writer| writer.used).collect();
        let (_, last, _) = used.select_nth_unstable(WRITERS / 16);
        let last = *last;
        let old = self.known.iter().filter(|(_, writer)| writer.used <= last);
        for process in old.map(|(process, _)| *process).collect::<Vec<_>>() {
            self.forget(process);
        }
    }

    /// A process is not what it was: another program or service, or none.
    fn forget(&mut self, process: ProcessKey) {
        let Some(writer) = self.known.remove(&process) else {
            return;
        };
        self.writers.forget(process);
        if writer.source.is_some() {
            self.waiting.push_back(Waiting {
                message: Message::Ended(Ended { process }),
                at: 0,
                exchange: None,
            });
        }
    }

    /// A process ended.
    fn ended(&mut self, process: ProcessKey) {
        if let Some(writer) = self.known.get(&process) {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let its = writer.streams.get(stream as usize).copied().unwrap_or_default();
                let (ring, cut) = self.writers.lost(process, stream);
                if its.wanted == Some(true) {
                    self.counts.lost_ring.add(ring.saturating_sub(its.lost.0));
                    self.counts.lost_cut.add(cut.saturating_sub(its.lost.1));
                }
            }
        }
        self.forget(process);
    }

    /// Takes note of what becomes of processes.
    fn process(&mut self, signal: &ProcessSignal<'_>, tracer: &mut Tracer) {
        match signal.event {
            ProcessEvent::Exec { .. } => self.forget(signal.process),
            ProcessEvent::Exit { .. } => {
                self.ended(signal.process);
                tracer.ended(signal.process);
            }
            ProcessEvent::Fork { .. } | ProcessEvent::Freed { .. } | ProcessEvent::OutOfMemory { .. } => (),
        }
    }

    /// Services may have other names from now on.
    fn renew(&mut self) {
        for process in self.known.keys().copied().collect::<Vec<_>>() {
            self.forget(process);
        }
    }

    /// Hands over what needs not wait any longer, in the order in which it came. With `Nanos::MAX` everything.
    fn release(&mut self, now: Nanos, tracer: &mut Tracer) {
        if self.waiting.is_empty() {
            return;
        }
        if now != Nanos::MAX {
            self.clock.refresh(now);
        }
        let (waiting, bytes) = (&mut self.waiting, &mut self.waiting_bytes);
        let mut known = Vec::new();
        while let Some(Waiting { message, at, exchange }) = waiting.front_mut() {
            if let (Message::Written(_, written), Some(id)) = (&mut *message, *exchange) {
                match tracer.span_of(id, *at, now) {
                    Of::Later => break,
                    Of::Nothing => (),
                    Of::Span(ids) => {
                        written.span = Some(SpanContext {
                            trace_id: ids.trace_id,
                            span_id: ids.span_id,
                            flags: ids.flags,
                        });
                    }
                }
            }
            if matches!(message, Message::Written(..)) {
                *bytes = bytes.saturating_sub(message.weight());
            }
            known.extend(waiting.pop_front().map(|waiting| waiting.message));
        }
        if known.is_empty() {
            return;
        }
        let (counts, all) = (&self.counts, &mut self.known);
        let refused = |message| {
            if let Message::Written(_, written) = message {
                counts.refused(written.text.len());
                if let Some(writer) = all.get_mut(&written.process)
                    && let Some(its) = writer.streams.get_mut(written.stream as usize)
                {
                    its.gap = true;
                }
            }
        };
        self.queue.put(known.into_iter(), refused, || counts.delivered());
    }

    /// Hands everything over and waits until lines are made of it: the agent ends.
    fn end(mut self, tracer: &mut Tracer) {
        self.release(Nanos::MAX, tracer);
        if let Some(running) = self.running.take() {
            running.finish();
        }
    }
}

impl Core {
    /// Takes a write.
    pub(super) fn write(&mut self, write: &WriteSignal<'_>) {
        if let Some(observer) = &mut self.observer {
            observer.write(write, &mut self.processes, &mut self.tracer);
        }
    }

    /// Takes note of what becomes of processes that may write.
    pub(super) fn writer(&mut self, signal: &ProcessSignal<'_>) {
        if let Some(observer) = &mut self.observer {
            observer.process(signal, &mut self.tracer);
        }
    }

    /// Services may have other names.
    pub(super) fn renew_writers(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.renew();
        }
    }

    /// Writes whose request is known by now.
    pub(super) fn release_writes(&mut self, now: Nanos) {
        if let Some(observer) = &mut self.observer {
            observer.release(now, &mut self.tracer);
        }
    }

    /// The agent ends.
    pub(super) fn end_writes(&mut self) {
        if let Some(observer) = self.observer.take() {
            observer.end(&mut self.tracer);
        }
    }
}

#[cfg(test)]
mod tests;
