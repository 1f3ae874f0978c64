//! Time off the CPU, by reason.

use super::stall::{Times, WHOSE};
use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::histogram::SECONDS;
use onlooker_common::stall::off;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "offcpu",
    loses: "how long threads are off the CPU, and why",
    // The state of a task is one of two members, see the kernel side.
    alternatives: &[
        Alternative {
            name: "tp_btf/sched_switch",
            programs: &[Program {
                name: "offcpu_switch_btf",
                hook: Hook::BtfTracepoint("sched_switch"),
            }],
            needs: &[WHOSE],
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf+state/sched_switch",
            programs: &[Program {
                name: "offcpu_switch_state_btf",
                hook: Hook::BtfTracepoint("sched_switch"),
            }],
            needs: &[WHOSE],
            loses: BY_STATE,
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sched_switch",
            programs: &[Program {
                name: "offcpu_switch_raw",
                hook: Hook::RawTracepoint("sched_switch"),
            }],
            needs: &[WHOSE],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp+state/sched_switch",
            programs: &[Program {
                name: "offcpu_switch_state_raw",
                hook: Hook::RawTracepoint("sched_switch"),
            }],
            needs: &[WHOSE],
            loses: BY_STATE,
            ..Alternative::BASE
        },
    ],
    default: false,
    maps: &["OFFCPU_TIMES", "OFFCPU_SPILL", "OFFCPU_LOST", "OFFCPU_THREADS"],
    cost: "300 ns every switch of threads by typed tracepoints, 460 ns by raw ones, the kernel's own measuring included, which is why \
           it is off by default",
    since: "5.8 and later; before 5.18 why a thread left the CPU is not known when another one woke it in that moment",
    instruments: &[&TIMES],
    reader: Some(|tools| MAPS.reader(tools)),
    ..Probe::BASE
};

const BY_STATE: &str = "why a thread left the CPU that another one woke in that moment";

static TIMES: Instrument = Instrument {
    name: "onlooker_offcpu_duration_seconds",
    unit: "seconds",
    help: "Time that threads were off the CPU, from leaving it until they came back, by why they left.",
    shape: Shape::Histogram(&SECONDS),
    labels: &["onlooker_offcpu_reason"],
    limit: 4000,
    source: "sched_switch. `sleep`: waits that a signal may end (time, data, most locks); `disk`: waits that no signal ends (disks, locks \
             of the kernel; state D of ps); `stopped`: by a signal or a tracer; `preempted`: ready to run, another thread had the CPU; \
             `other`: parked, frozen, not known. The wait for a CPU at the end of a time is in it. Told when the thread is back: \
             what a thread never comes back from is not told. Threads of the kernel are left out.",
};

static MAPS: Times = Times {
    kind: "offcpu",
    maps: ["OFFCPU_TIMES", "OFFCPU_SPILL", "OFFCPU_LOST"],
    instrument: &TIMES,
    names: &off::NAMES,
};
