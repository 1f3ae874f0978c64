//! Records of the ring buffer. One struct and one kind per shape, each led by [`Header`].
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`), process start times nanoseconds of
//! `CLOCK_BOOTTIME` (`task_struct.start_boottime`), process ids those of the initial pid namespace.

use crate::limits;

/// What a record is. Also the index of its counters (see [`crate::count`]).
pub mod kind {
    /// [`super::PayloadRecord`].
    pub const PAYLOAD: u16 = 0;
    /// [`super::FlowOpenRecord`].
    pub const FLOW_OPEN: u16 = 1;
    /// [`super::FlowStateRecord`].
    pub const FLOW_STATE: u16 = 2;
    /// [`super::ExecRecord`].
    pub const EXEC: u16 = 3;
    /// [`super::ForkRecord`].
    pub const FORK: u16 = 4;
    /// [`super::ExitRecord`].
    pub const EXIT: u16 = 5;
    /// [`super::PayloadRecord`] that may be an answer.
    pub const ANSWER: u16 = 6;
    /// [`crate::errors::FailureRecord`].
    pub const FAILURE: u16 = 7;
    /// [`crate::dns::MessageRecord`].
    pub const MESSAGE: u16 = 8;
    /// [`super::UsageRecord`].
    pub const USAGE: u16 = 9;
    /// [`super::OomRecord`].
    pub const OOM: u16 = 10;
    /// [`crate::writes::WriteRecord`].
    pub const WRITE: u16 = 11;
    /// Number of kinds.
    pub const COUNT: usize = 12;
    /// Names of the kinds as label values, by index.
    pub const NAMES: [&str; COUNT] = [
        "payload",
        "flow_open",
        "flow_state",
        "exec",
        "fork",
        "exit",
        "answer",
        "failure",
        "message",
        "usage",
        "oom",
        "write",
    ];
}

/// Direction of a call, as the process sees it.
pub mod dir {
    /// The process received these bytes.
    pub const RX: u8 = 0;
    /// The process sent these bytes.
    pub const TX: u8 = 1;
}

/// Role of a process on a connection: who sends requests.
pub mod role {
    /// Not known.
    pub const UNKNOWN: u8 = 0;
    /// The process receives requests.
    pub const SERVER: u8 = 1;
    /// The process sends requests.
    pub const CLIENT: u8 = 2;
}

/// Leads every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u16,
    /// Reserved, zero.
    pub flags: u16,
    /// Meaningful bytes of the record, this header included; the ring's own length may be larger.
    pub len: u32,
    /// When it happened.
    pub ts: u64,
}

/// A process at a moment: pid and start time are its identity, the thread is who did it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// Start time of the thread group leader.
    pub start: u64,
    /// Thread group id (what user space calls the pid).
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
}

/// What a call does to the exchange that the kernel side follows on its connection, in [`PayloadRecord::turn`].
pub mod turn {
    /// Nothing: its bytes continue something.
    pub const NONE: u8 = 0;
    /// A request begins with it, and the one before (if any) was answered.
    pub const BEGIN: u8 = 1;
    /// The final answer begins with it. This record decides: had it not reached the ring, the kernel side would have
    /// counted the exchange itself (see [`crate::socket::phase::DARK`]).
    pub const ANSWER: u8 = 2;
    /// As [`ANSWER`]; a request that does not come with it may lie behind it in the ring: another CPU is about to send it.
    pub const EARLY: u8 = 3;
}

/// Bytes moved over a connection by one call, or by one piece of a long call. Followed by `room` bytes, the first `held` of
/// which are the request that these bytes answer, then by `prefix + tail` bytes of data.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadRecord {
    /// `kind::PAYLOAD`, or `kind::ANSWER` for the first bytes in the direction of responses since a request began.
    pub head: Header,
    /// The connection, see [`FlowOpenRecord::conn`].
    pub conn: u64,
    /// Who made the call.
    pub actor: Actor,
    /// Bytes of this direction before this call, since the connection was first seen.
    pub offset: u64,
    /// Bytes of the other direction by then.
    pub other: u64,
    /// Last byte seen of the last response whose [`turn::ANSWER`] is in the ring, this call not counted; 0 when none.
    pub ended: u64,
    /// Bytes the call (or piece) moved, more than zero.
    pub total: u32,
    /// `tcp_sock.write_seq` after the call: with `seq_rx` it names the moment on both ends of the connection. 0 for Unix.
    pub seq_tx: u32,
    /// `tcp_sock.copied_seq` after the call. 0 for Unix.
    pub seq_rx: u32,
    /// Smoothed round trip time, microseconds. 0 when not known.
    pub srtt_us: u32,
    /// Bytes captured from the start of the call, first in the data.
    pub prefix: u16,
    /// Bytes captured from the end of the call, after the prefix in the data.
    pub tail: u16,
    /// One of [`dir`].
    pub dir: u8,
    /// One of [`role`].
    pub role: u8,
    /// System call number, truncated.
    pub nr: u16,
    /// Number of the exchange on its connection, as the kernel side counts them: from 1, up with each [`turn::BEGIN`].
    pub exchange: u32,
    /// One of [`turn`].
    pub turn: u8,
    /// Method of that exchange, an index of [`crate::method::NAMES`].
    pub method: u8,
    /// Reserved, zero.
    pub pad: u16,
    /// When the first byte of that exchange's request was moved.
    pub started: u64,
    /// Who moved it.
    pub asker: Actor,
    /// `tcp_sock.write_seq` after that call.
    pub asked_tx: u32,
    /// `tcp_sock.copied_seq` after that call.
    pub asked_rx: u32,
    /// Bytes of the request that come with its answer; 0 when it went out as a record of its own.
    pub held: u16,
    /// Bytes between this struct and the data.
    pub room: u16,
    /// Reserved, zero.
    pub pad2: u32,
}

/// First sight of a connection that may carry requests.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowOpenRecord {
    /// `kind::FLOW_OPEN`.
    pub head: Header,
    /// Identity of the connection, unique while the host is up.
    pub conn: u64,
    /// Key of the socket table: address of the `struct sock`.
    pub sock: u64,
    /// For Unix sockets the address of the peer's `struct sock`, else 0.
    pub peer_sock: u64,
    /// Who was first seen using it.
    pub actor: Actor,
    /// Local address, network order; IPv4 in the first 4 bytes.
    pub laddr: [u8; 16],
    /// Remote address, network order; IPv4 in the first 4 bytes.
    pub raddr: [u8; 16],
    /// Local port.
    pub lport: u16,
    /// Remote port.
    pub rport: u16,
    /// `AF_INET`, `AF_INET6` or `AF_UNIX`.
    pub family: u16,
    /// One of [`role`].
    pub role: u8,
    /// 1 when these were the connection's first bytes in that direction, 0 when it is older or that is not known.
    pub fresh: u8,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Reserved, zero.
    pub pad2: u32,
}

/// What happened, in [`FlowStateRecord::event`].
pub mod flow {
    /// The TCP state changed, `old` to `new`.
    pub const STATE: u8 = 0;
    /// A read returned no bytes: the peer finished sending.
    pub const EOF: u8 = 1;
    /// A read or write failed with `err`.
    pub const ERROR: u8 = 2;
    /// The socket is destroyed: nothing follows. `err` is the connection's error.
    pub const GONE: u8 = 3;
}

/// A tracked connection changed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStateRecord {
    /// `kind::FLOW_STATE`.
    pub head: Header,
    /// The connection.
    pub conn: u64,
    /// Who did it; zero when the kernel did (a state change in a soft interrupt).
    pub actor: Actor,
    /// Bytes received so far since first sight.
    pub rx: u64,
    /// Bytes sent so far since first sight.
    pub tx: u64,
    /// As [`PayloadRecord::ended`].
    pub ended: u64,
    /// Positive errno (`sk_err` of a state change, result of a failed call), 0 when none.
    pub err: u32,
    /// Smoothed round trip time, microseconds. 0 when not known.
    pub srtt_us: u32,
    /// One of [`flow`].
    pub event: u8,
    /// TCP state before (`TCP_ESTABLISHED` = 1 …).
    pub old: u8,
    /// TCP state after.
    pub new: u8,
    /// Direction of the call for `EOF` and `ERROR`, one of [`dir`].
    pub dir: u8,
    /// As [`PayloadRecord::exchange`].
    pub exchange: u32,
    /// How far that exchange is, one of [`crate::socket::phase`].
    pub phase: u8,
    /// Reserved, zero.
    pub pad: [u8; 7],
}

/// A process began another program. Followed by `environ`, `filename` and `args` bytes of data.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecRecord {
    /// `kind::EXEC`.
    pub head: Header,
    /// The process.
    pub actor: Actor,
    /// Id of its cgroup in the version 2 hierarchy (inode number of the directory).
    pub cgroup: u64,
    /// Parent's process id.
    pub ppid: u32,
    /// User id, initial user namespace.
    pub uid: u32,
    /// Command name, NUL-padded.
    pub comm: [u8; limits::COMM],
    /// Bytes of the executable's path.
    pub filename: u16,
    /// Bytes of the arguments, separated by NUL.
    pub args: u16,
    /// Bytes of the variables that name a service, separated by NUL.
    pub environ: u16,
    /// Reserved, zero.
    pub pad: u16,
}

/// A process was made (threads are not reported).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForkRecord {
    /// `kind::FORK`.
    pub head: Header,
    /// The new process.
    pub child: Actor,
    /// Its parent.
    pub parent: Actor,
}

/// A process ended (its last thread is gone).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitRecord {
    /// `kind::EXIT`.
    pub head: Header,
    /// The process.
    pub actor: Actor,
    /// As `wait` reports it: exit code in bits 8-15, signal in bits 0-6, core dump in bit 7.
    pub code: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// What a process used in its life, all its threads. Sent when the kernel forgets it: after its parent waited for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageRecord {
    /// `kind::USAGE`.
    pub head: Header,
    /// The process.
    pub actor: Actor,
    /// By index of [`crate::usage`].
    pub words: [u64; crate::usage::WORDS],
}

/// The kernel chose a process to end it for want of memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomRecord {
    /// `kind::OOM`.
    pub head: Header,
    /// The process. Before kernel 6.8 the pid alone is known of another than the one that asked for memory: `start` is 0.
    pub actor: Actor,
    /// How much of the path of its memory cgroup is known, see [`cgroup`].
    pub known: u32,
    /// How many of the names are there.
    pub levels: u32,
    /// Names of the cgroup and those above it, the lowest first, each ended by NUL. The root has none.
    pub names: [[u8; crate::limits::CGROUP_NAME]; crate::limits::CGROUP_LEVELS],
}

/// Values of [`OomRecord::known`].
pub mod cgroup {
    /// Nothing is known.
    pub const NOT: u32 = 0;
    /// The whole path.
    pub const WHOLE: u32 = 1;
    /// There are more names above than the record has room for.
    pub const LOWER: u32 = 2;
}

macro_rules! sizes {
    ($($t:ty = $n:literal),* $(,)?) => { $(const _: () = assert!(core::mem::size_of::<$t>() == $n && core::mem::align_of::<$t>() == 8);)* };
}
sizes!(
    Header = 16,
    Actor = 16,
    PayloadRecord = 136,
    FlowOpenRecord = 104,
    FlowStateRecord = 88,
    ExecRecord = 72,
    ForkRecord = 48,
    ExitRecord = 40,
    crate::dns::MessageRecord = 80,
    UsageRecord = 112,
    OomRecord = 3112,
);

/// Plain records: any bytes of the right length are a value.
///
/// # Safety
/// `repr(C)`, no padding, no pointers, every bit pattern valid.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($t:ty),* $(,)?) => { $(
        // SAFETY: repr(C) of integers and arrays of integers, padded by named fields (the size assertions hold it).
        unsafe impl Plain for $t {}
    )* };
}
plain!(
    Header,
    PayloadRecord,
    FlowOpenRecord,
    FlowStateRecord,
    ExecRecord,
    ForkRecord,
    ExitRecord,
    crate::dns::MessageRecord,
    UsageRecord,
    OomRecord
);

/// Takes a record from the front of bytes; `None` when they are too few. Any alignment.
pub fn take<T: Plain>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (front, rest) = bytes.split_at_checked(size_of::<T>())?;
    // SAFETY: `front` holds size_of::<T>() bytes, and any bytes are a T.
    Some((unsafe { core::ptr::read_unaligned(front.as_ptr().cast()) }, rest))
}

/// The bytes of a record, for tests and recordings.
pub fn bytes_of<T: Plain>(record: &T) -> &[u8] {
    // SAFETY: a T is size_of::<T>() initialised bytes.
    unsafe { core::slice::from_raw_parts((&raw const *record).cast(), size_of::<T>()) }
}
