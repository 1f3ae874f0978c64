//! A cache from targets as they were asked for to routes: one place per hash, the newer target wins. Its size is fixed, it
//! never needs clearing, and a wrong hit is impossible because the target itself is compared.

use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Longer targets are not cached, bytes.
const LONGEST: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct TargetCache {
    slots: Box<[Slot]>,
}

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
        let slots = capacity.clamp(1, 1 << 20).next_power_of_two();
        TargetCache {
            slots: vec![Slot::default(); slots].into(),
        }
    }

    fn slot(&mut self, stamp: u32, target: &str) -> &mut Slot {
        let mut hasher = FxHasher::default();
        hasher.write_u32(stamp);
        hasher.write(target.as_bytes());
        // The number of slots is a power of two and not 0. The upper bits of this hash are its better ones.
        let index = (hasher.finish() >> 32) as usize & (self.slots.len() - 1);
        &mut self.slots[index]
    }

    /// The route that a table with this stamp has for the target.
    pub(crate) fn get(&mut self, stamp: u32, target: &str) -> Option<u32> {
        let slot = self.slot(stamp, target);
        (slot.stamp == stamp && slot.target == target).then_some(slot.route)
    }

    /// Remembers a route.
    pub(crate) fn put(&mut self, stamp: u32, target: &str, route: u32) {
        if target.len() <= LONGEST {
            let slot = self.slot(stamp, target);
            slot.target.clear();
            slot.target.push_str(target);
            slot.stamp = stamp;
            slot.route = route;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_by_stamp_and_stays_small() {
        let mut cache = TargetCache::new(3);
        assert_eq!(cache.slots.len(), 4);
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
        assert!((1..=4).contains(&kept));
        let long = "/".repeat(LONGEST + 1);
        cache.put(1, &long, 9);
        assert_eq!(cache.get(1, &long), None);
    }
}
