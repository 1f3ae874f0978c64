//! Maps. Sizes here are defaults; the loader sets them from the operator's limits.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use onlooker_common::{
    count,
    fallback::{self, FallbackCounts, FallbackKey},
    limits,
    socket::{self, Grave, SocketState},
};

/// Records on their way to user space.
#[map]
pub(crate) static RING: RingBuf = RingBuf::with_byte_size(limits::RING_BYTES, 0);

/// Waiting bytes of the ring at which its reader is woken; the reader sets it to what it expects.
#[map]
pub(crate) static MARK: Array<u32> = Array::with_max_entries(1, 0);

/// Connections that may carry requests, by address of their `struct sock`.
#[map]
pub(crate) static SOCKETS: HashMap<u64, SocketState> = HashMap::with_max_entries(limits::SOCKETS, 0);

/// Records seen and lost, see `onlooker_common::count`.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(count::COUNT, 0);

/// Exchanges that were counted here because the ring was full, see `onlooker_common::fallback`.
#[map]
pub(crate) static FALLBACK: HashMap<FallbackKey, FallbackCounts> = HashMap::with_max_entries(fallback::ENTRIES, 0);

/// Connections whose end found no room in the ring, by their identity.
#[map]
pub(crate) static GRAVES: HashMap<u64, Grave> = HashMap::with_max_entries(socket::GRAVES, 0);
