//! TCP connections from the first SYN to the end of the socket:
//! `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, `tcp_destroy_sock(struct sock *sk)`,
//! `tcp_receive_reset(struct sock *sk)`, `tcp_send_reset(const struct sock *sk, …)`,
//! `tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`.
//!
//! What a connection moved is read from the kernel's own numbers when it closes, and while it is open by the iterators of
//! `tcp_open.rs`: nothing runs for a segment. Segments that were sent again are the kernel's number too, but for a SYN-ACK: its
//! connection may never come to be.
//!
//! Second copies (see [`crate::again`]) know by the state that was told last whether the first was there. Resets and SYN-ACKs have
//! none: they happen in interrupts, which do not preempt themselves.

use crate::{
    globals::offset,
    moved::moved,
    read::{Access, Direct, Probed, kernel},
    sock::IPPROTO_TCP,
    tables::{Keyed, add},
    task::{Current, actor},
    tcp::*,
    undivided::Undivided,
};
use aya_ebpf::{
    EbpfContext,
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};
use onlooker_common::{
    layout,
    tcp::{CANCELLED, ClientKey, Connection, Owner, count, mark, peer, role, time},
};

/// By direct loads.
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
pub fn tcp_change_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_change::<Direct, false>(ctx.arg(0), ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8) };
    0
}

/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
pub fn tcp_change_btf_again(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_change::<Direct, true>(ctx.arg(0), ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
#[inline(always)]
pub fn tcp_change_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    let sk = ctx.arg::<u64>(0) as *const u8;
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_change::<Probed, false>(sk, ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8) };
    0
}

/// At what the tracepoint records for others, see [`crate::undivided`].
#[tracepoint]
#[inline(always)]
pub fn tcp_change_tp(ctx: TracePointContext) -> u32 {
    let event = ctx.as_ptr() as u64;
    let sk: u64 = kernel(event + offset(layout::STATE_SOCK) as u64);
    let old: i32 = kernel(event + offset(layout::STATE_OLD) as u64);
    let new: i32 = kernel(event + offset(layout::STATE_NEW) as u64);
    // SAFETY: of this tracepoint; probe reads.
    unsafe { on_change::<Probed, false>(sk as *const u8, old as u8, new as u8) };
    0
}

/// By direct loads.
#[btf_tracepoint(function = "tcp_destroy_sock")]
#[inline(always)]
pub fn tcp_gone_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_gone::<Direct>(ctx.arg(0)) };
    0
}

/// Second copy: the first leaves no entry.
#[btf_tracepoint(function = "tcp_destroy_sock")]
#[inline(always)]
pub fn tcp_gone_btf_again(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_gone::<Direct>(ctx.arg(0)) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
#[inline(always)]
pub fn tcp_gone_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the argument is that of the tracepoint.
    unsafe { on_gone::<Probed>(ctx.arg::<u64>(0) as *const u8) };
    0
}

/// At what the tracepoint records for others.
#[tracepoint]
#[inline(always)]
pub fn tcp_gone_tp(ctx: TracePointContext) -> u32 {
    let sk: u64 = kernel(ctx.as_ptr() as u64 + offset(layout::TCP_EVENT_SOCK) as u64);
    // SAFETY: of this tracepoint; probe reads.
    unsafe { on_gone::<Probed>(sk as *const u8) };
    0
}

/// A reset came.
#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
#[inline(always)]
pub fn tcp_reset_received_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    on_reset(ctx.arg(0), count::RESETS_RECEIVED);
    0
}

/// A reset was sent; of no socket: newer kernels alone tell of it.
#[raw_tracepoint(tracepoint = "tcp_send_reset")]
#[inline(always)]
pub fn tcp_reset_sent_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    on_reset(ctx.arg(0), count::RESETS_SENT);
    0
}

/// A SYN-ACK was sent again.
#[raw_tracepoint(tracepoint = "tcp_retransmit_synack")]
#[inline(always)]
pub fn tcp_synack_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    let sk: u64 = ctx.arg(0);
    let place = match TCP_LISTENERS.get_ptr(&sk) {
        Some(listener) => {
            // SAFETY: a value of a map.
            let key = key_of_listener(unsafe { &*listener });
            numbers(&key)
        }
        None => rest(),
    };
    if let Some(place) = place {
        // SAFETY: one of the places of a map's value.
        unsafe { add(place.add(count::RETRANSMITS), 1) };
    }
    0
}

