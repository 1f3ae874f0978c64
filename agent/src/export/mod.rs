//! Exporters: encoders of series and sinks of spans and records of logs. They know neither probes nor protocols.

mod item;
pub mod otlp;
pub mod prometheus;
pub mod queue;
pub mod stdout;

pub use item::Item;
pub use queue::{QueueCounts, QueueFolder, QueueFolderError, QueueLimits};

/// Takes finished spans or records of logs away. `accept` never blocks: what cannot be taken is counted as lost.
pub trait ItemSink<T>: Send + Sync {
    /// Takes one, or counts it as lost.
    fn accept(&self, item: T);
    /// How many items and bytes it takes now without losing one, about; for makers who can wait.
    fn room(&self) -> (usize, usize) {
        (usize::MAX, usize::MAX)
    }
    /// What became of those so far.
    fn counts(&self) -> QueueCounts;
}
