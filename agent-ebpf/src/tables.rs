//! Maps in which programs count.

use aya_ebpf::maps::{HashMap, PerCpuHashMap};
use onlooker_common::histogram::{BOUNDS, Histogram, bucket};

/// A map by key, per CPU or not.
pub(crate) trait Keyed<K, V> {
    /// The value at a key.
    fn at(&self, key: &K) -> Option<*mut V>;
    /// Puts a value at a key that is not there.
    fn put(&self, key: &K, value: &V);
}

/// `BPF_NOEXIST`: another CPU may have been first.
const NOEXIST: u64 = 1;

impl<K, V> Keyed<K, V> for HashMap<K, V> {
    #[inline(always)]
    fn at(&self, key: &K) -> Option<*mut V> {
        self.get_ptr_mut(key)
    }
    #[inline(always)]
    fn put(&self, key: &K, value: &V) {
        let _ = self.insert(key, value, NOEXIST);
    }
}

impl<K, V> Keyed<K, V> for PerCpuHashMap<K, V> {
    #[inline(always)]
    fn at(&self, key: &K) -> Option<*mut V> {
        self.get_ptr_mut(key)
    }
    #[inline(always)]
    fn put(&self, key: &K, value: &V) {
        let _ = self.insert(key, value, NOEXIST);
    }
}

/// Adds to a number that other CPUs may be adding to. (`core` has no atomics for this target.)
///
/// # Safety
/// `number` is an aligned number inside a map's value, and the verifier knows it.
#[inline(always)]
pub(crate) unsafe fn add(number: *mut u64, by: u64) {
    // SAFETY: the caller's.
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) number, in(reg) by) };
}

/// Observes a duration, nanoseconds, in a histogram that several CPUs add to.
///
/// # Safety
/// `histogram` is inside a map's value.
#[inline(always)]
pub(crate) unsafe fn observe(histogram: *mut Histogram, nanos: u64) {
    // Forgotten: on paths that cannot be, older verifiers know contradictory bounds of it.
    let index = crate::read::opaque(crate::globals::forget(bucket(nanos) as u64)) as usize;
    if index > BOUNDS {
        return;
    }
    // SAFETY: the caller's; the index was checked.
    unsafe {
        add((&raw mut (*histogram).buckets).cast::<u64>().add(index), 1);
        add(&raw mut (*histogram).sum, nanos);
    }
}
