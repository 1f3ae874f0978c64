//! Lives of processes by service, exactly, also of those that live a millisecond: made, begun as another program, ended.
//!
//! Records that find no room in the ring are counted by the kernel side, by kind (`onlooker_events_lost_total`). They are lives all
//! the same: told of no service, ends without how. So the sums over all services are exact, as long as the agent is attached.

use super::ends;
use crate::kernel::clock::nanos;
use crate::kernel::maps::KernelCounters;
use crate::probes::{Reader, Tools, add};
use crate::signal::{
    Amount, Instrument, MeasureSignal, Nanos, ProcessEvent, ProcessKey, ProcessSignal, Shape, Signal, Who,
};
use onlooker_common::record::kind;
use rustc_hash::{FxHashMap, FxHashSet};
use rustix::time::ClockId;
use std::collections::VecDeque;

pub(super) static FORKS: Instrument = Instrument {
    name: "onlooker_process_forks_total",
    unit: "",
    help: "Processes that were made, by the service of the parent.",
    shape: Shape::Counter,
    labels: &[],
    limit: 1000,
    source: "`sched_process_fork`, threads apart; `_OTHER`: the record found no room in the ring",
};
pub(super) static EXECS: Instrument = Instrument {
    name: "onlooker_process_execs_total",
    unit: "",
    help: "Programs that processes began to run, by the service they became.",
    shape: Shape::Counter,
    labels: &[],
    limit: 1000,
    source: "`sched_process_exec`; `_OTHER`: the record found no room in the ring",
};
pub(super) static EXITS: Instrument = Instrument {
    name: "onlooker_process_exits_total",
    unit: "",
    help: "Processes that ended, by exit code or signal.",
    shape: Shape::Counter,
    labels: &["exit_code", "signal", "core_dumped"],
    limit: 2000,
    source: "`sched_process_exit` of the last thread; `exit_code` is empty when a signal ended it, \
             both are when the record found no room in the ring (`_OTHER`)",
};
pub(super) static DURATION: Instrument = Instrument {
    name: "onlooker_process_duration_seconds",
    unit: "seconds",
    help: "Time from the start of processes to their end.",
    shape: Shape::Histogram(&[
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 3600.0, 86400.0,
    ]),
    labels: &[],
    limit: 1000,
    source: "`sched_process_exit` of the last thread less `task_struct.start_boottime`; time that the host was suspended is in it. Not of \
             ends whose record found no room in the ring",
};
/// Ended processes that are remembered, lest an end told twice counts twice: two threads that end at the same time both see
/// that none is left.
const ENDED: usize = 4096;
/// Execs that wait to be told, processes at a time.
const WAITING: usize = 8192;

/// Kinds of records that are lives.
const KINDS: [(u16, &Instrument); 3] = [(kind::FORK, &FORKS), (kind::EXEC, &EXECS), (kind::EXIT, &EXITS)];

/// Tells lives.
pub(super) struct Lives {
    ended: FxHashSet<ProcessKey>,
    order: VecDeque<ProcessKey>,
    /// Programs begun since the last look. Asked at once, the name of a process costs a look at `/proc`; most end before.
    execs: FxHashMap<ProcessKey, u64>,
    counters: Option<KernelCounters>,
    /// How far the clock of starts, which goes on while the host is suspended, is ahead of that of records.
    suspended: u64,
    /// What was told of records without room, in the order of [`KINDS`].
    told: [u64; KINDS.len()],
}

impl Lives {
    pub(super) fn new(tools: &Tools<'_>) -> Lives {
        Lives::of(Some(tools.counters.clone()))
    }

    fn of(counters: Option<KernelCounters>) -> Lives {
        Lives {
            ended: FxHashSet::default(),
            order: VecDeque::new(),
            execs: FxHashMap::default(),
            counters,
            suspended: suspended(),
            told: [0; KINDS.len()],
        }
    }

    /// Whether it is the first time that this one ends.
    fn ends(&mut self, key: ProcessKey) -> bool {
        if !self.ended.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > ENDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        true
    }

