//! Medians and spreads of what several rounds found.

use serde::{Deserialize, Serialize};

/// Median and extremes over rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// Median.
    pub(crate) median: f64,
    /// Least.
    pub(crate) least: f64,
    /// Most.
    pub(crate) most: f64,
    /// How many there were.
    pub(crate) rounds: usize,
}

impl Spread {
    /// Of the finite values; `None` when there is none.
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[half]
        } else {
            f64::midpoint(sorted[half - 1], sorted[half])
        };
        Some(Spread {
            median,
            least,
            most,
            rounds: sorted.len(),
        })
    }
}

/// Each value by the other one of its round, so that what changes slowly between rounds cancels out.
pub(crate) fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

/// Each value less the other one of its round.
pub(crate) fn differences(of: &[f64], from: &[f64]) -> Vec<f64> {
    of.iter().zip(from).map(|(of, from)| of - from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f64]) -> Option<(f64, f64, f64, usize)> {
        Spread::of(values).map(|spread| (spread.median, spread.least, spread.most, spread.rounds))
    }

    #[test]
    fn medians_and_extremes() {
        for (values, expect) in [
            (&[][..], None),
            (&[f64::NAN], None),
            (&[3.0], Some((3.0, 3.0, 3.0, 1))),
            (&[5.0, 1.0, 3.0], Some((3.0, 1.0, 5.0, 3))),
            (&[4.0, 1.0, 2.0, 9.0], Some((3.0, 1.0, 9.0, 4))),
            (&[1.0, f64::INFINITY, 2.0], Some((1.5, 1.0, 2.0, 2))),
        ] {
            assert_eq!(spread(values), expect, "{values:?}");
        }
    }

    #[test]
    fn a_round_is_compared_with_itself() {
        // The machine became half as fast; the ratio stays.
        let (nothing, onlooker) = ([100.0, 50.0, 200.0], [80.0, 40.0, 160.0]);
        assert_eq!(spread(&ratios(&onlooker, &nothing)), Some((0.8, 0.8, 0.8, 3)));
        assert_eq!(spread(&differences(&nothing, &onlooker)), Some((20.0, 10.0, 40.0, 3)));
        assert_eq!(Spread::of(&ratios(&[], &nothing)), None);
        assert_eq!(Spread::of(&ratios(&[1.0], &[0.0])), None);
    }
}
