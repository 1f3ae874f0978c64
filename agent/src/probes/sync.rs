//! Calls that wait until files are on their device.

use super::CALL;
use super::stall::{Times, WHOSE};
use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::histogram::SECONDS;
use onlooker_common::stall::sync;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "sync",
    loses: "how long calls of fsync and its kin take",
    alternatives: &[
        Alternative {
            name: "tp_btf/sys_enter+sys_exit",
            programs: &[
                Program {
                    name: "sync_enter_btf",
                    hook: Hook::BtfTracepoint("sys_enter"),
                },
                Program {
                    name: "sync_exit_btf",
                    hook: Hook::BtfTracepoint("sys_exit"),
                },
            ],
            again: &[
                Program {
                    name: "sync_enter_btf_again",
                    hook: Hook::BtfTracepoint("sys_enter"),
                },
                Program {
                    name: "sync_exit_btf_again",
                    hook: Hook::BtfTracepoint("sys_exit"),
                },
            ],
            needs: &[WHOSE, CALL],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sys_enter+sys_exit",
            programs: &[
                Program {
                    name: "sync_enter_raw",
                    hook: Hook::RawTracepoint("sys_enter"),
                },
                Program {
                    name: "sync_exit_raw",
                    hook: Hook::RawTracepoint("sys_exit"),
                },
            ],
            needs: &[WHOSE, CALL],
            ..Alternative::BASE
        },
    ],
    default: false,
    maps: &["SYNC_TIMES", "SYNC_SPILL", "SYNC_LOST", "SYNC_BEGUN"],
    cost: "110 ns every system call, the kernel's own measuring included, which is why it is off by default",
    since: "5.8 and later",
    instruments: &[&TIMES],
    reader: Some(|tools| MAPS.reader(tools)),
    ..Probe::BASE
};

static TIMES: Instrument = Instrument {
    name: "onlooker_file_sync_duration_seconds",
    unit: "seconds",
    help: "Time that calls took which wait until files are on their device.",
    shape: Shape::Histogram(&SECONDS),
    labels: &["syscall"],
    limit: 2000,
    source: "sys_enter to sys_exit of fsync, fdatasync, sync_file_range, msync, sync and syncfs, whatever came of it; 32-bit calls of a \
             64-bit kernel are not counted.",
};

static MAPS: Times = Times {
    kind: "sync",
    maps: ["SYNC_TIMES", "SYNC_SPILL", "SYNC_LOST"],
    instrument: &TIMES,
    names: &sync::NAMES,
};
