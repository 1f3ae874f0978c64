//! Durations of system calls as the kernel side keeps them.

use crate::errors::NUMBERS;

/// Calls that are under way at a time: threads in a call that is measured.
pub const STARTS: u32 = 4096;
/// Histograms: processes times calls.
pub const TABLE: u32 = 2048;
/// Entries of the table of calls that are measured: those of 64-bit calls, then those of 32-bit ones. 1: it is.
pub const MEASURED: u32 = 2 * NUMBERS as u32;

/// Counters of what found no room.
pub mod lost {
    /// No room for the begin of a call.
    pub const STARTS: u32 = 0;
    /// No room for a histogram.
    pub const TABLE: u32 = 1;
    /// Number of them.
    pub const COUNT: u32 = 2;
}

/// A call that began.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// When.
    pub at: u64,
    /// The call, see [`crate::errors::call`].
    pub call: u64,
}

/// Whose durations of which call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LatencyKey {
    /// Start time of the process.
    pub start: u64,
    /// Its id.
    pub tgid: u32,
    /// The call, see [`crate::errors::call`].
    pub call: u32,
}

const _: () = assert!(core::mem::size_of::<Start>() == 16);
const _: () = assert!(core::mem::size_of::<LatencyKey>() == 16);

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for LatencyKey {}
