//! How far a source is settled. What is read in one turn is one chunk; a chunk is settled when all records made of it are, in whatever
//! order, and the source when all chunks before are. So a place costs a number per turn, not one per line.

use crate::logs::{Acknowledge, Receipt};
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
    /// Handed back when all chunks before these numbers are settled: of copies that are read on from a place that is not settled here.
    waiting: Vec<(u64, Receipt)>,
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
                waiting: Vec::new(),
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
        self.settle(state);
    }

    /// Number that the next chunk will have.
    pub(super) fn next(&self) -> u64 {
        let state = self.state();
        state.base + state.chunks.len() as u64
    }

    /// Whether all chunks before that number are settled.
    pub(super) fn is_settled(&self, before: u64) -> bool {
        self.state().base >= before
    }

    /// Hands a receipt back when all chunks before that number are settled.
    pub(super) fn when_settled(&self, before: u64, receipt: Receipt) {
        let mut state = self.state();
        state.waiting.push((before, receipt));
        self.settle(state);
    }

    /// Forgets what is settled, and tells who waits for it: without the lock, because they have one of their own.
    fn settle(&self, mut state: MutexGuard<'_, State<M>>) {
        let gone = state.settle();
        let base = state.base;
        let due: Vec<_> = match state.waiting.is_empty() {
            true => Vec::new(),
            false => state.waiting.extract_if(.., |(before, _)| *before <= base).collect(),
        };
        drop(state);
        if gone > 0 {
            self.open.fetch_sub(gone, Ordering::Relaxed);
        }
        due.into_iter().for_each(|(_, receipt)| receipt.settle());
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
        self.settle(state);
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

    /// A copy read on from where its original was read is settled no further than its original.
    #[test]
    fn one_waits_for_the_other() {
        let open = Open::default();
        let original = Tracker::new(open.clone(), 0u64);
        let first = original.begin();
        original.end(1, 10);
        let copy = Arc::new(Tracker::new(open.clone(), 0u64));
        let place = copy.begin();
        copy.end(1, 10);
        assert_eq!(original.next(), 1);
        original.when_settled(original.next(), Receipt::new(copy.clone(), place));
        let later = original.begin();
        original.end(1, 20);
        let own = copy.begin();
        copy.end(1, 15);
        copy.settled(own);
        original.settled(later);
        assert_eq!(copy.settled_to(), 0);
        original.settled(first);
        assert_eq!((original.settled_to(), copy.settled_to()), (20, 15));
        assert_eq!(open.load(Ordering::Relaxed), 0);
        // Of what is settled by then it is told at once.
        let place = copy.begin();
        copy.end(1, 16);
        original.when_settled(1, Receipt::new(copy.clone(), place));
        assert_eq!(copy.settled_to(), 16);
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
