//! Records of logs: events that probes tell, deduplicated and limited in rate; lines of files, containers and the
//! journal; lines that programs are seen to write.

pub mod events;
pub mod lines;
pub mod multiline;
pub mod observed;
pub mod parse;
mod receipt;
mod record;
pub mod redact;
pub mod sources;

pub use receipt::{Acknowledge, Receipt};
pub use record::{LogRecord, Severity, SpanContext};
