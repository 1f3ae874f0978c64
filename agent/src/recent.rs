//! A table of what was met lately, found by a hash of what it is about. Its size is fixed. Sets of sixteen places: with one
//! place a hash, of 2,000 things in turn 4 in 10 would share their place in a table of 4,096, and each would find the other there
//! every time.

/// Places of a set. Their tags fill a cache line.
const WAYS: usize = 16;

/// See the module. Who finds something compares what it is about: other things may have the same hash.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    /// Part of the hash of what is in each place; 0: nothing.
    tags: Box<[Tags]>,
    places: Box<[T]>,
    /// Where the next one goes that finds its set full.
    turn: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Tags([u32; WAYS]);

impl<T: Clone + Default> Recent<T> {
    /// A table of about `capacity` places, 16 at least.
    pub(crate) fn new(capacity: usize) -> Recent<T> {
        let sets = (capacity.clamp(1, 1 << 20) / WAYS).max(1).next_power_of_two();
        Recent {
            tags: vec![Tags([0; WAYS]); sets].into(),
            places: vec![T::default(); sets * WAYS].into(),
            turn: 0,
        }
    }

    /// What has this hash.
    pub(crate) fn get(&self, hash: u64) -> Option<&T> {
        let (set, tag) = self.split(hash);
        let way = self.way(set, tag)?;
        self.places.get(set * WAYS + way)
    }

    /// The place for what has this hash: its own, else a free one, else that of another, with what was in it.
    pub(crate) fn place(&mut self, hash: u64) -> &mut T {
        let (set, tag) = self.split(hash);
        let way = self.way(set, tag).or_else(|| self.way(set, 0)).unwrap_or_else(|| {
            self.turn = (self.turn + 1) % WAYS;
            self.turn
        });
        self.tags[set].0[way] = tag;
        &mut self.places[set * WAYS + way]
    }

    /// The lower bits of a hash are its better ones (`rustc_hash`).
    fn split(&self, hash: u64) -> (usize, u32) {
        let set = hash as usize & (self.tags.len() - 1);
        (set, (hash >> 20) as u32 | 1)
    }

    fn way(&self, set: usize, tag: u32) -> Option<usize> {
        self.tags[set].0.iter().position(|other| *other == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustc_hash::FxHasher;
    use std::hash::Hasher;

    fn hash(text: &str) -> u64 {
        let mut hasher = FxHasher::default();
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// How many of `count` things that come in turn are found when they come again.
    fn found(capacity: usize, count: usize) -> usize {
        let mut table = Recent::new(capacity);
        let mut turn = || {
            let names = (0..count).map(|n| format!("/users/{n}"));
            names
                .filter(|name| {
                    let known = table.get(hash(name)) == Some(name);
                    if !known {
                        table.place(hash(name)).clone_from(name);
                    }
                    known
                })
                .count()
        };
        (turn(), turn(), turn()).2
    }

    #[test]
    fn what_comes_in_turn_is_found_again() {
        assert_eq!(found(4096, 1000), 1000);
        assert!(found(4096, 2000) > 1960, "{}", found(4096, 2000));
        assert!((1..64).contains(&found(64, 80)), "{}", found(64, 80));
    }

    #[test]
    fn the_size_is_fixed() {
        for (capacity, places) in [(0, 16), (3, 16), (100, 128), (4096, 4096)] {
            let mut table = Recent::<u8>::new(capacity);
            for n in 0..10_000 {
                *table.place(hash(&n.to_string())) = 1;
            }
            assert_eq!(table.places.len(), places, "{capacity}");
            assert_eq!(table.tags.len() * WAYS, places, "{capacity}");
        }
        assert_eq!(Recent::<u8>::new(16).get(7), None);
    }
}
