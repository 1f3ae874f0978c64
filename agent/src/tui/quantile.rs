//! Quantiles of a histogram, as Prometheus' `histogram_quantile` estimates them.

/// An estimated quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantile {
    /// Nothing was observed, or the histogram contradicts itself.
    Unknown,
    /// About this, in the unit of the bounds.
    About(f64),
    /// In the last bucket: more than the highest bound. How much more is not known.
    Beyond(f64),
}

/// The `q`-quantile (0 to 1) of observations in `buckets` (not cumulative; one more than `bounds`, the last without upper
/// bound). Inside a bucket the observations are taken as evenly spread; the first bucket begins at 0.
pub fn quantile(q: f64, bounds: &[f64], buckets: &[u64]) -> Quantile {
    let total: u64 = buckets.iter().fold(0, |sum, count| sum.saturating_add(*count));
    if total == 0 || buckets.len() != bounds.len() + 1 {
        return Quantile::Unknown;
    }
    let rank = q.clamp(0.0, 1.0) * total as f64;
    let mut below = 0.0;
    let mut lower = 0.0;
    for (&upper, &count) in bounds.iter().zip(buckets) {
        let count = count as f64;
        if count > 0.0 && below + count >= rank {
            return Quantile::About(lower + (upper - lower) * ((rank - below) / count));
        }
        below += count;
        lower = upper;
    }
    match bounds.last() {
        Some(highest) => Quantile::Beyond(*highest),
        None => Quantile::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::Quantile::{About, Beyond, Unknown};
    use super::*;

    #[test]
    fn quantiles() {
        let bounds = [1.0, 2.0, 4.0];
        for (q, buckets, expect) in [
            (0.5, &[0, 0, 0, 0][..], Unknown),
            (0.5, &[1, 1][..], Unknown),
            (0.5, &[10, 0, 0, 0], About(0.5)),
            (1.0, &[10, 0, 0, 0], About(1.0)),
            (0.5, &[0, 10, 0, 0], About(1.5)),
            (0.5, &[5, 0, 5, 0], About(1.0)),
            (0.75, &[5, 0, 5, 0], About(3.0)),
            (0.99, &[1, 1, 1, 97], Beyond(4.0)),
            (0.0, &[0, 4, 0, 0], About(1.0)),
            (0.5, &[u64::MAX, u64::MAX, 0, 0], About(0.5)),
        ] {
            assert_eq!(quantile(q, &bounds, buckets), expect, "q {q} of {buckets:?}");
        }
        assert_eq!(quantile(0.5, &[], &[3]), Unknown, "no bounds, no knowledge");
    }
}
