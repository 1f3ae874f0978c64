//! Calls on sockets at `sock_send_length` and `sock_recv_length` (kernel 6.3 and later):
//! `TP_PROTO(struct sock *sk, int ret, int flags)`. They fire for socket calls alone, whatever the system call.

use super::syscall::{MMSGHDR, TS_COMPAT, message};
use crate::{
    capture::{self, Call},
    fill::{BUFFER, NONE, VECTOR},
    globals::{forget, offset},
    maps::SOCKETS,
    read::{Access, Cast, Direct, cast, kernel},
    sock,
    syscalls::{NOT_STREAM, Shape, classify, regs},
    task::Current,
    undivided::Undivided,
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_task_pt_regs,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::trace;
use onlooker_common::{layout, record::dir};

/// A socket call sent bytes.
#[btf_tracepoint(function = "sock_send_length")]
#[inline(always)]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { typed::<false>(&ctx, dir::TX) };
    0
}

/// A socket call received bytes.
#[btf_tracepoint(function = "sock_recv_length")]
#[inline(always)]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { typed::<false>(&ctx, dir::RX) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sock_send_length")]
#[inline(always)]
pub fn sock_send_length_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { typed::<true>(&ctx, dir::TX) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sock_recv_length")]
#[inline(always)]
pub fn sock_recv_length_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { typed::<true>(&ctx, dir::RX) };
    0
}

/// A socket call sent bytes, see [`crate::undivided`] for why there is this one too.
#[tracepoint]
#[inline(always)]
pub fn sock_send_length_tp(ctx: TracePointContext) -> u32 {
    // SAFETY: of this tracepoint.
    unsafe { recorded(&ctx, dir::TX) };
    0
}

/// A socket call received bytes, likewise.
#[tracepoint]
#[inline(always)]
pub fn sock_recv_length_tp(ctx: TracePointContext) -> u32 {
    // SAFETY: of this tracepoint.
    unsafe { recorded(&ctx, dir::RX) };
    0
}

/// Bytes were taken out of a TCP socket's queue: `TP_PROTO(struct sock *sk)`. Of interest when `splice` did it, which no
/// other hook tells; how many they are, the sequence numbers say.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
#[inline(always)]
pub fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_splice::<Direct, false>(ctx.arg(0)) };
    0
}

/// The same, see [`crate::undivided`].
#[tracepoint]
#[inline(always)]
pub fn tcp_rcv_space_adjust_tp(ctx: TracePointContext) -> u32 {
    let sk: u64 = kernel(ctx.as_ptr() as u64 + offset(layout::TCP_EVENT_SOCK) as u64);
    // SAFETY: a cast pointer may be read whatever it is.
    unsafe { on_splice::<Cast, false>(cast(sk as *const u8, layout::TYPE_SOCK)) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
#[inline(always)]
pub fn tcp_rcv_space_adjust_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_splice::<Direct, true>(ctx.arg(0)) };
    0
}

#[inline(always)]
unsafe fn on_splice<A: Current, const AGAIN: bool>(sk: *const u8) {
    // SAFETY: `sk` is the tracepoint's argument, as `A` wants it.
    unsafe {
        let task = Direct::task();
        let registers = bpf_task_pt_regs(task.cast_mut().cast()) as *const u64;
        let number = *registers.add(regs::WORDS[4]);
        if classify(number).0 != Shape::Splice
            || Direct::get::<u64>(task, layout::TASK_MM) == 0
            || Direct::get::<u32>(task, layout::TASK_STATUS) & TS_COMPAT != 0
        {
            return;
        }
        let Some(state) = SOCKETS.get_ptr(&(sk as u64)) else {
            return;
        };
        let before = (*state).seq_rx;
        let Some(family) = sock::stream_family::<A>(sk) else {
            return;
        };
        let (_, now, _) = sock::streams::<A>(sk, family);
        let bytes = now.wrapping_sub(before);
        // Before its first seen read, a socket's numbers say nothing of bytes.
        if before == 0 || bytes == 0 || bytes > 1 << 30 {
            return;
        }
        let call = Call {
            direction: dir::RX,
            result: i64::from(bytes),
            which: NONE,
            at: 0,
            count: 0,
            next: 0,
            nr: number as u16,
        };
        capture::call::<A, false, AGAIN>(sk, family, &call);
    }
}