#[inline(always)]
unsafe fn on_change<A: Current, const AGAIN: bool>(sk: *const u8, old: u8, new: u8) {
    let id = sk as u64;
    // Half of the changes lie between these and tell nothing.
    if !matches!(new, state::ESTABLISHED | state::SYN_SENT | state::CLOSE | state::LISTEN) {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        if A::get::<u16>(sk, layout::SK_PROTOCOL) != IPPROTO_TCP {
            return;
        }
        if new == state::LISTEN {
            if (!AGAIN || TCP_LISTENERS.at(&id).is_none()) && !listens::<A>(sk, &actor::<A>(A::task())) {
                no_room::<AGAIN>(count::LISTENERS_LOST);
            }
            return;
        }
        if old == state::LISTEN {
            // Or the first state of a connection that was cloned from it.
            if new == state::CLOSE {
                unlistens::<A>(sk);
            }
            return;
        }
        let known = TCP_CONNECTIONS.at(&id);
        if new == state::SYN_SENT {
            if AGAIN
                && let Some(connection) = known
                && (*connection).state == new
            {
                return;
            }
            connects::<A, AGAIN>(sk, id);
            return;
        }
        if new == state::ESTABLISHED {
            match known {
                Some(connection) if (*connection).marks & mark::CLOSED == 0 => {
                    if (*connection).state != new {
                        (*connection).state = new;
                        connected::<A>(sk, connection);
                    }
                }
                _ if old == state::SYN_RECV => accepted::<A, AGAIN>(sk, id),
                _ => (),
            }
            return;
        }
        let Some(connection) = known else { return };
        if (*connection).state == new {
            return;
        }
        (*connection).state = new;
        if new == state::CLOSE {
            closed::<A>(sk, connection, old);
        }
    }
}

/// Counts what finds no room. The first copy, which is rarely skipped, does, and cannot mark it.
#[inline(always)]
fn no_room<const AGAIN: bool>(place: usize) {
    if !AGAIN {
        lose(place);
    }
}

/// The SYN is about to be sent: the call that connects is under way.
#[inline(always)]
unsafe fn connects<A: Current, const AGAIN: bool>(sk: *const u8, id: u64) {
    // SAFETY: the caller's.
    unsafe {
        let actor = actor::<A>(A::task());
        let ends = ends::<A>(sk);
        let connection = Connection {
            key: key_of(&ends, role::CLIENT, actor.start, actor.tgid),
            since: bpf_ktime_get_ns(),
            sent: 0,
            received: 0,
            segments: [0; 4],
            handshake: 0,
            netns: ends.netns,
            marks: 0,
            state: state::SYN_SENT,
            pad: [0; 6],
        };
        if TCP_CONNECTIONS.insert(&id, &connection, 0).is_err() {
            no_room::<AGAIN>(count::LOST);
        }
    }
}

/// The client's end is established.
#[inline(always)]
unsafe fn connected<A: Access>(sk: *const u8, connection: *mut Connection) {
    // SAFETY: the caller's; a value of a map.
    unsafe {
        let now = bpf_ktime_get_ns();
        let took = now - (*connection).since;
        (*connection).since = now;
        (*connection).marks = mark::OPENED;
        let key = (*connection).key;
        if key.peer_kind == peer::PROCESS {
            let at = ClientKey {
                netns: (*connection).netns,
                port: key.port,
                client_port: A::get(sk, layout::SK_NUM),
            };
            let owner = Owner {
                start: key.start,
                tgid: key.tgid,
                pad: 0,
            };
            let _ = TCP_CLIENTS.insert(&at, &owner, 0);
        }
        if let Some(numbers) = numbers(&key) {
            add(numbers.add(count::OPENED), 1);
        }
        timed(&key, time::CONNECT, took);
    }
}

