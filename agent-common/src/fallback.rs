//! The table in which the kernel side counts exchanges by itself while the ring is full: a hash map from [`FallbackKey`] to
//! [`FallbackCounts`]. Values only grow.

use crate::record::Actor;

/// Entries of the table: processes times statuses, methods and roles that are answered while the ring is full.
pub const ENTRIES: u32 = 1024;

/// Upper bounds of the buckets of durations, inclusive, nanoseconds: those that OpenTelemetry advises for HTTP
/// (<https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>), so that what is counted here and what user space
/// counts add up. One more bucket holds the rest.
pub const BOUNDS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Whose exchanges, of what kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FallbackKey {
    /// Start time of the process that moved the first byte of the request.
    pub start: u64,
    /// Its id.
    pub tgid: u32,
    /// Status of the answer.
    pub status: u16,
    /// One of [`crate::record::role`].
    pub role: u8,
    /// An index of [`crate::method::NAMES`].
    pub method: u8,
    /// Minor version of HTTP/1.
    pub version: u8,
    /// Reserved, zero.
    pub pad: [u8; 7],
}

impl FallbackKey {
    /// The key of an exchange.
    #[inline(always)]
    pub const fn new(asker: Actor, role: u8, method: u8, version: u8, status: u16) -> FallbackKey {
        FallbackKey {
            start: asker.start,
            tgid: asker.tgid,
            status,
            role,
            method,
            version,
            pad: [0; 7],
        }
    }
}

/// Durations: first byte of the request to last byte of the response.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FallbackCounts {
    /// Exchanges by bucket of their duration.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// Sum of the durations, nanoseconds.
    pub sum: u64,
}

impl FallbackCounts {
    /// Nothing counted.
    pub const BLANK: FallbackCounts = FallbackCounts {
        buckets: [0; BOUNDS.len() + 1],
        sum: 0,
    };
}

const _: () = assert!(size_of::<FallbackKey>() == 24 && size_of::<FallbackCounts>() == 128);

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for FallbackKey {}
#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for FallbackCounts {}
