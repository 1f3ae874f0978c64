//! What clients of servers of short messages send and receive.

use super::{Actor, Direction, Nanos};
use std::net::IpAddr;

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One message a call.
    Udp,
    /// A stream of messages.
    Tcp,
}

impl Transport {
    /// As a label value (`network.transport`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// See [`super::Signal::Message`]: bytes moved by one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSignal<'a> {
    /// When the call was over.
    pub at: Nanos,
    /// Who called.
    pub actor: Actor,
    /// Kernel key of the socket. Another socket may have it later.
    pub socket: u64,
    /// Local port, 0 when there is none yet.
    pub port: u16,
    /// Inode of the network namespace.
    pub netns: u32,
    /// What carries it.
    pub transport: Transport,
    /// Direction.
    pub direction: Direction,
    /// The server, when that is known.
    pub peer: Option<IpAddr>,
    /// Bytes moved.
    pub total: u32,
    /// The first of them.
    pub bytes: &'a [u8],
    /// Positive errno of a call that failed instead; it moved nothing.
    pub error: Option<u32>,
}
