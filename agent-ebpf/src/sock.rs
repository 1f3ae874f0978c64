//! A `struct sock`: what identifies it, its addresses, where its streams stand.

use crate::{
    globals::offset,
    read::{Access, Probed, kernel},
};
use onlooker_common::{
    layout,
    record::{Actor, FlowOpenRecord, dir},
};

/// `AF_UNIX`.
pub(crate) const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u16 = 10;
/// `SOCK_STREAM`.
pub(crate) const SOCK_STREAM: u16 = 1;
/// `IPPROTO_TCP`.
pub(crate) const IPPROTO_TCP: u16 = 6;
/// The type of a file in its mode, and that of a socket (`include/uapi/linux/stat.h`).
pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFSOCK: u16 = 0o140_000;

/// Address family when this is a stream socket that we follow.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn stream_family<A: Access>(sk: *const u8) -> Option<u16> {
    // SAFETY: the caller's.
    unsafe {
        let family: u16 = A::get(sk, layout::SK_FAMILY);
        let stream = A::get::<u16>(sk, layout::SK_TYPE) == SOCK_STREAM;
        match family {
            AF_INET | AF_INET6 if stream && A::get::<u16>(sk, layout::SK_PROTOCOL) == IPPROTO_TCP => Some(family),
            AF_UNIX if stream => Some(family),
            _ => None,
        }
    }
}

/// Tells a socket from a later one at the same address: the peer's address and port (the own port is gone once TCP is
/// closed, while there may still be bytes to read), or for Unix sockets the inode number.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn check<A: Access>(sk: *const u8, family: u16) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        if family == AF_UNIX {
            let socket: u64 = A::get(sk, layout::SK_SOCKET);
            return kernel(socket + offset(layout::SOCKET_INO) as u64);
        }
        u64::from(A::get::<u16>(sk, layout::SK_DPORT)) << 32 | u64::from(A::get::<u32>(sk, layout::SK_DADDR))
    }
}

/// Sequence numbers (sent, received) and smoothed round trip time in microseconds; zeros for what is not TCP.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn streams<A: Access>(sk: *const u8, family: u16) -> (u32, u32, u32) {
    if family == AF_UNIX {
        return (0, 0, 0);
    }
    // SAFETY: the caller's; not null.
    unsafe {
        let tcp = A::tcp(sk);
        if tcp.is_null() {
            return (0, 0, 0);
        }
        // The kernel keeps eight times the value.
        let srtt = A::get::<u32>(tcp, layout::TCP_SRTT) >> 3;
        (
            A::get(tcp, layout::TCP_WRITE_SEQ),
            A::get(tcp, layout::TCP_COPIED_SEQ),
            srtt,
        )
    }
}

/// Bytes between two sequence numbers but for `moved`, which were seen. 0 where `before` is not known, and where calls move
/// other bytes than TCP does (TLS in the kernel, e.g.).
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn unseen<A: Access>(sk: *const u8, before: u32, now: u32, moved: u32) -> u64 {
    let between = now.wrapping_sub(before).wrapping_sub(moved) as i32;
    if before == 0 || between <= 0 {
        return 0;
    }
    // SAFETY: the caller's; not null.
    unsafe {
        let tcp = A::tcp(sk);
        if tcp.is_null() || A::get::<u64>(tcp, layout::TCP_ULP) != 0 {
            return 0;
        }
    }
    between as u64
}

/// Do the sequence numbers of a socket that goes still tell what was moved? By direction: (sent, received).
/// `tcp_disconnect`, at a close without lingering, changes them and sets these counts to zero.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn counts<A: Access>(sk: *const u8) -> (bool, bool) {
    // SAFETY: the caller's; not null.
    unsafe {
        let tcp = A::tcp(sk);
        if tcp.is_null() {
            return (false, false);
        }
        (
            A::get::<u64>(tcp, layout::TCP_BYTES_ACKED) != 0,
            A::get::<u64>(tcp, layout::TCP_BYTES_RECEIVED) != 0,
        )
    }
}

/// Are the `n` bytes of this call the first of their direction?
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
unsafe fn fresh<A: Access>(sk: *const u8, family: u16, direction: u8, n: u64) -> bool {
    if family == AF_UNIX {
        return false;
    }
    // SAFETY: the caller's; not null.
    unsafe {
        let tcp = A::tcp(sk);
        if tcp.is_null() {
            return false;
        }
        if direction == dir::RX {
            let unread =
                A::get::<u32>(tcp, layout::TCP_RCV_NXT).wrapping_sub(A::get::<u32>(tcp, layout::TCP_COPIED_SEQ));
            let received: u64 = A::get(tcp, layout::TCP_BYTES_RECEIVED);
            // A FIN counts in rcv_nxt but not in the bytes.
            received.wrapping_sub(u64::from(unread)) <= n
        } else {
            let unacked =
                A::get::<u32>(tcp, layout::TCP_WRITE_SEQ).wrapping_sub(A::get::<u32>(tcp, layout::TCP_SND_UNA));
            let acked: u64 = A::get(tcp, layout::TCP_BYTES_ACKED);
            // The SYN counts as an acknowledged byte.
            acked.wrapping_add(u64::from(unacked)) <= n + 1
        }
    }
}

/// Writes addresses and identity of a socket into a record.
///
/// # Safety
/// `sk` as `A` wants it; `record` is writable.
#[inline(always)]
pub(crate) unsafe fn describe<A: Access>(
    record: *mut FlowOpenRecord,
    sk: *const u8,
    family: u16,
    direction: u8,
    n: u64,
    actor: Actor,
) {
    // SAFETY: the caller's.
    unsafe {
        let r = &mut *record;
        r.sock = sk as u64;
        r.actor = actor;
        r.family = family;
        r.pad2 = 0;
        r.peer_sock = 0;
        r.lport = 0;
        r.rport = 0;
        r.netns = 0;
        r.fresh = u8::from(fresh::<A>(sk, family, direction, n));
        let (local, remote) = (r.laddr.as_mut_ptr().cast::<u32>(), r.raddr.as_mut_ptr().cast::<u32>());
        let mut i = 0;
        while i < 4 {
            *local.add(i) = 0;
            *remote.add(i) = 0;
            i += 1;
        }
        let net: *const u8 = A::get(sk, layout::SK_NET);
        if !net.is_null() {
            r.netns = Probed::get(net, layout::NET_INUM);
        }
        if family == AF_UNIX {
            r.peer_sock = Probed::get(sk, layout::UNIX_PEER);
            return;
        }
        r.lport = A::get(sk, layout::SK_NUM);
        r.rport = u16::from_be(A::get(sk, layout::SK_DPORT));
        if family == AF_INET {
            *local = A::get(sk, layout::SK_RCV_SADDR);
            *remote = A::get(sk, layout::SK_DADDR);
        } else {
            // Rare and once a connection: probe reads keep the program small.
            let l: [u32; 4] = Probed::get(sk, layout::SK_V6_RCV_SADDR);
            let d: [u32; 4] = Probed::get(sk, layout::SK_V6_DADDR);
            let mut i = 0;
            while i < 4 {
                *local.add(i) = l[i];
                *remote.add(i) = d[i];
                i += 1;
            }
        }
    }
}
