//! Calls on UDP sockets: how much each process sends, receives and fails to; and what clients of DNS servers say to them, over
//! UDP or TCP. At `sock_send_length` and `sock_recv_length` (kernel 6.3 and later), else at `sys_exit`.
//!
//! A client is who has port 53 at the other end and not as its own. Where a call does not say who sent what it received (a socket
//! that is not connected; at the socket tracepoints the kernel has not written the address yet), messages that look like an answer
//! go out. Not seen: messages of calls by io_uring (their bytes are counted), of a `recvmmsg` on a socket that is not connected all
//! but the first, of a `sendmmsg` at `sys_exit` all but the first two.
//!
//! The second copies (see [`crate::again`]) know by marks of the thread; there are none of the programs at `sys_exit`, for kernels that
//! preempt programs have the socket tracepoints.

use super::syscall::{Far, MMSGHDR, Mixed, TS_COMPAT, length, message, socket_of};
use crate::{
    again::{By, may},
    fill::{BUFFER, NONE, VECTOR},
    globals::{config, forget, offset},
    message::{Call, forgotten, look, report},
    read::{Access, Cast, Direct, Probed, cast, kernel, user},
    syscalls::{Shape, classify, has_address, is_recvfrom, regs},
    task::{self, Current},
    udp::{count, failure},
    undivided::Undivided,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_task_pt_regs},
    macros::{btf_tracepoint, map, raw_tracepoint, tracepoint},
    maps::LruHashMap,
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use onlooker_common::{
    dns::{IPPROTO_UDP, MMSG_ENTRIES, PORT},
    layout,
    record::dir,
};

/// Which message a thread inside `sendmmsg` or `recvmmsg` is at: nobody else says. Made between two messages of a call, gone
/// with its last.
#[map]
static MMSG: LruHashMap<u64, Position> = LruHashMap::with_max_entries(MMSG_ENTRIES, 0);

/// See [`MMSG`].
#[repr(C)]
#[derive(Clone, Copy)]
struct Position {
    /// Address of the first `struct mmsghdr`.
    at: u64,
    /// Address of the `struct sock`.
    sk: u64,
    /// Of the message that comes next.
    index: u64,
}

/// `MSG_PEEK | MSG_OOB | MSG_ERRQUEUE`: what such a read returns is not taken from the queue of datagrams.
const NOT_TAKEN: u64 = 0x2 | 0x1 | 0x2000;
/// Messages of one `sendmmsg`/`recvmmsg` that are captured at the exit of the call, and whose bytes are counted there.
const CAPTURED_MESSAGES: u64 = 2;
const COUNTED_MESSAGES: u64 = 64;

/// A socket call sent bytes.
#[btf_tracepoint(function = "sock_send_length")]
#[inline(always)]
pub fn dns_send(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_length::<Direct, false>(ctx.arg(0), i64::from(ctx.arg::<i32>(1)), 0, dir::TX) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sock_send_length")]
#[inline(always)]
pub fn dns_send_again(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_length::<Direct, true>(ctx.arg(0), i64::from(ctx.arg::<i32>(1)), 0, dir::TX) };
    0
}

/// A socket call received bytes.
#[btf_tracepoint(function = "sock_recv_length")]
#[inline(always)]
pub fn dns_receive(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_length::<Direct, false>(ctx.arg(0), i64::from(ctx.arg::<i32>(1)), ctx.arg(2), dir::RX) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sock_recv_length")]
#[inline(always)]
pub fn dns_receive_again(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_length::<Direct, true>(ctx.arg(0), i64::from(ctx.arg::<i32>(1)), ctx.arg(2), dir::RX) };
    0
}

/// A socket call sent bytes, see [`crate::undivided`] for why there is this one too.
#[tracepoint]
#[inline(always)]
pub fn dns_send_tp(ctx: TracePointContext) -> u32 {
    // SAFETY: of this tracepoint.
    unsafe { recorded(&ctx, dir::TX) };
    0
}

/// A socket call received bytes, likewise.
#[tracepoint]
#[inline(always)]
pub fn dns_receive_tp(ctx: TracePointContext) -> u32 {
    // SAFETY: of this tracepoint.
    unsafe { recorded(&ctx, dir::RX) };
    0
}

#[inline(always)]
unsafe fn recorded(ctx: &TracePointContext, direction: u8) {
    let event = ctx.as_ptr() as u64;
    let sk: u64 = kernel(event + offset(layout::LENGTH_SOCK) as u64);
    let result: i32 = kernel(event + offset(layout::LENGTH_RET) as u64);
    let flags: i32 = kernel(event + offset(layout::LENGTH_FLAGS) as u64);
    let sk = cast(sk as *const u8, layout::TYPE_SOCK);
    // SAFETY: a cast pointer may be read whatever it is.
    unsafe { on_length::<Cast, false>(sk, i64::from(result), flags, direction) };
}