/// The server's end is established; nobody has accepted it yet.
#[inline(always)]
unsafe fn accepted<A: Access, const AGAIN: bool>(sk: *const u8, id: u64) {
    // SAFETY: the caller's.
    unsafe {
        let tcp = A::tcp(sk);
        if tcp.is_null() {
            return;
        }
        let ends = ends::<A>(sk);
        let (start, tgid) = server_of(&ends);
        let key = key_of(&ends, role::SERVER, start, tgid);
        let connection = Connection {
            key,
            since: bpf_ktime_get_ns(),
            sent: 0,
            received: 0,
            // A SYN-ACK that was sent again is counted already.
            segments: [0, 0, A::get(tcp, layout::TCP_RETRANS), 0],
            // The kernel keeps eight times the value, and by now has one sample: from the SYN-ACK to what answered it.
            handshake: A::get::<u32>(tcp, layout::TCP_SRTT) >> 3,
            netns: ends.netns,
            marks: mark::OPENED,
            state: state::ESTABLISHED,
            pad: [0; 6],
        };
        if TCP_CONNECTIONS.insert(&id, &connection, 0).is_err() {
            no_room::<AGAIN>(count::LOST);
            return;
        }
        if let Some(numbers) = numbers(&key) {
            add(numbers.add(count::OPENED), 1);
        }
    }
}

/// A connection is closed, or the attempt is over.
#[inline(always)]
unsafe fn closed<A: Access>(sk: *const u8, connection: *mut Connection, old: u8) {
    // SAFETY: the caller's; a value of a map.
    unsafe {
        let key = (*connection).key;
        let opened = (*connection).marks & mark::OPENED != 0;
        // First: whoever reads both tables reads the counts before this, and must not find the connection in both.
        (*connection).marks |= mark::CLOSED;
        let tcp = A::tcp(sk);
        if tcp.is_null() {
            return;
        }
        let moved = moved::<A>(sk, tcp, key.role, old);
        if let Some(numbers) = numbers(&key) {
            add(numbers.add(count::CLOSED), u64::from(opened));
            add(numbers.add(count::SENT), moved.sent.wrapping_sub((*connection).sent));
            add(
                numbers.add(count::RECEIVED),
                moved.received.wrapping_sub((*connection).received),
            );
            let mut i = 0;
            while i < 4 {
                let more = moved.segments[i].wrapping_sub((*connection).segments[i]);
                if more != 0 {
                    add(numbers.add(count::SEGMENTS_SENT + i), u64::from(more));
                }
                // What comes after the end counts from here.
                (*connection).segments[i] = moved.segments[i];
                i += 1;
            }
        }
        if !opened {
            let mut errno: u32 = A::get(sk, layout::SK_ERR);
            if errno == 0 && A::get::<u8>(sk, layout::SK_SHUTDOWN) != 0 {
                errno = CANCELLED;
            }
            failed(&key, errno);
            return;
        }
        if (*connection).since != 0 {
            timed(&key, time::LIFE, bpf_ktime_get_ns() - (*connection).since);
        }
        let rtt = A::get::<u32>(tcp, layout::TCP_SRTT) >> 3;
        if rtt != 0 {
            timed(&key, time::RTT, u64::from(rtt) * 1000);
            timed(
                &key,
                time::VARIATION,
                u64::from(A::get::<u32>(tcp, layout::TCP_MDEV) >> 2) * 1000,
            );
        }
    }
}

/// The socket is gone.
#[inline(always)]
unsafe fn on_gone<A: Access>(sk: *const u8) {
    let id = sk as u64;
    let Some(connection) = TCP_CONNECTIONS.at(&id) else {
        return;
    };
    // SAFETY: the caller's; a value of a map.
    unsafe {
        if (*connection).marks & mark::CLOSED == 0 {
            // Its end was missed.
            closed::<A>(sk, connection, state::CLOSE);
        } else {
            // A reset that the end itself sent, e.g.
            let tcp = A::tcp(sk);
            let before = (*connection).segments[0];
            if !tcp.is_null() {
                let more = A::get::<u32>(tcp, layout::TCP_SEGS_OUT).wrapping_sub(before);
                // Numbers that went back to zero tell nothing.
                if more != 0
                    && more < 1 << 16
                    && let Some(numbers) = numbers(&(*connection).key)
                {
                    add(numbers.add(count::SEGMENTS_SENT), u64::from(more));
                }
            }
        }
    }
    let _ = TCP_CONNECTIONS.remove(&id);
}

#[inline(always)]
fn on_reset(id: u64, place: usize) {
    let numbers = match TCP_CONNECTIONS.at(&id) {
        // SAFETY: a value of a map.
        Some(connection) => numbers(unsafe { &(*connection).key }),
        None => rest(),
    };
    if let Some(numbers) = numbers {
        // SAFETY: one of the places of a map's value.
        unsafe { add(numbers.add(place), 1) };
    }
}
