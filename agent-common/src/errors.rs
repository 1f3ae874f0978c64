//! Errors of system calls as the kernel side counts them: keys and values of its tables, and the record of a single one.

use crate::record::{Actor, Header, Plain};

/// Entries of the table by process: processes times calls times errors, each kept for some seconds beyond its process.
pub const TABLE: u32 = 4096;
/// Entries of the table that takes what the first has no room for, by call and error.
pub const SPILL: u32 = 512;
/// Entries of the table of expected errors, by call and error.
pub const EXPECTED: u32 = 1024;
/// Entries of the table of what the arguments of calls are: those of 64-bit calls, those of 32-bit ones, [`READY`], and those of
/// errors, from [`ERRNOS`] on.
pub const SHAPES: u32 = ERRNOS + 256;
/// Place in that table which is not 0 when the tables are filled: before, no error is counted.
pub const READY: u32 = 2 * NUMBERS as u32;
/// Place of error 0 in that table, which has those below 256: [`shape::EXPECTED`] or nothing.
pub const ERRNOS: u32 = READY + 1;
/// Numbers of calls that are told apart; what is beyond them is [`call::UNKNOWN`].
pub const NUMBERS: u16 = 600;
/// The largest error that a call returns: `MAX_ERRNO` of `include/linux/err.h`.
pub const MAX_ERRNO: i64 = 4095;
/// Errors that a CPU tells one by one within a second; the rest is counted.
pub const TOLD: u64 = 32;
/// Nanoseconds in which one error of a kind (process, call, error, CPU) is told.
pub const APART: u64 = 1_000_000_000;
/// Bytes of a path or an address in a record.
pub const DETAIL: usize = 256;

/// Numbers of calls as the tables have them.
pub mod call {
    /// Set: a 32-bit call of a 64-bit kernel.
    pub const COMPAT: u16 = 0x8000;
    /// Set: expected by a rule (a path, an interruption), not by the table alone. Only in the table of expected errors.
    pub const RULED: u16 = 0x4000;
    /// The bits that are the number.
    pub const NUMBER: u16 = 0x3fff;
    /// A number that no kernel has.
    pub const UNKNOWN: u16 = 0x3fff;
    /// In the table of expected errors: the rule for this error is in force.
    pub const ANY: u16 = 0x3ffe;
}

/// What the arguments of a call are, see [`SHAPES`]: an argument's place in the low bits, and what it is.
pub mod shape {
    /// The bits of the place.
    pub const PLACE: u8 = 0x07;
    /// With a path: programs search with it, so it may be wrong.
    pub const SEARCH: u8 = 0x08;
    /// A path stands there.
    pub const PATH: u8 = 0x10;
    /// A `struct sockaddr` stands there, its length behind it.
    pub const ADDRESS: u8 = 0x20;
    /// The first argument is a file descriptor.
    pub const FD: u8 = 0x40;
    /// Of a call: some of its errors are expected. Of an error: it is expected of some calls. Only what has both is looked up.
    pub const EXPECTED: u8 = 0x80;
}

/// What an error is counted by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrorKey {
    /// Start time of the process.
    pub start: u64,
    /// Its id.
    pub tgid: u32,
    /// The call, see [`call`].
    pub call: u16,
    /// The error, positive.
    pub errno: u16,
}

/// Errors of one key on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many there were.
    pub count: u64,
    /// When one was last told; 0: never.
    pub at: u64,
    /// How many there were then, the low 32 bits.
    pub told: u32,
    /// Low 32 bits of the kernel's `jiffies` when it was last asked whether one may be told: within one of them it is not asked again.
    pub asked: u32,
}

/// Words of [`Counted`].
pub const WORDS: usize = 3;

/// What errors are counted by where their process is not kept.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The call, see [`call`].
    pub call: u16,
    /// The error, positive.
    pub errno: u16,
}

/// How many errors a CPU told one by one lately, and those that it could not count.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Begin of the present second.
    pub since: u64,
    /// Told since then.
    pub told: u64,
    /// Errors for which no table had room.
    pub lost: u64,
}

/// What a [`FailureRecord`] has behind it, in [`FailureRecord::detail`].
pub mod detail {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// The path that the call was given.
    pub const PATH: u8 = 1;
    /// The `struct sockaddr` that the call was given.
    pub const ADDRESS: u8 = 2;
}

/// A call failed. Followed by `bytes` bytes of what `detail` says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureRecord {
    /// `kind::FAILURE`.
    pub head: Header,
    /// Who called.
    pub actor: Actor,
    /// How many it stands for, itself included: errors of its kind on that CPU since one was last told.
    pub count: u64,
    /// The call, see [`call`].
    pub call: u16,
    /// The error, positive.
    pub errno: u16,
    /// The file descriptor, -1 when the call has none.
    pub fd: i32,
    /// `inode.i_mode` of what the descriptor refers to; 0 when not known.
    pub mode: u16,
    /// Bytes behind the record.
    pub bytes: u16,
    /// One of [`detail`].
    pub detail: u8,
    /// Reserved, zero.
    pub pad: [u8; 3],
}

const _: () = assert!(core::mem::size_of::<ErrorKey>() == 16);
const _: () = assert!(core::mem::size_of::<Counted>() == 8 * WORDS);
const _: () = assert!(core::mem::size_of::<CallKey>() == 4);
const _: () = assert!(core::mem::size_of::<Pace>() == 24);
const _: () = assert!(core::mem::size_of::<FailureRecord>() == 56 && core::mem::align_of::<FailureRecord>() == 8);

// SAFETY: repr(C) of integers and arrays of integers, padded by named fields (the size assertion holds it).
unsafe impl Plain for FailureRecord {}

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for ErrorKey {}
#[cfg(feature = "user")]
// SAFETY: as above.
unsafe impl aya::Pod for CallKey {}
#[cfg(feature = "user")]
// SAFETY: as above.
unsafe impl aya::Pod for Pace {}
