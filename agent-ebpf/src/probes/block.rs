//! Block IO, from the begin of a request to its end: `block_rq_insert(struct request *rq)`, `block_rq_issue(struct request *rq)`,
//! `block_rq_complete(struct request *rq, blk_status_t error, unsigned int nr_bytes)`.
//!
//! The begin is the kernel's own (`request.start_time_ns`, set when the request is made), so time in the queue of the IO scheduler is
//! in it. Only who made it is noted in a map, at the first of insert and issue: that one is still in the task that asked. What finds no
//! room there is nobody's. A request that was merged into another never completes; its entry goes when the memory of the request is
//! used again, which the begin tells.
//!
//! The end of a request whose flush was done apart (a write without bytes) is not counted, the flush itself is.
//!
//! The second copies (see [`crate::again`]) of insert and issue find the entry of the first. Of the end there is none: requests complete in
//! interrupts, which no task preempts.

use crate::{
    globals::{forget, offset},
    read::{Access, Direct, Probed, opaque},
    stall::{key_of_current, now, room},
    tables::{add, observe},
    task::Current,
    undivided::Undivided,
};
use aya_ebpf::{
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::{Array, HashMap, PerCpuArray},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{
    histogram::bucket,
    layout,
    stall::{BLOCK, BLOCK_SPILL, BlockCounts, REQUESTS, SIZES, StallKey, operation, whose},
};

/// Who made a request.
#[repr(C)]
#[derive(Clone, Copy)]
struct Maker {
    key: StallKey,
    /// The request's own begin.
    start: u64,
    /// When it was first seen.
    at: u64,
}

/// Requests under way, by address.
#[map]
static BLOCK_REQUESTS: HashMap<u64, Maker> = HashMap::with_max_entries(REQUESTS, 0);
/// When a request last found no room there, nanoseconds; 0: never. Who made what began before is not known from who issues it.
#[map]
static BLOCK_REFUSED: Array<u64> = Array::with_max_entries(1, 0);
/// Requests that are over, by who made them.
#[map]
static BLOCK_IO: HashMap<StallKey, BlockCounts> = HashMap::with_max_entries(BLOCK, 0);
/// What that table had no room for.
#[map]
static BLOCK_IO_SPILL: HashMap<StallKey, BlockCounts> = HashMap::with_max_entries(BLOCK_SPILL, 0);
/// What no table had room for.
#[map]
static BLOCK_IO_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

static BLANK: BlockCounts = BlockCounts::BLANK;

/// By direct loads.
#[btf_tracepoint(function = "block_rq_insert")]
#[inline(always)]
pub fn block_insert_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_insert::<Direct>(ctx.arg(0)) };
    0
}

/// By direct loads.
#[btf_tracepoint(function = "block_rq_issue")]
#[inline(always)]
pub fn block_issue_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_issue::<Direct>(ctx.arg(0)) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "block_rq_insert")]
#[inline(always)]
pub fn block_insert_btf_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_insert::<Direct>(ctx.arg(0)) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "block_rq_issue")]
#[inline(always)]
pub fn block_issue_btf_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_issue::<Direct>(ctx.arg(0)) };
    0
}

/// By direct loads.
#[btf_tracepoint(function = "block_rq_complete")]
#[inline(always)]
pub fn block_complete_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_complete::<Direct>(ctx.arg(0), ctx.arg::<u64>(1) as u32, ctx.arg::<u64>(2) as u32) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "block_rq_insert")]
#[inline(always)]
pub fn block_insert_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: `Probed` takes any pointer.
    unsafe { on_insert::<Probed>(ctx.arg::<u64>(0) as *const u8) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "block_rq_issue")]
#[inline(always)]
pub fn block_issue_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: `Probed` takes any pointer.
    unsafe { on_issue::<Probed>(ctx.arg::<u64>(0) as *const u8) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "block_rq_complete")]
#[inline(always)]
pub fn block_complete_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: `Probed` takes any pointer.
    unsafe {
        on_complete::<Probed>(
            ctx.arg::<u64>(0) as *const u8,
            ctx.arg::<u64>(1) as u32,
            ctx.arg::<u64>(2) as u32,
        )
    };
    0
}

#[inline(always)]
unsafe fn on_insert<A: Current>(request: *const u8) {
    // SAFETY: `request` as `A` wants it.
    unsafe {
        let start: u64 = A::get(request, layout::REQUEST_START);
        if !is_noted(request, start) {
            note::<A>(request, start);
        }
    }
}

