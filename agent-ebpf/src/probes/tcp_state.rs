//! State changes of tracked TCP connections, and their end:
//! `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`,
//! `tcp_destroy_sock(struct sock *sk)`. The end is not the state `TCP_CLOSE`: what arrived before a reset may still be read.

use crate::{
    capture::{self, header},
    emit, exchange,
    globals::config,
    maps::{GRAVES, SOCKETS},
    read::{Access, Direct, Probed},
    sock,
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use aya_log_ebpf::trace;
use onlooker_common::{
    layout,
    record::{Actor, FlowStateRecord, dir, flow, kind},
    socket::{Grave, verdict},
};

const TCP_CLOSE: i32 = 7;

/// By direct loads.
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
pub fn tcp_state_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_change::<Direct, false>(ctx.arg(0), flow::STATE, ctx.arg(1), ctx.arg(2)) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
pub fn tcp_state_btf_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_change::<Direct, true>(ctx.arg(0), flow::STATE, ctx.arg(1), ctx.arg(2)) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
#[inline(always)]
pub fn tcp_state_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_change::<Probed, false>(ctx.arg::<u64>(0) as *const u8, flow::STATE, ctx.arg(1), ctx.arg(2)) };
    0
}

/// By direct loads.
#[btf_tracepoint(function = "tcp_destroy_sock")]
#[inline(always)]
pub fn tcp_destroy_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_change::<Direct, false>(ctx.arg(0), flow::GONE, TCP_CLOSE, TCP_CLOSE) };
    trace!(&ctx, "a TCP socket is gone");
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "tcp_destroy_sock")]
#[inline(always)]
pub fn tcp_destroy_btf_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_change::<Direct, true>(ctx.arg(0), flow::GONE, TCP_CLOSE, TCP_CLOSE) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
#[inline(always)]
pub fn tcp_destroy_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_change::<Probed, false>(ctx.arg::<u64>(0) as *const u8, flow::GONE, TCP_CLOSE, TCP_CLOSE) };
    0
}

#[inline(always)]
unsafe fn on_change<A: Access, const AGAIN: bool>(sk: *const u8, event: u8, old: i32, new: i32) {
    let key = sk as u64;
    // SAFETY: map value, valid until the program ends; `sk` as `A` wants it.
    unsafe {
        let Some(state) = SOCKETS.get_ptr_mut(&key) else { return };
        if AGAIN && event == flow::STATE && (*state).told == new as u8 {
            return;
        }
        let _undivided = if AGAIN { Some(Undivided::begin()) } else { None };
        if !AGAIN && event == flow::STATE && config::again() != 0 {
            (*state).told = new as u8;
        }
        if event == flow::STATE && new == TCP_CLOSE {
            (*state).err = A::get::<u32>(sk, layout::SK_ERR) as u16;
            return;
        }
        if event == flow::GONE {
            exchange::settle(&mut *state);
        }
        let mut told = true;
        if (*state).verdict == verdict::REPORT {
            if event == flow::GONE && (*state).held != 0 {
                told = exchange::release(state);
            }
            let family: u16 = A::get(sk, layout::SK_FAMILY);
            let (seq_tx, seq_rx, srtt_us) = sock::streams::<A>(sk, family);
            let s = &mut *state;
            // No call is under way any more.
            if event == flow::GONE {
                let (sent, received) = sock::counts::<A>(sk);
                if sent {
                    capture::catch_up::<A>(sk, s, dir::TX, (seq_tx, seq_rx), 0);
                }
                if received {
                    capture::catch_up::<A>(sk, s, dir::RX, (seq_tx, seq_rx), 0);
                }
            }
            told = told
                && emit::send(
                    kind::FLOW_STATE,
                    FlowStateRecord {
                        head: header(kind::FLOW_STATE, size_of::<FlowStateRecord>(), bpf_ktime_get_ns()),
                        conn: s.conn,
                        actor: Actor {
                            start: 0,
                            tgid: 0,
                            tid: 0,
                        },
                        rx: s.rx,
                        tx: s.tx,
                        ended: s.ended,
                        err: u32::from(s.err),
                        srtt_us,
                        event,
                        old: old as u8,
                        new: new as u8,
                        dir: 0,
                        exchange: s.exchange,
                        phase: s.phase,
                        pad: [0; 7],
                    },
                );
        }
        if event == flow::GONE {
            if !told {
                let s = &*state;
                let grave = Grave {
                    at: bpf_ktime_get_ns(),
                    rx: s.rx,
                    tx: s.tx,
                    ended: s.ended,
                    exchange: s.exchange,
                    err: s.err,
                    phase: s.phase,
                    pad: 0,
                };
                let _ = GRAVES.insert(&s.conn, &grave, 0);
            }
            let _ = SOCKETS.remove(&key);
        }
    }
}
