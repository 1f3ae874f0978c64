//! Calls on sockets at `sys_exit`: `TP_PROTO(struct pt_regs *regs, long ret)`. At exit the registers still hold the
//! arguments (x86-64), so file descriptor, buffer and result are known in one place.

use crate::{
    capture::{self, Call},
    fill::{BUFFER, NONE, VECTOR},
    globals::{forget, offset},
    read::{Access, Cast, Direct, Probed, cast, kernel, user},
    sock::{self, S_IFMT, S_IFSOCK},
    syscalls::{NOT_STREAM, Shape, classify, is_recvfrom, regs},
    task::Current,
    undivided::Undivided,
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_task_pt_regs,
    macros::{btf_tracepoint, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use onlooker_common::{layout, limits::MMSGS, record::dir};

/// `thread_info.status` of a 32-bit call on a 64-bit kernel.
pub(crate) const TS_COMPAT: u32 = 2;

/// A system call returned; everything by direct loads (kernel 6.2 and later).
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit_cast(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { at_exit::<Cast, false>(ctx.arg(0), ctx.arg(1)) };
    0
}

/// The same, see [`crate::undivided`].
#[tracepoint]
#[inline(always)]
pub fn sys_exit_cast_tp(ctx: TracePointContext) -> u32 {
    let result: i64 = kernel(ctx.as_ptr() as u64 + offset(layout::EXIT_RET) as u64);
    // SAFETY: the registers are those of the current task.
    unsafe {
        let registers = bpf_task_pt_regs(Cast::task().cast_mut().cast());
        at_exit::<Cast, false>(registers as *const u64, result);
    }
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit_cast_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { at_exit::<Cast, true>(ctx.arg(0), ctx.arg(1)) };
    0
}

/// A system call returned; registers and task by direct loads, sockets by probe reads (kernel 5.11 and later).
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { at_exit::<Mixed<Direct>, false>(ctx.arg(0), ctx.arg(1)) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit_btf_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { at_exit::<Mixed<Direct>, true>(ctx.arg(0), ctx.arg(1)) };
    0
}

#[inline(always)]
unsafe fn at_exit<F: Far, const AGAIN: bool>(registers: *const u64, result: i64) {
    // SAFETY: the caller's.
    unsafe {
        let number = *registers.add(regs::WORDS[4]);
        let (shape, sends) = classify(number);
        if shape == Shape::Other || capture::dull(result) {
            return;
        }
        let args = [
            *registers.add(regs::WORDS[0]),
            *registers.add(regs::WORDS[1]),
            *registers.add(regs::WORDS[2]),
            *registers.add(regs::WORDS[3]),
        ];
        on_exit::<F, AGAIN>(number, shape, sends, &args, result);
    }
}

/// A system call returned; everything by probe reads.
#[raw_tracepoint(tracepoint = "sys_exit")]
#[inline(always)]
pub fn sys_exit_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    let result: i64 = ctx.arg(1);
    if capture::dull(result) {
        return 0;
    }
    let registers: u64 = ctx.arg(0);
    let at = |i: usize| kernel::<u64>(registers + regs::WORDS[i] as u64 * 8);
    let number = at(4);
    let (shape, sends) = classify(number);
    if shape == Shape::Other {
        return 0;
    }
    let args = [at(0), at(1), at(2), at(3)];
    // SAFETY: `Probed` takes any pointer.
    unsafe { on_exit::<Mixed<Probed>, false>(number, shape, sends, &args, result) };
    0
}

#[inline(always)]
unsafe fn on_exit<F: Far, const AGAIN: bool>(number: u64, shape: Shape, sends: bool, args: &[u64; 4], result: i64) {
    // One path for all calls of a shape, and for all errors: older verifiers would walk all that follows for each of them.
    let (number, result) = (forget(number), forget(result as u64) as i64);
    let (shape, sends) = (Shape::of(forget(shape as u64)), forget(sends.into()) != 0);
    // SAFETY: `task` is current; all else is reached from it.
    unsafe {
        let task = F::task();
        if F::Near::get::<u32>(task, layout::TASK_STATUS) & TS_COMPAT != 0 {
            return;
        }
        // The flags of a read tell when its bytes are not the next of the stream.
        let flags = match shape {
            Shape::Buffer if is_recvfrom(number) => args[3],
            Shape::Message if !sends => args[2],
            Shape::Messages if !sends => args[3],
            _ => 0,
        };
        if flags & NOT_STREAM != 0 {
            return;
        }
        let mut direction = if sends { dir::TX } else { dir::RX };
        let mut sk = socket_of::<F>(task, args[0]);
        if shape == Shape::Splice {
            // From a socket, or else to one.
            direction = dir::RX;
            if sk.is_null() {
                direction = dir::TX;
                sk = socket_of::<F>(task, args[2]);
            }
        }
        if sk.is_null() {
            return;
        }
        let Some(family) = sock::stream_family::<F>(sk) else {
            return;
        };
        let (mut result, mut at, mut count, mut next) = (result, args[1], 0, 0);
        let mut which = match shape {
            Shape::File | Shape::Splice => NONE,
            _ => BUFFER,
        };
        if shape == Shape::Messages {
            // Several messages are one call of all their bytes: a second walk through all that follows would be more than
            // older verifiers take.
            let Some(total) = total(at, result) else { return };
            if result > 1 {
                next = at + MMSGHDR;
            }
            result = total;
        }
        if shape == Shape::Message || shape == Shape::Messages {
            let Some(iov) = message(at) else { return };
            (at, count, which) = (iov[0], iov[1], VECTOR);
            if next != 0 {
                // Beyond the first buffer of a message only its bytes are counted.
                (count, next) = if count == 1 { (2, next) } else { (count, 0) };
            }
        } else if shape == Shape::Vector {
            (count, which) = (args[2], VECTOR);
        }
        let call = Call {
            direction,
            result,
            which,
            at,
            count,
            next,
            nr: number as u16,
        };
        capture::call::<F, true, AGAIN>(sk, family, &call);
    }
}

/// Bytes of `n` messages: the kernel wrote each one's length behind its header. `None` when they cannot be read.
#[inline(always)]
fn total(at: u64, n: i64) -> Option<i64> {
    let mut bytes = 0;
    let mut i = 0;
    while i < MMSGS && (i as i64) < n {
        bytes = forget(bytes + u64::from(length(at + i as u64 * MMSGHDR)?));
        i += 1;
    }
    Some(bytes as i64)
}

/// Bytes of the `struct mmsghdr` at an address.
#[inline(always)]
pub(crate) fn length(at: u64) -> Option<u32> {
    user(at + MMSGHDR - 8)
}

/// `sizeof(struct mmsghdr)`.
pub(crate) const MMSGHDR: u64 = 64;
/// `offsetof(struct msghdr, msg_iov)`.
const MSG_IOV: u64 = 16;

/// The buffers of a `struct msghdr`: address and length of the array.
#[inline(always)]
pub(crate) fn message(at: u64) -> Option<[u64; 2]> {
    user(at + MSG_IOV)
}

/// How what lies behind a file descriptor is reached: to the verifier its address is a plain number.
pub(crate) trait Far: Current {
    /// How the current task is read.
    type Near: Current;
    /// The word at a kernel address.
    ///
    /// # Safety
    /// None that the verifier does not see to.
    unsafe fn word(at: u64) -> u64;
    /// The struct at an address, an index of `layout::TYPES`, for [`Access::get`].
    fn at(address: u64, of: usize) -> *const u8;
}

impl Far for Cast {
    type Near = Direct;
    #[inline(always)]
    unsafe fn word(at: u64) -> u64 {
        // SAFETY: a load that the verifier checks; a fault yields zero.
        unsafe { core::ptr::read_volatile(cast(at as *const u8, layout::TYPE_POINTER).cast()) }
    }
    #[inline(always)]
    fn at(address: u64, of: usize) -> *const u8 {
        cast(address as *const u8, of)
    }
}

/// Current task as `A` has it, everything else by probe read.
pub(crate) struct Mixed<A>(core::marker::PhantomData<A>);

impl<A: Current> Access for Mixed<A> {
    #[inline(always)]
    unsafe fn get<T: Copy>(base: *const u8, field: usize) -> T {
        // SAFETY: the caller's.
        unsafe {
            if matches!(field, layout::TASK_LEADER | layout::TASK_START) {
                A::get(base, field)
            } else {
                Probed::get(base, field)
            }
        }
    }
    #[inline(always)]
    unsafe fn tcp(sk: *const u8) -> *const u8 {
        sk
    }
}

impl<A: Current> Current for Mixed<A> {
    #[inline(always)]
    fn task() -> *const u8 {
        A::task()
    }
}

impl<A: Current> Far for Mixed<A> {
    type Near = A;
    #[inline(always)]
    unsafe fn word(at: u64) -> u64 {
        kernel(at)
    }
    #[inline(always)]
    fn at(address: u64, _: usize) -> *const u8 {
        address as *const u8
    }
}

/// `struct sock` behind a file descriptor of the task; null when it is no socket.
#[inline(always)]
pub(crate) unsafe fn socket_of<F: Far>(task: *const u8, fd: u64) -> *const u8 {
    // SAFETY: each pointer comes from the one before; null is checked where it may be loaded through directly.
    unsafe {
        let files: *const u8 = F::Near::get(task, layout::TASK_FILES);
        if files.is_null() {
            return core::ptr::null();
        }
        let table: *const u8 = F::Near::get(files, layout::FILES_FDT);
        if table.is_null() {
            return core::ptr::null();
        }
        if fd >= u64::from(F::Near::get::<u32>(table, layout::FDT_MAX)) {
            return core::ptr::null();
        }
        let array: u64 = F::Near::get(table, layout::FDT_FD);
        let file = F::word(array + fd * 8);
        if file == 0 {
            return core::ptr::null();
        }
        let file = F::at(file, layout::TYPE_FILE);
        let inode: *const u8 = F::get(file, layout::FILE_INODE);
        if F::get::<u16>(inode, layout::INODE_MODE) & S_IFMT != S_IFSOCK {
            return core::ptr::null();
        }
        let socket: u64 = F::get(file, layout::FILE_PRIVATE);
        F::get(F::at(socket, layout::TYPE_SOCKET), layout::SOCKET_SK)
    }
}
