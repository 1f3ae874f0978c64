//! Histograms: counts of whole nanoseconds or bytes in fixed buckets, so that nothing is lost to rounding and recording needs
//! neither allocation nor floating point.

use crate::metric::Exemplar;

/// Bucket bounds, in the integer unit that is recorded and in the base unit that is exported.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Upper bounds, inclusive, ascending.
    pub(crate) units: &'static [u64],
    /// The same in the exported unit (seconds or bytes).
    pub(crate) exported: &'static [f64],
    /// Recorded units in one exported unit.
    pub(crate) scale: f64,
}

/// Durations: exactly the bounds that OpenTelemetry advises for HTTP durations
/// (<https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>), recorded in nanoseconds.
pub(crate) static DURATION: Bounds = Bounds {
    units: &onlooker_common::fallback::BOUNDS,
    exported: &[
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ],
    scale: 1e9,
};

/// Times to first byte: three bounds a decade from 100 us to 10 s, recorded in nanoseconds. No convention fixes them, and
/// services on one host answer below OpenTelemetry's first bound.
pub(crate) static FIRST_BYTE: Bounds = Bounds {
    units: &[
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
    ],
    exported: &[
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ],
    scale: 1e9,
};

/// Sizes: empty, then powers of four from 64 B to 64 MiB, recorded in bytes.
pub(crate) static SIZE: Bounds = Bounds {
    units: &[
        0,
        64,
        256,
        1 << 10,
        4 << 10,
        16 << 10,
        64 << 10,
        256 << 10,
        1 << 20,
        4 << 20,
        16 << 20,
        64 << 20,
    ],
    exported: &[
        0.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0,
    ],
    scale: 1.0,
};

/// Most buckets of any of the above, +Inf included.
pub(crate) const MAX_BUCKETS: usize = 17;

/// A histogram with `N` buckets, the last of which is +Inf.
#[derive(Clone, Debug)]
#[repr(C)] // the sum beside the lower buckets, which are used most: one cache line
pub(crate) struct Histogram<const N: usize> {
    /// Sum in the recorded unit: 584 years of nanoseconds.
    sum: u64,
    counts: [u64; N],
}

/// Of [`DURATION`].
pub(crate) type DurationHistogram = Histogram<15>;
/// Of [`FIRST_BYTE`].
pub(crate) type FirstByteHistogram = Histogram<17>;
/// Of [`SIZE`].
pub(crate) type SizeHistogram = Histogram<13>;

impl<const N: usize> Histogram<N> {
    /// Nothing recorded.
    pub(crate) const fn new() -> Histogram<N> {
        Histogram { counts: [0; N], sum: 0 }
    }

    /// Records a value and says into which bucket it fell.
    pub(crate) fn record(&mut self, bounds: &Bounds, value: u64) -> usize {
        let bucket = bounds.units.partition_point(|&bound| bound < value).min(N - 1);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
        bucket
    }

    /// Adds observations that were counted elsewhere in the same buckets.
    pub(crate) fn add(&mut self, counts: &[u64; N], sum: u64) {
        for (mine, theirs) in self.counts.iter_mut().zip(counts) {
            *mine += theirs;
        }
        self.sum = self.sum.saturating_add(sum);
    }

    /// Observations per bucket.
    pub(crate) fn counts(&self) -> &[u64; N] {
        &self.counts
    }

    /// Sum in the exported unit.
    pub(crate) fn sum(&self, bounds: &Bounds) -> f64 {
        self.sum as f64 / bounds.scale
    }
}

/// The last exemplar of each bucket of a duration histogram.
pub(crate) type Exemplars = [Option<Exemplar>; 15];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_agree_with_what_is_exported() {
        for (bounds, buckets) in [(&DURATION, 15), (&FIRST_BYTE, 17), (&SIZE, 13)] {
            assert_eq!(bounds.units.len() + 1, buckets);
            assert!(buckets <= MAX_BUCKETS);
            assert!(bounds.units.is_sorted_by(|a, b| a < b));
            assert_eq!(bounds.units.len(), bounds.exported.len());
            for (unit, exported) in bounds.units.iter().zip(bounds.exported) {
                assert_eq!(*unit as f64 / bounds.scale, *exported);
            }
        }
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below() {
        let mut histogram = DurationHistogram::new();
        assert_eq!(histogram.record(&DURATION, 0), 0);
        assert_eq!(histogram.record(&DURATION, 5_000_000), 0);
        assert_eq!(histogram.record(&DURATION, 5_000_001), 1);
        assert_eq!(histogram.record(&DURATION, 10_000_000_000), 13);
        assert_eq!(histogram.record(&DURATION, u64::MAX / 2), 14);
        assert_eq!(histogram.counts().iter().sum::<u64>(), 5);
    }
}
