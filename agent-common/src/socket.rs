//! The socket table: a hash map from the address of a `struct sock` to [`SocketState`].

/// What to do with a connection's payload, in [`SocketState::verdict`].
pub mod verdict {
    /// Report it.
    pub const REPORT: u8 = 0;
    /// Leave it alone: user space said that it carries nothing we read.
    pub const IGNORE: u8 = 1;
}

/// State of a tracked connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketState {
    /// Identity of the connection, see [`crate::record::FlowOpenRecord::conn`].
    pub conn: u64,
    /// Tells a reused address from the same socket: the peer for TCP, inode number for Unix.
    pub check: u64,
    /// Bytes received since first sight.
    pub rx: u64,
    /// Bytes sent since first sight.
    pub tx: u64,
    /// One of [`crate::record::role`].
    pub role: u8,
    /// One of [`verdict`].
    pub verdict: u8,
    /// Direction of the previous call, one of [`crate::record::dir`].
    pub last_dir: u8,
    /// 1 once its `FlowOpenRecord` is in the ring.
    pub announced: u8,
    /// Position in a running `sendmmsg`/`recvmmsg`.
    pub mmsg: u16,
    /// `sk_err` when TCP reached its last state: reading or writing clears it before the socket is gone.
    pub err: u16,
    /// `tcp_sock.copied_seq` after the last read that was seen: what lies between it and the present one was read unseen.
    pub seq_rx: u32,
    /// Reserved, zero.
    pub pad: u32,
}

const _: () = assert!(core::mem::size_of::<SocketState>() == 48 && core::mem::align_of::<SocketState>() == 8);

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for SocketState {}
