//! Counts of events under one invariant: `seen = delivered + lost{reason} + pending` at every instant, pending never
//! negative.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCount {
    /// Kind, e.g. `payload`, `exchange`, `span`.
    pub kind: &'static str,
    /// Events that happened.
    pub seen: u64,
    /// Events that reached their destination.
    pub delivered: u64,
    /// Events that were lost, by reason. All reasons, also those that never struck.
    pub lost: Vec<(&'static str, u64)>,
}

impl EventCount {
    /// Events on their way.
    pub fn pending(&self) -> u64 {
        self.lost
            .iter()
            .fold(self.seen.saturating_sub(self.delivered), |rest, (_, count)| {
                rest.saturating_sub(*count)
            })
    }
}

/// A part of the agent that counts events.
pub trait EventCounts: Send + Sync {
    /// Present counts, one entry per kind. Whoever reads counters one by one reads `seen` last, so that it is never less
    /// than the rest.
    fn events(&self) -> Vec<EventCount>;
}

/// Counters of one kind of event, for parts that have no counters of their own. An event is counted as seen before it
/// is counted as delivered or lost.
#[derive(Debug)]
pub struct Counts {
    kind: &'static str,
    reasons: &'static [&'static str],
    seen: AtomicU64,
    delivered: AtomicU64,
    lost: Box<[AtomicU64]>,
}

impl Counts {
    /// Counters at 0 for a kind of event that can be lost for these reasons.
    pub fn new(kind: &'static str, reasons: &'static [&'static str]) -> Counts {
        let lost = reasons.iter().map(|_| AtomicU64::new(0)).collect();
        Counts {
            kind,
            reasons,
            seen: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            lost,
        }
    }
    /// Events happened.
    pub fn seen(&self, count: u64) {
        self.seen.fetch_add(count, Ordering::Relaxed);
    }
    /// Events reached their destination.
    pub fn delivered(&self, count: u64) {
        // Release, with the Acquire of the reader: who sees this sees the events as seen.
        self.delivered.fetch_add(count, Ordering::Release);
    }
    /// Events were lost, for the reason at this index of the reasons. An index beyond them counts as the last reason.
    pub fn lost(&self, reason: usize, count: u64) {
        if let Some(counter) = self.lost.get(reason).or(self.lost.last()) {
            counter.fetch_add(count, Ordering::Release);
        }
    }
}

impl EventCounts for Counts {
    fn events(&self) -> Vec<EventCount> {
        let lost = self
            .reasons
            .iter()
            .zip(&self.lost)
            .map(|(reason, count)| (*reason, count.load(Ordering::Acquire)));
        let lost = lost.collect();
        let delivered = self.delivered.load(Ordering::Acquire);
        vec![EventCount {
            kind: self.kind,
            seen: self.seen.load(Ordering::Relaxed),
            delivered,
            lost,
        }]
    }
}

/// Counts of all producers, one entry per kind, in the order in which kinds and reasons first appear.
pub fn merged(counts: impl IntoIterator<Item = EventCount>) -> Vec<EventCount> {
    let mut out: Vec<EventCount> = Vec::new();
    for count in counts {
        let index = out.iter().position(|sum| sum.kind == count.kind).unwrap_or_else(|| {
            out.push(EventCount {
                kind: count.kind,
                seen: 0,
                delivered: 0,
                lost: Vec::new(),
            });
            out.len() - 1
        });
        let sum = &mut out[index];
        sum.seen = sum.seen.saturating_add(count.seen);
        sum.delivered = sum.delivered.saturating_add(count.delivered);
        for (reason, lost) in count.lost {
            match sum.lost.iter_mut().find(|(name, _)| *name == reason) {
                Some((_, before)) => *before = before.saturating_add(lost),
                None => sum.lost.push((reason, lost)),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(kind: &'static str, seen: u64, delivered: u64, lost: &[(&'static str, u64)]) -> EventCount {
        EventCount {
            kind,
            seen,
            delivered,
            lost: lost.to_vec(),
        }
    }

    #[test]
    fn pending_is_what_is_left_and_never_negative() {
        for (seen, delivered, lost, expect) in [
            (10, 4, 3, 3),
            (10, 10, 0, 0),
            (10, 8, 5, 0),
            (0, 1, 1, 0),
            (u64::MAX, 0, u64::MAX, 0),
        ] {
            assert_eq!(count("x", seen, delivered, &[("r", lost)]).pending(), expect);
        }
    }

    #[test]
    fn counts_of_one_kind_add_up() {
        let all = [
            count("span", 1, 1, &[("full", 0)]),
            count("exchange", 5, 3, &[("gap", 1)]),
            count("span", 4, 1, &[("refused", 2), ("full", 1)]),
        ];
        let expect = [
            count("span", 5, 2, &[("full", 1), ("refused", 2)]),
            count("exchange", 5, 3, &[("gap", 1)]),
        ];
        assert_eq!(merged(all), expect);
    }

    #[test]
    fn counters_count() {
        let counts = Counts::new("span", &["full", "refused"]);
        counts.seen(10);
        counts.delivered(4);
        counts.lost(0, 1);
        counts.lost(1, 2);
        counts.lost(9, 1);
        assert_eq!(counts.events(), [count("span", 10, 4, &[("full", 1), ("refused", 3)])]);
        assert_eq!(counts.events()[0].pending(), 2);
    }

    #[test]
    fn seen_is_never_less_than_the_rest() {
        let counts = Counts::new("x", &["r"]);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..50_000 {
                    counts.seen(2);
                    counts.delivered(1);
                    counts.lost(0, 1);
                }
            });
            while !writer.is_finished() {
                let now = &counts.events()[0];
                assert!(now.seen >= now.delivered + now.lost[0].1, "{now:?}");
            }
        });
    }
}
