//! Counters of the kernel side: a per-CPU array of `u64`. Per record kind one `seen` and one counter per reason of loss.

use crate::record::kind;

/// Why a record did not reach the ring, or reached it without its bytes.
pub mod reason {
    /// The ring buffer was full.
    pub const RING_FULL: usize = 0;
    /// The socket table was full: the connection is not followed.
    pub const TABLE_FULL: usize = 1;
    /// User memory could not be read: the record went out without data.
    pub const NO_DATA: usize = 2;
    /// Bytes were moved over a connection that is followed, and no call that did it was seen: the kernel skipped the program, or
    /// the call is none of those that are looked at. Once for all such calls between two that were seen.
    pub const SKIPPED: usize = 3;
    /// Number of reasons.
    pub const COUNT: usize = 4;
    /// Names of the reasons as label values, by index.
    pub const NAMES: [&str; COUNT] = ["ring_full", "table_full", "no_data", "skipped"];
}

/// Index of the counter of records of a kind that should have gone out.
pub const fn seen(kind: u16) -> u32 {
    kind as u32 * STRIDE
}
/// Index of the counter of records of a kind that were lost for a reason.
pub const fn lost(kind: u16, reason: usize) -> u32 {
    kind as u32 * STRIDE + 1 + reason as u32
}
const STRIDE: u32 = 1 + reason::COUNT as u32;
/// Index of the counter of exchanges that the kernel side counted in [`crate::fallback`].
pub const FALLBACK: u32 = kind::COUNT as u32 * STRIDE;
/// Index of the counter of exchanges for which that table had no entry left.
pub const FALLBACK_FULL: u32 = FALLBACK + 1;
/// Entries of the array.
pub const COUNT: u32 = FALLBACK + 2;