#[inline(always)]
unsafe fn typed<const AGAIN: bool>(ctx: &BtfTracePointContext, direction: u8) {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_length::<Direct, AGAIN>(ctx, ctx.arg(0), i64::from(ctx.arg::<i32>(1)), ctx.arg(2), direction) };
}

/// What the tracepoint recorded: `struct trace_event_raw_sock_msg_length`.
#[inline(always)]
unsafe fn recorded(ctx: &TracePointContext, direction: u8) {
    let event = ctx.as_ptr() as u64;
    let sk: u64 = kernel(event + offset(layout::LENGTH_SOCK) as u64);
    let result: i32 = kernel(event + offset(layout::LENGTH_RET) as u64);
    let flags: i32 = kernel(event + offset(layout::LENGTH_FLAGS) as u64);
    let sk = cast(sk as *const u8, layout::TYPE_SOCK);
    // SAFETY: a cast pointer may be read whatever it is.
    unsafe { on_length::<Cast, false>(ctx, sk, i64::from(result), flags, direction) };
}

#[inline(always)]
unsafe fn on_length<A: Current, const AGAIN: bool>(
    ctx: &impl EbpfContext,
    sk: *const u8,
    result: i64,
    flags: i32,
    direction: u8,
) {
    if direction == dir::RX && flags as u64 & NOT_STREAM != 0 {
        return;
    }
    // SAFETY: `sk` is the tracepoint's argument, as `A` wants it.
    unsafe {
        let Some(family) = sock::stream_family::<A>(sk) else {
            return;
        };
        let task = Direct::task();
        let registers = bpf_task_pt_regs(task.cast_mut().cast()) as *const u64;
        let number = *registers.add(regs::WORDS[4]);
        let (shape, sends) = classify(number);
        if capture::dull(result) {
            if shape == Shape::Messages {
                set_message(sk, 0); // the call ends here
            }
            return;
        }
        let mm: u64 = Direct::get(task, layout::TASK_MM);
        if mm == 0 || Direct::get::<u32>(task, layout::TASK_STATUS) & TS_COMPAT != 0 {
            return; // a kernel thread, or a 32-bit call whose numbers mean something else
        }
        let (first, second) = (*registers.add(regs::WORDS[1]), *registers.add(regs::WORDS[2]));
        let mut index = 0;
        let (mut which, mut at, mut count) = (NONE, 0, 0);
        if sends == (direction == dir::TX) {
            match shape {
                Shape::Buffer => (which, at) = (BUFFER, first),
                Shape::Vector => (which, at, count) = (VECTOR, first, second),
                Shape::Message | Shape::Messages => {
                    let mut header = first;
                    if shape == Shape::Messages {
                        index = message_index(sk);
                        header += index * MMSGHDR;
                    }
                    if let Some(iov) = message(header) {
                        (which, at, count) = (VECTOR, iov[0], iov[1]);
                    }
                }
                _ => (),
            }
        }
        // Not known to the verifier from here on: else it walks all that follows once for each shape.
        let (number, index, second) = (forget(number), forget(index), forget(second));
        let (result, direction) = (forget(result as u64) as i64, forget(direction.into()) as u8);
        let messages = forget((shape == Shape::Messages).into()) != 0;
        let dealt = capture::call::<A, true, AGAIN>(
            sk,
            family,
            &Call {
                direction,
                result,
                which,
                at,
                count,
                next: 0,
                nr: number as u16,
            },
        );
        trace!(ctx, "socket call {} direction {} result {}", number, direction, result);
        // The second copy counts on only where the first did not.
        if messages && (!AGAIN || dealt) {
            set_message(sk, if index + 1 < second { index + 1 } else { 0 });
        }
    }
}

/// Which message of a `sendmmsg` or `recvmmsg` this is, nobody says: the socket's entry counts them. A call ends with its
/// last message or with an error (`EAGAIN`), which both set the count back.
#[inline(always)]
fn message_index(sk: *const u8) -> u64 {
    match SOCKETS.get_ptr(&(sk as u64)) {
        // SAFETY: map value, valid until the program ends.
        Some(state) => u64::from(unsafe { (*state).mmsg }),
        None => 0,
    }
}

#[inline(always)]
fn set_message(sk: *const u8, index: u64) {
    if let Some(state) = SOCKETS.get_ptr_mut(&(sk as u64)) {
        // SAFETY: map value, valid until the program ends.
        unsafe { (*state).mmsg = index as u16 }
    }
}
