//! What programs write to their standard output and error where no file takes it, at `sys_exit`:
//! `TP_PROTO(struct pt_regs *regs, long ret)`. On demand alone. A call that is not `write`, `writev`, `pwritev2` or `sendto` costs the
//! hook and a few comparisons.
//!
//! What is told is what the call moved: its result says how much. Bytes that cannot be told (a full ring, a call that is too long) are
//! counted by stream, and the next record of the stream says so: whoever puts lines together knows that there is a gap.
//!
//! Not looked at: calls of 32-bit programs, of `io_uring`, `splice` and their like; descriptors that are copies of 1 and 2.
//!
//! The second copy (see [`crate::again`]) knows by a mark of the thread.

use crate::{
    again::{By, may},
    calls::{Call, argument},
    capture::header,
    emit::{self, With},
    globals::{config, forget, offset},
    maps::RING,
    read::{Access, Direct, Probed, copy_user, kernel, opaque, user},
    sock::{AF_UNIX, S_IFMT, S_IFSOCK},
    syscalls::{Shape, classify},
    tables::add,
    task::{Current, actor, file_of},
    undivided::Undivided,
};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_RB_AVAIL_DATA,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{btf_tracepoint, map, raw_tracepoint, tracepoint},
    maps::LruHashMap,
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use onlooker_common::{
    count::{self, reason},
    layout,
    record::kind,
    writes::{
        LARGE, LOSERS, Lost, PIECES, SMALL, STDERR, STDOUT, StreamKey, WRITERS as PROCESSES, WriteRecord, WriterKey,
        behind, verdict,
    },
};

/// Processes whose writes are wanted or not; the user side says so.
#[map]
static WRITERS: LruHashMap<WriterKey, u32> = LruHashMap::with_max_entries(PROCESSES, 0);
/// Bytes that were not told.
#[map]
static WRITES_LOST: LruHashMap<StreamKey, Lost> = LruHashMap::with_max_entries(LOSERS, 0);

