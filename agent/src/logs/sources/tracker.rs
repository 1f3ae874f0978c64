//! How far a source is settled. What is read in one turn is one chunk; a chunk is settled when all records made of it are, in whatever
//! order, and the source when all chunks before are. So a place costs a number per turn, not one per line.

use crate::logs::Acknowledge;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Chunks of all sources that are not settled, counted together: a bound of their memory.
pub(super) type Open = Arc<AtomicU64>;

/// Of one source; `M` is a place in it.
#[derive(Debug)]
pub(super) struct Tracker<M> {
    open: Open,
    state: Mutex<State<M>>,
}

#[derive(Debug)]
struct State<M> {
    /// Number of the first chunk of the list.
    base: u64,
    chunks: VecDeque<Chunk<M>>,
    settled: M,
}

#[derive(Debug)]
struct Chunk<M> {
    /// Records that are out; below 0 while the chunk is being made and some are back already.
    out: i64,
    /// Where to read on once everything up to the chunk's end is settled. `None`: it is being made.
    end: Option<M>,
}

impl<M: Clone> Tracker<M> {
    /// Everything before this place is settled.
    pub(super) fn new(open: Open, settled: M) -> Tracker<M> {
        Tracker {
            open,
            state: Mutex::new(State {
                base: 0,
                chunks: VecDeque::new(),
                settled,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Begins a chunk: its number goes with its records.
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.state();
        state.chunks.push_back(Chunk { out: 0, end: None });
        self.open.fetch_add(1, Ordering::Relaxed);
        state.base + state.chunks.len() as u64 - 1
    }

    /// The chunk begun last is complete: so many records of it went out, and it ends there.
    pub(super) fn end(&self, records: u32, end: M) {
        let mut state = self.state();
        if let Some(chunk) = state.chunks.back_mut() {
            chunk.out += i64::from(records);
            chunk.end = Some(end);
        }
        self.open.fetch_sub(state.settle(), Ordering::Relaxed);
    }

    /// The place up to which everything is settled.
    pub(super) fn settled_to(&self) -> M {
        self.state().settled.clone()
    }
}

impl<M> State<M> {
    /// Forgets the chunks that are settled; tells how many.
    fn settle(&mut self) -> u64 {
        let before = self.base;
        // Below 0 would be a receipt handed back twice; to wait for ever would stop the source.
        while self
            .chunks
            .front()
            .is_some_and(|chunk| chunk.out <= 0 && chunk.end.is_some())
        {
            if let Some(Chunk { end: Some(end), .. }) = self.chunks.pop_front() {
                self.settled = end;
            }
            self.base += 1;
        }
        self.base - before
    }
}

impl<M: Clone + Send> Acknowledge for Tracker<M> {
    fn settled(&self, place: u64) {
        let mut state = self.state();
        let chunk = place
            .checked_sub(state.base)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(chunk) = chunk.and_then(|index| state.chunks.get_mut(index)) {
            chunk.out -= 1;
        }
        let gone = state.settle();
        if gone > 0 {
            self.open.fetch_sub(gone, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn chunks_settle_in_their_order() {
        let open = Open::default();
        let tracker = Tracker::new(open.clone(), 0u64);
        let first = tracker.begin();
        tracker.settled(first); // before the chunk is complete
        tracker.end(2, 10);
        let second = tracker.begin();
        tracker.end(1, 20);
        tracker.begin();
        tracker.end(0, 30);
        assert_eq!((tracker.settled_to(), open.load(Ordering::Relaxed)), (0, 3));
        tracker.settled(second);
        assert_eq!(tracker.settled_to(), 0);
        tracker.settled(first);
        assert_eq!((tracker.settled_to(), open.load(Ordering::Relaxed)), (30, 0));
        tracker.settled(second); // a second time: of no effect
        assert_eq!(tracker.settled_to(), 30);
    }

    proptest! {
        /// Whatever the order, the place never passes a record that is out, and all is settled in the end.
        #[test]
        fn never_passes_what_is_out(sizes in proptest::collection::vec(0u32..4, 1..20), order in any::<u64>()) {
            let open = Open::default();
            let tracker = Tracker::new(open.clone(), 0usize);
            let mut out = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                let place = tracker.begin();
                out.extend((0..*size).map(|_| (index, place)));
                tracker.end(*size, index + 1);
            }
            let mut state = order;
            while !out.is_empty() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (_, place) = out.remove((state >> 33) as usize % out.len());
                tracker.settled(place);
                let first = out.iter().map(|(index, _)| *index).min().unwrap_or(sizes.len());
                prop_assert_eq!(tracker.settled_to(), first);
            }
            prop_assert_eq!(tracker.settled_to(), sizes.len());
            prop_assert_eq!(open.load(Ordering::Relaxed), 0);
        }
    }
}
