//! What the probes of TCP keep: connections and listening sockets by address of their `struct sock`, and what is counted of them by
//! process and peer.

use crate::histogram::{Histogram, WORDS};

/// Connections followed at a time, by default.
pub const CONNECTIONS: u32 = 8192;
/// Listening sockets followed at a time.
pub const LISTENERS: u32 = 512;
/// Entries of the table of counts.
pub const ENTRIES: u32 = 1024;
/// Entries of the table of times.
pub const TIMES: u32 = 768;
/// Entries of the table of connects that failed.
pub const FAILURES: u32 = 256;
/// Local clients that are remembered until their server's end is established.
pub const CLIENTS: u32 = 512;

/// Whose end of a connection it is.
pub mod role {
    /// It connected.
    pub const CLIENT: u8 = 0;
    /// It was accepted.
    pub const SERVER: u8 = 1;
}

/// What is known of the other end, in [`Key::peer`].
pub mod peer {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// `peer` is start and pid of a process on this host.
    pub const PROCESS: u8 = 1;
    /// `peer` is the server's address as of IPv6, an IPv4 one mapped: its bytes in their order.
    pub const ADDRESS: u8 = 2;
}

/// Kinds of addresses.
pub mod class {
    /// 127.0.0.0/8, ::1.
    pub const LOOPBACK: u8 = 0;
    /// RFC 1918, RFC 6598, RFC 4193.
    pub const PRIVATE: u8 = 1;
    /// RFC 3927, fe80::/10.
    pub const LINK_LOCAL: u8 = 2;
    /// All others.
    pub const PUBLIC: u8 = 3;
    /// Not known.
    pub const UNKNOWN: u8 = 4;
    /// Names as label values, by number.
    pub const NAMES: [&str; 5] = ["loopback", "private", "link_local", "public", ""];
}

/// By what is counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// Start of the process; 0 with pid 0: not known.
    pub start: u64,
    /// The other end, as `peer_kind` says.
    pub peer: [u64; 2],
    /// The process.
    pub tgid: u32,
    /// Port of the server's end.
    pub port: u16,
    /// `AF_INET` or `AF_INET6`, of the addresses: a mapped IPv4 address is IPv4.
    pub family: u8,
    /// One of [`role`].
    pub role: u8,
    /// One of [`peer`].
    pub peer_kind: u8,
    /// One of [`class`], of the peer's address.
    pub class: u8,
    /// Reserved, zero.
    pub pad: [u8; 6],
}

/// Places in a value of `TCP_COUNTS`.
pub mod count {
    /// Connections established.
    pub const OPENED: usize = 0;
    /// Connections that were established and are closed.
    pub const CLOSED: usize = 1;
    /// Bytes that the other end acknowledged.
    pub const SENT: usize = 2;
    /// Bytes received, in order.
    pub const RECEIVED: usize = 3;
    /// Segments sent.
    pub const SEGMENTS_SENT: usize = 4;
    /// Segments received.
    pub const SEGMENTS_RECEIVED: usize = 5;
    /// Segments sent again.
    pub const RETRANSMITS: usize = 6;
    /// Segments that came out of order.
    pub const OUT_OF_ORDER: usize = 7;
    /// Resets sent.
    pub const RESETS_SENT: usize = 8;
    /// Resets received.
    pub const RESETS_RECEIVED: usize = 9;
    /// What a listening socket dropped, told when it ends.
    pub const DROPPED: usize = 10;
    /// Numbers of a value.
    pub const NUMBERS: usize = 11;
    /// Only in `TCP_REST`: connects that failed.
    pub const FAILED: usize = 11;
    /// Only in `TCP_REST`: connections that found no room and are not followed.
    pub const LOST: usize = 12;
    /// Only in `TCP_REST`: listening sockets that found no room.
    pub const LISTENERS_LOST: usize = 13;
    /// Numbers of `TCP_REST`, in which all that found no entry is counted.
    pub const REST: usize = 14;
}

/// What is timed, in [`TimeKey::what`] and as index of `TCP_TIMES_REST`.
pub mod time {
    /// From the SYN sent to established.
    pub const CONNECT: u32 = 0;
    /// From established to closed.
    pub const LIFE: u32 = 1;
    /// Smoothed round trip time.
    pub const RTT: u32 = 2;
    /// Its mean deviation.
    pub const VARIATION: u32 = 3;
    /// From the SYN-ACK sent to the return of `accept`.
    pub const ACCEPT: u32 = 4;
    /// Kinds.
    pub const KINDS: u32 = 5;
}

/// Key of `TCP_TIMES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TimeKey {
    /// Whose.
    pub key: Key,
    /// One of [`time`].
    pub what: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// Key of `TCP_FAILURES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FailureKey {
    /// Whose.
    pub key: Key,
    /// Positive errno, or one of the numbers here.
    pub errno: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// The program closed the socket before it was connected.
