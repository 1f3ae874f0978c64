//! What a process used: indices of [`crate::record::UsageRecord::words`] and of the one entry of the map `USAGE_REST`.

/// Time on a CPU by the scheduler's clock, nanoseconds: `signal_struct.sum_sched_runtime`.
pub const RUNTIME: usize = 0;
/// User time as sampled by ticks, nanoseconds: `signal_struct.utime`.
pub const USER: usize = 1;
/// System time likewise: `signal_struct.stime`.
pub const SYSTEM: usize = 2;
/// Minor page faults.
pub const MINOR: usize = 3;
/// Major page faults.
pub const MAJOR: usize = 4;
/// Voluntary context switches.
pub const VOLUNTARY: usize = 5;
/// Involuntary context switches.
pub const INVOLUNTARY: usize = 6;
/// Bytes read from storage: `signal_struct.ioac.read_bytes`.
pub const READ: usize = 7;
/// Bytes written to storage.
pub const WRITTEN: usize = 8;
/// Largest resident set, pages.
pub const PEAK: usize = 9;
/// Number of words.
pub const WORDS: usize = 10;
