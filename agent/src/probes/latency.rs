//! Durations of system calls, on demand.

use super::errors::names;
use super::{Alternative, CALL, Hook, Probe, Program, Reader, Tools};
use crate::collectors::own::events::Counts;
use crate::kernel::tables::{GrowingTable, TableError};
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Shape, Signal, Who};
use aya::maps::{MapData, PerCpuArray};
use onlooker_common::errors::{NUMBERS, call};
use onlooker_common::histogram::{self, SECONDS, WORDS};
use onlooker_common::latency::{LatencyKey, lost};
use std::sync::Arc;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "latency",
    loses: "durations of system calls",
    default: false,
    alternatives: &[
        Alternative {
            name: "tp/sys_enter+sys_exit",
            programs: &[
                Program {
                    name: "sys_latency_enter_tp",
                    hook: Hook::Tracepoint("raw_syscalls", "sys_enter"),
                },
                Program {
                    name: "sys_latency_exit_tp",
                    hook: Hook::Tracepoint("raw_syscalls", "sys_exit"),
                },
            ],
            again: &[ENTER_AGAIN, EXIT_AGAIN],
            needs: &[CALL],
            undivided: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sys_enter+sys_exit",
            programs: &[
                Program {
                    name: "sys_latency_enter",
                    hook: Hook::BtfTracepoint("sys_enter"),
                },
                Program {
                    name: "sys_latency_exit",
                    hook: Hook::BtfTracepoint("sys_exit"),
                },
            ],
            again: &[ENTER_AGAIN, EXIT_AGAIN],
            needs: &[CALL],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sys_enter+sys_exit",
            programs: &[
                Program {
                    name: "sys_latency_enter_raw",
                    hook: Hook::RawTracepoint("sys_enter"),
                },
                Program {
                    name: "sys_latency_exit_raw",
                    hook: Hook::RawTracepoint("sys_exit"),
                },
            ],
            needs: &[CALL],
            ..Alternative::BASE
        },
    ],
    maps: &["SYSCALL_STARTS", "SYSCALL_LATENCY", "SYSCALL_MEASURED"],
    cost: "some 550 ns a measured call, beside the hooks",
    since: "5.8 and later",
    instruments: &[&DURATIONS],
    reader: Some(make),
    ..Probe::BASE
};

const ENTER_AGAIN: Program = Program {
    name: "sys_latency_enter_again",
    hook: Hook::BtfTracepoint("sys_enter"),
};
const EXIT_AGAIN: Program = Program {
    name: "sys_latency_exit_again",
    hook: Hook::BtfTracepoint("sys_exit"),
};

static DURATIONS: Instrument = Instrument {
    name: "onlooker_syscall_duration_seconds",
    unit: "seconds",
    help: "Durations of system calls.",
    shape: Shape::Histogram(&SECONDS),
    labels: &["syscall", "abi"],
    limit: 2000,
    source: "sys_enter to sys_exit, also what a call waits. Of all calls, or of those that `--syscalls.latency` names. On demand: \
             `--probes.enable=latency`.",
};

/// Kind of event in `onlooker_events_total` and its kin.
const KIND: &str = "syscall_duration";
/// Why one is lost, by index of `lost`: no room for what began, or for the histogram.
const REASONS: &[&str] = &["starts_full", "table_full"];

/// Calls that never return to their caller: what began would stay.
const ENDLESS: [&str; 4] = ["exit", "exit_group", "rt_sigreturn", "sigreturn"];

/// Is there such a call, and can it be measured?
pub(crate) fn measurable(name: &str) -> bool {
    !ENDLESS.contains(&name) && names::numbers(name).next().is_some()
}

/// Places in the kernel side's table of the calls of these names, or of all.
fn measured(chosen: &[String]) -> Vec<u32> {
    let place = |call: u16| {
        let number = u32::from(call & call::NUMBER);
        let compat = call & call::COMPAT != 0;
        number + if compat { u32::from(NUMBERS) } else { 0 }
    };
    let of = |names: &[&str]| -> Vec<u32> { names.iter().flat_map(|name| names::numbers(name)).map(place).collect() };
    if chosen.is_empty() {
        let endless = of(&ENDLESS);
        let all = 0..2 * u32::from(NUMBERS);
        all.filter(|place| !endless.contains(place)).collect()
    } else {
        of(&chosen.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

struct Latency {
    table: GrowingTable<LatencyKey, WORDS>,
    refused: PerCpuArray<MapData, u64>,
    lost: [u64; lost::COUNT as usize],
    counts: Arc<Counts>,
}

fn make(tools: &mut Tools<'_>) -> Result<Box<dyn Reader>, TableError> {
    let tables = &mut *tools.tables;
    let mut what = tables.array::<u8>("SYSCALL_MEASURED")?;
    for place in measured(&tools.config.latency) {
        what.set(place, 1, 0)
            .map_err(|error| TableError::Wrong("SYSCALL_MEASURED", error))?;
    }
    let counts = Arc::new(Counts::new(KIND, REASONS));
    tools.own.register_events(counts.clone());
    Ok(Box::new(Latency {
        table: tables.growing("SYSCALL_LATENCY")?,
        refused: tables.per_cpu_array("SYSCALL_LATENCY_LOST")?,
        lost: [0; 2],
        counts,
    }))
}

impl Reader for Latency {
    fn look(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let process = |key: &LatencyKey| ProcessKey {
            pid: key.tgid,
            start: key.start,
        };
        let counts = &self.counts;
        let mut each = |key: &LatencyKey, words: &[u64; WORDS]| {
            let Some((buckets, sum)) = histogram::read(words) else {
                return;
            };
            let (syscall, abi) = names::call(key.call as u16);
            let calls = buckets.iter().sum();
            counts.seen(calls);
            counts.delivered(calls);
            tell(Signal::Measure(MeasureSignal {
                at,
                instrument: &DURATIONS,
                who: Who::Process(process(key)),
                labels: &[Label::Text(&syscall), Label::Text(abi)],
                amount: Amount::Buckets(buckets, sum),
            }));
        };
        if let Err(error) = self.table.fresh(&mut |key| gone(process(key)), &mut each) {
            tracing::warn!(%error, "the kernel's table of durations of system calls cannot be read");
        }
        for (why, before) in self.lost.iter_mut().enumerate() {
            if let Ok(values) = self.refused.get(&(why as u32), 0) {
                let now: u64 = values.iter().sum();
                let fresh = now.saturating_sub(std::mem::replace(before, now));
                counts.seen(fresh);
                counts.lost(why, fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_returns_is_not_measured() {
        let all = measured(&[]);
        let exit = names::numbers("exit_group").map(u32::from).next().unwrap();
        assert!(!all.contains(&exit) && all.len() > 1100);
        assert!(measurable("read") && !measurable("exit") && !measurable("no_such_call"));
    }

    #[test]
    fn chosen_calls_alone_are_measured() {
        let native = names::numbers("fsync").map(u32::from).next().unwrap();
        let places = measured(&["fsync".into()]);
        assert!(places.contains(&native) && places.len() <= 2, "{places:?}");
    }
}