pub const CANCELLED: u32 = 1 << 16;

/// Marks of a [`Connection`].
pub mod mark {
    /// It was established, and counted.
    pub const OPENED: u8 = 1;
    /// It is closed.
    pub const CLOSED: u8 = 2;
    /// Its accept was timed.
    pub const ACCEPTED: u8 = 4;
}

/// A connection that is followed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// By what it is counted.
    pub key: Key,
    /// When the SYN was sent, then when it was established, nanoseconds of `CLOCK_MONOTONIC`; 0: before the agent was there.
    pub since: u64,
    /// [`count::SENT`] of it that does not count: from before the agent was there.
    pub sent: u64,
    /// [`count::RECEIVED`] likewise.
    pub received: u64,
    /// [`count::SEGMENTS_SENT`], [`count::SEGMENTS_RECEIVED`], [`count::RETRANSMITS`] and [`count::OUT_OF_ORDER`] likewise. The
    /// kernel's are of 32 bits too.
    pub segments: [u32; 4],
    /// Round trip time of the handshake, microseconds; 0 when not known.
    pub handshake: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Of [`mark`].
    pub marks: u8,
    /// The state that was told last.
    pub state: u8,
    /// Reserved, zero.
    pub pad: [u8; 6],
}

/// What a connection is at, as the iterator over `TCP_CONNECTIONS` writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// By what it is counted.
    pub key: Key,
    /// Address of its `struct sock`.
    pub sock: u64,
    /// [`count::SENT`].
    pub sent: u64,
    /// [`count::RECEIVED`].
    pub received: u64,
    /// [`count::SEGMENTS_SENT`], [`count::SEGMENTS_RECEIVED`], [`count::RETRANSMITS`], [`count::OUT_OF_ORDER`].
    pub segments: [u32; 4],
    /// Smoothed round trip time, microseconds; 0 when not known.
    pub rtt: u32,
    /// Its mean deviation, microseconds.
    pub variation: u32,
    /// 1: it is established; 0: the SYN was sent and not answered.
    pub established: u32,
    /// 1: the peer announces a window of zero.
    pub zero_window: u32,
}

/// A socket that listens.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Start of the process that called `listen`, or has it now when that one is gone; 0 with pid 0: not known.
    pub start: u64,
    /// The process.
    pub tgid: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Connections that wait for `accept`.
    pub queue: u32,
    /// How many may.
    pub limit: u32,
    /// Connections that were dropped because they found no room; the kernel's number, which starts anew at its end.
    pub drops: u32,
    /// Port.
    pub port: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// Reserved, zero.
    pub pad: u8,
    /// Its address as of IPv6, an IPv4 one mapped: bytes in their order. Zero: any.
    pub address: [u64; 2],
}

/// What a listening socket is at, as the iterator over `TCP_LISTENERS` writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Address of its `struct sock`.
    pub sock: u64,
    /// Whose it is, and its numbers now.
    pub listener: Listener,
}

/// Key of `TCP_PORTS`: where somebody listens.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// [`Listener::address`].
    pub address: [u64; 2],
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Port.
    pub port: u16,
    /// Reserved, zero.
    pub pad: u16,
}

/// Sockets that share a port and are remembered for it, the latest.
pub const SHARED: usize = 4;

/// Value of `TCP_PORTS`: addresses of the sockets that listen there, 0: none.
pub type Port = [u64; SHARED];

/// Key of `TCP_CLIENTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientKey {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Port of the server.
    pub port: u16,
    /// Port of the client.
    pub client_port: u16,
}

/// Value of `TCP_CLIENTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Start of the process.
    pub start: u64,
    /// The process.
    pub tgid: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// `u64`s of a value of `TCP_TIMES`, a [`Histogram`].
pub const TIME_WORDS: usize = WORDS;

const _: () = assert!(size_of::<Key>() == 40 && size_of::<TimeKey>() == 48 && size_of::<FailureKey>() == 48);
const _: () = assert!(
    size_of::<Connection>() == 96
        && size_of::<Open>() == 96
        && size_of::<Listening>() == 56
        && size_of::<Listener>() == 48
        && size_of::<Owner>() == 16
);
const _: () = assert!(size_of::<Histogram>() == TIME_WORDS * 8 && size_of::<PortKey>() == 24);
const _: () = assert!(size_of::<ClientKey>() == 8);

#[cfg(feature = "user")]
mod pod {
    use super::{ClientKey, Connection, FailureKey, Key, Listener, Listening, Open, Owner, PortKey, TimeKey};
    // SAFETY: repr(C), no padding, every bit pattern is a value.
    unsafe impl aya::Pod for Key {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for TimeKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for FailureKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for Connection {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for Listener {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for Open {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for Listening {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for PortKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for ClientKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for Owner {}
}