#[inline(always)]
unsafe fn on_length<A: Current, const SECOND: bool>(sk: *const u8, result: i64, flags: i32, direction: u8) {
    // SAFETY: `sk` is the tracepoint's argument, as `A` wants it.
    unsafe {
        let Some(socket) = look::<A>(sk) else { return };
        if direction == dir::RX && flags as u64 & NOT_TAKEN != 0 {
            return;
        }
        let task = Direct::task();
        if Direct::get::<u64>(task, layout::TASK_MM) == 0
            || (bpf_get_current_pid_tgid() >> 32) as u32 == config::self_tgid()
        {
            return; // a kernel thread, or ourselves
        }
        if !may::<SECOND>(By::direction(direction)) {
            return;
        }
        let actor = task::actor::<A>(A::task());
        let (result, direction) = (forget(result as u64) as i64, forget(direction.into()) as u8);
        if socket.protocol == IPPROTO_UDP {
            count(&actor, socket.family, direction, 1, result);
        }
        if Direct::get::<u32>(task, layout::TASK_STATUS) & TS_COMPAT != 0 {
            return; // its numbers mean something else
        }
        let registers = bpf_task_pt_regs(task.cast_mut().cast()) as *const u64;
        let number = *registers.add(regs::WORDS[4]);
        let (shape, sends) = classify(number);
        let (first, second) = (*registers.add(regs::WORDS[1]), *registers.add(regs::WORDS[2]));
        let err = if socket.rport == PORT { failure(result) } else { 0 };
        if result <= 0 && err == 0 {
            if shape == Shape::Messages {
                let _ = MMSG.remove(&bpf_get_current_pid_tgid()); // the call ends here
            }
            return;
        }
        if socket.rport != PORT && socket.rport != 0 {
            return;
        }
        let mut call = Call {
            direction,
            total: if err == 0 { result as u64 } else { 0 },
            which: NONE,
            at: 0,
            count: 0,
            name: 0,
            err,
        };
        let mut index = 0;
        if err == 0 && sends == (direction == dir::TX) {
            match shape {
                Shape::Buffer => {
                    (call.which, call.at) = (BUFFER, first);
                    if has_address(number) {
                        call.name = *registers.add(regs::FIFTH);
                    }
                }
                Shape::Vector => (call.which, call.at, call.count) = (VECTOR, first, second),
                Shape::Message | Shape::Messages => {
                    let mut at = first;
                    if shape == Shape::Messages {
                        index = message_index(sk, first);
                        at += index * MMSGHDR;
                    }
                    if let Some(iov) = message(at) {
                        (call.which, call.at, call.count) = (VECTOR, iov[0], iov[1]);
                        call.name = user(at).unwrap_or(0);
                    }
                }
                _ => (),
            }
        }
        if direction == dir::RX {
            call.name = 0; // not written yet
        }
        let messages = forget((shape == Shape::Messages).into()) != 0;
        let (index, second, first) = (forget(index), forget(second), forget(first));
        let followed = report::<A>(sk, &forgotten(&socket), &actor, &call);
        if messages {
            set_message(
                sk,
                first,
                if followed && err == 0 && index + 1 < second {
                    index + 1
                } else {
                    0
                },
            );
        }
    }
}

#[inline(always)]
fn message_index(sk: *const u8, at: u64) -> u64 {
    match MMSG.get_ptr(&bpf_get_current_pid_tgid()) {
        // SAFETY: map value, valid until the program ends.
        Some(position) => unsafe {
            if (*position).at == at && (*position).sk == sk as u64 {
                (*position).index
            } else {
                0
            }
        },
        None => 0,
    }
}

#[inline(always)]
fn set_message(sk: *const u8, at: u64, index: u64) {
    let thread = bpf_get_current_pid_tgid();
    if index == 0 {
        let _ = MMSG.remove(&thread);
    } else {
        let position = Position {
            at,
            sk: sk as u64,
            index,
        };
        let _ = MMSG.insert(&thread, &position, 0);
    }
}

/// A system call returned; registers and task by direct loads, sockets by probe reads (kernel 5.11 and later).
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn dns_exit_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { at_exit::<Mixed<Direct>>(ctx.arg(0), ctx.arg(1)) };
    0
}

#[inline(always)]
unsafe fn at_exit<F: Far>(registers: *const u64, result: i64) {
    // SAFETY: the caller's.
    unsafe {
        let number = *registers.add(regs::WORDS[4]);
        if !moves(number) {
            return;
        }
        let args = [
            *registers.add(regs::WORDS[0]),
            *registers.add(regs::WORDS[1]),
            *registers.add(regs::WORDS[2]),
            *registers.add(regs::WORDS[3]),
            *registers.add(regs::FIFTH),
        ];
        on_exit::<F>(number, &args, result);
    }
}

