//! Sources of lines: files, logs of containers, the journal of systemd.
//!
//! | Step | Where |
//! |---|---|
//! | Which files there are, and what rotation left beside them | `find`, `globs`; `watch` tells when to look again |
//! | Which file it is, after renames, copies, truncations and restarts | `mark` |
//! | Bytes that follow a place, or that the file is another one | `tail` |
//! | Whole lines; what container runtimes wrap them in; parts merged | `feed`, `decode` |
//! | Lines that are one event: held until it is whole | `groups` |
//! | Whose lines they are | `describe` |
//! | Records, limits of rate, room in the exporters' queues | `sender`, `rate` |
//! | How far all is settled, kept on disk | `tracker`, `checkpoint` |
//! | Which file is read next, what is held open and for how long | `reader`, as a state machine; `thread` gives it time |
//! | The journal | `journal` |
//!
//! Every line is handed on at least once: a place is remembered only when all records before it are settled. What cannot be known is
//! documented: a file that is truncated (`copytruncate`) loses what was written between the last byte of the copy and the truncation
//! before anybody could read it; one that is made, written and removed between two looks was never there.

mod checkpoint;
mod counts;
mod decode;
mod describe;
mod feed;
mod find;
mod follow;
mod globs;
mod groups;
mod journal;
mod mark;
mod rate;
mod reader;
mod sender;
mod settings;
mod tail;
mod thread;
mod time;
mod tracker;
mod watch;

pub(super) use counts::{Dropped, REASONS};
pub use counts::{Number, SourceCounts};
pub use decode::{Format, Stream};
pub use describe::Described;
pub use globs::{Glob, Globs};
pub use mark::FileId;
pub use rate::Rate;
pub(super) use rate::Rates;
pub use sender::{Line, Make, Outlet, Room, plain};
pub use settings::{Journal, Limits, Mine, Named, Settings, StartAt};
pub use thread::{Running, StartError, start};

#[cfg(test)]
mod tests;
