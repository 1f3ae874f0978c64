//! System calls that fail, at `sys_exit`: `TP_PROTO(struct pt_regs *regs, long ret)`. A call that succeeds costs the hook and
//! one comparison; nothing else is looked at.
//!
//! The second copy (see [`crate::again`]) knows by a mark of the thread.

use crate::{
    again::{By, may},
    calls::{Call, argument, call_of, place_of},
    capture::header,
    emit::{self, With},
    globals::offset,
    read::{Access, Direct, Probed, copy_user, kernel, opaque},
    sock::{AF_INET, AF_INET6, AF_UNIX},
    task::{Current, actor, file_of},
    undivided::Undivided,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_jiffies64, bpf_probe_read_user_str},
    },
    macros::{btf_tracepoint, map, raw_tracepoint, tracepoint},
    maps::{Array, PerCpuArray, PerCpuHashMap},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use core::ffi::c_void;
use onlooker_common::{
    errors::{
        APART, CallKey, Counted, DETAIL, ERRNOS, EXPECTED, ErrorKey, FailureRecord, MAX_ERRNO, Pace, READY, SHAPES,
        SPILL, TABLE, TOLD,
        call::{ANY, RULED},
        detail, shape,
    },
    layout,
    record::kind,
};

/// Errors by process, call and error.
#[map]
static SYSCALL_ERRORS: PerCpuHashMap<ErrorKey, Counted> = PerCpuHashMap::with_max_entries(TABLE, 0);
/// What that table had no room for.
#[map]
static SYSCALL_ERRORS_SPILL: PerCpuHashMap<CallKey, u64> = PerCpuHashMap::with_max_entries(SPILL, 0);
/// Expected errors. The user side puts in those that are expected of a call; what is expected by a rule comes to it here.
#[map]
static SYSCALL_ERRORS_EXPECTED: PerCpuHashMap<CallKey, u64> = PerCpuHashMap::with_max_entries(EXPECTED, 0);
/// What the arguments of calls are, put in by the user side.
#[map]
static SYSCALL_SHAPES: Array<u8> = Array::with_max_entries(SHAPES, 0);
/// Room for a path.
#[map]
static SYSCALL_PATH: PerCpuArray<[u8; DETAIL]> = PerCpuArray::with_max_entries(1, 0);
/// See [`Pace`].
#[map]
static SYSCALL_ERRORS_PACE: PerCpuArray<Pace> = PerCpuArray::with_max_entries(1, 0);