/// A system call returned; everything by probe reads.
#[raw_tracepoint(tracepoint = "sys_exit")]
#[inline(always)]
pub fn dns_exit_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    let result: i64 = ctx.arg(1);
    let registers: u64 = ctx.arg(0);
    let at = |i: usize| kernel::<u64>(registers + i as u64 * 8);
    let number = at(regs::WORDS[4]);
    if !moves(number) {
        return 0;
    }
    let args = [
        at(regs::WORDS[0]),
        at(regs::WORDS[1]),
        at(regs::WORDS[2]),
        at(regs::WORDS[3]),
        at(regs::FIFTH),
    ];
    // SAFETY: `Probed` takes any pointer.
    unsafe { on_exit::<Mixed<Probed>>(number, &args, result) };
    0
}

/// May a call move a datagram?
#[inline(always)]
fn moves(number: u64) -> bool {
    matches!(
        classify(number).0,
        Shape::Buffer | Shape::Vector | Shape::Message | Shape::Messages
    )
}

#[inline(always)]
unsafe fn on_exit<F: Far>(number: u64, args: &[u64; 5], result: i64) {
    // One path for all calls of a shape: older verifiers would walk all that follows for each of them.
    let (shape, sends) = classify(number);
    let (number, result) = (forget(number), forget(result as u64) as i64);
    let (shape, sends) = (Shape::of(forget(shape as u64)), forget(sends.into()) != 0);
    // SAFETY: `task` is current; all else is reached from it.
    unsafe {
        let task = F::task();
        if F::Near::get::<u32>(task, layout::TASK_STATUS) & TS_COMPAT != 0
            || (bpf_get_current_pid_tgid() >> 32) as u32 == config::self_tgid()
        {
            return;
        }
        let flags = match shape {
            Shape::Buffer if is_recvfrom(number) => args[3],
            Shape::Message if !sends => args[2],
            Shape::Messages if !sends => args[3],
            _ => 0,
        };
        if flags & NOT_TAKEN != 0 {
            return;
        }
        let sk = socket_of::<F>(task, args[0]);
        if sk.is_null() {
            return;
        }
        let Some(socket) = look::<F>(sk) else { return };
        let socket = forgotten(&socket);
        let direction = forget(if sends { dir::TX } else { dir::RX }.into()) as u8;
        let actor = task::actor::<F>(task);
        let messages = forget((shape == Shape::Messages).into()) != 0;
        let (datagrams, bytes) = if messages && result > 0 {
            (
                forget(result as u64),
                forget(total(args[1], forget(result as u64))) as i64,
            )
        } else {
            (1, result)
        };
        if socket.protocol == IPPROTO_UDP {
            count(&actor, socket.family, direction, datagrams, bytes);
        }
        let err = if socket.rport == PORT { failure(result) } else { 0 };
        if result <= 0 && err == 0 || socket.rport != PORT && socket.rport != 0 {
            return;
        }
        if !messages || err != 0 {
            let mut call = Call {
                direction,
                total: if err == 0 { result as u64 } else { 0 },
                which: BUFFER,
                at: args[1],
                count: args[2],
                name: 0,
                err: forget(err),
            };
            match shape {
                _ if err != 0 => call.which = NONE,
                Shape::Vector => call.which = VECTOR,
                Shape::Message => {
                    let Some(iov) = message(args[1]) else { return };
                    (call.which, call.at, call.count) = (VECTOR, iov[0], iov[1]);
                    call.name = user(args[1]).unwrap_or(0);
                }
                _ if has_address(number) => call.name = args[4],
                _ => (),
            }
            report::<F>(sk, &socket, &actor, &call);
            return;
        }
        let mut i = 0;
        while i < CAPTURED_MESSAGES {
            // Not of `result` itself: each way out of the loop would leave it another range.
            if i >= forget(result as u64) {
                break;
            }
            let at = forget(args[1] + i * MMSGHDR);
            let iov = message(at).unwrap_or([0; 2]);
            let bytes = length(at).unwrap_or(0);
            let call = Call {
                direction,
                total: bytes.into(),
                which: VECTOR,
                at: forget(iov[0]),
                count: forget(iov[1]),
                name: forget(user(at).unwrap_or(0)),
                err: 0,
            };
            report::<F>(sk, &forgotten(&socket), &actor, &call);
            i += 1;
        }
    }
}

/// Bytes of `n` messages: the kernel wrote each one's length behind its header.
#[inline(always)]
fn total(at: u64, n: u64) -> u64 {
    let mut bytes = 0;
    let mut i = 0;
    while i < COUNTED_MESSAGES && i < n {
        bytes = forget(bytes + forget(length(at + i * MMSGHDR).unwrap_or(0).into()));
        i += 1;
    }
    bytes
}
