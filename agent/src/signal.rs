//! The second waist: what any probe says, in seven kinds. Probes make signals from records; attribution, protocols and
//! aggregation read them and never see a record.

mod errno;
mod event;
mod measure;
mod message;
mod write;

pub use errno::{errno, errno_or_other};
pub use event::{Detail, EventSignal, Severity};
pub use measure::{Amount, Instrument, Label, MeasureSignal, Shape, Who};
pub use message::{MessageSignal, Transport};
pub use write::{Behind, Stream, WriteSignal};

use std::net::IpAddr;

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of all signals and exchanges.
pub type Nanos = u64;

/// Identity of a connection, unique while the host is up. The two ends of a local connection have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Identity of a process: its pid in the initial namespace and when it started, so that a reused pid is another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Thread group id, initial pid namespace.
    pub pid: u32,
    /// `task_struct.start_boottime` of the leader, nanoseconds; `/proc/PID/stat` field 22 has it in clock ticks.
    pub start: u64,
}

/// Who did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The process.
    pub process: ProcessKey,
    /// The thread, initial pid namespace.
    pub tid: u32,
}

/// Who sends requests on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The process receives requests and sends responses.
    Server,
    /// The process sends requests and receives responses.
    Client,
}

impl Role {
    /// As a label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
        }
    }
}

/// Direction of bytes as the process sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Received by the process.
    Rx,
    /// Sent by the process.
    Tx,
}

/// Everything a probe can say.
#[derive(Clone, Debug)]
pub enum Signal<'a> {
    /// A process began, became another program, or ended.
    Process(ProcessSignal<'a>),
    /// A connection began, changed or ended.
    Flow(FlowSignal),
    /// Bytes moved over a connection.
    Payload(PayloadSignal<'a>),
    /// A number: what the kernel side counted since it was last asked, or how much there is of something now.
    Measure(MeasureSignal<'a>),
    /// Something that happened once and is worth reading: becomes a record of a log.
    Event(EventSignal<'a>),
    /// A client of a server of short messages (DNS) sent or received bytes.
    Message(MessageSignal<'a>),
    /// A program wrote to its standard output or error.
    Write(WriteSignal<'a>),
}

/// See [`Signal::Process`].
#[derive(Clone, Debug)]
pub struct ProcessSignal<'a> {
    /// When.
    pub at: Nanos,
    /// The process.
    pub process: ProcessKey,
    /// What happened.
    pub event: ProcessEvent<'a>,
}

/// What happened to a process.
#[derive(Clone, Debug)]
pub enum ProcessEvent<'a> {
    /// Made by another process.
    Fork {
        /// Its parent.
        parent: ProcessKey,
    },
    /// Runs another program from now on.
    Exec {
        /// Parent's pid.
        ppid: u32,
        /// User id.
        uid: u32,
        /// cgroup version 2 id (inode of the directory), 0 when not known.
        cgroup: u64,
        /// `comm`, without NUL.
        comm: &'a [u8],
        /// Path given to `execve` (may be relative or cut at 256 bytes).
        filename: &'a [u8],
        /// Arguments separated by NUL (may be cut at 768 bytes).
        args: &'a [u8],
        /// `OTEL_SERVICE_NAME=…` and `OTEL_RESOURCE_ATTRIBUTES=…` of its environment, separated by NUL (each may be cut at
        /// 256 bytes); nothing else of it.
        environ: &'a [u8],
    },
    /// Ended; `code` as `wait` reports it.
    Exit {
        /// Exit code in bits 8-15, signal in bits 0-6.
        code: u32,
    },
    /// Its parent waited for it, and the kernel forgets it.
    Freed {
        /// What it used in its life, by index of `onlooker_common::usage`.
        used: [u64; onlooker_common::usage::WORDS],
    },
    /// The kernel chose to end it for want of memory. Before kernel 6.8 the pid alone may be known, `start` is 0.
    OutOfMemory {
        /// Path of its memory cgroup below the root of the hierarchy, `None` when not known. It begins with `…` when it is deeper
        /// than 12 names, of which the lowest are there.
        cgroup: Option<String>,
    },
}

/// See [`Signal::Flow`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSignal {
    /// When.
    pub at: Nanos,
    /// The connection.
    pub conn: ConnId,
    /// How far the kernel side had followed it by then.
    pub last: Last,
    /// What happened.
    pub event: FlowEvent,
}

/// The last exchange of a connection by the eyes of the kernel side; all zero when it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Its number, as [`Seen::exchange`].
    pub exchange: u32,
    /// It was answered, and because the ring was full the kernel side counts it.
    pub counted: bool,
    /// As [`Seen::ended`].
    pub ended: Nanos,
    /// Bytes received since first sight of the connection.
    pub rx: u64,
    /// Bytes sent.
    pub tx: u64,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// First sight of a connection that may carry requests.
    Open(FlowOpen),
    /// A read returned no bytes: the peer finished sending, and this side knows.
    Eof {
        /// Who read.
        actor: Actor,
    },
    /// A read or write failed.
    Error {
        /// Who called.
        actor: Actor,
        /// Direction of the call.
        direction: Direction,
        /// Positive errno, e.g. `ECONNRESET`.
        errno: u32,
    },
    /// This side finished sending (`shutdown`, `close`, or the process ended).
    LocalFin,
    /// The peer's FIN arrived (this side may not have read it yet).
    PeerFin,
    /// The connection is over. `errno` is the socket's error, e.g. `ECONNRESET`, `ETIMEDOUT`, 0 for an orderly end.
    Closed {
        /// Positive errno, 0 when none.
        errno: u32,
        /// Smoothed round trip time, microseconds, 0 when not known.
        srtt_us: u32,
    },
}

/// See [`FlowEvent::Open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowOpen {
    /// Kernel key of the socket (for verdicts).
    pub sock: u64,
    /// For Unix sockets the kernel key of the peer's socket.
    pub peer_sock: u64,
    /// Role of this side.
    pub role: Role,
    /// Who was first seen using it.
    pub actor: Actor,
    /// Addresses.
    pub endpoints: Endpoints,
    /// Inode of the network namespace.
    pub netns: u32,
    /// These were the connection's first bytes in that direction (never known of Unix sockets).
    pub fresh: bool,
}

