//! Calls that wait until files are on their device: from `sys_enter` (`TP_PROTO(struct pt_regs *regs, long id)`) to `sys_exit`
//! (`TP_PROTO(struct pt_regs *regs, long ret)`) of `fsync`, `fdatasync`, `sync_file_range`, `msync`, `sync` and `syncfs`. Every other
//! call pays for both hooks too; the tracepoints of single calls are no cheaper, for the kernel sorts them out at the same hooks.
//! 32-bit calls of a 64-bit kernel are not counted.
//!
//! The second copies (see [`crate::again`]) know by the entry whether the first ran: it is there after an enter, and gone after an exit.

use crate::{
    calls::Call,
    read::{Direct, Probed},
    stall::{key_of_current, lose, now, stalled},
    task::Current,
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::{HashMap, PerCpuArray},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{
    histogram::Histogram,
    stall::{SPILL, SYNC, SYNCING, StallKey, sync::NAMES},
};

/// Numbers of the calls, in the order of [`NAMES`].
#[cfg(bpf_target_arch = "x86_64")]
const NUMBERS: [u32; NAMES.len()] = [74, 75, 277, 26, 162, 306];
/// Numbers of the calls, in the order of [`NAMES`].
#[cfg(bpf_target_arch = "aarch64")]
const NUMBERS: [u32; NAMES.len()] = [82, 83, 84, 227, 81, 267];

/// Begins, by thread.
#[map]
static SYNC_BEGUN: HashMap<u32, u64> = HashMap::with_max_entries(SYNCING, 0);
/// Times by process and call.
#[map]
static SYNC_TIMES: HashMap<StallKey, Histogram> = HashMap::with_max_entries(SYNC, 0);
/// What that table had no room for.
#[map]
static SYNC_SPILL: HashMap<StallKey, Histogram> = HashMap::with_max_entries(SPILL, 0);
/// What no table had room for.
#[map]
static SYNC_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// By direct loads.
#[btf_tracepoint(function = "sys_enter")]
#[inline(always)]
pub fn sync_enter_btf(ctx: BtfTracePointContext) -> i32 {
    if call(ctx.arg(1)).is_some() {
        let _undivided = Undivided::begin();
        // SAFETY: the registers are the tracepoint's.
        on_enter::<Direct, false>(unsafe { Call::direct(ctx.arg(0)) });
    }
    0
}

/// By direct loads.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sync_exit_btf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the registers are the tracepoint's.
    if let Some(what) = call(unsafe { Call::direct(ctx.arg(0)) }.number) {
        let _undivided = Undivided::begin();
        on_exit::<Direct>(what);
    }
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_enter")]
#[inline(always)]
pub fn sync_enter_btf_again(ctx: BtfTracePointContext) -> i32 {
    if call(ctx.arg(1)).is_some() && SYNC_BEGUN.get_ptr(&(bpf_get_current_pid_tgid() as u32)).is_none() {
        // SAFETY: the registers are the tracepoint's.
        on_enter::<Direct, true>(unsafe { Call::direct(ctx.arg(0)) });
    }
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sync_exit_btf_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the registers are the tracepoint's.
    if let Some(what) = call(unsafe { Call::direct(ctx.arg(0)) }.number) {
        on_exit::<Direct>(what);
    }
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "sys_enter")]
#[inline(always)]
pub fn sync_enter_raw(ctx: RawTracePointContext) -> i32 {
    if call(ctx.arg(1)).is_some() {
        let _undivided = Undivided::begin();
        on_enter::<Probed, false>(Call::probed(ctx.arg(0)));
    }
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "sys_exit")]
#[inline(always)]
pub fn sync_exit_raw(ctx: RawTracePointContext) -> i32 {
    if let Some(what) = call(Call::probed(ctx.arg(0)).number) {
        let _undivided = Undivided::begin();
        on_exit::<Probed>(what);
    }
    0
}

/// Which call it is, an index of [`NUMBERS`].
#[inline(always)]
fn call(number: u64) -> Option<u32> {
    let mut i = 0;
    while i < NUMBERS.len() {
        if number as u32 == NUMBERS[i] {
            return Some(i as u32);
        }
        i += 1;
    }
    None
}

#[inline(always)]
fn on_enter<A: Current, const AGAIN: bool>(call: Call) {
    if call.is_compat::<A>() {
        return;
    }
    let at = now();
    // What finds no room the first copy counts, which is rarely skipped.
    if SYNC_BEGUN.insert(&(bpf_get_current_pid_tgid() as u32), &at, 0).is_err() && !AGAIN {
        lose(&SYNC_LOST);
    }
}

#[inline(always)]
fn on_exit<A: Current>(what: u32) {
    let at = now();
    let thread = bpf_get_current_pid_tgid() as u32;
    let Some(begin) = SYNC_BEGUN.get_ptr(&thread) else {
        return;
    };
    // SAFETY: a value of a map.
    let begin = unsafe { *begin };
    let _ = SYNC_BEGUN.remove(&thread);
    let key = key_of_current::<A>(what);
    stalled(&SYNC_TIMES, &SYNC_SPILL, &SYNC_LOST, &key, at.saturating_sub(begin));
}
