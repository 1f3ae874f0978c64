//! Tasks that have to make room in memory before they go on.

use super::stall::{Times, WHOSE};
use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::histogram::SECONDS;
use onlooker_common::stall::reason;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "reclaim",
    loses: "how long processes wait for memory",
    alternatives: &[
        Alternative {
            name: "tp_btf/mm_vmscan_direct_reclaim+memcg_reclaim+compaction",
            programs: &[
                Program {
                    name: "reclaim_direct_begin_btf",
                    hook: Hook::BtfTracepoint("mm_vmscan_direct_reclaim_begin"),
                },
                Program {
                    name: "reclaim_direct_end_btf",
                    hook: Hook::BtfTracepoint("mm_vmscan_direct_reclaim_end"),
                },
                Program {
                    name: "reclaim_memcg_begin_btf",
                    hook: Hook::BtfTracepoint("mm_vmscan_memcg_reclaim_begin"),
                },
                Program {
                    name: "reclaim_memcg_end_btf",
                    hook: Hook::BtfTracepoint("mm_vmscan_memcg_reclaim_end"),
                },
                Program {
                    name: "reclaim_compact_begin_btf",
                    hook: Hook::BtfTracepoint("mm_compaction_begin"),
                },
                Program {
                    name: "reclaim_compact_end_btf",
                    hook: Hook::BtfTracepoint("mm_compaction_end"),
                },
            ],
            again: &[
                Program {
                    name: "reclaim_direct_begin_btf_again",
                    hook: Hook::BtfTracepoint("mm_vmscan_direct_reclaim_begin"),
                },
                Program {
                    name: "reclaim_direct_end_btf_again",
                    hook: Hook::BtfTracepoint("mm_vmscan_direct_reclaim_end"),
                },
                Program {
                    name: "reclaim_memcg_begin_btf_again",
                    hook: Hook::BtfTracepoint("mm_vmscan_memcg_reclaim_begin"),
                },
                Program {
                    name: "reclaim_memcg_end_btf_again",
                    hook: Hook::BtfTracepoint("mm_vmscan_memcg_reclaim_end"),
                },
                Program {
                    name: "reclaim_compact_begin_btf_again",
                    hook: Hook::BtfTracepoint("mm_compaction_begin"),
                },
                Program {
                    name: "reclaim_compact_end_btf_again",
                    hook: Hook::BtfTracepoint("mm_compaction_end"),
                },
            ],
            needs: &[WHOSE],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/mm_vmscan_direct_reclaim+memcg_reclaim+compaction",
            programs: &[
                Program {
                    name: "reclaim_direct_begin_raw",
                    hook: Hook::RawTracepoint("mm_vmscan_direct_reclaim_begin"),
                },
                Program {
                    name: "reclaim_direct_end_raw",
                    hook: Hook::RawTracepoint("mm_vmscan_direct_reclaim_end"),
                },
                Program {
                    name: "reclaim_memcg_begin_raw",
                    hook: Hook::RawTracepoint("mm_vmscan_memcg_reclaim_begin"),
                },
                Program {
                    name: "reclaim_memcg_end_raw",
                    hook: Hook::RawTracepoint("mm_vmscan_memcg_reclaim_end"),
                },
                Program {
                    name: "reclaim_compact_begin_raw",
                    hook: Hook::RawTracepoint("mm_compaction_begin"),
                },
                Program {
                    name: "reclaim_compact_end_raw",
                    hook: Hook::RawTracepoint("mm_compaction_end"),
                },
            ],
            needs: &[WHOSE],
            ..Alternative::BASE
        },
    ],
    default: true,
    maps: &["RECLAIM_TIMES", "RECLAIM_SPILL", "RECLAIM_LOST", "RECLAIM_BEGUN"],
    cost: "1.0 us each time that a task makes room",
    since: "5.8 and later",
    instruments: &[&TIMES],
    reader: Some(|tools| MAPS.reader(tools)),
    ..Probe::BASE
};

static TIMES: Instrument = Instrument {
    name: "onlooker_memory_reclaim_duration_seconds",
    unit: "seconds",
    help: "Time that tasks spent on making room in memory before they could go on.",
    shape: Shape::Histogram(&SECONDS),
    labels: &["reason"],
    limit: 1000,
    source: "mm_vmscan_direct_reclaim_begin to _end (`direct`: the host is short of memory), mm_vmscan_memcg_reclaim_begin to _end \
             (`cgroup`: at its limit), mm_compaction_begin to _end (`compaction`: free memory is in pieces too small). Tasks of the \
             kernel (kcompactd) have no service. Time of a major page fault is not known: its tracepoint has no end.",
};

static MAPS: Times = Times {
    kind: "reclaim",
    maps: ["RECLAIM_TIMES", "RECLAIM_SPILL", "RECLAIM_LOST"],
    instrument: &TIMES,
    names: &reason::NAMES,
};
