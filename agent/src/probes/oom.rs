//! Processes that the kernel ends for want of memory. The event has the path of the victim's memory cgroup, the one whose limit
//! counts for it, as the kernel has it: below the root of the hierarchy, whatever cgroup namespace the victim or the agent is in.

use super::{Alternative, Hook, Probe, Program, Reader};
use crate::signal::{
    Amount, Detail, EventSignal, Instrument, MeasureSignal, Nanos, ProcessEvent, ProcessKey, ProcessSignal, Severity,
    Shape, Signal, Who,
};
use onlooker_common::layout::*;
use std::collections::VecDeque;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "oom",
    group: None,
    loses: "processes that were ended for want of memory",
    alternatives: &[Alternative {
        name: "raw_tp/mark_victim",
        programs: &[Program {
            name: "oom_victim_raw",
            hook: Hook::RawTracepoint("mark_victim"),
        }],
        needs: &[&[TASK_LEADER, TASK_START, TASK_TGID, TASK_PID]],
        ..Alternative::BASE
    }],
    cost: "nothing until a process is ended",
    since: "5.8 and later; before 6.8 a victim that did not ask for memory itself is told when it has ended, without its cgroup",
    instruments: &[&KILLS],
    reader: Some(|_| Ok(Box::new(Victims::default()))),
    ..Probe::BASE
};

static KILLS: Instrument = Instrument {
    name: "onlooker_oom_kills_total",
    unit: "",
    help: "Processes that the kernel ended for want of memory.",
    shape: Shape::Counter,
    labels: &[],
    limit: 1000,
    source: "`mark_victim`",
};

/// Victims that are remembered.
const LIMIT: usize = 256;
/// A victim of which only the pid is known has ended by then, or never will.
const WAIT: Nanos = 30_000_000_000;

/// Tells each victim once.
#[derive(Default)]
struct Victims {
    /// Told, the oldest first.
    told: VecDeque<ProcessKey>,
    /// Pids whose process is not known yet, the oldest first.
    waiting: VecDeque<(Nanos, u32)>,
}

impl Victims {
    fn tell(&mut self, at: Nanos, key: ProcessKey, cgroup: Option<&str>, tell: &mut dyn FnMut(Signal<'_>)) {
        // Each thread that the kernel marks is a mark.
        if self.told.contains(&key) {
            return;
        }
        if self.told.len() >= LIMIT {
            self.told.pop_front();
        }
        self.told.push_back(key);
        told(at, Who::Process(key), key.pid, cgroup, tell);
    }
}

fn told(at: Nanos, who: Who, pid: u32, cgroup: Option<&str>, tell: &mut dyn FnMut(Signal<'_>)) {
    tell(Signal::Measure(MeasureSignal {
        at,
        instrument: &KILLS,
        who,
        labels: &[],
        amount: Amount::Add(1.0),
    }));
    let attributes = [
        ("process.pid", Detail::Int(pid.into())),
        ("onlooker.cgroup.memory", Detail::Text(cgroup.unwrap_or_default())),
    ];
    tell(Signal::Event(EventSignal {
        at,
        name: "onlooker.process.oom_kill",
        severity: Severity::Error,
        who,
        tid: 0,
        body: "killed: out of memory",
        attributes: &attributes[..1 + usize::from(cgroup.is_some())],
        count: 1,
    }));
}

impl Reader for Victims {
    fn look(&mut self, at: Nanos, _: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        while let Some((_, pid)) = self.waiting.pop_front_if(|(since, _)| *since + WAIT <= at) {
            told(at, Who::Other, pid, None, tell);
        }
    }

    fn process(&mut self, signal: &ProcessSignal<'_>, tell: &mut dyn FnMut(Signal<'_>)) {
        let (at, key) = (signal.at, signal.process);
        match &signal.event {
            ProcessEvent::OutOfMemory { cgroup } if key.start != 0 => self.tell(at, key, cgroup.as_deref(), tell),
            ProcessEvent::OutOfMemory { .. } if self.waiting.iter().any(|(_, pid)| *pid == key.pid) => (),
            ProcessEvent::OutOfMemory { .. } => {
                if self.waiting.len() >= LIMIT
                    && let Some((_, pid)) = self.waiting.pop_front()
                {
                    told(at, Who::Other, pid, None, tell);
                }
                self.waiting.push_back((at, key.pid));
            }
            ProcessEvent::Exit { .. } => {
                if let Some(index) = self.waiting.iter().position(|(_, pid)| *pid == key.pid) {
                    self.waiting.remove(index);
                    self.tell(at, key, None, tell);
                }
            }
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(signals: &mut Vec<Who>) -> impl FnMut(Signal<'_>) {
        |signal| {
            if let Signal::Measure(measure) = signal {
                signals.push(measure.who);
            }
        }
    }

    #[test]
    fn a_victim_is_told_once_with_its_start() {
        let (mut victims, mut seen) = (Victims::default(), Vec::new());
        let mut process = |start, event| {
            let process = ProcessKey { pid: 7, start };
            victims.process(&ProcessSignal { at: 1, process, event }, &mut who(&mut seen));
        };
        process(0, ProcessEvent::OutOfMemory { cgroup: None });
        process(0, ProcessEvent::OutOfMemory { cgroup: None });
        process(5, ProcessEvent::Exit { code: 9 });
        process(5, ProcessEvent::OutOfMemory { cgroup: None });
        process(5, ProcessEvent::Exit { code: 9 });
        assert_eq!(seen, [Who::Process(ProcessKey { pid: 7, start: 5 })]);
    }

    #[test]
    fn one_that_never_ends_is_told_as_another() {
        let (mut victims, mut seen) = (Victims::default(), Vec::new());
        let process = ProcessKey { pid: 7, start: 0 };
        let event = ProcessEvent::OutOfMemory { cgroup: None };
        victims.process(&ProcessSignal { at: 1, process, event }, &mut |_| ());
        victims.look(WAIT, &mut |_| false, &mut who(&mut seen));
        assert_eq!(seen, []);
        victims.look(WAIT + 1, &mut |_| false, &mut who(&mut seen));
        assert_eq!(seen, [Who::Other]);
    }
}