    /// `lost`: records without room since the agent began, in the order of [`KINDS`].
    fn tell_rest(&mut self, at: Nanos, lost: [u64; KINDS.len()], tell: &mut dyn FnMut(Signal<'_>)) {
        for ((told, lost), (_, instrument)) in self.told.iter_mut().zip(lost).zip(KINDS) {
            if lost > *told {
                add(at, instrument, Who::Other, &[], (lost - *told) as f64, tell);
                *told = lost;
            }
        }
    }
}

impl Reader for Lives {
    fn look(&mut self, at: Nanos, _: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        self.suspended = suspended();
        for (key, count) in self.execs.drain() {
            add(at, &EXECS, Who::Process(key), &[], count as f64, tell);
        }
        if let Some(counters) = &self.counters {
            let lost = KINDS.map(|(kind, _)| counters.without_room(kind));
            self.tell_rest(at, lost, tell);
        }
    }

    fn process(&mut self, signal: &ProcessSignal<'_>, tell: &mut dyn FnMut(Signal<'_>)) {
        let (at, key) = (signal.at, signal.process);
        match &signal.event {
            ProcessEvent::Fork { parent } => add(at, &FORKS, Who::Process(*parent), &[], 1.0, tell),
            ProcessEvent::Exec { .. } => {
                if self.execs.len() < WAITING || self.execs.contains_key(&key) {
                    *self.execs.entry(key).or_default() += 1;
                } else {
                    add(at, &EXECS, Who::Process(key), &[], 1.0, tell);
                }
            }
            ProcessEvent::Exit { code } => {
                if let Some(count) = self.execs.remove(&key) {
                    add(at, &EXECS, Who::Process(key), &[], count as f64, tell);
                }
                if self.ends(key) {
                    ends::tell_end(at, key, *code, tell);
                    tell(Signal::Measure(MeasureSignal {
                        at,
                        instrument: &DURATION,
                        who: Who::Process(key),
                        labels: &[],
                        amount: Amount::Observe(
                            at.saturating_add(self.suspended).saturating_sub(key.start) as f64 / 1e9,
                        ),
                    }));
                }
            }
            ProcessEvent::Freed { .. } | ProcessEvent::OutOfMemory { .. } => (),
        }
    }
}

/// Nanoseconds that the host was suspended since it booted.
fn suspended() -> u64 {
    let monotonic = nanos(ClockId::Monotonic);
    let ahead = nanos(ClockId::Boottime).saturating_sub(monotonic);
    // Between the two readings some time went by.
    if ahead < 1_000_000 { 0 } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = Vec<(&'static str, Who, Amount<'static>)>;

    fn keep(told: &mut Told) -> impl FnMut(Signal<'_>) {
        |signal| {
            if let Signal::Measure(measure) = signal
                && let Amount::Add(by) = measure.amount
            {
                told.push((measure.instrument.name, measure.who, Amount::Add(by)));
            }
        }
    }

    #[test]
    fn an_end_counts_once_and_after_its_programs() {
        let (mut lives, mut told) = (Lives::of(None), Told::new());
        let process = ProcessKey { pid: 7, start: 8 };
        let exec = ProcessEvent::Exec {
            ppid: 1,
            uid: 0,
            cgroup: 0,
            comm: b"",
            filename: b"",
            args: b"",
            environ: b"",
        };
        let exit = ProcessEvent::Exit { code: 0 };
        for event in [exec.clone(), exec, exit.clone(), exit] {
            lives.process(&ProcessSignal { at: 1, process, event }, &mut keep(&mut told));
        }
        lives.look(2, &mut |_| false, &mut keep(&mut told));
        let who = Who::Process(process);
        let expect = [(EXECS.name, who, Amount::Add(2.0)), (EXITS.name, who, Amount::Add(1.0))];
        assert_eq!(told, expect);
    }

    #[test]
    fn records_without_room_are_lives_of_no_service() {
        let (mut lives, mut told) = (Lives::of(None), Told::new());
        for lost in [[3, 0, 2], [3, 0, 2], [4, 1, 2]] {
            lives.tell_rest(1, lost, &mut keep(&mut told));
        }
        let expect = [
            (FORKS.name, Who::Other, Amount::Add(3.0)),
            (EXITS.name, Who::Other, Amount::Add(2.0)),
            (FORKS.name, Who::Other, Amount::Add(1.0)),
            (EXECS.name, Who::Other, Amount::Add(1.0)),
        ];
        assert_eq!(told, expect);
    }
}
