//! Waits for a CPU: `sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next)`, and the end of threads,
//! `sched_process_free(struct task_struct *p)`.
//!
//! The kernel itself adds up how long a task waited until it ran (`sched_info.run_delay`, as in `/proc/PID/schedstat`). When a task
//! leaves the CPU, what came to it since it last left is the wait before this run. So neither wake-ups nor the begins of
//! waits are looked at, and the sum of what is observed is the kernel's own. A wait is observed when the run after it ends.
//!
//! Threads are told apart by the address of their task, which an exec does not change.
//!
//! There are no second copies (see [`crate::again`]) and nothing is undivided at the switch: the scheduler has interrupts off there, so
//! nothing preempts a program. An end that is skipped leaves an entry behind; the next task at that address finds it and knows by
//! its first run that it is not its own.

use crate::{
    read::{Access, Direct, Probed},
    stall::{key_of, lose, stalled},
    undivided::Undivided,
};
use aya_ebpf::{
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::{HashMap, PerCpuArray},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{
    histogram::Histogram,
    layout,
    stall::{RUNQUEUE, SPILL, StallKey, THREADS},
};

/// What a task had waited in all when it last left a CPU, nanoseconds, by its address.
#[map]
static RUNQUEUE_THREADS: HashMap<u64, u64> = HashMap::with_max_entries(THREADS, 0);
/// Waits by process.
#[map]
static RUNQUEUE_TIMES: HashMap<StallKey, Histogram> = HashMap::with_max_entries(RUNQUEUE, 0);
/// What that table had no room for.
#[map]
static RUNQUEUE_SPILL: HashMap<StallKey, Histogram> = HashMap::with_max_entries(SPILL, 0);
/// What no table had room for.
#[map]
static RUNQUEUE_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// By direct loads.
#[btf_tracepoint(function = "sched_switch")]
#[inline(always)]
pub fn runqueue_switch_btf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_switch::<Direct>(ctx.arg(1)) };
    0
}

/// A task goes.
#[btf_tracepoint(function = "sched_process_free")]
#[inline(always)]
pub fn runqueue_free_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    let _ = RUNQUEUE_THREADS.remove(&ctx.arg::<u64>(0));
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "sched_switch")]
#[inline(always)]
pub fn runqueue_switch_raw(ctx: RawTracePointContext) -> i32 {
    // SAFETY: `Probed` takes any pointer.
    unsafe { on_switch::<Probed>(ctx.arg::<u64>(1) as *const u8) };
    0
}

/// A task goes.
#[raw_tracepoint(tracepoint = "sched_process_free")]
#[inline(always)]
pub fn runqueue_free_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    let _ = RUNQUEUE_THREADS.remove(&ctx.arg::<u64>(0));
    0
}

#[inline(always)]
unsafe fn on_switch<A: Access>(task: *const u8) {
    // SAFETY: `task` as `A` wants it; values of maps.
    unsafe {
        // The idle tasks, one a CPU, have no number and wait for nothing.
        if A::get::<u32>(task, layout::TASK_PID) == 0 {
            return;
        }
        let at = task as u64;
        let waited: u64 = A::get(task, layout::TASK_RUN_DELAY);
        let first = A::get::<u64>(task, layout::TASK_RUNS) == 1;
        let wait = match RUNQUEUE_THREADS.get_ptr_mut(&at) {
            Some(entry) => {
                let before = if first { 0 } else { *entry };
                *entry = waited;
                waited.wrapping_sub(before)
            }
            None => {
                if RUNQUEUE_THREADS.insert(&at, &waited, 0).is_err() {
                    lose(&RUNQUEUE_LOST);
                    return;
                }
                // Of a thread that ran before, the last wait is not known.
                if !first {
                    return;
                }
                waited
            }
        };
        let key = key_of::<A>(task, 0);
        stalled(&RUNQUEUE_TIMES, &RUNQUEUE_SPILL, &RUNQUEUE_LOST, &key, wait);
    }
}
