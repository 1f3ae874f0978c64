//! What clients of DNS servers say to them: from a call on a socket to a record.

use crate::{
    capture::header,
    emit::{self, With},
    fill::{BUFFER, Elements, NONE, Plan, VECTOR, fill},
    globals::{config, forget},
    maps::RING,
    read::{Access, Probed, user},
    sock::{AF_INET, AF_INET6, SOCK_STREAM},
};
use aya_ebpf::{bindings::BPF_RB_AVAIL_DATA, helpers::bpf_ktime_get_ns};
use onlooker_common::{
    count::{self, reason},
    dns::*,
    layout,
    record::{Actor, dir, kind},
};

const SOCK_DGRAM: u16 = 2;

/// A call that returned: one datagram, or a part of a stream.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub direction: u8,
    /// Bytes.
    pub total: u64,
    /// As in [`Plan`].
    pub which: u64,
    pub at: u64,
    pub count: u64,
    /// Address of the peer's address, 0 when there is none.
    pub name: u64,
    /// Positive errno of a call that failed, else 0.
    pub err: u64,
}

/// A socket that is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    pub family: u16,
    pub protocol: u8,
    /// Of the peer, host order, 0 when it is not connected.
    pub rport: u16,
}

/// The socket, when it is one of UDP, or of TCP with a DNS server at the other end.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn look<A: Access>(sk: *const u8) -> Option<Socket> {
    // SAFETY: the caller's: `sk` as `A` wants it.
    unsafe {
        let family: u16 = A::get(sk, layout::SK_FAMILY);
        if family != AF_INET && family != AF_INET6 {
            return None;
        }
        let kind: u16 = A::get(sk, layout::SK_TYPE);
        let rport = u16::from_be(A::get(sk, layout::SK_DPORT));
        let protocol: u16 = A::get(sk, layout::SK_PROTOCOL);
        let wanted = kind == SOCK_DGRAM && protocol == IPPROTO_UDP as u16
            || kind == SOCK_STREAM && rport == PORT && protocol == IPPROTO_TCP as u16;
        wanted.then_some(Socket {
            family,
            protocol: protocol as u8,
            rport,
        })
    }
}

/// What the verifier knows of it is of no use: else it walks all that follows once for each case.
#[inline(always)]
pub(crate) fn forgotten(socket: &Socket) -> Socket {
    Socket {
        family: forget(socket.family.into()) as u16,
        protocol: forget(socket.protocol.into()) as u8,
        rport: forget(socket.rport.into()) as u16,
    }
}

/// Sends what a client of a DNS server sent or received. `false`: it is none.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn report<A: Access>(sk: *const u8, socket: &Socket, actor: &Actor, call: &Call) -> bool {
    // SAFETY: the caller's: `sk` as `A` wants it.
    unsafe {
        let lport: u16 = A::get(sk, layout::SK_NUM);
        if lport == PORT {
            return false;
        }
        let call = Call {
            direction: forget(call.direction.into()) as u8,
            total: forget(call.total),
            which: forget(call.which),
            at: forget(call.at),
            count: forget(call.count),
            name: forget(call.name),
            err: forget(call.err),
        };
        let (mut rport, mut family) = (socket.rport, socket.family);
        let mut name = [0u32; 4];
        if rport == 0 {
            if call.name != 0 {
                let Some(named) = peer(call.name, &mut name) else {
                    return false;
                };
                (family, rport) = named;
                if rport != PORT {
                    return false;
                }
            } else if call.direction == dir::TX || !looks_like_answer(&call) {
                return false;
            }
        }
        let waiting = RING.query(u64::from(BPF_RB_AVAIL_DATA));
        // Half of the ring is for the others.
        if waiting > u64::from(config::ring_half()) {
            emit::refuse(kind::MESSAGE, reason::RING_FULL);
            return true;
        }
        let Some(mut entry) = emit::reserve::<With<MessageRecord, CAPTURED>>(kind::MESSAGE) else {
            return true;
        };
        let at = entry.as_mut_ptr();
        let record = &mut (*at).record;
        let total = forget(call.total);
        let plan = Plan {
            which: call.which,
            at: call.at,
            count: call.count,
            next: 0,
            total,
            prefix: forget(if total < CAPTURED as u64 {
                total
            } else {
                CAPTURED as u64
            }),
            tail: 0,
        };
        let data = (&raw mut (*at).data).cast();
        let mut captured = 0;
        if call.which == BUFFER {
            let mut none = Elements::first::<false>(&plan);
            captured = fill::<CAPTURED, false>(data, &plan, &mut none).prefix;
        } else if call.which == VECTOR {
            let mut elements = Elements::first::<true>(&plan);
            captured = fill::<CAPTURED, true>(data, &plan, &mut elements).prefix;
        }
        let captured = forget(captured);
        if captured == 0 && call.err == 0 {
            emit::bump(count::lost(kind::MESSAGE, reason::NO_DATA));
        }
        record.head = header(
            kind::MESSAGE,
            size_of::<MessageRecord>() + captured as usize,
            bpf_ktime_get_ns(),
        );
        record.actor = *actor;
        record.sock = sk as u64;
        record.total = total as u32;
        record.lport = lport;
        record.rport = rport;
        record.family = family;
        record.captured = captured as u16;
        record.dir = call.direction;
        record.protocol = socket.protocol;
        record.err = call.err as u16;
        record.pad = [0; 4];
        let net: *const u8 = A::get(sk, layout::SK_NET);
        record.netns = if net.is_null() {
            0
        } else {
            Probed::get(net, layout::NET_INUM)
        };
        let raddr = record.raddr.as_mut_ptr().cast::<u32>();
        if socket.rport == PORT {
            if socket.family == AF_INET {
                name[0] = A::get(sk, layout::SK_DADDR);
            } else {
                name = Probed::get(sk, layout::SK_V6_DADDR);
            }
        }
        let mut i = 0;
        while i < 4 {
            *raddr.add(i) = name[i];
            i += 1;
        }
        emit::submit(entry);
    }
    true
}

/// Family and port of a `struct sockaddr` of the user, its address into `name`.
#[inline(always)]
fn peer(at: u64, name: &mut [u32; 4]) -> Option<(u16, u16)> {
    let head: [u16; 4] = user(at)?;
    let port = u16::from_be(head[1]);
    match head[0] {
        AF_INET => name[0] = u32::from(head[2]) | u32::from(head[3]) << 16,
        AF_INET6 => *name = user(at + 8)?,
        _ => return None,
    }
    Some((head[0], port))
}

/// Is it an answer to one question, of at most 255 records each? One in four million random messages is.
#[inline(always)]
fn looks_like_answer(call: &Call) -> bool {
    let mut at = call.at;
    if call.which == VECTOR {
        let Some(first) = user::<[u64; 2]>(at) else {
            return false;
        };
        if first[1] < 12 {
            return false;
        }
        at = first[0];
    }
    if call.which == NONE || call.total < 12 {
        return false;
    }
    let Some(head) = user::<[u16; 6]>(at) else {
        return false;
    };
    let [flags, questions] = [u16::from_be(head[1]), u16::from_be(head[2])];
    // An answer, a query by its opcode, the reserved bit clear.
    flags & 0xf840 == 0x8000 && questions == 1 && (head[3] | head[4] | head[5]) & 0xff == 0
}
