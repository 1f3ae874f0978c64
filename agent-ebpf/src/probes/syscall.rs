//! Calls on sockets at `sys_exit`: `TP_PROTO(struct pt_regs *regs, long ret)`. At exit the registers still hold the
//! arguments (x86-64), so file descriptor, buffer and result are known in one place.

use crate::{
    capture::{self, Call},
    read::{Access, Direct, Probed, kernel, user},
    sock,
    syscalls::{NOT_STREAM, Shape, Source, classify, is_recvfrom, regs},
    task::Current,
};
use aya_ebpf::{
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{layout, limits::MMSGS, record::dir};

/// `thread_info.status` of a 32-bit call on a 64-bit kernel.
pub(crate) const TS_COMPAT: u32 = 2;
const S_IFMT: u16 = 0xf000;
const S_IFSOCK: u16 = 0xc000;

/// A system call returned; registers and task by direct loads (kernel 5.11 and later).
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_btf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe {
        let result: i64 = ctx.arg(1);
        let registers: *const u64 = ctx.arg(0);
        let number = *registers.add(regs::WORDS[4]);
        let (shape, sends) = classify(number);
        if shape == Shape::Other || capture::dull(result) {
            return 0;
        }
        let args = [
            *registers.add(regs::WORDS[0]),
            *registers.add(regs::WORDS[1]),
            *registers.add(regs::WORDS[2]),
            *registers.add(regs::WORDS[3]),
        ];
        on_exit::<Direct>(number, shape, sends, &args, result);
    }
    0
}

/// A system call returned; everything by probe reads.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit_raw(ctx: RawTracePointContext) -> i32 {
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
    unsafe { on_exit::<Probed>(number, shape, sends, &args, result) };
    0
}

#[inline(always)]
unsafe fn on_exit<A: Current>(number: u64, shape: Shape, sends: bool, args: &[u64; 4], result: i64) {
    // SAFETY: `task` is current; sockets are read by probe.
    unsafe {
        let task = A::task();
        if A::get::<u32>(task, layout::TASK_STATUS) & TS_COMPAT != 0 {
            return;
        }
        let mut direction = if sends { dir::TX } else { dir::RX };
        let mut sk = socket_of::<A>(task, args[0]);
        let mut family = sock::stream_family::<Probed>(sk);
        let nr = number as u16;
        let source = match shape {
            Shape::Buffer => {
                if is_recvfrom(number) && args[3] & NOT_STREAM != 0 {
                    return;
                }
                Source::Buffer(args[1])
            }
            Shape::Vector => Source::Vector(args[1], args[2]),
            Shape::Message => {
                if !sends && args[2] & NOT_STREAM != 0 {
                    return;
                }
                message(args[1])
            }
            Shape::Messages => {
                let Some(family) = family else { return };
                each_message::<A>(sk, family, direction, nr, args, result);
                return;
            }
            Shape::Splice => {
                // From a socket, or else to one.
                direction = dir::RX;
                if family.is_none() {
                    direction = dir::TX;
                    sk = socket_of::<A>(task, args[2]);
                    family = sock::stream_family::<Probed>(sk);
                }
                Source::None
            }
            _ => Source::None,
        };
        let Some(family) = family else { return };
        capture::call::<Mixed<A>>(sk, family, &Call { direction, result, source, nr });
    }
}

/// `sendmmsg`, `recvmmsg`: the kernel wrote each message's length behind its header.
#[inline(always)]
unsafe fn each_message<A: Current>(sk: *const u8, family: u16, direction: u8, nr: u16, args: &[u64; 4], result: i64) {
    if direction == dir::RX && args[3] & NOT_STREAM != 0 {
        return;
    }
    let mut i = 0;
    while i < MMSGS as i64 {
        if i >= result {
            break;
        }
        let at = args[1] + i as u64 * 64;
        let Some(length) = user::<u32>(at + 56) else { break };
        let call = Call { direction, result: i64::from(length), source: message(at), nr };
        // SAFETY: the caller's.
        unsafe { capture::call::<Mixed<A>>(sk, family, &call) };
        i += 1;
    }
}

/// The buffers of a `struct msghdr`.
#[inline(always)]
pub(crate) fn message(at: u64) -> Source {
    match user::<[u64; 2]>(at + 16) {
        Some(vector) => Source::Vector(vector[0], vector[1]),
        None => Source::None,
    }
}

/// Current task as `A` has it, sockets by probe read (a socket reached through a file descriptor is a plain number to the
/// verifier).
struct Mixed<A>(core::marker::PhantomData<A>);

impl<A: Current> Access for Mixed<A> {
    #[inline(always)]
    unsafe fn get<T: Copy>(base: *const u8, field: usize) -> T {
        // SAFETY: the caller's. Members of tasks are read as `A` does, everything else by probe.
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

/// `struct sock` behind a file descriptor of the task; null when it is no socket.
#[inline(always)]
unsafe fn socket_of<A: Current>(task: *const u8, fd: u64) -> *const u8 {
    // SAFETY: each pointer comes from the one before; null is checked where `A` may load directly.
    unsafe {
        let files: *const u8 = A::get(task, layout::TASK_FILES);
        if files.is_null() {
            return core::ptr::null();
        }
        let table: *const u8 = A::get(files, layout::FILES_FDT);
        if table.is_null() {
            return core::ptr::null();
        }
        if fd >= u64::from(A::get::<u32>(table, layout::FDT_MAX)) {
            return core::ptr::null();
        }
        let array: u64 = A::get(table, layout::FDT_FD);
        let file: *const u8 = kernel::<u64>(array + fd * 8) as *const u8;
        if file.is_null() {
            return core::ptr::null();
        }
        let inode: *const u8 = Probed::get(file, layout::FILE_INODE);
        if Probed::get::<u16>(inode, layout::INODE_MODE) & S_IFMT != S_IFSOCK {
            return core::ptr::null();
        }
        let socket: *const u8 = Probed::get(file, layout::FILE_PRIVATE);
        Probed::get(socket, layout::SOCKET_SK)
    }
}
