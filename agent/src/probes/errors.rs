//! Errors of system calls: counted in the kernel by process, call and error, expected ones apart; some told one by one.

mod expected;
pub(crate) mod names;
mod shapes;

use super::{Alternative, CALL, Hook, Probe, Program, Reader, Tools};
use crate::collectors::own::events::Counts;
use crate::config::Expected;
use crate::kernel::tables::{GrowingTable, TableError};
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Shape, Signal, Who};
use aya::maps::{MapData, PerCpuArray};
use onlooker_common::errors::{CallKey, ErrorKey, Pace, READY, WORDS, call};
use onlooker_common::layout::*;
use std::hash::Hash;
use std::sync::Arc;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "errors",
    loses: "errors of system calls",
    alternatives: &[
        Alternative {
            name: "tp/sys_exit",
            programs: &[Program {
                name: "sys_errors_tp",
                hook: Hook::Tracepoint("raw_syscalls", "sys_exit"),
            }],
            again: &[AGAIN],
            needs: &[CALL, NEEDS, &[EXIT_RET]],
            undivided: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sys_exit",
            programs: &[Program {
                name: "sys_errors",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            again: &[AGAIN],
            needs: &[CALL, NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sys_exit",
            programs: &[Program {
                name: "sys_errors_raw",
                hook: Hook::RawTracepoint("sys_exit"),
            }],
            needs: &[CALL, NEEDS],
            ..Alternative::BASE
        },
    ],
    maps: &[
        "SYSCALL_ERRORS",
        "SYSCALL_ERRORS_SPILL",
        "SYSCALL_ERRORS_EXPECTED",
        "SYSCALL_SHAPES",
    ],
    cost: "1 ns a call that succeeds, 40 to 110 ns one that fails, beside the hook itself (20 to 35 ns)",
    since: "5.8 and later",
    instruments: &[&ERRORS, &EXPECTED],
    reader: Some(make),
    ..Probe::BASE
};

const AGAIN: Program = Program {
    name: "sys_errors_again",
    hook: Hook::BtfTracepoint("sys_exit"),
};

const NEEDS: &[usize] = &[TASK_FILES, FILES_FDT, FDT_FD, FDT_MAX, FILE_INODE, INODE_MODE];

static ERRORS: Instrument = Instrument {
    name: "onlooker_syscall_errors_total",
    unit: "",
    help: "System calls that failed, but for those whose error is expected of them.",
    shape: Shape::Counter,
    labels: &["syscall", "errno", "abi"],
    limit: 4000,
    source: "sys_exit, every call whose result is an error. `abi`: `i386` (`arm`) for 32-bit calls of a 64-bit kernel. Service \
             `_OTHER`: more processes failed within seconds than the kernel's table has room for.",
};

static EXPECTED: Instrument = Instrument {
    name: "onlooker_syscall_errors_expected_total",
    unit: "",
    help: "System calls that failed as is expected of them, of all processes.",
    shape: Shape::Counter,
    labels: &["syscall", "errno", "abi"],
    limit: 1000,
    source: "sys_exit. What is expected stands in docs/syscall-errors.md; `--syscalls.expected=together` counts it with the others.",
};

/// Kind of event in `onlooker_events_total` and its kin.
const KIND: &str = "syscall_error";
/// Why one is lost: no table had room for it.
const REASONS: &[&str] = &["table_full"];

struct Errors {
    by_process: GrowingTable<ErrorKey, WORDS>,
    spilled: GrowingTable<CallKey, 1>,
    expected: GrowingTable<CallKey, 1>,
    pace: PerCpuArray<MapData, Pace>,
    lost: u64,
    counts: Arc<Counts>,
}

fn make(tools: &mut Tools<'_>) -> Result<Box<dyn Reader>, TableError> {
    let tables = &mut *tools.tables;
    let mut table = tables.growing::<CallKey, 1>("SYSCALL_ERRORS_EXPECTED")?;
    if tools.config.expected == Expected::Apart {
        for key in expected::all() {
            table.put_blank(&key)?;
        }
    }
    let mut what = tables.array::<u8>("SYSCALL_SHAPES")?;
    let is_apart = tools.config.expected == Expected::Apart;
    for (index, shape) in shapes::all(is_apart).chain([(READY, 1)]) {
        what.set(index, shape, 0)
            .map_err(|error| TableError::Wrong("SYSCALL_SHAPES", error))?;
    }
    let counts = Arc::new(Counts::new(KIND, REASONS));
    tools.own.register_events(counts.clone());
    Ok(Box::new(Errors {
        by_process: tables.growing("SYSCALL_ERRORS")?,
        spilled: tables.growing("SYSCALL_ERRORS_SPILL")?,
        expected: table,
        pace: tables.per_cpu_array("SYSCALL_ERRORS_PACE")?,
        lost: 0,
        counts,
    }))
}

impl Reader for Errors {
    fn look(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let counts = &self.counts;
        let mut add = |instrument, who, call: u16, errno, count| {
            counts.seen(count);
            counts.delivered(count);
            let (syscall, abi) = names::call(call);
            let labels = [
                Label::Text(&syscall),
                Label::Text(&names::errno(errno)),
                Label::Text(abi),
            ];
            tell(Signal::Measure(MeasureSignal {
                at,
                instrument,
                who,
                labels: &labels,
                amount: Amount::Add(count as f64),
            }));
        };
        read(
            "SYSCALL_ERRORS",
            &mut self.by_process,
            &mut |key| gone(process(key)),
            &mut |key, fresh| {
                // A key whose errors were told of one by one may have another time alone.
                if fresh[0] > 0 {
                    add(&ERRORS, Who::Process(process(key)), key.call, key.errno, fresh[0]);
                }
            },
        );
        read(
            "SYSCALL_ERRORS_SPILL",
            &mut self.spilled,
            &mut |_| false,
            &mut |key, [count]| {
                add(&ERRORS, Who::Other, key.call, key.errno, *count);
            },
        );
        read(
            "SYSCALL_ERRORS_EXPECTED",
            &mut self.expected,
            &mut |_| false,
            &mut |key, [count]| {
                add(&EXPECTED, Who::Host, key.call & !call::RULED, key.errno, *count);
            },
        );
        match self.pace.get(&0, 0) {
            Ok(paces) => {
                let lost: u64 = paces.iter().map(|pace| pace.lost).sum();
                let fresh = lost.saturating_sub(self.lost);
                self.lost = lost;
                counts.seen(fresh);
                counts.lost(0, fresh);
            }
            Err(error) => tracing::warn!(%error, "the kernel's count of lost errors cannot be read"),
        }
    }
}

fn read<K, const N: usize>(
    name: &str,
    table: &mut GrowingTable<K, N>,
    gone: &mut dyn FnMut(&K) -> bool,
    each: &mut dyn FnMut(&K, &[u64; N]),
) where
    K: aya::Pod + Default + Hash + Eq,
{
    if let Err(error) = table.fresh(gone, each) {
        tracing::warn!(%error, table = name, "a table of the kernel side cannot be read");
    }
}

fn process(key: &ErrorKey) -> ProcessKey {
    ProcessKey {
        pid: key.tgid,
        start: key.start,
    }
}
