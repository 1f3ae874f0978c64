//! The live summary's view: one row per service and role, with buckets fine enough for quantiles on a screen.

use crate::signal::Role;
use std::sync::{Arc, OnceLock};

/// Buckets of a row: a lower one for everything under 1 us, then eight per doubling, up to 134 s and beyond.
pub const ROW_BUCKETS: usize = 8 * 27 + 1;

/// Counts of one service in one role, since it was first seen. A service that is gone for longer than the series' time to
/// live starts again from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRow {
    /// `service.name`; `_OTHER` for all services beyond the limit.
    pub service: Arc<str>,
    /// `service.namespace`.
    pub namespace: Option<Arc<str>>,
    /// Its role.
    pub role: Role,
    /// Exchanges ended.
    pub count: u64,
    /// Those with an `error.type`, without those whose answer the agent itself failed to capture.
    pub errors: u64,
    /// Exchanges open now.
    pub active: u64,
    /// Durations, by bucket; bounds are those of [`row_bounds`].
    pub durations: Box<[u64]>,
}

impl ServiceRow {
    /// What came since an earlier row of the same service and role; everything, if the service was forgotten in between.
    pub fn since(&self, earlier: &ServiceRow) -> ServiceRow {
        let mut row = self.clone();
        let restarted = self.count < earlier.count || self.errors < earlier.errors;
        if !restarted && self.durations.len() == earlier.durations.len() {
            row.count -= earlier.count;
            row.errors -= earlier.errors;
            for (now, before) in row.durations.iter_mut().zip(&earlier.durations) {
                *now = now.saturating_sub(*before);
            }
        }
        row
    }
}

/// Upper bounds of the buckets of a row in seconds, all but the last, which has none.
pub fn row_bounds() -> &'static [f64] {
    static BOUNDS: OnceLock<Vec<f64>> = OnceLock::new();
    BOUNDS.get_or_init(|| (1..ROW_BUCKETS).map(|bucket| lower_bound(bucket) * 1e-9).collect())
}

/// What the live summary needs of a service in one role.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) count: u64,
    pub(crate) errors: u64,
    pub(crate) durations: Box<[u64; ROW_BUCKETS]>,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            count: 0,
            errors: 0,
            durations: Box::new([0; ROW_BUCKETS]),
        }
    }
}

impl Live {
    /// Counts one exchange that took `nanos`.
    pub(crate) fn record(&mut self, nanos: u64, error: bool) {
        self.count += 1;
        self.errors += u64::from(error);
        self.durations[bucket(nanos)] += 1;
    }

    /// Counts exchanges of which only coarse durations are known: quantiles are those of the others.
    pub(crate) fn add(&mut self, exchanges: u64, errors: u64) {
        self.count += exchanges;
        self.errors += errors;
    }
}

/// Bucket of a duration in nanoseconds.
fn bucket(nanos: u64) -> usize {
    // In units of 1.024 us, so that a doubling is a bit.
    let units = nanos >> 10;
    if units == 0 {
        return 0;
    }
    let octave = units.ilog2() as usize;
    // The three bits of `nanos` below its leading one.
    let part = (nanos >> (octave + 7)) as usize & 7;
    (1 + octave * 8 + part).min(ROW_BUCKETS - 1)
}

/// Lower bound of a bucket in nanoseconds.
fn lower_bound(bucket: usize) -> f64 {
    match bucket.checked_sub(1) {
        None => 0.0,
        Some(index) => f64::from(8 + index as u32 % 8) * 2f64.powi(index as i32 / 8 + 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::quantile::{Quantile, quantile};

    #[test]
    fn buckets_and_their_bounds_agree() {
        for nanos in [
            0,
            1,
            1023,
            1024,
            1151,
            1152,
            1_000_000,
            5_123_456,
            1_000_000_000,
            130_000_000_000,
        ] {
            let index = bucket(nanos);
            assert!(lower_bound(index) <= nanos as f64, "{nanos}");
            assert!((nanos as f64) < lower_bound(index + 1), "{nanos}");
        }
        assert_eq!(bucket(u64::MAX), ROW_BUCKETS - 1);
    }

    #[test]
    fn quantiles() {
        let mut live = Live::default();
        for millis in 1..=1000u64 {
            live.record(millis * 1_000_000, false);
        }
        for (q, expect) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0)] {
            let Quantile::About(value) = quantile(q, row_bounds(), &*live.durations) else {
                panic!("{q} of durations below the highest bound");
            };
            assert!((value - expect).abs() < expect * 0.07, "{q}: {value}");
        }
    }

    #[test]
    fn difference_of_two_rows() {
        let mut live = Live::default();
        let row = |live: &Live| ServiceRow {
            service: "shop".into(),
            namespace: None,
            role: Role::Server,
            count: live.count,
            errors: live.errors,
            active: 0,
            durations: Box::new(*live.durations),
        };
        live.record(1_000_000_000, true);
        let first = row(&live);
        live.record(1_000_000, false);
        let between = row(&live).since(&first);
        assert_eq!((between.count, between.errors), (1, 0));
        // The millisecond alone: a second is not in it any more.
        assert_eq!(between.durations.iter().sum::<u64>(), 1);
        assert_eq!(between.durations[bucket(1_000_000)], 1);
        // Forgotten and back: nothing is subtracted.
        assert_eq!(first.since(&row(&live)).count, 1);
    }
}
