//! A cache from targets as they were asked for to routes. Its size is fixed, it never needs clearing, and a wrong hit is
//! impossible because the target itself is compared.

use crate::recent::Recent;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Longer targets are not cached, bytes.
const LONGEST: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct TargetCache(Recent<Slot>);

#[derive(Clone, Debug, Default)]
struct Slot {
    target: String,
    /// Which table of routes said so, and when; 0: nothing here.
    stamp: u32,
    route: u32,
}

impl TargetCache {
    /// A cache of about `capacity` targets.
    pub(crate) fn new(capacity: usize) -> TargetCache {
        TargetCache(Recent::new(capacity))
    }

    /// The route that a table with this stamp has for the target.
    pub(crate) fn get(&self, stamp: u32, target: &str) -> Option<u32> {
        let slot = self.0.get(hash(stamp, target))?;
        (slot.stamp == stamp && slot.target == target).then_some(slot.route)
    }

    /// Remembers a route.
    pub(crate) fn put(&mut self, stamp: u32, target: &str, route: u32) {
        if target.len() <= LONGEST {
            let slot = self.0.place(hash(stamp, target));
            slot.target.clear();
            slot.target.push_str(target);
            slot.stamp = stamp;
            slot.route = route;
        }
    }
}

fn hash(stamp: u32, target: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(stamp);
    hasher.write(target.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_by_stamp_and_stays_small() {
        let mut cache = TargetCache::new(3);
        assert_eq!(cache.get(1, "/a"), None);
        cache.put(1, "/a", 7);
        assert_eq!(cache.get(1, "/a"), Some(7));
        assert_eq!(cache.get(2, "/a"), None);
        assert_eq!(cache.get(1, "/b"), None);
        for index in 0..100 {
            cache.put(1, &format!("/{index}"), index);
        }
        let kept = (0..100)
            .filter(|index| cache.get(1, &format!("/{index}")) == Some(*index))
            .count();
        assert!((1..=16).contains(&kept));
        let long = "/".repeat(LONGEST + 1);
        cache.put(1, &long, 9);
        assert_eq!(cache.get(1, &long), None);
    }
}
