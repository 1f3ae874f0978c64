//! Lines that programs write to their standard output and error where no file takes them, as the kernel side sees them written.
//!
//! | Step | Where |
//! |---|---|
//! | Whose writes are wanted: services by pattern, not what is read from a file or the journal, not the agent's own | `judge` |
//! | From the pipeline's thread to the one that makes lines; bounded | `queue` |
//! | Bytes to whole lines; lines that are one event | `streams` |
//! | Records: read and freed from secrets as all lines are, limits of rate | `thread` |
//! | Lines that are read from the logs of containers get the ids of their write | `joins`; they wait for it in `thread` |
//!
//! What was lost on the way leaves a gap in its stream: what is before and behind it is never put together to a line that nobody wrote.

mod counts;
mod joins;
mod judge;
mod queue;
mod streams;
mod thread;

pub use counts::ObservedCounts;
pub use joins::{JoinKey, container};
pub use judge::{Judge, Pattern, Wanted};
pub use queue::{Ended, Message, Queue, Written};
pub use streams::{Limits, Place};
pub use thread::{Running, Settings, WithIds, start};
