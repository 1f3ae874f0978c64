//! Tasks that have to make room in memory before they go on: `mm_vmscan_direct_reclaim_begin` and `_end` (the host is short of
//! memory), `mm_vmscan_memcg_reclaim_begin` and `_end` (their cgroup is), `mm_compaction_begin` and `_end` (there is memory, but not
//! in one piece). No argument is looked at: they differ from kernel to kernel.
//!
//! The second copies (see [`crate::again`]) know by the entry whether the first ran: it is there after a begin, and gone after an end.

use crate::{
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
    stall::{RECLAIM, RECLAIMING, SPILL, StallKey, reason},
};

/// Begins, by thread and reason.
#[map]
static RECLAIM_BEGUN: HashMap<u64, u64> = HashMap::with_max_entries(RECLAIMING, 0);
/// Times by process.
#[map]
static RECLAIM_TIMES: HashMap<StallKey, Histogram> = HashMap::with_max_entries(RECLAIM, 0);
/// What that table had no room for.
#[map]
static RECLAIM_SPILL: HashMap<StallKey, Histogram> = HashMap::with_max_entries(SPILL, 0);
/// What no table had room for.
#[map]
static RECLAIM_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

macro_rules! pairs {
    ($($begin_btf:ident $begin_again:ident $begin_raw:ident $begin:literal,
        $end_btf:ident $end_again:ident $end_raw:ident $end:literal, $reason:expr;)*) => {$(
        #[doc = "By direct loads."]
        #[btf_tracepoint(function = $begin)]
        #[inline(always)]
        pub fn $begin_btf(_ctx: BtfTracePointContext) -> i32 {
            let _undivided = Undivided::begin();
            on_begin::<false>($reason);
            0
        }
        #[doc = "Second copy, see [`crate::again`]."]
        #[btf_tracepoint(function = $begin)]
        #[inline(always)]
        pub fn $begin_again(_ctx: BtfTracePointContext) -> i32 {
            if RECLAIM_BEGUN.get_ptr(&thread($reason)).is_none() {
                on_begin::<true>($reason);
            }
            0
        }
        #[doc = "By probe reads."]
        #[raw_tracepoint(tracepoint = $begin)]
        #[inline(always)]
        pub fn $begin_raw(_ctx: RawTracePointContext) -> i32 {
            let _undivided = Undivided::begin();
            on_begin::<false>($reason);
            0
        }
        #[doc = "By direct loads."]
        #[btf_tracepoint(function = $end)]
        #[inline(always)]
        pub fn $end_btf(_ctx: BtfTracePointContext) -> i32 {
            let _undivided = Undivided::begin();
            on_end::<Direct>($reason);
            0
        }
        #[doc = "Second copy, see [`crate::again`]."]
        #[btf_tracepoint(function = $end)]
        #[inline(always)]
        pub fn $end_again(_ctx: BtfTracePointContext) -> i32 {
            on_end::<Direct>($reason);
            0
        }
        #[doc = "By probe reads."]
        #[raw_tracepoint(tracepoint = $end)]
        #[inline(always)]
        pub fn $end_raw(_ctx: RawTracePointContext) -> i32 {
            let _undivided = Undivided::begin();
            on_end::<Probed>($reason);
            0
        }
    )*};
}

pairs! {
    reclaim_direct_begin_btf reclaim_direct_begin_btf_again reclaim_direct_begin_raw "mm_vmscan_direct_reclaim_begin",
        reclaim_direct_end_btf reclaim_direct_end_btf_again reclaim_direct_end_raw "mm_vmscan_direct_reclaim_end", reason::DIRECT;
    reclaim_memcg_begin_btf reclaim_memcg_begin_btf_again reclaim_memcg_begin_raw "mm_vmscan_memcg_reclaim_begin",
        reclaim_memcg_end_btf reclaim_memcg_end_btf_again reclaim_memcg_end_raw "mm_vmscan_memcg_reclaim_end", reason::CGROUP;
    reclaim_compact_begin_btf reclaim_compact_begin_btf_again reclaim_compact_begin_raw "mm_compaction_begin",
        reclaim_compact_end_btf reclaim_compact_end_btf_again reclaim_compact_end_raw "mm_compaction_end", reason::COMPACTION;
}

/// The thread, and in the upper half why.
#[inline(always)]
fn thread(reason: u32) -> u64 {
    u64::from(reason) << 32 | u64::from(bpf_get_current_pid_tgid() as u32)
}

#[inline(always)]
fn on_begin<const AGAIN: bool>(reason: u32) {
    let at = now();
    // What finds no room the first copy counts, which is rarely skipped.
    if RECLAIM_BEGUN.insert(&thread(reason), &at, 0).is_err() && !AGAIN {
        lose(&RECLAIM_LOST);
    }
}

#[inline(always)]
fn on_end<A: Current>(reason: u32) {
    let thread = thread(reason);
    let Some(begin) = RECLAIM_BEGUN.get_ptr(&thread) else {
        return;
    };
    // SAFETY: a value of a map.
    let begin = unsafe { *begin };
    let nanos = now().saturating_sub(begin);
    let _ = RECLAIM_BEGUN.remove(&thread);
    let key = key_of_current::<A>(reason);
    stalled(&RECLAIM_TIMES, &RECLAIM_SPILL, &RECLAIM_LOST, &key, nanos);
}
