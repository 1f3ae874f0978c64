//! What is given up now, as those who do the work read it: one atomic.

use super::Level;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Things that are given up, in the order in which they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Attributes of a span.
    SpanDetail,
    /// A whole span.
    Span,
    /// The route of an exchange.
    Route,
}

impl What {
    /// All, in their order.
    pub const ALL: [What; 3] = [What::SpanDetail, What::Span, What::Route];
    /// As the value of a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            What::SpanDetail => "span_detail",
            What::Span => "span",
            What::Route => "route",
        }
    }
}

/// The present level, shared, and counts of what was given up. One thread sets the level and one counts.
#[derive(Clone, Debug, Default)]
pub struct Shedding(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    level: AtomicU8,
    counts: [AtomicU64; What::ALL.len()],
}

impl Shedding {
    /// The present level.
    pub fn level(&self) -> Level {
        Level(self.0.level.load(Ordering::Relaxed))
    }
    /// Sets the level.
    pub fn set(&self, level: Level) {
        self.0.level.store(level.0, Ordering::Relaxed);
    }
    /// One more was given up.
    pub fn count(&self, what: What) {
        let count = &self.0.counts[what as usize];
        // One writer: no need to lock the bus.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    /// How often this was given up.
    pub fn shed(&self, what: What) -> u64 {
        self.0.counts[what as usize].load(Ordering::Relaxed)
    }

    /// Is the span of this trace given up? All spans of a trace share one fate, and what is kept at one level is kept at
    /// those below it, on every host. Not by the trace id's own randomness: a sampler before us may have used that up already.
    pub fn sheds_trace(&self, trace_id: &[u8; 16]) -> bool {
        let halvings = self.level().halvings();
        halvings > 0 && mix(u128::from_be_bytes(*trace_id)) >> (64 - halvings) != 0
    }
}

/// Spreads a trace id over 64 bits: the last steps of the generator splitmix64.
fn mix(id: u128) -> u64 {
    let mut z = (id as u64) ^ ((id >> 64) as u64).rotate_left(32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
