//! How long connections take from the SYN-ACK to the return of `accept`: the exits of `accept` and `accept4`, at
//! `sys_exit(struct pt_regs *regs, long ret)`. Of what io_uring and 32-bit programs accept nothing is seen.
//!
//! The second copy (see [`crate::again`]) knows by the mark on the connection that its accept was timed.

use crate::{
    calls::Call,
    probes::syscall::{Mixed, socket_of},
    read::{Direct, Probed},
    tables::Keyed,
    task::Current,
    tcp::{TCP_CONNECTIONS, timed},
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::tcp::{mark, time};

#[cfg(bpf_target_arch = "x86_64")]
const ACCEPT: [u32; 2] = [43, 288];
#[cfg(bpf_target_arch = "aarch64")]
const ACCEPT: [u32; 2] = [202, 242];

/// By direct loads.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn tcp_accept_btf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the registers are the tracepoint's.
    on_exit::<Direct>(unsafe { Call::direct(ctx.arg(0)) }, ctx.arg(1));
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn tcp_accept_btf_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the registers are the tracepoint's.
    on_exit::<Direct>(unsafe { Call::direct(ctx.arg(0)) }, ctx.arg(1));
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "sys_exit")]
#[inline(always)]
pub fn tcp_accept_raw(ctx: RawTracePointContext) -> i32 {
    on_exit::<Probed>(Call::probed(ctx.arg(0)), ctx.arg(1));
    0
}

#[inline(always)]
fn on_exit<A: Current>(call: Call, result: i64) {
    let number = call.number as u32;
    if number != ACCEPT[0] && number != ACCEPT[1] || result < 0 {
        return;
    }
    // Other numbers there.
    if call.is_compat::<A>() {
        return;
    }
    let _undivided = Undivided::begin();
    // SAFETY: the task is the current one; a value of a map.
    unsafe {
        let id = socket_of::<Mixed<A>>(A::task(), result as u64) as u64;
        let Some(connection) = TCP_CONNECTIONS.at(&id) else {
            return;
        };
        let handshake = (*connection).handshake;
        if handshake == 0 || (*connection).since == 0 || (*connection).marks & mark::ACCEPTED != 0 {
            return;
        }
        (*connection).marks |= mark::ACCEPTED;
        let took = bpf_ktime_get_ns().wrapping_sub((*connection).since);
        timed(
            &(*connection).key,
            time::ACCEPT,
            took.wrapping_add(u64::from(handshake) * 1000),
        );
    }
}
