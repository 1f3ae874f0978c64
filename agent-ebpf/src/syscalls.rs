//! Which system calls move bytes over sockets, and where their arguments hold the user's buffer.

/// Shape of a call's arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Not a call that we follow.
    Other,
    /// (fd, buffer, length, flags).
    Buffer,
    /// (fd, iovec, count).
    Vector,
    /// (fd, msghdr, flags).
    Message,
    /// (fd, mmsghdr, count, flags).
    Messages,
    /// (out, in, …): sendfile.
    File,
    /// (in, offset, out, …): splice.
    Splice,
}

impl Shape {
    /// The shape of this number (`as u64`).
    #[inline(always)]
    pub(crate) fn of(number: u64) -> Shape {
        const BUFFER: u64 = Shape::Buffer as u64;
        const VECTOR: u64 = Shape::Vector as u64;
        const MESSAGE: u64 = Shape::Message as u64;
        const MESSAGES: u64 = Shape::Messages as u64;
        const FILE: u64 = Shape::File as u64;
        const SPLICE: u64 = Shape::Splice as u64;
        match number {
            BUFFER => Shape::Buffer,
            VECTOR => Shape::Vector,
            MESSAGE => Shape::Message,
            MESSAGES => Shape::Messages,
            FILE => Shape::File,
            SPLICE => Shape::Splice,
            _ => Shape::Other,
        }
    }
}

#[cfg(bpf_target_arch = "x86_64")]
mod nr {
    pub(super) const READ: u64 = 0;
    pub(super) const WRITE: u64 = 1;
    pub(super) const READV: u64 = 19;
    pub(super) const WRITEV: u64 = 20;
    pub(super) const SENDFILE: u64 = 40;
    pub(super) const SENDTO: u64 = 44;
    pub(super) const RECVFROM: u64 = 45;
    pub(super) const SENDMSG: u64 = 46;
    pub(super) const RECVMSG: u64 = 47;
    pub(super) const SPLICE: u64 = 275;
    pub(super) const RECVMMSG: u64 = 299;
    pub(super) const SENDMMSG: u64 = 307;
    pub(super) const PREADV2: u64 = 327;
    pub(super) const PWRITEV2: u64 = 328;
}
#[cfg(bpf_target_arch = "aarch64")]
mod nr {
    pub(super) const READ: u64 = 63;
    pub(super) const WRITE: u64 = 64;
    pub(super) const READV: u64 = 65;
    pub(super) const WRITEV: u64 = 66;
    pub(super) const SENDFILE: u64 = 71;
    pub(super) const SENDTO: u64 = 206;
    pub(super) const RECVFROM: u64 = 207;
    pub(super) const SENDMSG: u64 = 211;
    pub(super) const RECVMSG: u64 = 212;
    pub(super) const SPLICE: u64 = 76;
    pub(super) const RECVMMSG: u64 = 243;
    pub(super) const SENDMMSG: u64 = 269;
    pub(super) const PREADV2: u64 = 286;
    pub(super) const PWRITEV2: u64 = 287;
}

/// Shape and, where the call alone decides it, direction (`true`: the process sends).
#[inline(always)]
pub(crate) fn classify(number: u64) -> (Shape, bool) {
    match number {
        nr::READ | nr::RECVFROM => (Shape::Buffer, false),
        nr::WRITE | nr::SENDTO => (Shape::Buffer, true),
        nr::READV | nr::PREADV2 => (Shape::Vector, false),
        nr::WRITEV | nr::PWRITEV2 => (Shape::Vector, true),
        nr::RECVMSG => (Shape::Message, false),
        nr::SENDMSG => (Shape::Message, true),
        nr::RECVMMSG => (Shape::Messages, false),
        nr::SENDMMSG => (Shape::Messages, true),
        nr::SENDFILE => (Shape::File, true),
        nr::SPLICE => (Shape::Splice, true),
        _ => (Shape::Other, false),
    }
}

/// True when a `Buffer` call has its flags in the fourth argument (`recvfrom`).
#[inline(always)]
pub(crate) fn is_recvfrom(number: u64) -> bool {
    number == nr::RECVFROM
}

/// `MSG_PEEK | MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE`: what such a read returns is not the next part of the stream.
pub(crate) const NOT_STREAM: u64 = 0x2 | 0x20 | 0x1 | 0x2000;

/// True when a `Buffer` call has an address in its fifth argument (`sendto`, `recvfrom`).
#[inline(always)]
pub(crate) fn has_address(number: u64) -> bool {
    matches!(number, nr::SENDTO | nr::RECVFROM)
}

/// Registers of a system call as `pt_regs` holds them.
pub(crate) mod regs {
    /// Index (in 8-byte words) of arguments 0 to 3 and of the call's number.
    #[cfg(bpf_target_arch = "x86_64")]
    pub(crate) const WORDS: [usize; 5] = [14, 13, 12, 7, 15];
    /// Index of argument 4.
    #[cfg(bpf_target_arch = "x86_64")]
    pub(crate) const FIFTH: usize = 9;
    /// `regs[0..]` hold the arguments, `syscallno` stands behind `sp`, `pc`, `pstate` and `orig_x0`.
    #[cfg(bpf_target_arch = "aarch64")]
    pub(crate) const WORDS: [usize; 5] = [0, 1, 2, 3, 35];
    /// Index of argument 4.
    #[cfg(bpf_target_arch = "aarch64")]
    pub(crate) const FIFTH: usize = 4;
}