/// The two ends of a connection as this side names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// TCP.
    Inet {
        /// This side (an IPv4-mapped IPv6 address is given as IPv4).
        local: (IpAddr, u16),
        /// The other side.
        remote: (IpAddr, u16),
    },
    /// A Unix stream socket.
    Unix,
}

/// See [`Signal::Payload`]. `prefix` and `tail` are what was captured of the call's bytes: `prefix` from its start, `tail`
/// from its end. When `prefix.len() as u64 == total` everything is there and `tail` is empty. They never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadSignal<'a> {
    /// When the call returned.
    pub at: Nanos,
    /// The connection.
    pub conn: ConnId,
    /// Who called.
    pub actor: Actor,
    /// Direction.
    pub direction: Direction,
    /// Role of this side.
    pub role: Role,
    /// Position of the first byte in this direction's stream, counted from first sight of the connection. A jump against
    /// what was seen before means that records were lost.
    pub offset: u64,
    /// Bytes moved, more than zero.
    pub total: u64,
    /// Captured from the start.
    pub prefix: &'a [u8],
    /// Captured from the end.
    pub tail: &'a [u8],
    /// Sequence numbers of TCP after the call: (sent, received). Both ends of a connection, on whatever host, see the same
    /// pair swapped at the same place of the stream. (0, 0) for Unix sockets.
    pub seq: (u32, u32),
    /// Smoothed round trip time, microseconds, 0 when not known.
    pub srtt_us: u32,
    /// Where the kernel side saw the exchange at that moment.
    pub seen: Seen,
    /// With an answer's first bytes: the request that it answers.
    pub asked: Option<Asked<'a>>,
}

/// Where an exchange is by the eyes of the kernel side, which sees every call, also those whose records were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of the exchange on its connection, from 1.
    pub exchange: u32,
    /// A request begins with this call, and the one before was answered.
    pub begins: bool,
    /// Bytes of the other direction by then.
    pub other: u64,
    /// Last byte of the last response whose beginning was reported; 0 when there was none.
    pub ended: Nanos,
}

/// The request that a call answers, as the kernel side noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// First byte of the request.
    pub at: Nanos,
    /// Who moved it.
    pub actor: Actor,
    /// As [`PayloadSignal::seq`], after that call.
    pub seq: (u32, u32),
    /// Its method in canonical form; `_OTHER` when it is none of RFC 9110's.
    pub method: &'static str,
    /// All bytes of the request, when they come only now, together with the answer.
    pub bytes: Option<&'a [u8]>,
    /// The call is the beginning of the final answer: from here on user space alone counts the exchange.
    pub answered: bool,
    /// The signal of the request may come after this one: another CPU was about to send it.
    pub early: bool,
}

impl Asked<'_> {
    /// The same without the bytes of the request.
    pub fn without_bytes(&self) -> Asked<'static> {
        let Asked {
            at,
            actor,
            seq,
            method,
            answered,
            early,
            ..
        } = *self;
        Asked {
            at,
            actor,
            seq,
            method,
            bytes: None,
            answered,
            early,
        }
    }
}
