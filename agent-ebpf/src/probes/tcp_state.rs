//! State changes of tracked TCP connections at `inet_sock_set_state`:
//! `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`.

use crate::{
    capture::header,
    emit,
    maps::SOCKETS,
    read::{Access, Direct, Probed},
    sock,
};
use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{
    layout,
    record::{Actor, FlowStateRecord, flow, kind},
    socket::verdict,
};

const TCP_CLOSE: i32 = 7;

/// By direct loads.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_state_btf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_state::<Direct>(ctx.arg(0), ctx.arg(1), ctx.arg(2)) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn tcp_state_raw(ctx: RawTracePointContext) -> i32 {
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_state::<Probed>(ctx.arg::<u64>(0) as *const u8, ctx.arg(1), ctx.arg(2)) };
    0
}

#[inline(always)]
unsafe fn on_state<A: Access>(sk: *const u8, old: i32, new: i32) {
    let key = sk as u64;
    // SAFETY: map value, valid until the program ends; `sk` as `A` wants it.
    unsafe {
        let Some(state) = SOCKETS.get_ptr(&key) else { return };
        let s = *state;
        if s.verdict == verdict::REPORT {
            let family: u16 = A::get(sk, layout::SK_FAMILY);
            let (_, _, srtt_us) = sock::streams::<A>(sk, family);
            emit::send(
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
                    err: A::get(sk, layout::SK_ERR),
                    srtt_us,
                    event: flow::STATE,
                    old: old as u8,
                    new: new as u8,
                    dir: 0,
                    pad: 0,
                },
            );
        }
        if new == TCP_CLOSE {
            let _ = SOCKETS.remove(&key);
        }
    }
}
