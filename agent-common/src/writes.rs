//! What the probe `writes` tells: bytes that programs write to their standard output and error where no file takes them.

use crate::record::{Actor, Header, Plain};

/// File descriptors that are looked at: 1 (standard output) and 2 (standard error).
pub const STDOUT: u32 = 1;
/// See [`STDOUT`].
pub const STDERR: u32 = 2;

/// Bytes of one record in its small class: a line mostly has fewer.
pub const SMALL: usize = 256;
/// The same in its large class: the longest piece of a call.
pub const LARGE: usize = 4096;
/// Pieces of one call that are told: 64 KiB of one buffer, what a pipe takes at once. For a call of several buffers a piece is of one of
/// them. The rest of a longer call is counted.
pub const PIECES: u64 = 16;

/// Entries of the table of processes whose writes are wanted or not.
pub const WRITERS: u32 = 4096;
/// Entries of the table of streams of which bytes were not told.
pub const LOSERS: u32 = 1024;

/// Whether the writes of a process are wanted, in the map `WRITERS`. No entry: not known yet; they are told.
pub mod verdict {
    /// They are.
    pub const TELL: u32 = 1;
    /// They are not.
    pub const PASS: u32 = 2;
}

/// Key of the map `WRITERS`: a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriterKey {
    /// Start time of the process.
    pub start: u64,
    /// The process.
    pub tgid: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// Key of the map `WRITES_LOST`: a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// Start time of the process.
    pub start: u64,
    /// The process.
    pub tgid: u32,
    /// [`STDOUT`] or [`STDERR`].
    pub fd: u32,
}

/// Bytes of a stream that were not told so far, why.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The ring had no room for them.
    pub refused: u64,
    /// They were behind the last piece of a call that is told, or could not be read.
    pub cut: u64,
}

impl Lost {
    /// Nothing.
    pub const NONE: Lost = Lost { refused: 0, cut: 0 };
}

/// What is behind the descriptor, in [`WriteRecord::behind`].
pub mod behind {
    /// A pipe.
    pub const PIPE: u8 = 1;
    /// A character device: a terminal, `/dev/null`.
    pub const DEVICE: u8 = 2;
    /// A Unix socket.
    pub const SOCKET: u8 = 3;
}

/// A process wrote to its standard output or error. Followed by `bytes` bytes of data: all of the call, or a piece of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteRecord {
    /// `kind::WRITE`; the time is that of the end of the call.
    pub head: Header,
    /// Who wrote.
    pub actor: Actor,
    /// Bytes of this stream that were not told before these.
    pub lost: Lost,
    /// Bytes of the call.
    pub total: u32,
    /// Where in the call these are.
    pub offset: u32,
    /// Bytes behind the record; 0 when they could not be read.
    pub bytes: u16,
    /// [`STDOUT`] or [`STDERR`].
    pub fd: u8,
    /// One of [`behind`].
    pub behind: u8,
    /// Reserved, zero.
    pub pad: u32,
}

const _: () = assert!(size_of::<WriterKey>() == 16 && size_of::<StreamKey>() == 16 && size_of::<Lost>() == 16);
const _: () = assert!(size_of::<WriteRecord>() == 64 && align_of::<WriteRecord>() == 8);

// SAFETY: repr(C) of integers, padded by a named field (the size assertion holds it).
unsafe impl Plain for WriteRecord {}

#[cfg(feature = "user")]
mod pod {
    use super::{Lost, StreamKey, WriterKey};
    // SAFETY: repr(C), no padding, every bit pattern is a value.
    unsafe impl aya::Pod for WriterKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for StreamKey {}
    // SAFETY: likewise.
    unsafe impl aya::Pod for Lost {}
}
