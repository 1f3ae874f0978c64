//! What the probe `dns` tells: messages of DNS clients as records, and in maps what processes move over UDP.

use crate::record::{Actor, Header};

/// The port of DNS servers.
pub const PORT: u16 = 53;
/// Bytes of a message that are captured: question and first answers of all but the rarest.
pub const CAPTURED: usize = 512;
/// `IPPROTO_TCP`, in [`MessageRecord::protocol`].
pub const IPPROTO_TCP: u8 = 6;
/// `IPPROTO_UDP`, likewise.
pub const IPPROTO_UDP: u8 = 17;

/// Bytes that a client of a DNS server sent or received by one call: one message over UDP, a part of a stream over TCP. Followed by
/// `captured` bytes of data, the first of the call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageRecord {
    /// `kind::MESSAGE`; the time is that of the end of the call.
    pub head: Header,
    /// Who called.
    pub actor: Actor,
    /// Address of the `struct sock`.
    pub sock: u64,
    /// Address of the server, network order, IPv4 in the first 4 bytes. All zero with `rport` 0.
    pub raddr: [u8; 16],
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Bytes of the call.
    pub total: u32,
    /// Local port, 0 when there is none yet.
    pub lport: u16,
    /// The server's port; 0 when the call does not say who sent what it received (a socket that is not connected).
    pub rport: u16,
    /// `AF_INET` or `AF_INET6`, of `raddr`.
    pub family: u16,
    /// Bytes of data.
    pub captured: u16,
    /// One of [`crate::record::dir`].
    pub dir: u8,
    /// [`IPPROTO_TCP`] or [`IPPROTO_UDP`].
    pub protocol: u8,
    /// Positive errno of a call that failed; then there are no bytes.
    pub err: u16,
    /// Reserved, zero.
    pub pad: [u8; 4],
}

/// Key of the map `UDP`: a process and an address family.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpKey {
    /// Start time of the process.
    pub start: u64,
    /// The process.
    pub tgid: u32,
    /// `AF_INET` or `AF_INET6`, of the socket.
    pub family: u32,
}

/// Key of the map `UDP_ERRORS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpErrorKey {
    /// Start time of the process.
    pub start: u64,
    /// The process.
    pub tgid: u32,
    /// Positive errno.
    pub errno: u16,
    /// `AF_INET` or `AF_INET6`, of the socket.
    pub family: u8,
    /// One of [`crate::record::dir`].
    pub dir: u8,
}

/// Places in a value of `UDP`.
pub mod udp {
    /// Bytes sent.
    pub const SENT_BYTES: usize = 0;
    /// Datagrams sent.
    pub const SENT: usize = 1;
    /// Bytes received.
    pub const RECEIVED_BYTES: usize = 2;
    /// Datagrams received.
    pub const RECEIVED: usize = 3;
    /// Numbers of a value.
    pub const NUMBERS: usize = 4;
    /// Only in `UDP_REST`: calls that failed.
    pub const ERRORS: usize = 4;
    /// Numbers of `UDP_REST`, in which all that found no entry is counted.
    pub const REST: usize = 5;
}

/// Entries of the map `UDP`.
pub const UDP_ENTRIES: u32 = 1024;
/// Entries of the map `UDP_ERRORS`.
pub const UDP_ERROR_ENTRIES: u32 = 512;
/// Entries of the map `UDP_DROPS`.
pub const UDP_DROP_ENTRIES: u32 = 256;
/// Threads inside a `sendmmsg` or `recvmmsg` at a time.
pub const MMSG_ENTRIES: u32 = 512;

/// Key of the map `UDP_DROPS`: a port on which datagrams found no room in the queue of a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdpDropKey {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Local port.
    pub port: u16,
    /// Positive errno: `ENOMEM` for the socket's own limit, `ENOBUFS` for that of all UDP.
    pub errno: u16,
    /// `AF_INET` or `AF_INET6`, of the socket.
    pub family: u32,
    /// Reserved, zero.
    pub pad: u32,
}

const _: () = assert!(size_of::<UdpKey>() == 16 && size_of::<UdpErrorKey>() == 16 && size_of::<UdpDropKey>() == 16);

#[cfg(feature = "user")]
mod pod {
    use super::{UdpDropKey, UdpErrorKey, UdpKey};
    // SAFETY: repr(C), no padding, every bit pattern is a value.
    unsafe impl aya::Pod for UdpKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for UdpErrorKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for UdpDropKey {}
}
