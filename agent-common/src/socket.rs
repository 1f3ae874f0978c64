//! The socket table: a hash map from the address of a `struct sock` to [`SocketState`].

use crate::limits::HELD;
use crate::record::{Actor, role};

/// What to do with a connection's payload, in [`SocketState::verdict`].
pub mod verdict {
    /// Report it.
    pub const REPORT: u8 = 0;
    /// Leave it alone: user space said that it carries nothing we read.
    pub const IGNORE: u8 = 1;
}

/// How far the exchange is that the kernel side follows on a connection, in [`SocketState::phase`].
pub mod phase {
    /// No request was seen.
    pub const IDLE: u8 = 0;
    /// A request began; no final answer yet.
    pub const ASKED: u8 = 1;
    /// Its answer began, and that record is in the ring: user space counts the exchange.
    pub const ANSWERED: u8 = 2;
    /// Its answer began and the ring was full: the kernel side counts the exchange when it is over (the next request, or the
    /// end of the connection), in [`crate::fallback`].
    pub const DARK: u8 = 3;
    /// As [`ASKED`], and the record of the request is not in the ring yet: an answer on another CPU may be there first.
    pub const BEGINS: u8 = 4;

    /// 1 in [`BEGINS`], else 0.
    pub const fn begins(phase: u8) -> u8 {
        phase / BEGINS
    }

    /// Is a request without its final answer?
    pub const fn asked(phase: u8) -> bool {
        matches!(phase, ASKED | BEGINS)
    }

    /// Was the exchange of this number answered and counted by the kernel side? In [`DARK`] it will have been, once the
    /// connection ends or asks again.
    pub const fn counted(exchange: u32, phase: u8) -> bool {
        exchange > 0 && matches!(phase, IDLE | DARK)
    }
}

/// State of a tracked connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketState {
    /// Identity of the connection, see [`crate::record::FlowOpenRecord::conn`].
    pub conn: u64,
    /// Tells a reused address from the same socket: the peer for TCP, inode number for Unix.
    pub check: u64,
    /// Bytes received since first sight.
    pub rx: u64,
    /// Bytes sent since first sight.
    pub tx: u64,
    /// First byte of the present exchange's request.
    pub started: u64,
    /// Last byte seen of the last response whose answer record is in the ring.
    pub ended: u64,
    /// Last byte seen of the present response, in [`phase::DARK`].
    pub last: u64,
    /// Who moved the first byte of the request.
    pub asker: Actor,
    /// `tcp_sock.write_seq` after that call.
    pub asked_tx: u32,
    /// `tcp_sock.copied_seq` after that call.
    pub asked_rx: u32,
    /// Number of the present exchange, from 1.
    pub exchange: u32,
    /// `tcp_sock.copied_seq` after the last read that was seen, or as it was at first sight: what lies between it and the
    /// present one was read unseen. 0 for Unix.
    pub seq_rx: u32,
    /// `tcp_sock.write_seq` after the last call that sent, likewise.
    pub seq_tx: u32,
    /// One of [`crate::record::role`].
    pub role: u8,
    /// One of [`verdict`].
    pub verdict: u8,
    /// Direction of the previous call, one of [`crate::record::dir`].
    pub last_dir: u8,
    /// 1 once its `FlowOpenRecord` is in the ring.
    pub announced: u8,
    /// One of [`phase`].
    pub phase: u8,
    /// Method of the present exchange, an index of [`crate::method::NAMES`].
    pub method: u8,
    /// Minor version of the answer (HTTP/1.x), in [`phase::DARK`].
    pub version: u8,
    /// TCP state that was told last, while programs have second copies; else 0.
    pub told: u8,
    /// Status of the answer, in [`phase::DARK`].
    pub status: u16,
    /// Bytes of the present request that wait in `room` for its answer; 0 when none.
    pub held: u16,
    /// Position in a running `sendmmsg`/`recvmmsg`.
    pub mmsg: u16,
    /// `sk_err` when TCP reached its last state: reading or writing clears it before the socket is gone.
    pub err: u16,
    /// Reserved, zero.
    pub pad: u32,
    /// By direction: thread whose call was dealt with, until the second copy of the program has seen it; else 0.
    pub dealt: [u32; 2],
    /// The request that waits.
    pub room: [u8; HELD],
}

impl SocketState {
    /// All zero.
    pub const BLANK: SocketState = SocketState {
        conn: 0,
        check: 0,
        rx: 0,
        tx: 0,
        started: 0,
        ended: 0,
        last: 0,
        asker: Actor {
            start: 0,
            tgid: 0,
            tid: 0,
        },
        asked_tx: 0,
        asked_rx: 0,
        exchange: 0,
        seq_rx: 0,
        seq_tx: 0,
        role: 0,
        verdict: 0,
        last_dir: 0,
        announced: 0,
        phase: 0,
        method: 0,
        version: 0,
        told: 0,
        status: 0,
        held: 0,
        mmsg: 0,
        err: 0,
        pad: 0,
        dealt: [0; 2],
        room: [0; HELD],
    };

    /// Bytes moved in the direction of requests, and in that of responses.
    #[inline(always)]
    pub fn streams(&self) -> (u64, u64) {
        if self.role == role::SERVER {
            (self.rx, self.tx)
        } else {
            (self.tx, self.rx)
        }
    }
}

const _: () = assert!(core::mem::size_of::<SocketState>() == 120 + HELD && core::mem::align_of::<SocketState>() == 8);

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for SocketState {}

/// What is left of a connection that ended while the ring was full: a hash map from [`SocketState::conn`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grave {
    /// When it ended.
    pub at: u64,
    /// As in [`SocketState`].
    pub rx: u64,
    /// As in [`SocketState`].
    pub tx: u64,
    /// As in [`SocketState`].
    pub ended: u64,
    /// As in [`SocketState`].
    pub exchange: u32,
    /// As in [`SocketState`].
    pub err: u16,
    /// One of [`phase`].
    pub phase: u8,
    /// Reserved, zero.
    pub pad: u8,
}

/// Entries of that map.
pub const GRAVES: u32 = 2048;

const _: () = assert!(core::mem::size_of::<Grave>() == 40 && core::mem::align_of::<Grave>() == 8);

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for Grave {}
