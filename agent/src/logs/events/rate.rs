//! How much may be told: a token bucket, a part of which is for what is urgent.

use crate::signal::Nanos;

/// Nanoseconds of a minute: what a token costs, in nanoseconds times tokens a minute.
const TOKEN: u64 = 60_000_000_000;

/// More is no limit; and nothing below overflows.
const MOST: u32 = 100_000_000;

/// Tokens that come in a minute; as many gather at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(u64);

impl Rate {
    pub(super) fn per_minute(tokens: u32) -> Rate {
        Rate(tokens.clamp(1, MOST).into())
    }
    /// What a full bucket has.
    fn full(self) -> u64 {
        self.0 * TOKEN
    }
    /// What only the urgent may take: a fifth, less than all.
    fn kept(self) -> u64 {
        self.0 / 5 * TOKEN
    }
}

/// Tokens that are there.
#[derive(Debug)]
pub(super) struct Bucket {
    credit: u64,
    at: Nanos,
}

impl Bucket {
    pub(super) fn full(rate: &Rate) -> Bucket {
        Bucket {
            credit: rate.full(),
            at: 0,
        }
    }

    /// Whether a token is there. Time that goes back gains nothing.
    pub(super) fn has(&mut self, rate: &Rate, now: Nanos, urgent: bool) -> bool {
        let gained = now.saturating_sub(self.at).saturating_mul(rate.0);
        self.credit = self.credit.saturating_add(gained).min(rate.full());
        self.at = self.at.max(now);
        let kept = if urgent { 0 } else { rate.kept() };
        self.credit >= kept + TOKEN
    }

    /// Takes one that is there.
    pub(super) fn take(&mut self) {
        self.credit = self.credit.saturating_sub(TOKEN);
    }

    /// Whether it is as a new one is.
    pub(super) fn is_full(&mut self, rate: &Rate, now: Nanos) -> bool {
        self.has(rate, now, false);
        self.credit == rate.full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, rate: &Rate, now: Nanos, urgent: bool) -> usize {
        let take = |_: &u32| {
            let has = bucket.has(rate, now, urgent);
            if has {
                bucket.take();
            }
            has
        };
        (0..1000).filter(take).count()
    }

    #[test]
    fn a_burst_is_bounded_refills_with_time_and_leaves_some_for_the_urgent() {
        let rate = Rate::per_minute(10);
        let mut bucket = Bucket::full(&rate);
        let second = 1_000_000_000;
        assert_eq!(taken(&mut bucket, &rate, 7 * second, false), 8);
        assert_eq!(taken(&mut bucket, &rate, 7 * second, true), 2);
        assert_eq!(taken(&mut bucket, &rate, 37 * second, true), 5);
        assert_eq!(taken(&mut bucket, &rate, 0, true), 0, "time that goes back");
        assert!(!bucket.is_full(&rate, 96 * second));
        assert!(bucket.is_full(&rate, 97 * second));
        assert_eq!(taken(&mut bucket, &rate, u64::MAX, true), 10);
        let least = Rate::per_minute(0);
        assert_eq!(taken(&mut Bucket::full(&least), &least, 0, false), 1);
    }

    #[test]
    fn the_largest_rate_does_not_overflow() {
        let rate = Rate::per_minute(u32::MAX);
        let mut bucket = Bucket::full(&rate);
        assert!(bucket.has(&rate, u64::MAX, false));
    }
}
