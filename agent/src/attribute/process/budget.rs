//! A token bucket: what is worth doing at once, as long as it is seldom.

use crate::signal::Nanos;

/// Tokens that come at a steady rate and gather up to one second's worth.
#[derive(Debug)]
pub struct Budget {
    per_second: u32,
    /// Tokens, in nanoseconds of `per_second` (a token costs 10^9).
    credit: u64,
    last: Nanos,
}

const TOKEN: u64 = 1_000_000_000;

impl Budget {
    /// A full bucket that gains `per_second` tokens a second.
    pub fn new(per_second: u32) -> Budget {
        Budget {
            per_second,
            credit: u64::from(per_second) * TOKEN,
            last: 0,
        }
    }

    /// Takes a token at time `now` if there is one. Time that goes back gains nothing.
    pub fn take(&mut self, now: Nanos) -> bool {
        let passed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        let full = u64::from(self.per_second) * TOKEN;
        self.credit = full.min(
            self.credit
                .saturating_add(passed.saturating_mul(u64::from(self.per_second))),
        );
        let ok = self.credit >= TOKEN;
        if ok {
            self.credit -= TOKEN;
        }
        ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_bounded_and_refills_with_time() {
        let mut budget = Budget::new(10);
        let taken = |budget: &mut Budget, now| (0..100).filter(|_| budget.take(now)).count();
        assert_eq!(taken(&mut budget, 5 * TOKEN), 10);
        assert_eq!(taken(&mut budget, 5 * TOKEN + TOKEN / 2), 5);
        assert_eq!(taken(&mut budget, 1), 0);
        assert_eq!(taken(&mut budget, u64::MAX), 10);
        assert_eq!(taken(&mut Budget::new(0), TOKEN), 0);
    }
}
