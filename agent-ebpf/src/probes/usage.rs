//! What ended processes used: `sched_process_free(struct task_struct *p)`. By then the sums in `signal_struct` hold all threads,
//! the leader too (`__exit_signal`). It runs once a process, after its parent waited for it.
//!
//! No second copy: nothing tells whether the first was there.

use crate::{
    capture::header,
    emit,
    globals::offset,
    read::{Access, Direct, Probed},
    tables::add,
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::Array,
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{
    layout,
    record::{Actor, UsageRecord, kind},
    usage::WORDS,
};

/// `PF_KTHREAD` in `include/linux/sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Sums of what found no room in the ring.
#[map]
static USAGE_REST: Array<[u64; WORDS]> = Array::with_max_entries(1, 0);

/// By direct loads.
#[btf_tracepoint(function = "sched_process_free")]
#[inline(always)]
pub fn usage_free_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_free::<Direct>(ctx.arg(0)) };
    0
}
/// By probe reads.
#[raw_tracepoint(tracepoint = "sched_process_free")]
#[inline(always)]
pub fn usage_free_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_free::<Probed>(ctx.arg::<u64>(0) as *const u8) };
    0
}

#[inline(always)]
unsafe fn on_free<A: Access>(task: *const u8) {
    // SAFETY: the caller's; the entry is writable, the map value valid until the program ends.
    unsafe {
        let tgid: u32 = A::get(task, layout::TASK_TGID);
        let flags: u32 = A::get(task, layout::TASK_FLAGS);
        if A::get::<u32>(task, layout::TASK_PID) != tgid || flags & KERNEL_THREAD != 0 {
            return;
        }
        let signal: *const u8 = A::get(task, layout::TASK_SIGNAL);
        if signal.is_null() {
            return;
        }
        let words: [u64; WORDS] = [
            A::get(signal, layout::SIGNAL_RUNTIME),
            A::get(signal, layout::SIGNAL_UTIME),
            A::get(signal, layout::SIGNAL_STIME),
            A::get(signal, layout::SIGNAL_MIN_FLT),
            A::get(signal, layout::SIGNAL_MAJ_FLT),
            A::get(signal, layout::SIGNAL_NVCSW),
            A::get(signal, layout::SIGNAL_NIVCSW),
            bytes::<A>(signal, layout::SIGNAL_READ_BYTES),
            bytes::<A>(signal, layout::SIGNAL_WRITE_BYTES),
            A::get(signal, layout::SIGNAL_MAXRSS),
        ];
        let actor = Actor {
            start: A::get(task, layout::TASK_START),
            tgid,
            tid: tgid,
        };
        let head = header(kind::USAGE, size_of::<UsageRecord>(), bpf_ktime_get_ns());
        if emit::send(kind::USAGE, UsageRecord { head, actor, words }) {
            return;
        }
        let Some(rest) = USAGE_REST.get_ptr_mut(0) else { return };
        let rest: *mut u64 = rest.cast();
        let mut i = 0;
        while i < WORDS {
            add(rest.add(i), words[i]);
            i += 1;
        }
    }
}

/// Zero where the kernel does not count bytes (`CONFIG_TASK_IO_ACCOUNTING`): the user side tells none then.
#[inline(always)]
unsafe fn bytes<A: Access>(signal: *const u8, field: usize) -> u64 {
    if offset(field) as u32 == layout::ABSENT {
        return 0;
    }
    // SAFETY: the caller's.
    unsafe { A::get(signal, field) }
}
