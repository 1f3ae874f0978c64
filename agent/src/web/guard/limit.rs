//! `rate_limit`: a bucket that fills at a steady rate, of which every request takes one.

use super::file::Rate;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The bucket.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Rate,
    /// What it holds, and when it held that.
    held: Mutex<(f64, Instant)>,
}

impl Limiter {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Limiter {
        Limiter {
            rate,
            held: Mutex::new((f64::from(rate.burst), now)),
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(held.1).as_secs_f64();
        let amount = (held.0 + since / self.rate.interval.as_secs_f64()).min(f64::from(self.rate.burst));
        let taken = amount >= 1.0;
        *held = (if taken { amount - 1.0 } else { amount }, now);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let interval = Duration::from_secs(1);
        let start = Instant::now();
        let limiter = Limiter::new(Rate { interval, burst: 2 }, start);
        assert!(limiter.take(start) && limiter.take(start) && !limiter.take(start));
        assert!(!limiter.take(start + interval / 2));
        assert!(limiter.take(start + interval) && !limiter.take(start + interval));
        let later = start + interval * 100;
        assert!(limiter.take(later) && limiter.take(later) && !limiter.take(later));
    }
}
