//! The only way to the ring: reserve, fill, submit; what could not be sent is counted per kind and CPU.

use crate::maps::{COUNTERS, MARK, RING};
use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    maps::ring_buf::RingBufEntry,
};
use core::mem::MaybeUninit;
use onlooker_common::{
    count::{self, reason},
    limits,
};

/// Room for a record of a kind; counts it as seen, and as lost when the ring is full.
#[inline(always)]
pub(crate) fn reserve<T: 'static>(kind: u16) -> Option<RingBufEntry<T>> {
    bump(count::seen(kind));
    let entry = RING.reserve::<T>(0);
    if entry.is_none() {
        bump(count::lost(kind, reason::RING_FULL));
    }
    entry
}

/// More than any record takes.
const LARGEST: u64 = limits::CLASS_LARGE as u64 + 1024;

/// Sends a record. The reader looks by itself after a while; it is woken only as the ring passes its mark.
#[inline(always)]
pub(crate) fn submit<T>(entry: RingBufEntry<T>) {
    let waiting = RING.query(u64::from(BPF_RB_AVAIL_DATA));
    let mark = MARK.get_ptr(0).map_or(u64::MAX, |mark| {
        // SAFETY: an array's value, which stays. Volatile: the reader changes it meanwhile.
        u64::from(unsafe { core::ptr::read_volatile(mark) })
    });
    // Once, on the way past the mark: a reader that is behind needs no further calls.
    let passing = waiting >= mark && waiting - mark < LARGEST;
    entry.submit(u64::from(if passing { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }));
}

/// Sends a record that should be read at once.
#[inline(always)]
pub(crate) fn submit_now<T>(entry: RingBufEntry<T>) {
    entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Sends a whole struct.
#[inline(always)]
pub(crate) fn send<T: Copy + 'static>(kind: u16, record: T) -> bool {
    match reserve::<T>(kind) {
        Some(mut entry) => {
            entry.write(record);
            submit(entry);
            true
        }
        None => false,
    }
}

/// Counts a payload that should have gone out but cannot.
#[inline(always)]
pub(crate) fn refuse(kind: u16, why: usize) {
    bump(count::seen(kind));
    bump(count::lost(kind, why));
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub(crate) fn bump(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: per-CPU value, valid until the program ends. A program of another kind may interrupt between load and
        // store, but not one that counts the same kind on this CPU.
        unsafe { *counter += 1 }
    }
}

/// A record with room for data behind it, as it lies in the ring.
#[repr(C)]
pub(crate) struct With<R: 'static, const N: usize> {
    /// The record.
    pub record: R,
    /// Its data, written in part.
    pub data: MaybeUninit<[u8; N]>,
}
