//! What is given up now, as those who do the work read it: one atomic.

use super::Level;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// While routes are given up, one new target in so many still has its route looked for: a target that comes often is known
/// soon, and costs less from then on.
const LEARNT: u64 = 64;

/// Things that are given up, in the order in which they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Attributes of a span.
    SpanDetail,
    /// A whole span.
    Span,
    /// The route of an exchange whose target was not seen before.
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
    /// New targets while routes are given up.
    targets: AtomicU64,
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
        add_one(&self.0.counts[what as usize]);
    }
    /// How often this was given up.
    pub fn shed(&self, what: What) -> u64 {
        self.0.counts[what as usize].load(Ordering::Relaxed)
    }

    /// Is the route of a target that was not seen before given up? Counts it.
    pub fn sheds_route(&self) -> bool {
        if !self.level().sheds_routes() || add_one(&self.0.targets) % LEARNT == LEARNT - 1 {
            return false;
        }
        self.count(What::Route);
        true
    }

    /// Is the span of this trace given up? All spans of a trace share one fate, and what is kept at one level is kept at
    /// those below it, on every host. Not by the trace id's own randomness: a sampler before us may have used that up already.
    pub fn sheds_trace(&self, trace_id: &[u8; 16]) -> bool {
        let halvings = self.level().halvings();
        halvings > 0 && mix(u128::from_be_bytes(*trace_id)) >> (64 - halvings) != 0
    }
}

/// Returns what was there before. One writer: no need to lock the bus.
fn add_one(count: &AtomicU64) -> u64 {
    let before = count.load(Ordering::Relaxed);
    count.store(before + 1, Ordering::Relaxed);
    before
}

/// Spreads a trace id over 64 bits: the last steps of the generator splitmix64.
fn mix(id: u128) -> u64 {
    let mut z = (id as u64) ^ ((id >> 64) as u64).rotate_left(32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
