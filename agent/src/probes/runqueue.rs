//! Waits for a CPU.

use super::stall::{Times, WHOSE};
use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::histogram::SECONDS;
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "runqueue",
    loses: "how long tasks wait for a CPU",
    alternatives: &[
        Alternative {
            name: "tp_btf/sched_switch+sched_process_free",
            programs: &[
                Program {
                    name: "runqueue_switch_btf",
                    hook: Hook::BtfTracepoint("sched_switch"),
                },
                Program {
                    name: "runqueue_free_btf",
                    hook: Hook::BtfTracepoint("sched_process_free"),
                },
            ],
            needs: &[WHOSE, NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sched_switch+sched_process_free",
            programs: &[
                Program {
                    name: "runqueue_switch_raw",
                    hook: Hook::RawTracepoint("sched_switch"),
                },
                Program {
                    name: "runqueue_free_raw",
                    hook: Hook::RawTracepoint("sched_process_free"),
                },
            ],
            needs: &[WHOSE, NEEDS],
            ..Alternative::BASE
        },
    ],
    default: false,
    maps: &["RUNQUEUE_TIMES", "RUNQUEUE_SPILL", "RUNQUEUE_LOST", "RUNQUEUE_THREADS"],
    cost: "330 to 430 ns every switch of tasks, which is why it is off by default",
    since: "5.8 and later, where the kernel keeps /proc/PID/schedstat",
    instruments: &[&TIMES],
    reader: Some(|tools| MAPS.reader(tools)),
    ..Probe::BASE
};

const NEEDS: &[usize] = &[TASK_RUN_DELAY, TASK_RUNS];

static TIMES: Instrument = Instrument {
    name: "onlooker_runqueue_wait_seconds",
    unit: "seconds",
    help: "Time that tasks waited for a CPU, ready to run.",
    shape: Shape::Histogram(&SECONDS),
    labels: &[],
    limit: 1000,
    source: "sched_switch: what came to the task's sched_info.run_delay (/proc/PID/schedstat, second number) with the run that ends. \
             Tasks of the kernel have no service.",
};

static MAPS: Times = Times {
    kind: "runqueue",
    maps: ["RUNQUEUE_TIMES", "RUNQUEUE_SPILL", "RUNQUEUE_LOST"],
    instrument: &TIMES,
    names: &[],
};
