//! Points that are made of more than one sample: kept until the end of a collection, then told.

use super::table::{Metric, Of};
use super::tables::ALL;
use std::collections::BTreeMap;

/// Attributes of a point, in the order of its term.
pub(super) type Key = Vec<(&'static str, String)>;

/// Points that may wait for the end of a collection: eight for each of 4096 CPUs or mounts.
pub(super) const LIMIT: usize = 32_768;

#[derive(Debug, Default)]
struct Sum {
    value: f64,
    /// Terms that were there, a bit each.
    there: u32,
    /// The term that was there first.
    term: usize,
}

/// Sums of one collection.
#[derive(Debug, Default)]
pub(super) struct Sums {
    sums: BTreeMap<(usize, Key), Sum>,
    /// Families that take the place of others, of which there were samples.
    instead: Vec<&'static str>,
}

impl Sums {
    /// A sample of a term of a metric, by their places in the tables. `false`: there is no room for another point.
    pub(super) fn add(&mut self, (metric, term): (usize, usize), key: Key, value: f64) -> bool {
        if self.sums.len() >= LIMIT && !self.sums.contains_key(&(metric, key.clone())) {
            return false;
        }
        let sum = self.sums.entry((metric, key)).or_insert(Sum { term, ..Sum::default() });
        sum.value += value;
        sum.there |= 1 << term;
        true
    }

    /// A family that takes the place of others has samples.
    pub(super) fn instead(&mut self, family: &'static str) {
        if !self.instead.contains(&family) {
            self.instead.push(family);
        }
    }

    /// All points that are whole: metric, attributes and value. Those of ratios come last.
    pub(super) fn finish(self, tell: &mut dyn FnMut(&'static Metric, &Key, f64)) {
        let whole = |metric: &Metric, sum: &Sum| {
            let needed = metric.needed(sum.term);
            let replaced = metric.of.terms().get(sum.term).and_then(|term| term.unless);
            sum.there & needed == needed && !replaced.is_some_and(|family| self.instead.contains(&family))
        };
        let mut told: BTreeMap<(usize, &Key), f64> = BTreeMap::new();
        for ((index, key), sum) in &self.sums {
            if let Some(metric) = ALL.get(*index).filter(|metric| whole(metric, sum)) {
                told.insert((*index, key), sum.value);
                if matches!(metric.of, Of::Sums(_)) {
                    tell(metric, key, sum.value);
                }
            }
        }
        for metric in ALL.iter() {
            let Of::Ratio { part, whole, without } = metric.of else {
                continue;
            };
            let place = |name: &str| ALL.iter().position(|metric| metric.name == name);
            let (Some(part), Some(whole)) = (place(part), place(whole)) else {
                continue;
            };
            for ((_, key), value) in told
                .range((part, &Key::new())..)
                .take_while(|((index, _), _)| *index == part)
            {
                let rest: Key = key.iter().filter(|(name, _)| *name != without).cloned().collect();
                if let Some(all) = told.get(&(whole, &rest)).filter(|all| **all > 0.0) {
                    tell(metric, key, value / all);
                }
            }
        }
    }
}
