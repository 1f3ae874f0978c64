//! Who waits to hear what became of a record: a source of lines reads on from its last acknowledged place after a restart, so it has
//! to be told when a line needs not be read again.

use std::fmt;
use std::sync::Arc;

/// Told by exporters, from any thread; must not block.
pub trait Acknowledge: Send + Sync {
    /// What was made of this place need not be made again: it is with the receiver, in a queue that outlives the agent, or given up and
    /// counted.
    fn settled(&self, place: u64);
}

/// Goes with a record to whoever exports it, who hands it back exactly once.
#[derive(Clone)]
pub struct Receipt {
    to: Arc<dyn Acknowledge>,
    place: u64,
}

impl Receipt {
    /// For a place of a source; what the number means is the source's own.
    pub fn new(to: Arc<dyn Acknowledge>, place: u64) -> Receipt {
        Receipt { to, place }
    }

    /// Hands it back.
    pub fn settle(self) {
        self.to.settled(self.place);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Of the same source and place.
impl PartialEq for Receipt {
    fn eq(&self, other: &Receipt) -> bool {
        self.place == other.place && Arc::ptr_eq(&self.to, &other.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Last(AtomicU64);

    impl Acknowledge for Last {
        fn settled(&self, place: u64) {
            self.0.store(place, Ordering::Relaxed);
        }
    }

    #[test]
    fn hands_back_its_place() {
        let last = Arc::new(Last::default());
        let receipt = Receipt::new(last.clone(), 7);
        assert_eq!(receipt, receipt.clone());
        assert_ne!(receipt, Receipt::new(Arc::new(Last::default()), 7));
        receipt.settle();
        assert_eq!(last.0.load(Ordering::Relaxed), 7);
    }
}
