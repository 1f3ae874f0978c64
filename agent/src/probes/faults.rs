//! Page faults that wait for storage.

use super::stall::{Times, WHOSE};
use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::histogram::SECONDS;

const END: Program = Program {
    name: "fault_major",
    hook: Hook::MajorFaults,
};

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "faults",
    loses: "how long page faults wait for storage",
    alternatives: &[
        Alternative {
            name: "tp_btf/page_fault_user+kernel+major-faults",
            programs: &[
                Program {
                    name: "fault_user_btf",
                    hook: Hook::BtfTracepoint("page_fault_user"),
                },
                Program {
                    name: "fault_kernel_btf",
                    hook: Hook::BtfTracepoint("page_fault_kernel"),
                },
                END,
            ],
            needs: &[WHOSE],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/page_fault_user+kernel+major-faults",
            programs: &[
                Program {
                    name: "fault_user_raw",
                    hook: Hook::RawTracepoint("page_fault_user"),
                },
                Program {
                    name: "fault_kernel_raw",
                    hook: Hook::RawTracepoint("page_fault_kernel"),
                },
                END,
            ],
            needs: &[WHOSE],
            ..Alternative::BASE
        },
    ],
    default: false,
    maps: &["FAULTS_TIMES", "FAULTS_SPILL", "FAULTS_LOST", "FAULTS_BEGUN"],
    cost: "190 ns every page fault, also one that waits for nothing, 250 ns more one that waits, the kernel's own measuring included, which is why \
           it is off by default",
    since: "5.8 and later, x86-64; CPUs that come online later are not watched",
    instruments: &[&TIMES],
    reader: Some(|tools| MAPS.reader(tools)),
    ..Probe::BASE
};

static TIMES: Instrument = Instrument {
    name: "onlooker_page_fault_duration_seconds",
    unit: "seconds",
    help: "Time of page faults that waited for storage (major faults), from the fault to the page.",
    shape: Shape::Histogram(&SECONDS),
    labels: &[],
    limit: 1000,
    source: "page_fault_user, page_fault_kernel, and perf's software event major-faults. How many there were `majflt` of the process has \
             too, see `namedprocess_namegroup_major_page_faults_total`.",
};

static MAPS: Times = Times {
    kind: "fault",
    maps: ["FAULTS_TIMES", "FAULTS_SPILL", "FAULTS_LOST"],
    instrument: &TIMES,
    names: &[],
};