#[inline(always)]
unsafe fn on_issue<A: Current>(request: *const u8) {
    // SAFETY: `request` as `A` wants it.
    unsafe {
        let start: u64 = A::get(request, layout::REQUEST_START);
        // One that found no room when it was inserted was asked for by another task than the one that issues it now.
        let refused = BLOCK_REFUSED
            .get(0)
            .is_some_and(|refused| *refused != 0 && start <= *refused);
        if !refused && !is_noted(request, start) {
            note::<A>(request, start);
        }
    }
}

/// Is it known who asked for a request?
#[inline(always)]
fn is_noted(request: *const u8, start: u64) -> bool {
    let known = BLOCK_REQUESTS.get_ptr(&(request as u64));
    // SAFETY: a value of a map.
    known.is_some_and(|known| start != 0 && unsafe { (*known).start } == start)
}

/// Notes that the current task asked for a request.
#[inline(always)]
unsafe fn note<A: Current>(request: *const u8, start: u64) {
    let maker = Maker {
        key: key_of_current::<A>(0),
        start,
        at: now(),
    };
    if BLOCK_REQUESTS.insert(&(request as u64), &maker, 0).is_err()
        && let Some(refused) = BLOCK_REFUSED.get_ptr_mut(0)
    {
        // SAFETY: a value of the map; of two CPUs' times either will do.
        unsafe { *refused = maker.at };
    }
}

#[inline(always)]
unsafe fn on_complete<A: Access>(request: *const u8, error: u32, bytes: u32) {
    let at = request as u64;
    // SAFETY: `request` as `A` wants it; values of maps.
    unsafe {
        let left: u32 = A::get(request, layout::REQUEST_BYTES);
        let what = A::get::<u32>(request, layout::REQUEST_FLAGS) & 0xff;
        if what == operation::WRITE && bytes == 0 {
            let _ = BLOCK_REQUESTS.remove(&at);
            return;
        }
        let start: u64 = A::get(request, layout::REQUEST_START);
        // What is known only at run time comes first: the compiler would copy a key of constants from a place that it makes for it,
        // and older kernels do not know that one.
        let mut key = StallKey {
            start: 0,
            tgid: 0,
            whose: whose::OTHER,
            what,
            device: device::<A>(request),
        };
        let mut begin = start;
        if let Some(maker) = BLOCK_REQUESTS.get_ptr(&at)
            && (*maker).start == start
        {
            let known = &(*maker).key;
            key.start = known.start;
            key.tgid = known.tgid;
            key.whose = known.whose;
            if begin == 0 {
                begin = (*maker).at;
            }
        }
        let Some(counts) = room(&BLOCK_IO, &BLOCK_IO_SPILL, &BLOCK_IO_LOST, &key, &BLANK) else {
            let _ = BLOCK_REQUESTS.remove(&at);
            return;
        };
        add(&raw mut (*counts).bytes, u64::from(bytes));
        if error != 0 {
            add(&raw mut (*counts).errors, 1);
        }
        // The rest of the request goes on.
        if bytes < left {
            return;
        }
        // Forgotten: on paths that cannot be, older verifiers know contradictory bounds of it.
        let size = opaque(forget(bucket(u64::from(bytes)) as u64));
        let size = if size > SIZES as u64 { SIZES as u64 } else { size };
        if what != operation::FLUSH {
            add((&raw mut (*counts).sizes).cast::<u64>().add(size as usize), 1);
        }
        let now = now();
        if begin != 0 && begin <= now {
            observe(&raw mut (*counts).duration, now - begin);
        } else {
            add(&raw mut (*counts).untimed, 1);
        }
        let _ = BLOCK_REQUESTS.remove(&at);
    }
}

/// Number of a request's device; 0 when it has none.
#[inline(always)]
unsafe fn device<A: Access>(request: *const u8) -> u32 {
    // SAFETY: the caller's. Before Linux 5.15 the request has the disk, later its queue.
    unsafe {
        let disk: *const u8 = if offset(layout::QUEUE_DISK) as u32 == layout::ABSENT {
            A::get(request, layout::REQUEST_DISK)
        } else {
            let queue: *const u8 = A::get(request, layout::REQUEST_QUEUE);
            A::get(queue, layout::QUEUE_DISK)
        };
        // Requests that are none of a disk's.
        if disk.is_null() {
            return 0;
        }
        let major: u32 = A::get(disk, layout::DISK_MAJOR);
        let minor: u32 = A::get(disk, layout::DISK_MINOR);
        major << 20 | minor & 0xf_ffff
    }
}
