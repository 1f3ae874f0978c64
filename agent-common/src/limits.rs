//! Sizes that both sides must agree on, and the defaults of what the operator may change.

/// Bytes of the ring buffer by default. A power of two and a multiple of the page size.
/// Its data pages are mapped twice, so it counts twice in the agent's resident memory.
pub const RING_BYTES: u32 = 8 << 20;
/// Tracked connections by default: entries of the socket table (see [`crate::socket::SocketState`]).
pub const SOCKETS: u32 = 8_192;
/// The ring asks for the reader's attention when this share of it is waiting (1/2^n of its bytes).
pub const RING_WAKE_SHIFT: u32 = 2;

/// Payload size classes: a record reserves the smallest class that holds what it captured.
pub const CLASS_SMALL: usize = 256;
/// For bytes that lie scattered, see `agent-ebpf/src/exchange.rs`.
pub const CLASS_SCATTERED: usize = 512;
/// See [`CLASS_SMALL`].
pub const CLASS_MEDIUM: usize = 1024;
/// See [`CLASS_SMALL`]. Also the longest piece of one call that one record carries.
pub const CLASS_LARGE: usize = 4096;
/// A longer call is reported as at most this many pieces of [`CLASS_LARGE`] bytes; what is left is counted, not copied.
pub const PIECES: usize = 4;
/// Bytes captured from the start of a long call that continues a message (the size line of a chunk, the next head).
pub const CONTINUED_PREFIX: usize = 512;
/// Bytes captured from the end of a call that was not captured whole (the last chunk's terminator).
pub const TAIL: usize = 32;
/// Bytes of a request that wait in the socket table for its answer, so that both go out as one record. A longer one goes out
/// at once.
pub const HELD: usize = 232;
/// Bytes of a short request: see [`HELD`].
pub const HELD_SHORT: usize = 128;
/// Elements of an iovec array that are looked at.
pub const IOVECS: usize = 8;
/// Messages of one `sendmmsg`/`recvmmsg` whose bytes are counted at the exit of the call. The first two are captured.
pub const MMSGS: usize = 8;

/// Threads whose calls the first copies of programs have marked as dealt with, on kernels that preempt programs.
pub const DEALT_THREADS: u32 = 4096;

/// Bytes of an executable's path in an exec record.
pub const FILENAME: usize = 256;
/// Bytes of the argument area in an exec record.
pub const ARGS: usize = 768;
/// `TASK_COMM_LEN` of the kernel.
pub const COMM: usize = 16;

/// Bytes of the environment in an exec record: the variables that name a service (`OTEL_SERVICE_NAME`,
/// `OTEL_RESOURCE_ATTRIBUTES`), each cut at [`VARIABLE`].
pub const ENVIRON: usize = 512;
/// Bytes of one variable, and of one step through the environment.
pub const VARIABLE: usize = 256;
/// Steps through the environment: variables, or parts of long ones, that are looked at.
pub const VARIABLES: usize = 192;

/// Bytes of a cgroup's name with its NUL: `NAME_MAX` of the kernel and one.
pub const CGROUP_NAME: usize = 256;
/// Names of a cgroup's path that are kept, the lowest.
pub const CGROUP_LEVELS: usize = 12;