/// A system call returned; by direct loads (kernel 5.11 and later).
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_writes(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result > 0 {
        let _undivided = Undivided::begin();
        // SAFETY: the registers are the tracepoint's.
        on_exit::<Direct, false>(unsafe { Call::direct(ctx.arg(0)) }, result);
    }
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_writes_again(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result > 0 {
        let _undivided = Undivided::begin();
        // SAFETY: the registers are the tracepoint's.
        on_exit::<Direct, true>(unsafe { Call::direct(ctx.arg(0)) }, result);
    }
    0
}

/// The same at what the tracepoint records for others, see [`crate::undivided`].
#[tracepoint]
#[inline(always)]
pub fn sys_writes_tp(ctx: TracePointContext) -> u32 {
    let result: i64 = kernel(ctx.as_ptr() as u64 + offset(layout::EXIT_RET) as u64);
    if result > 0 {
        on_exit::<Direct, false>(Call::current(), result);
    }
    0
}

/// A system call returned; everything by probe reads.
#[raw_tracepoint(tracepoint = "sys_exit")]
#[inline(always)]
pub fn sys_writes_raw(ctx: RawTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result > 0 {
        let _undivided = Undivided::begin();
        on_exit::<Probed, false>(Call::probed(ctx.arg(0)), result);
    }
    0
}

#[inline(always)]
fn on_exit<A: Current, const SECOND: bool>(call: Call, result: i64) {
    let (shape, sends) = classify(call.number);
    if !sends || (shape != Shape::Buffer && shape != Shape::Vector) {
        return;
    }
    // One path for all calls: older verifiers would walk what follows for each of them.
    let vector = forget((shape == Shape::Vector).into()) != 0;
    let result = forget(result as u64);
    let fd = argument(call.registers, 0, false) as u32;
    if fd != STDOUT && fd != STDERR {
        return;
    }
    let fd = forget(fd.into()) as u32;
    if (bpf_get_current_pid_tgid() >> 32) as u32 == config::self_tgid() || call.is_compat::<A>() {
        return;
    }
    let task = A::task();
    let actor = actor::<A>(task);
    let writer = WriterKey {
        start: actor.start,
        tgid: actor.tgid,
        pad: 0,
    };
    if let Some(verdict) = WRITERS.get_ptr(&writer)
        // SAFETY: a value of the map.
        && unsafe { *verdict } == verdict::PASS
    {
        return;
    }
    // SAFETY: `task` is current.
    let behind = unsafe { what_is_behind(task, fd) };
    if behind == 0 || !may::<SECOND>(By::Write) {
        return;
    }
    let stream = StreamKey {
        start: actor.start,
        tgid: actor.tgid,
        fd,
    };
    let lost = match WRITES_LOST.get_ptr(&stream) {
        // SAFETY: a value of the map.
        Some(lost) => unsafe { *lost },
        None => Lost::NONE,
    };
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let record = WriteRecord {
        head: header(kind::WRITE, size_of::<WriteRecord>(), now),
        actor,
        lost,
        total: result as u32,
        offset: 0,
        bytes: 0,
        fd: forget(fd.into()) as u8,
        behind: forget(behind.into()) as u8,
        pad: 0,
    };
    // Half of the ring is for the others.
    if RING.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(config::ring_half()) {
        emit::refuse(kind::WRITE, reason::RING_FULL);
        return lose(&stream, result, 0);
    }
    let left = pieces(
        record,
        vector,
        argument(call.registers, 1, false),
        argument(call.registers, 2, false),
    );
    if left.refused | left.cut != 0 {
        lose(&stream, left.refused, left.cut);
    }
}

/// Tells the bytes of a call piece by piece; returns how many were not told.
#[inline(always)]
fn pieces(mut record: WriteRecord, vector: bool, at: u64, count: u64) -> Lost {
    let mut left = forget(record.total.into());
    let mut unread = forget(0);
    // Of the buffer at hand: where it goes on, and how much of it is left.
    let (mut from, mut rest) = (forget(at), forget(if vector { 0 } else { left }));
    let mut element = forget(0);
    let mut i = 0;
    while i < PIECES {
        (left, from, rest) = (forget(left), forget(from), forget(rest));
        if left == 0 {
            break;
        }
        if rest == 0 {
            element = forget(element);
            if !vector || element >= count {
                break;
            }
            let Some([base, bytes]) = user::<[u64; 2]>(at + element * 16) else {
                break;
            };
            element += 1;
            from = forget(base);
            rest = forget(if bytes < left { bytes } else { left });
        }
        let n = forget(if rest < LARGE as u64 { rest } else { LARGE as u64 });
        if n != 0 {
            let sent = if n <= SMALL as u64 {
                piece::<SMALL>(&mut record, n, from)
            } else {
                piece::<LARGE>(&mut record, n, from)
            };
            match sent {
                Sent::Whole => (),
                Sent::Unread => unread = forget(unread + n),
                Sent::Not => {
                    return Lost {
                        refused: left,
                        cut: unread,
                    };
                }
            }
            record.offset = forget(u64::from(record.offset) + n) as u32;
            (left, from, rest) = (left - n, from + n, rest - n);
        }
        i += 1;
    }
    Lost {
        refused: 0,
        cut: unread + left,
    }
}

/// What became of a piece.
enum Sent {
    /// It was told.
    Whole,
    /// A record went out without its bytes.
    Unread,
    /// The ring has no room.
    Not,
}

/// Tells `n` bytes at an address.
#[inline(always)]
fn piece<const N: usize>(record: &mut WriteRecord, n: u64, at: u64) -> Sent {
    let Some(mut entry) = emit::reserve::<With<WriteRecord, N>>(kind::WRITE) else {
        return Sent::Not;
    };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry is writable; n is at most its room; what is sent of it is written.
    unsafe {
        let n = opaque(n);
        let whole = n <= N as u64 && copy_user((&raw mut (*place).data).cast(), n, at);
        let bytes = if whole { n as u16 } else { 0 };
        if !whole {
            emit::bump(count::lost(kind::WRITE, reason::NO_DATA));
        }
        record.bytes = bytes;
        record.head.len = size_of::<WriteRecord>() as u32 + u32::from(bytes);
        (*place).record = *record;
        emit::submit(entry);
        if whole { Sent::Whole } else { Sent::Unread }
    }
}

/// Notes bytes of a stream that were not told.
#[inline(always)]
fn lose(stream: &StreamKey, refused: u64, cut: u64) {
    let mut lost = WRITES_LOST.get_ptr_mut(stream);
    if lost.is_none() {
        // Another CPU may have been first.
        let _ = WRITES_LOST.insert(stream, &Lost::NONE, NOEXIST);
        lost = WRITES_LOST.get_ptr_mut(stream);
    }
    if let Some(lost) = lost {
        // SAFETY: a value of the map.
        unsafe {
            add(&raw mut (*lost).refused, refused);
            add(&raw mut (*lost).cut, cut);
        }
    }
}

/// `BPF_NOEXIST`.
const NOEXIST: u64 = 1;
const S_IFIFO: u16 = 0o010_000;
const S_IFCHR: u16 = 0o020_000;

/// What is behind a descriptor of the task, one of [`behind`]; 0 when it is a file, a socket of a network, or nothing.
///
/// # Safety
/// `task` is current.
#[inline(always)]
unsafe fn what_is_behind(task: *const u8, fd: u32) -> u8 {
    // SAFETY: `Probed` takes any pointer.
    unsafe {
        let file = file_of(task, fd);
        if file == 0 {
            return 0;
        }
        let inode: *const u8 = Probed::get(file as *const u8, layout::FILE_INODE);
        match Probed::get::<u16>(inode, layout::INODE_MODE) & S_IFMT {
            S_IFIFO => behind::PIPE,
            S_IFCHR => behind::DEVICE,
            S_IFSOCK => {
                let socket: *const u8 = Probed::get(file as *const u8, layout::FILE_PRIVATE);
                let sk: *const u8 = Probed::get(socket, layout::SOCKET_SK);
                if Probed::get::<u16>(sk, layout::SK_FAMILY) == AF_UNIX {
                    behind::SOCKET
                } else {
                    0
                }
            }
            _ => 0,
        }
    }
}
