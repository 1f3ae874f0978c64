//! Copies the captured part of a call's bytes into a record.

use crate::{
    globals::forget,
    probes::syscall::{MMSGHDR, length, message},
    read::{copy_user, opaque, user},
};
use core::mem::MaybeUninit;
use onlooker_common::limits::{IOVECS, TAIL};

/// What to capture of a call. Plain numbers, so that the verifier can be made to forget them.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// [`NONE`], [`BUFFER`] or [`VECTOR`].
    pub which: u64,
    /// Address of the buffer or of the `struct iovec` array.
    pub at: u64,
    /// Elements of the array.
    pub count: u64,
    /// As in [`crate::capture::Call`].
    pub next: u64,
    /// Bytes moved.
    pub total: u64,
    /// Bytes wanted from the start.
    pub prefix: u64,
    /// Bytes wanted from the end ([`TAIL`] or 0).
    pub tail: u64,
}

/// No bytes in user memory.
pub(crate) const NONE: u64 = 0;
/// One buffer.
pub(crate) const BUFFER: u64 = 1;
/// An array of `struct iovec`.
pub(crate) const VECTOR: u64 = 2;

/// Elements of an array that one call of the helper reads. Most arrays have no more.
const AT_ONCE: usize = 2;

/// Some elements of an array of `struct iovec`.
pub(crate) struct Elements(MaybeUninit<[u64; 2 * AT_ONCE]>);

impl Elements {
    /// The first of a [`VECTOR`]; blank for all else. To be read some time before they are used: a load waits long for
    /// bytes that the helper has only just stored.
    #[inline(always)]
    pub fn first<const SCATTERED: bool>(plan: &Plan) -> Elements {
        let mut elements = Elements(MaybeUninit::uninit());
        if SCATTERED {
            // Where they cannot be read the helper leaves zeros: elements of no bytes.
            elements.read(plan, 0);
            if plan.next != 0 {
                elements.join(plan.next);
            }
        }
        elements
    }

    /// Those from the one at `from` on.
    #[inline(always)]
    fn read(&mut self, plan: &Plan, from: u64) -> bool {
        let words = self.0.as_mut_ptr().cast::<u64>();
        let mut i = 0;
        while i < 2 * AT_ONCE {
            // SAFETY: within the array. All are written: the helper may write fewer.
            unsafe { words.add(i).write_volatile(0) };
            i += 1;
        }
        let n = opaque(least(plan.count - from, AT_ONCE as u64) * 16);
        // SAFETY: n is at most the array.
        n <= AT_ONCE as u64 * 16 && unsafe { copy_user(words.cast(), n, plan.at + from * 16) }
    }

    /// Buffers of two messages one behind the other: each as long as its message.
    #[inline(always)]
    fn join(&mut self, next: u64) {
        let words = self.0.as_mut_ptr().cast::<u64>();
        let first = length(next - MMSGHDR).unwrap_or(0);
        let second = length(next).unwrap_or(0);
        let base = message(next).and_then(|iov| user::<u64>(iov[0])).unwrap_or(0);
        // SAFETY: within the array.
        unsafe {
            words.add(1).write_volatile(forget(first.into()));
            words.add(2).write_volatile(forget(base));
            words.add(3).write_volatile(forget(second.into()));
        }
    }

    /// Address and length.
    #[inline(always)]
    fn get(&self, i: usize) -> [u64; 2] {
        let words = self.0.as_ptr().cast::<u64>();
        // SAFETY: within the array, and written.
        unsafe { [words.add(i * 2).read_volatile(), words.add(i * 2 + 1).read_volatile()] }
    }
}

/// What was captured.
#[derive(Clone, Copy)]
pub(crate) struct Filled {
    /// Bytes from the start, first in the data.
    pub prefix: u64,
    /// Bytes from the end, behind them.
    pub tail: u64,
}

