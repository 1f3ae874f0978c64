//! Exporters: encoders of series and sinks of spans. They know neither probes nor protocols.

pub mod otlp;
pub mod prometheus;
mod queue;
pub mod stdout;

pub use queue::{QueueLimits, SpanCounts};

use crate::trace::span::Span;

/// Takes finished spans away. `accept` never blocks: what cannot be taken is counted as lost.
pub trait SpanSink: Send + Sync {
    /// Takes a span, or counts it as lost.
    fn accept(&self, span: Span);
    /// What became of the spans so far.
    fn counts(&self) -> SpanCounts;
}
