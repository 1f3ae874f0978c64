//! Page faults that wait for storage: from `page_fault_user` or `page_fault_kernel` (`TP_PROTO(unsigned long address, struct pt_regs
//! *regs, unsigned long error_code)`, x86-64) to the software event `PERF_COUNT_SW_PAGE_FAULTS_MAJ`, with which `mm_account_fault`
//! ends a major one. There is no tracepoint at that end.
//!
//! The begin of every fault is noted, for it is not known then how it ends; the next fault of a thread overwrites it. A begin that
//! others have pushed out by its end is counted as lost.
//!
//! There are no second copies (see [`crate::again`]): a skipped begin leaves an older one behind, and nothing tells.

use crate::{
    read::Probed,
    stall::{key_of_current, lose, now, stalled},
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, map, perf_event, raw_tracepoint},
    maps::{HashMap, LruHashMap, PerCpuArray},
    programs::{BtfTracePointContext, PerfEventContext, RawTracePointContext},
};
use onlooker_common::{
    histogram::Histogram,
    stall::{FAULTING, FAULTS, SPILL, StallKey},
};

/// Begins, by thread.
#[map]
static FAULTS_BEGUN: LruHashMap<u32, u64> = LruHashMap::with_max_entries(FAULTING, 0);
/// Times by process.
#[map]
static FAULTS_TIMES: HashMap<StallKey, Histogram> = HashMap::with_max_entries(FAULTS, 0);
/// What that table had no room for.
#[map]
static FAULTS_SPILL: HashMap<StallKey, Histogram> = HashMap::with_max_entries(SPILL, 0);
/// What no table had room for.
#[map]
static FAULTS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// A program touched a page.
#[btf_tracepoint(function = "page_fault_user")]
#[inline(always)]
pub fn fault_user_btf(_: BtfTracePointContext) -> i32 {
    begins()
}

/// The kernel touched a page for a program.
#[btf_tracepoint(function = "page_fault_kernel")]
#[inline(always)]
pub fn fault_kernel_btf(_: BtfTracePointContext) -> i32 {
    begins()
}

/// See [`fault_user_btf`].
#[raw_tracepoint(tracepoint = "page_fault_user")]
#[inline(always)]
pub fn fault_user_raw(_: RawTracePointContext) -> i32 {
    begins()
}

/// See [`fault_kernel_btf`].
#[raw_tracepoint(tracepoint = "page_fault_kernel")]
#[inline(always)]
pub fn fault_kernel_raw(_: RawTracePointContext) -> i32 {
    begins()
}

#[inline(always)]
fn begins() -> i32 {
    let _undivided = Undivided::begin();
    // What finds no room pushes out another.
    let _ = FAULTS_BEGUN.insert(&(bpf_get_current_pid_tgid() as u32), &now(), 0);
    0
}

/// A major fault ends, in the thread that it was of.
#[perf_event]
pub fn fault_major(_: PerfEventContext) -> u32 {
    let at = now();
    match FAULTS_BEGUN.get_ptr(&(bpf_get_current_pid_tgid() as u32)) {
        Some(begin) => {
            // SAFETY: a value of a map.
            let nanos = at.saturating_sub(unsafe { *begin });
            let key = key_of_current::<Probed>(0);
            stalled(&FAULTS_TIMES, &FAULTS_SPILL, &FAULTS_LOST, &key, nanos);
        }
        None => lose(&FAULTS_LOST),
    }
    0
}
