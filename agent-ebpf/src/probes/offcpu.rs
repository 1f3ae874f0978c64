//! Time off the CPU by reason: `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int
//! prev_state)`, before Linux 5.18 without the last.
//!
//! When a thread leaves the CPU, when and why is noted in its entry; when it comes back the time between is observed. So a
//! time is told when it is over, the wait for a CPU at its end included. An entry is made when a thread first leaves and goes when it
//! leaves for good. It is found by the address of the task, which no other has until then; an exec may change its number.
//!
//! The state in the task is no longer that at the switch when another CPU is about to wake the task, so the argument is better.
//!
//! Threads of the kernel are left out: their sleep says nothing of a service.
//!
//! There are no second copies (see [`crate::again`]) and nothing is [`crate::undivided`]: the scheduler has interrupts off here, so
//! nothing preempts a program, and none is skipped for it.

use crate::{
    globals::offset,
    read::{Access, Direct, Probed},
    stall::{is_kernels, key_of, lose, now, stalled},
};
use aya_ebpf::{
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::{HashMap, PerCpuArray},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{
    histogram::Histogram,
    layout,
    stall::{OFFCPU, SPILL, StallKey, THREADS, off},
};

/// By address of the task: when it left the CPU, nanoseconds, above the bits of the reason; 0 while it is on one.
#[map]
static OFFCPU_THREADS: HashMap<u64, u64> = HashMap::with_max_entries(THREADS, 0);
/// Times by process and reason.
#[map]
static OFFCPU_TIMES: HashMap<StallKey, Histogram> = HashMap::with_max_entries(OFFCPU, 0);
/// What that table had no room for.
#[map]
static OFFCPU_SPILL: HashMap<StallKey, Histogram> = HashMap::with_max_entries(SPILL, 0);
/// What no table had room for.
#[map]
static OFFCPU_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Bits of a value of `OFFCPU_THREADS` that say why.
const WHY: u32 = 3;

/// States of `include/linux/sched.h` at which a thread leaves the CPU.
mod state {
    pub(super) const INTERRUPTIBLE: u32 = 0x01;
    pub(super) const UNINTERRUPTIBLE: u32 = 0x02;
    /// By a signal, or by a tracer.
    pub(super) const STOPPED: u32 = 0x04 | 0x08;
    /// For good.
    pub(super) const DEAD: u32 = 0x80;
}

/// By direct loads.
#[btf_tracepoint(function = "sched_switch")]
#[inline(always)]
pub fn offcpu_switch_btf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_switch::<Direct>(ctx.arg::<u64>(0), ctx.arg(1), ctx.arg(2), ctx.arg::<u64>(3) as u32) };
    0
}

/// By direct loads, with the state that stands in the task.
#[btf_tracepoint(function = "sched_switch")]
#[inline(always)]
pub fn offcpu_switch_state_btf(ctx: BtfTracePointContext) -> i32 {
    let prev = ctx.arg(1);
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_switch::<Direct>(ctx.arg::<u64>(0), prev, ctx.arg(2), state_of::<Direct>(prev)) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "sched_switch")]
#[inline(always)]
pub fn offcpu_switch_raw(ctx: RawTracePointContext) -> i32 {
    // SAFETY: `Probed` takes any pointer.
    unsafe {
        on_switch::<Probed>(
            ctx.arg::<u64>(0),
            ctx.arg::<u64>(1) as *const u8,
            ctx.arg::<u64>(2) as *const u8,
            ctx.arg::<u64>(3) as u32,
        )
    };
    0
}

/// By probe reads, with the state that stands in the task.
#[raw_tracepoint(tracepoint = "sched_switch")]
#[inline(always)]
pub fn offcpu_switch_state_raw(ctx: RawTracePointContext) -> i32 {
    let prev = ctx.arg::<u64>(1) as *const u8;
    // SAFETY: `Probed` takes any pointer.
    unsafe {
        on_switch::<Probed>(
            ctx.arg::<u64>(0),
            prev,
            ctx.arg::<u64>(2) as *const u8,
            state_of::<Probed>(prev),
        )
    };
    0
}

/// The state in a task. Before Linux 5.14 it has twice as many bytes, and another name.
#[inline(always)]
unsafe fn state_of<A: Access>(task: *const u8) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if offset(layout::TASK_STATE) as u32 == layout::ABSENT {
            A::get::<u64>(task, layout::TASK_STATE_LONG) as u32
        } else {
            A::get(task, layout::TASK_STATE)
        }
    }
}

/// Is it a thread of a program? The idle tasks, one a CPU, have no number.
#[inline(always)]
unsafe fn is_programs<A: Access>(task: *const u8) -> bool {
    // SAFETY: the caller's.
    unsafe { !is_kernels::<A>(task) && A::get::<u32>(task, layout::TASK_PID) != 0 }
}

#[inline(always)]
unsafe fn on_switch<A: Access>(preempt: u64, prev: *const u8, next: *const u8, state: u32) {
    let at = now();
    // SAFETY: the tasks as `A` wants them.
    unsafe {
        if is_programs::<A>(prev) {
            leaves(prev as u64, at, preempt as u8 != 0, state);
        }
        if is_programs::<A>(next) {
            comes::<A>(next, at);
        }
    }
}

#[inline(always)]
fn leaves(task: u64, at: u64, preempt: bool, state: u32) {
    // A task that was about to sleep and is preempted before is ready to run.
    let why = if preempt || state == 0 {
        off::PREEMPTED
    } else if state & state::DEAD != 0 {
        let _ = OFFCPU_THREADS.remove(&task);
        return;
    } else if state & state::INTERRUPTIBLE != 0 {
        off::SLEEP
    } else if state & state::UNINTERRUPTIBLE != 0 {
        off::DISK
    } else if state & state::STOPPED != 0 {
        off::STOPPED
    } else {
        off::OTHER
    };
    let left = at << WHY | u64::from(why);
    match OFFCPU_THREADS.get_ptr_mut(&task) {
        // SAFETY: a value of a map; nobody else has this thread.
        Some(entry) => unsafe { *entry = left },
        None => {
            if OFFCPU_THREADS.insert(&task, &left, 0).is_err() {
                lose(&OFFCPU_LOST);
            }
        }
    }
}

#[inline(always)]
unsafe fn comes<A: Access>(task: *const u8, at: u64) {
    // Of a thread that is new, or was off the CPU before the agent came, nothing is known.
    let Some(entry) = OFFCPU_THREADS.get_ptr_mut(&(task as u64)) else {
        return;
    };
    // SAFETY: a value of a map; nobody else has this thread. The task as `A` wants it.
    unsafe {
        let left = *entry;
        if left == 0 {
            return;
        }
        *entry = 0;
        let key = key_of::<A>(task, (left & ((1 << WHY) - 1)) as u32);
        let nanos = at.saturating_sub(left >> WHY);
        stalled(&OFFCPU_TIMES, &OFFCPU_SPILL, &OFFCPU_LOST, &key, nanos);
    }
}