/// Fills `N` bytes at `data`, from a [`VECTOR`] when `SCATTERED`, else from a [`BUFFER`].
///
/// # Safety
/// `data` has room for `N` bytes, `N >= 2 * TAIL`.
#[inline(always)]
pub(crate) unsafe fn fill<const N: usize, const SCATTERED: bool>(
    data: *mut u8,
    plan: &Plan,
    elements: &mut Elements,
) -> Filled {
    // SAFETY: the caller's.
    unsafe {
        if SCATTERED {
            vector::<N>(data, plan, elements)
        } else {
            buffer::<N>(data, plan)
        }
    }
}

#[inline(always)]
unsafe fn buffer<const N: usize>(data: *mut u8, plan: &Plan) -> Filled {
    let mut filled = Filled { prefix: 0, tail: 0 };
    // No test for zero beside a bound: the compiler would make one of both, on `n - 1`, which says nothing of `n` to older
    // verifiers. The helper takes zero.
    let n = opaque(plan.prefix);
    // SAFETY: n <= N.
    if n > N as u64 || !unsafe { copy_user(data, n, plan.at) } {
        return filled;
    }
    filled.prefix = forget(n);
    let n = opaque(filled.prefix);
    // SAFETY: n + TAIL <= N.
    if plan.tail != 0
        && n <= (N - TAIL) as u64
        && unsafe { copy_user(data.add(n as usize), TAIL as u64, plan.at + plan.total - TAIL as u64) }
    {
        filled.tail = TAIL as u64;
    }
    filled
}

/// The verifier keeps the ranges of an offset and a length apart, so their maxima must fit together: an element that is not
/// the first begins in the lower half and takes no more than a half.
#[inline(always)]
unsafe fn vector<const N: usize>(data: *mut u8, plan: &Plan, elements: &mut Elements) -> Filled {
    let half = (N / 2) as u64;
    let mut filled = forget(0); // contiguous bytes captured
    let mut passed = forget(0); // bytes of the elements looked at
    let mut open = forget(1); // 1 while nothing was skipped
    let (mut last_base, mut last_bytes) = (forget(0), forget(0));
    let mut i = 0;
    while i < IOVECS {
        if i as u64 >= plan.count || passed >= plan.total {
            break;
        }
        if i != 0 && i % AT_ONCE == 0 && !elements.read(plan, i as u64) {
            break;
        }
        let element = elements.get(i % AT_ONCE);
        last_base = element[0];
        last_bytes = forget(least(element[1], plan.total - passed));
        passed = forget(passed + last_bytes);
        if open == 1 && last_bytes != 0 {
            let from = opaque(forget(filled));
            // Room for this element: all of it for the first, half for the others.
            let room = if from == 0 { N as u64 } else { half };
            let bytes = opaque(forget(least(last_bytes, least(room, plan.prefix - filled))));
            let copied = if from == 0 {
                // SAFETY: bytes <= N.
                bytes <= N as u64 && unsafe { copy_user(data, bytes, last_base) }
            } else {
                // SAFETY: from <= N/2, bytes <= N/2.
                from <= half && bytes <= half && unsafe { copy_user(data.add(from as usize), bytes, last_base) }
            };
            if copied {
                filled = forget(filled + bytes);
            }
            open = forget(u64::from(copied && bytes == last_bytes));
        }
        i += 1;
    }
    let mut result = Filled {
        prefix: forget(filled),
        tail: 0,
    };
    // The end of the call is the end of the last element that it reached, if we got that far.
    if passed == plan.total && filled < plan.total {
        let from = opaque(forget(filled));
        let n = opaque(forget(least(least(last_bytes, TAIL as u64), plan.total - filled)));
        // SAFETY: from + n <= N.
        if n <= TAIL as u64
            && from <= (N - TAIL) as u64
            && unsafe { copy_user(data.add(from as usize), n, last_base + last_bytes - n) }
        {
            result.tail = n;
        }
    }
    result
}

#[inline(always)]
fn least(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}
