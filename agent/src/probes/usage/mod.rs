//! What processes use by group, as process-exporter names it, also of those that live a millisecond. What ended processes used is
//! told by the kernel when it forgets them, what living ones use by `/proc`, each read once in 15 s; its context switches and swapped
//! memory, and while it sleeps its files and bytes too, once in a minute. Bytes read and written are there where the kernel counts
//! them (`CONFIG_TASK_IO_ACCOUNTING`).
//!
//! A process that is older than the agent counts from the first reading on. A process that ended and that nobody waited for
//! (a zombie) is still read like a living one. Context switches of living processes are those of their first thread, as
//! `/proc/PID/status` has them; those of the other threads come when the process is over. Of up to 5 processes in a thousand no
//! `sched_process_free` was seen on 6.18, without a miss of the program's: what they used is then missing, unless `/proc` told it.

/// Instruments of one limit: `ID = name unit shape [labels] help source;`.
macro_rules! instruments {
    ($limit:expr; $($id:ident = $name:literal $unit:literal $shape:ident [$($label:literal),*] $help:literal $source:literal;)*) => { $(
        pub(super) static $id: Instrument = Instrument {
            name: $name, unit: $unit, help: $help, shape: Shape::$shape, labels: &[$($label),*], limit: $limit, source: $source,
        };
    )* };
}

mod group;
mod read;
mod threads;

use super::{Alternative, Hook, Probe, Program, Reader, Tools};
use crate::kernel::tables::TableError;
use crate::signal::{
    Amount, Instrument, MeasureSignal, Nanos, ProcessEvent, ProcessKey, ProcessSignal, Shape, Signal, Who,
};
use group::Group;
use onlooker_common::layout::*;
use std::time::Duration;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "usage",
    group: None,
    loses: "what processes use by group, and the largest memory of those that ended",
    alternatives: &[
        Alternative {
            name: "tp_btf/sched_process_free",
            programs: &[Program {
                name: "usage_free_btf",
                hook: Hook::BtfTracepoint("sched_process_free"),
            }],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sched_process_free",
            programs: &[Program {
                name: "usage_free_raw",
                hook: Hook::RawTracepoint("sched_process_free"),
            }],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
    ],
    maps: &["USAGE_REST"],
    cost: "0.65 us an ended process; 20 us a sleeping process each 15 s, 30 us a busy one: 0.7 to 1 % of a core with 5,000",
    since: "5.8 and later; bytes read and written with `CONFIG_TASK_IO_ACCOUNTING`",
    instruments: &[
        &PEAK,
        &group::PROCESSES,
        &group::THREADS,
        &group::STATES,
        &group::CPU,
        &group::MEMORY,
        &group::READ,
        &group::WRITTEN,
        &group::FILES,
        &group::WORST,
        &group::OLDEST,
        &group::SWITCHES,
        &group::MINOR,
        &group::MAJOR,
        &group::REFUSED,
        &threads::COUNT,
        &threads::CPU,
        &threads::BYTES,
        &threads::MINOR,
        &threads::MAJOR,
        &threads::SWITCHES,
        &threads::REFUSED,
    ],
    reader: Some(|tools| Ok(Box::new(Usage::new(tools)?))),
    ..Probe::BASE
};

const NEEDS: &[usize] = &[
    TASK_TGID,
    TASK_PID,
    TASK_START,
    TASK_SIGNAL,
    TASK_FLAGS,
    SIGNAL_RUNTIME,
    SIGNAL_UTIME,
    SIGNAL_STIME,
    SIGNAL_MIN_FLT,
    SIGNAL_MAJ_FLT,
    SIGNAL_NVCSW,
    SIGNAL_NIVCSW,
    SIGNAL_MAXRSS,
];

static PEAK: Instrument = Instrument {
    name: "onlooker_process_peak_memory_bytes",
    unit: "bytes",
    help: "Largest resident set of processes that ended.",
    shape: Shape::Histogram(&[
        1_048_576.0,
        4_194_304.0,
        16_777_216.0,
        67_108_864.0,
        268_435_456.0,
        1_073_741_824.0,
        4_294_967_296.0,
        17_179_869_184.0,
    ]),
    labels: &[],
    limit: 1000,
    source: "`signal_struct.maxrss` at `sched_process_free`; those that found no room in the ring are not observed",
};

struct Usage {
    group: Group,
}

impl Usage {
    fn new(tools: &mut Tools<'_>) -> Result<Usage, TableError> {
        Ok(Usage {
            group: Group::new(
                tools.tables.array("USAGE_REST")?,
                &tools.config.host.proc,
                &tools.config.usage,
            ),
        })
    }
}

impl Reader for Usage {
    fn rest(&self) -> Duration {
        self.group.rest()
    }

    fn look(&mut self, at: Nanos, _: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        self.group.look(at, tell);
    }

    fn process(&mut self, signal: &ProcessSignal<'_>, tell: &mut dyn FnMut(Signal<'_>)) {
        let (at, key) = (signal.at, signal.process);
        match &signal.event {
            ProcessEvent::Fork { .. } | ProcessEvent::Exec { .. } => self.group.learn(key),
            ProcessEvent::Freed { used } => {
                let peak = used[onlooker_common::usage::PEAK].saturating_mul(procfs::page_size());
                tell(Signal::Measure(MeasureSignal {
                    at,
                    instrument: &PEAK,
                    who: Who::Process(self.group.alias(key)),
                    labels: &[],
                    amount: Amount::Observe(peak as f64),
                }));
                self.group.freed(at, key, used, tell);
            }
            ProcessEvent::Exit { .. } | ProcessEvent::OutOfMemory { .. } => (),
        }
    }
}
