//! Stalls by process: whose they are, and where they are counted.

use crate::{
    read::Access,
    tables::{Keyed, add, observe},
    task::{Current, actor_of},
};
use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    maps::{HashMap, PerCpuArray},
};
use onlooker_common::{
    histogram::Histogram,
    layout,
    stall::{StallKey, whose},
};

static BLANK: Histogram = Histogram::BLANK;

/// `CLOCK_MONOTONIC`, nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// `PF_KTHREAD` of `include/linux/sched.h`: a task of the kernel.
const PF_KTHREAD: u32 = 0x0020_0000;

/// Is it a task of the kernel?
///
/// # Safety
/// As for [`Access::get`].
#[inline(always)]
pub(crate) unsafe fn is_kernels<A: Access>(task: *const u8) -> bool {
    // SAFETY: the caller's.
    unsafe { A::get::<u32>(task, layout::TASK_FLAGS) & PF_KTHREAD != 0 }
}

/// The key of the current task's stalls: its process, or the kernel.
#[inline(always)]
pub(crate) fn key_of_current<A: Current>(what: u32) -> StallKey {
    // SAFETY: the task is the current one.
    unsafe { key_of::<A>(A::task(), what) }
}

/// The key of a task's stalls.
///
/// # Safety
/// As for [`Access::get`].
#[inline(always)]
pub(crate) unsafe fn key_of<A: Access>(task: *const u8, what: u32) -> StallKey {
    let mut key = StallKey {
        start: 0,
        tgid: 0,
        whose: whose::KERNEL,
        what,
        device: 0,
    };
    // SAFETY: the caller's.
    unsafe {
        if !is_kernels::<A>(task) {
            let actor = actor_of::<A>(task);
            key.start = actor.start;
            key.tgid = actor.tgid;
            key.whose = whose::PROCESS;
        }
    }
    key
}

/// The same stall as somebody's.
#[inline(always)]
fn anybodys(key: &StallKey) -> StallKey {
    StallKey {
        start: 0,
        tgid: 0,
        whose: whose::OTHER,
        what: key.what,
        device: key.device,
    }
}

/// The value of a key in `table`, else in `spill` without its process; what finds no room there either is counted in `lost`.
#[inline(always)]
pub(crate) fn room<V>(
    table: &HashMap<StallKey, V>,
    spill: &HashMap<StallKey, V>,
    lost: &PerCpuArray<u64>,
    key: &StallKey,
    blank: &V,
) -> Option<*mut V> {
    if let Some(value) = table.at(key) {
        return Some(value);
    }
    table.put(key, blank);
    if let Some(value) = table.at(key) {
        return Some(value);
    }
    let key = anybodys(key);
    if let Some(value) = spill.at(&key) {
        return Some(value);
    }
    spill.put(&key, blank);
    if let Some(value) = spill.at(&key) {
        return Some(value);
    }
    lose(lost);
    None
}

/// One more found no room.
#[inline(always)]
pub(crate) fn lose(lost: &PerCpuArray<u64>) {
    if let Some(lost) = lost.get_ptr_mut(0) {
        // SAFETY: a number inside a map's value.
        unsafe { add(lost, 1) };
    }
}

/// Observes a stall.
#[inline(always)]
pub(crate) fn stalled(
    table: &HashMap<StallKey, Histogram>,
    spill: &HashMap<StallKey, Histogram>,
    lost: &PerCpuArray<u64>,
    key: &StallKey,
    nanos: u64,
) {
    if let Some(histogram) = room(table, spill, lost, key, &BLANK) {
        // SAFETY: inside a map's value.
        unsafe { observe(histogram, nanos) };
    }
}