/// A system call returned; everything by direct loads (kernel 5.11 and later).
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_errors(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if failed(result) {
        let _undivided = Undivided::begin();
        // SAFETY: the registers are the tracepoint's.
        on_error::<Direct, false>(unsafe { Call::direct(ctx.arg(0)) }, result);
    }
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_errors_again(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if failed(result) {
        let _undivided = Undivided::begin();
        // SAFETY: the registers are the tracepoint's.
        on_error::<Direct, true>(unsafe { Call::direct(ctx.arg(0)) }, result);
    }
    0
}

/// The same at what the tracepoint records for others, see [`crate::undivided`].
#[tracepoint]
#[inline(always)]
pub fn sys_errors_tp(ctx: TracePointContext) -> u32 {
    let result: i64 = kernel(ctx.as_ptr() as u64 + offset(layout::EXIT_RET) as u64);
    if failed(result) {
        on_error::<Direct, false>(Call::current(), result);
    }
    0
}

/// A system call returned; everything by probe reads.
#[raw_tracepoint(tracepoint = "sys_exit")]
#[inline(always)]
pub fn sys_errors_raw(ctx: RawTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if failed(result) {
        let _undivided = Undivided::begin();
        on_error::<Probed, false>(Call::probed(ctx.arg(0)), result);
    }
    0
}

/// `-MAX_ERRNO <= result < 0`: all else is a result, also one that looks negative (an address).
#[inline(always)]
fn failed(result: i64) -> bool {
    result as u64 >= -MAX_ERRNO as u64
}

#[inline(always)]
fn on_error<A: Current, const SECOND: bool>(at_hand: Call, result: i64) {
    let Call { number, registers } = at_hand;
    // A return from a signal handler has the number -1, and as result what the interrupted code had in a register.
    if number as i32 == -1 {
        return;
    }
    if SYSCALL_SHAPES.get(READY).is_none_or(|ready| *ready == 0) || !may::<SECOND>(By::Error) {
        return;
    }
    let errno = (-result) as u16;
    let task = A::task();
    let compat = at_hand.is_compat::<A>();
    let call = call_of(number, compat);
    let mut key = CallKey { call, errno };
    if may_be_expected(call, errno)
        && let Some(count) = SYSCALL_ERRORS_EXPECTED.get_ptr_mut(&key)
    {
        // SAFETY: this CPU's value.
        unsafe { *count += 1 };
        return;
    }
    if by_rule(errno, call, compat, registers) {
        key.call |= RULED;
        count_call(&SYSCALL_ERRORS_EXPECTED, &key);
        return;
    }
    let actor = actor::<A>(task);
    let full = ErrorKey {
        start: actor.start,
        tgid: actor.tgid,
        call,
        errno,
    };
    let counted = match SYSCALL_ERRORS.get_ptr_mut(&full) {
        Some(counted) => counted,
        None => {
            // Another CPU may have been first.
            let _ = SYSCALL_ERRORS.insert(&full, &BLANK, NOEXIST);
            match SYSCALL_ERRORS.get_ptr_mut(&full) {
                Some(counted) => counted,
                None => {
                    count_call(&SYSCALL_ERRORS_SPILL, &key);
                    return;
                }
            }
        }
    };
    // SAFETY: this CPU's value; `task` is current.
    unsafe {
        (*counted).count += 1;
        // A load, where the clock is a call and a read of a counter.
        let jiffies = bpf_jiffies64() as u32;
        if jiffies == (*counted).asked {
            return;
        }
        (*counted).asked = jiffies;
        let now = bpf_ktime_get_ns();
        if now - (*counted).at >= APART && may_tell(now) {
            let count = ((*counted).count as u32).wrapping_sub((*counted).told);
            (*counted).told = (*counted).count as u32;
            (*counted).at = now;
            let record = FailureRecord {
                head: header(kind::FAILURE, size_of::<FailureRecord>(), now),
                actor,
                count: count.into(),
                call,
                errno,
                fd: -1,
                mode: 0,
                bytes: 0,
                detail: detail::NONE,
                pad: [0; 3],
            };
            tell(task, registers, compat, record);
        }
    }
}

/// `BPF_NOEXIST`.
const NOEXIST: u64 = 1;
static BLANK: Counted = Counted {
    count: 0,
    at: 0,
    told: 0,
    asked: 0,
};
static ZERO: u64 = 0;

/// One more in a table by call; counted as lost when that has no room.
#[inline(always)]
fn count_call(table: &PerCpuHashMap<CallKey, u64>, key: &CallKey) {
    let mut count = table.get_ptr_mut(key);
    if count.is_none() {
        let _ = table.insert(key, &ZERO, NOEXIST);
        count = table.get_ptr_mut(key);
    }
    // SAFETY: values of this CPU.
    unsafe {
        match count {
            Some(count) => *count += 1,
            None => {
                if let Some(pace) = SYSCALL_ERRORS_PACE.get_ptr_mut(0) {
                    (*pace).lost += 1;
                }
            }
        }
    }
}

/// Is it this CPU's turn to tell one more?
#[inline(always)]
fn may_tell(now: u64) -> bool {
    let Some(pace) = SYSCALL_ERRORS_PACE.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: this CPU's value.
    unsafe {
        if now - (*pace).since >= APART {
            (*pace).since = now;
            (*pace).told = 0;
        }
        (*pace).told += 1;
        (*pace).told <= TOLD
    }
}

/// Only then the table of expected errors is asked.
#[inline(always)]
fn may_be_expected(call: u16, errno: u16) -> bool {
    shape_of(call) & shape::EXPECTED != 0
        && errno < 256
        // SAFETY: nobody writes it any more.
        && SYSCALL_SHAPES.get(ERRNOS + u32::from(errno)).is_some_and(|shape| *shape != 0)
}

const EINTR: u16 = 4;
const ENOENT: u16 = 2;
/// `ERESTARTSYS`, the first of those that never reach a program: the kernel makes EINTR of them or calls again.
const ERESTARTSYS: u16 = 512;

/// Is the error expected by a rule: of any call that was interrupted, or of one whose path is where programs search?
#[inline(always)]
fn by_rule(errno: u16, call: u16, compat: bool, registers: u64) -> bool {
    if errno != EINTR && errno != ENOENT && errno < ERESTARTSYS {
        return false;
    }
    let rule = CallKey { call: ANY, errno };
    if SYSCALL_ERRORS_EXPECTED.get_ptr(&rule).is_none() {
        return false;
    }
    if errno != ENOENT {
        return true;
    }
    let what = shape_of(call);
    what & shape::SEARCH != 0 && is_searched(argument(registers, what & shape::PLACE, compat))
}

/// Is a path one that programs search with: a shared library's, or below where programs, libraries and what the kernel tells
/// are?
#[inline(always)]
fn is_searched(path: u64) -> bool {
    let Some(room) = SYSCALL_PATH.get_ptr_mut(0) else {
        return false;
    };
    let room: *mut u8 = room.cast();
    // SAFETY: the helper writes DETAIL bytes at most, and a path of more than a NUL has been written.
    let (n, first) = unsafe {
        let n = bpf_probe_read_user_str(room.cast(), DETAIL as u32, path as *const c_void);
        (n, room.cast::<u64>().read_unaligned())
    };
    if n <= 1 {
        return false;
    }
    let begins = |with: &[u8]| {
        let (mut word, mut mask, mut i) = (0u64, 0u64, 0);
        while i < with.len() {
            word |= u64::from(with[i]) << (8 * i);
            mask |= 0xff << (8 * i);
            i += 1;
        }
        first & mask == word
    };
    if begins(b"/usr/")
        || begins(b"/lib")
        || begins(b"/proc/")
        || begins(b"/sys/")
        || begins(b"/bin/")
        || begins(b"/sbin/")
    {
        return true;
    }
    // `NAME.so` or `NAME.so.VERSION`, from the end to the last slash.
    let (mut next, mut second, mut third) = (0u8, 0u8, 0u8);
    let mut i = 2;
    while i < LIBRARY {
        let at = opaque((n as u64).wrapping_sub(i));
        if at >= DETAIL as u64 {
            return false;
        }
        // SAFETY: within the room.
        let byte = unsafe { room.add(at as usize).read() };
        if byte == b'/' {
            return false;
        }
        if byte == b'.' && next == b's' && second == b'o' && (third == 0 || third == b'.') {
            return true;
        }
        (next, second, third) = (byte, next, second);
        i += 1;
    }
    false
}

/// Bytes at the end of a path that are looked at for the name of a library.
const LIBRARY: u64 = 34;

#[inline(always)]
fn shape_of(call: u16) -> u8 {
    // SAFETY: nobody writes it any more.
    SYSCALL_SHAPES.get(place_of(call)).map_or(0, |shape| *shape)
}

/// Sends a record of a call with what it was about.
#[inline(always)]
unsafe fn tell(task: *const u8, registers: u64, compat: bool, mut record: FailureRecord) {
    let Some(mut entry) = emit::reserve::<With<FailureRecord, DETAIL>>(kind::FAILURE) else {
        return;
    };
    let at = entry.as_mut_ptr();
    // SAFETY: the entry is writable; what is sent of it is written.
    unsafe {
        let data: *mut u8 = (&raw mut (*at).data).cast();
        let what = shape_of(record.call);
        if what & shape::FD != 0 {
            let fd = argument(registers, 0, compat) as i32;
            record.fd = fd;
            record.mode = mode_of(task, fd as u32);
        }
        let argument = argument(registers, what & shape::PLACE, compat);
        if what & shape::PATH != 0 {
            let n = bpf_probe_read_user_str(data.cast(), DETAIL as u32, argument as *const c_void);
            if n > 0 {
                record.detail = detail::PATH;
                record.bytes = n as u16 - 1; // without its NUL
            }
        } else if what & shape::ADDRESS != 0 {
            let bytes = address(data, argument);
            if bytes > 0 {
                record.detail = detail::ADDRESS;
                record.bytes = bytes;
            }
        }
        record.head.len += u32::from(record.bytes);
        (*at).record = record;
    }
    emit::submit(entry);
}

/// Copies the address that a call was given, as much of it as its family has; returns its bytes.
#[inline(always)]
unsafe fn address(data: *mut u8, from: u64) -> u16 {
    // SAFETY: each copy is shorter than the room.
    unsafe {
        if !copy_user(data, 2, from) {
            return 0;
        }
        match data.cast::<u16>().read_unaligned() {
            AF_INET if copy_user(data, 16, from) => 16,
            AF_INET6 if copy_user(data, 28, from) => 28,
            AF_UNIX => {
                let n = bpf_probe_read_user_str(data.add(2).cast(), 108, (from + 2) as *const c_void);
                if n > 0 { n as u16 + 1 } else { 0 }
            }
            _ => 0,
        }
    }
}

/// `i_mode` of what is behind a descriptor of the task; 0 when there is nothing.
#[inline(always)]
unsafe fn mode_of(task: *const u8, fd: u32) -> u16 {
    // SAFETY: `Probed` takes any pointer.
    unsafe {
        let file = file_of(task, fd);
        if file == 0 {
            return 0;
        }
        let inode: *const u8 = Probed::get(file as *const u8, layout::FILE_INODE);
        Probed::get(inode, layout::INODE_MODE)
    }
}
