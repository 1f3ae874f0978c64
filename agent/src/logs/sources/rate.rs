//! How many lines of a service are handed on.

use super::counts::Dropped;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// Services with a rate of their own; further ones share one.
const SERVICES: usize = 4096;

/// Limits for each service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Lines a second, as many at once at most.
    pub lines: Option<u32>,
    /// Share of the lines that is kept, 0 to 1: evenly, every Nth.
    pub share: f64,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate {
            lines: None,
            share: 1.0,
        }
    }
}

#[derive(Debug)]
struct Service {
    tokens: f64,
    at: Duration,
    share: f64,
}

/// Of all services.
#[derive(Debug)]
pub(in crate::logs) struct Rates {
    rate: Rate,
    services: FxHashMap<Arc<str>, Service>,
    others: Option<Service>,
}

impl Rates {
    pub(in crate::logs) fn new(rate: Rate) -> Rates {
        Rates {
            rate,
            services: FxHashMap::default(),
            others: None,
        }
    }

    /// Whether one more line of a service is handed on now.
    pub(in crate::logs) fn admits(&mut self, service: &Arc<str>, now: Duration) -> Result<(), Dropped> {
        let Rate { lines, share } = self.rate;
        if lines.is_none() && share >= 1.0 {
            return Ok(());
        }
        let full = f64::from(lines.unwrap_or(0));
        let make = || Service {
            tokens: full,
            at: now,
            // So that the first one is kept, if any is.
            share: if share > 0.0 { 1.0 - share } else { 0.0 },
        };
        let room = self.services.len() < SERVICES;
        let its = match self.services.get_mut(service) {
            Some(its) => its,
            None if room => self.services.entry(service.clone()).or_insert_with(make),
            None => self.others.get_or_insert_with(make),
        };
        its.share += share;
        if its.share < 1.0 {
            return Err(Dropped::Sampled);
        }
        its.share -= 1.0;
        if lines.is_some() {
            its.tokens = (its.tokens + now.saturating_sub(its.at).as_secs_f64() * full).min(full);
            its.at = now;
            if its.tokens < 1.0 {
                return Err(Dropped::Rate);
            }
            its.tokens -= 1.0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rates: &mut Rates, service: &str, times: usize, now: Duration) -> usize {
        (0..times)
            .filter(|_| rates.admits(&service.into(), now).is_ok())
            .count()
    }

    #[test]
    fn a_service_has_its_lines_a_second() {
        let mut rates = Rates::new(Rate {
            lines: Some(10),
            share: 1.0,
        });
        let at = Duration::from_millis;
        assert_eq!(kept(&mut rates, "a", 50, at(0)), 10);
        assert_eq!(kept(&mut rates, "b", 5, at(0)), 5);
        assert_eq!(kept(&mut rates, "a", 50, at(500)), 5);
        assert_eq!(kept(&mut rates, "a", 50, at(90_000)), 10);
        assert_eq!(rates.admits(&"a".into(), at(90_000)), Err(Dropped::Rate));
    }

    #[test]
    fn a_share_is_kept_evenly() {
        for (share, expect) in [(0.0, 0), (0.25, 25), (0.5, 50), (1.0, 100)] {
            let mut rates = Rates::new(Rate { lines: None, share });
            assert_eq!(kept(&mut rates, "a", 100, Duration::ZERO), expect);
        }
    }

    #[test]
    fn services_beyond_the_limit_share_one_rate() {
        let mut rates = Rates::new(Rate {
            lines: Some(1),
            share: 1.0,
        });
        for n in 0..SERVICES {
            assert_eq!(kept(&mut rates, &n.to_string(), 2, Duration::ZERO), 1);
        }
        assert_eq!(kept(&mut rates, "x", 2, Duration::ZERO), 1);
        assert_eq!(kept(&mut rates, "y", 2, Duration::ZERO), 0);
        assert_eq!(rates.services.len(), SERVICES);
    }
}
