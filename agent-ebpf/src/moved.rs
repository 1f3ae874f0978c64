//! What a TCP socket has moved: bytes and segments, without SYN and FIN.

use crate::{read::Access, tcp::state};
use onlooker_common::{layout, tcp::role};

/// What a socket has moved, as `onlooker_common::tcp::Connection` holds it.
#[derive(Clone, Copy)]
pub(crate) struct Moved {
    pub sent: u64,
    pub received: u64,
    pub segments: [u32; 4],
}

/// `SOCK_DONE` of `enum sock_flags`: the peer's FIN was received.
const DONE: u64 = 1 << 1;

/// What the socket has moved up to now, told by who holds it: nobody else changes it. The kernel's bytes count SYN and FIN too.
///
/// # Safety
/// `sk` and `tcp` as `A` wants them, `tcp` not null.
#[inline(always)]
pub(crate) unsafe fn moved<A: Access>(sk: *const u8, tcp: *const u8, of: u8, now: u8) -> Moved {
    // SAFETY: the caller's.
    unsafe {
        let mut moved = counted::<A>(sk, tcp, of);
        // A FIN is acknowledged when everything is.
        if acknowledged_fin::<A>(tcp, now, moved.sent, 0) {
            moved.sent -= 1;
        }
        moved
    }
}

/// What the socket has moved, while it moves more, and its state. What is asked last is the newest, so a FIN that bytes were counted of is
/// seen, and one that is just being acknowledged is taken for acknowledged: rather a byte too few for a moment than one too many, which a
/// counter cannot take back.
///
/// # Safety
/// As of [`moved`].
#[inline(always)]
pub(crate) unsafe fn moving<A: Access>(sk: *const u8, tcp: *const u8, of: u8) -> (Moved, u8) {
    // SAFETY: the caller's.
    unsafe {
        let mut moved = counted::<A>(sk, tcp, of);
        let now: u8 = A::get(sk, layout::SK_STATE);
        if acknowledged_fin::<A>(tcp, now, moved.sent, 1) {
            moved.sent -= 1;
        }
        (moved, now)
    }
}

/// Is one of the `sent` bytes a FIN? Of a socket whose end was missed ([`crate::again`]) the state does not tell how it ended. Its data is
/// what it sent without what it sent again; that is asked there alone, as a segment that found no memory to be sent again is among the latter.
///
/// # Safety
/// As of [`moved`].
#[inline(always)]
unsafe fn acknowledged_fin<A: Access>(tcp: *const u8, now: u8, sent: u64, at_most: u32) -> bool {
    // SAFETY: the caller's.
    unsafe {
        if now == state::CLOSE {
            let again: u64 = A::get(tcp, layout::TCP_BYTES_RETRANS);
            return sent > A::get::<u64>(tcp, layout::TCP_BYTES_SENT).wrapping_sub(again);
        }
        // From FIN_WAIT1 to CLOSING, without CLOSE_WAIT.
        now > state::SYN_RECV && now != state::CLOSE_WAIT && sent > 0 && unacknowledged::<A>(tcp) <= at_most
    }
}

/// # Safety
/// As of [`moved`].
#[inline(always)]
unsafe fn unacknowledged<A: Access>(tcp: *const u8) -> u32 {
    // SAFETY: the caller's.
    unsafe { A::get::<u32>(tcp, layout::TCP_WRITE_SEQ).wrapping_sub(A::get(tcp, layout::TCP_SND_UNA)) }
}

/// The kernel's numbers, without a SYN and the peer's FIN.
///
/// # Safety
/// As of [`moved`].
#[inline(always)]
unsafe fn counted<A: Access>(sk: *const u8, tcp: *const u8, of: u8) -> Moved {
    // SAFETY: the caller's.
    unsafe {
        let mut sent: u64 = A::get(tcp, layout::TCP_BYTES_ACKED);
        let mut received: u64 = A::get(tcp, layout::TCP_BYTES_RECEIVED);
        if sent > 0 && of == role::CLIENT {
            sent -= 1;
        }
        if received > 0 && A::get::<u64>(sk, layout::SK_FLAGS) & DONE != 0 {
            received -= 1;
        }
        Moved {
            sent,
            received,
            segments: [
                A::get(tcp, layout::TCP_SEGS_OUT),
                A::get(tcp, layout::TCP_SEGS_IN),
                A::get(tcp, layout::TCP_RETRANS),
                A::get(tcp, layout::TCP_OUT_OF_ORDER),
            ],
        }
    }
}
