//! Copies the captured part of a call's bytes into a record.

use crate::{
    read::{opaque, user},
    syscalls::Source,
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use core::ffi::c_void;
use onlooker_common::limits::{IOVECS, TAIL};

/// What to capture of a call that moved `total` bytes.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Where they lie.
    pub source: Source,
    /// Bytes moved.
    pub total: u64,
    /// Bytes wanted from the start.
    pub prefix: u64,
    /// Bytes wanted from the end ([`TAIL`] or 0).
    pub tail: u64,
}

/// What was captured.
#[derive(Clone, Copy)]
pub(crate) struct Filled {
    /// Bytes from the start, first in the data.
    pub prefix: u16,
    /// Bytes from the end, behind them.
    pub tail: u16,
}

const NOTHING: Filled = Filled { prefix: 0, tail: 0 };

/// Fills `N` bytes at `data`.
///
/// # Safety
/// `data` has room for `N` bytes, `N >= 2 * TAIL`.
#[inline(always)]
pub(crate) unsafe fn fill<const N: usize>(data: *mut u8, plan: &Plan) -> Filled {
    match plan.source {
        Source::None => NOTHING,
        // SAFETY: the caller's.
        Source::Buffer(at) => unsafe { buffer::<N>(data, plan, at) },
        // SAFETY: the caller's.
        Source::Vector(at, count) => unsafe { vector::<N>(data, plan, at, count) },
    }
}

#[inline(always)]
unsafe fn buffer<const N: usize>(data: *mut u8, plan: &Plan, at: u64) -> Filled {
    let n = opaque(plan.prefix);
    if n == 0 || n > N as u64 {
        return NOTHING;
    }
    // SAFETY: n <= N.
    if unsafe { copy(data, n, at) } {
        let mut filled = Filled { prefix: n as u16, tail: 0 };
        let n = opaque(n);
        // SAFETY: n + TAIL <= N.
        if plan.tail != 0
            && n <= (N - TAIL) as u64
            && unsafe { copy(data.add(n as usize), TAIL as u64, at + plan.total - TAIL as u64) }
        {
            filled.tail = TAIL as u16;
        }
        return filled;
    }
    NOTHING
}

/// The verifier keeps the ranges of an offset and a length apart, so their maxima must fit together: an element that is not
/// the first begins in the lower half and takes no more than a half.
#[inline(always)]
unsafe fn vector<const N: usize>(data: *mut u8, plan: &Plan, at: u64, count: u64) -> Filled {
    let half = (N / 2) as u64;
    let mut wanted = plan.prefix;
    if wanted > N as u64 {
        wanted = N as u64;
    }
    let mut filled = 0u64; // contiguous bytes captured
    let mut passed = 0u64; // bytes of the elements looked at
    let mut whole = true; // nothing skipped so far
    let mut last = (0u64, 0u64);
    let mut i = 0u64;
    while i < IOVECS as u64 {
        if i >= count || passed >= plan.total {
            break;
        }
        let Some(element) = user::<[u64; 2]>(at + i * 16) else { break };
        let (base, length) = (element[0], element[1]);
        let mut n = length;
        if n > plan.total - passed {
            n = plan.total - passed;
        }
        last = (base, n);
        passed += n;
        if whole && n > 0 {
            let take = if n > wanted - filled { wanted - filled } else { n };
            let (from, mut bytes) = (opaque(filled), opaque(take));
            if i == 0 {
                if bytes > N as u64 {
                    bytes = N as u64;
                }
                // SAFETY: bytes <= N.
                whole = unsafe { copy(data, bytes, base) };
                if whole {
                    filled = bytes;
                }
            } else if from <= half {
                if bytes > half {
                    bytes = half;
                }
                // SAFETY: from <= N/2, bytes <= N/2.
                whole = unsafe { copy(data.add(from as usize), bytes, base) };
                if whole {
                    filled = from + bytes;
                }
            } else {
                whole = false;
            }
            if take < n || bytes < take {
                whole = false;
            }
        }
        i += 1;
    }
    let mut result = Filled { prefix: filled as u16, tail: 0 };
    // The end of the call is the end of the last element that it reached, if we got that far.
    if passed == plan.total && filled < plan.total {
        let mut n = last.1;
        if n > TAIL as u64 {
            n = TAIL as u64;
        }
        if n > plan.total - filled {
            n = plan.total - filled;
        }
        let from = opaque(filled);
        let n = opaque(n);
        // SAFETY: from + n <= N.
        if n > 0
            && n <= TAIL as u64
            && from <= (N - TAIL) as u64
            && unsafe { copy(data.add(from as usize), n, last.0 + last.1 - n) }
        {
            result.tail = n as u16;
        }
    }
    result
}

#[inline(always)]
unsafe fn copy(to: *mut u8, bytes: u64, from: u64) -> bool {
    // SAFETY: the caller's.
    unsafe { bpf_probe_read_user(to.cast(), bytes as u32, from as *const c_void) == 0 }
}
