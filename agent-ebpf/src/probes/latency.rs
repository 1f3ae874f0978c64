//! Durations of system calls, from `sys_enter` to `sys_exit`: `TP_PROTO(struct pt_regs *regs, long id)` and
//! `TP_PROTO(struct pt_regs *regs, long ret)`. On demand alone: it costs each call two programs and an entry in a map.
//!
//! A thread is in one call at a time, so what began is kept by thread. The second copies (see [`crate::again`]) know by that entry whether
//! the first ran: it is there after an enter, and gone after an exit.

use crate::{
    calls::{Call, call_of, place_of},
    read::{Direct, Probed},
    tables::observe,
    task::{Current, actor},
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{btf_tracepoint, map, raw_tracepoint, tracepoint},
    maps::{Array, HashMap, PerCpuArray},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use onlooker_common::{
    histogram::Histogram,
    latency::{LatencyKey, MEASURED, STARTS, Start, TABLE, lost},
};

/// Calls under way, by thread.
#[map]
static SYSCALL_STARTS: HashMap<u32, Start> = HashMap::with_max_entries(STARTS, 0);
/// Durations.
#[map]
static SYSCALL_LATENCY: HashMap<LatencyKey, Histogram> = HashMap::with_max_entries(TABLE, 0);
/// Calls that are measured, put in by the user side.
#[map]
static SYSCALL_MEASURED: Array<u8> = Array::with_max_entries(MEASURED, 0);
/// See `lost`.
#[map]
static SYSCALL_LATENCY_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::COUNT, 0);

static BLANK: Histogram = Histogram::BLANK;

/// A call begins; by direct loads (kernel 5.11 and later).
#[btf_tracepoint(function = "sys_enter")]
#[inline(always)]
pub fn sys_latency_enter(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the registers are the tracepoint's.
    on_enter::<Direct, false>(unsafe { Call::direct(ctx.arg(0)) });
    0
}

/// A call ended; likewise.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_latency_exit(_ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    on_exit::<Direct>();
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_enter")]
#[inline(always)]
pub fn sys_latency_enter_again(ctx: BtfTracePointContext) -> i32 {
    if SYSCALL_STARTS.get_ptr(&(bpf_get_current_pid_tgid() as u32)).is_none() {
        // SAFETY: the registers are the tracepoint's.
        on_enter::<Direct, true>(unsafe { Call::direct(ctx.arg(0)) });
    }
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_latency_exit_again(_ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    on_exit::<Direct>();
    0
}

/// A call begins, at what the tracepoint records for others.
#[tracepoint]
#[inline(always)]
pub fn sys_latency_enter_tp(_ctx: TracePointContext) -> u32 {
    on_enter::<Direct, false>(Call::current());
    0
}

/// A call ended; likewise.
#[tracepoint]
#[inline(always)]
pub fn sys_latency_exit_tp(_ctx: TracePointContext) -> u32 {
    on_exit::<Direct>();
    0
}

/// A call begins; by probe reads.
#[raw_tracepoint(tracepoint = "sys_enter")]
#[inline(always)]
pub fn sys_latency_enter_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    on_enter::<Probed, false>(Call::probed(ctx.arg(0)));
    0
}

/// A call ended; likewise.
#[raw_tracepoint(tracepoint = "sys_exit")]
#[inline(always)]
pub fn sys_latency_exit_raw(_ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    on_exit::<Probed>();
    0
}

#[inline(always)]
fn on_enter<A: Current, const AGAIN: bool>(call: Call) {
    let call = call_of(call.number, call.is_compat::<A>());
    if SYSCALL_MEASURED
        .get(place_of(call))
        .is_none_or(|measured| *measured == 0)
    {
        return;
    }
    let tid = bpf_get_current_pid_tgid() as u32;
    let start = Start {
        // SAFETY: no arguments.
        at: unsafe { bpf_ktime_get_ns() },
        call: call.into(),
    };
    // What finds no room the first copy counts, which is rarely skipped.
    if SYSCALL_STARTS.insert(&tid, &start, 0).is_err() && !AGAIN {
        lose(lost::STARTS);
    }
}

#[inline(always)]
fn on_exit<A: Current>() {
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(start) = SYSCALL_STARTS.get_ptr(&tid) else {
        return;
    };
    // SAFETY: this thread's entry; no arguments.
    let (call, nanos) = unsafe { ((*start).call as u32, bpf_ktime_get_ns() - (*start).at) };
    let _ = SYSCALL_STARTS.remove(&tid);
    let actor = actor::<A>(A::task());
    let key = LatencyKey {
        start: actor.start,
        tgid: actor.tgid,
        call,
    };
    let mut histogram = SYSCALL_LATENCY.get_ptr_mut(&key);
    if histogram.is_none() {
        // BPF_NOEXIST: another CPU may have been first.
        let _ = SYSCALL_LATENCY.insert(&key, &BLANK, 1);
        histogram = SYSCALL_LATENCY.get_ptr_mut(&key);
    }
    match histogram {
        // SAFETY: a value of the map.
        Some(histogram) => unsafe { observe(histogram, nanos) },
        None => lose(lost::TABLE),
    }
}

#[inline(always)]
fn lose(why: u32) {
    if let Some(count) = SYSCALL_LATENCY_LOST.get_ptr_mut(why) {
        // SAFETY: this CPU's value.
        unsafe { *count += 1 };
    }
}
