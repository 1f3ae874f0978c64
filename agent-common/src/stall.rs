//! What keeps processes waiting, as the kernel side measures it: keys and values of its tables.

use crate::histogram::{BOUNDS, Histogram, WORDS as HISTOGRAM};

/// Block devices: requests under way that are followed to those who made them.
pub const REQUESTS: u32 = 1024;
/// Entries of the table of block IO by process.
pub const BLOCK: u32 = 384;
/// Entries of the table that takes what the first has no room for.
pub const BLOCK_SPILL: u32 = 64;
/// Threads that reclaim memory at a time.
pub const RECLAIMING: u32 = 256;
/// Entries of the table of reclaim by process.
pub const RECLAIM: u32 = 128;
/// Threads that sync files at a time.
pub const SYNCING: u32 = 1024;
/// Entries of the table of syncs by process.
pub const SYNC: u32 = 512;
/// Threads with a page fault whose begin is kept.
pub const FAULTING: u32 = 4096;
/// Entries of the table of page faults by process.
pub const FAULTS: u32 = 256;
/// Threads whose waits for a CPU, or whose times off it, are followed.
pub const THREADS: u32 = 16_384;
/// Entries of the table of waits for a CPU by process.
pub const RUNQUEUE: u32 = 4096;
/// Entries of the table of times off the CPU by process and reason.
pub const OFFCPU: u32 = 4096;
/// Entries of the tables that take what those of processes have no room for.
pub const SPILL: u32 = 16;

/// What block IO does.
pub mod operation {
    /// `REQ_OP_READ`.
    pub const READ: u32 = 0;
    /// `REQ_OP_WRITE`.
    pub const WRITE: u32 = 1;
    /// `REQ_OP_FLUSH`.
    pub const FLUSH: u32 = 2;
    /// `REQ_OP_DISCARD`.
    pub const DISCARD: u32 = 3;
}

/// Why a task reclaims memory.
pub mod reason {
    /// The host is short of memory.
    pub const DIRECT: u32 = 0;
    /// A cgroup is at its limit.
    pub const CGROUP: u32 = 1;
    /// Free memory is in pieces too small.
    pub const COMPACTION: u32 = 2;
    /// Names as label values, by number.
    pub const NAMES: [&str; 3] = ["direct", "cgroup", "compaction"];
}

/// Why a thread is off the CPU.
pub mod off {
    /// It waits, and a signal may end that: for time, data, a lock.
    pub const SLEEP: u32 = 0;
    /// It waits, and no signal ends that: for a disk most of all.
    pub const DISK: u32 = 1;
    /// A signal or a tracer stopped it.
    pub const STOPPED: u32 = 2;
    /// It could go on, another has the CPU.
    pub const PREEMPTED: u32 = 3;
    /// Something else.
    pub const OTHER: u32 = 4;
    /// Names as label values, by number.
    pub const NAMES: [&str; 5] = ["sleep", "disk", "stopped", "preempted", "other"];
}

/// Calls that sync files.
pub mod sync {
    /// Names as label values, by number.
    pub const NAMES: [&str; 6] = ["fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs"];
}

/// Whose a stall is.
pub mod whose {
    /// A process'.
    pub const PROCESS: u32 = 0;
    /// The kernel's own: write-back, journals.
    pub const KERNEL: u32 = 1;
    /// Somebody's for whom there was no room.
    pub const OTHER: u32 = 2;
}

/// What a stall is counted by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StallKey {
    /// Start time of the process.
    pub start: u64,
    /// Its id; 0 when it is nobody's.
    pub tgid: u32,
    /// One of [`whose`].
    pub whose: u32,
    /// What it waited for; each table has its own numbers.
    pub what: u32,
    /// Block IO: number of the device, major in the upper 12 bits; else 0.
    pub device: u32,
}

/// Block IO of one key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCounts {
    /// From the begin of the request to its end.
    pub duration: Histogram,
    /// Requests by size, as in a [`Histogram`] of bytes.
    pub sizes: [u64; SIZES + 1],
    /// Bytes that were moved.
    pub bytes: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests of which no begin is known.
    pub untimed: u64,
}

/// Bounds of sizes: 1 KiB to 16 MiB.
pub const SIZES: usize = 15;
/// They, in bytes.
pub const SIZE_BOUNDS: [f64; SIZES] = {
    let mut bounds = [0.0; SIZES];
    let mut i = 0;
    while i < SIZES {
        bounds[i] = (1u64 << (crate::histogram::FIRST + i as u32)) as f64;
        i += 1;
    }
    bounds
};
/// Words of [`BlockCounts`].
pub const BLOCK_WORDS: usize = HISTOGRAM + SIZES + 1 + 3;

impl BlockCounts {
    /// Nothing counted.
    pub const BLANK: BlockCounts = BlockCounts {
        duration: Histogram::BLANK,
        sizes: [0; SIZES + 1],
        bytes: 0,
        errors: 0,
        untimed: 0,
    };
}

const _: () = assert!(SIZES < BOUNDS);
const _: () = assert!(core::mem::size_of::<StallKey>() == 24);
const _: () = assert!(core::mem::size_of::<BlockCounts>() == 8 * BLOCK_WORDS);

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for StallKey {}
