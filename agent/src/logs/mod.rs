//! Records of logs: events that probes tell, deduplicated and limited in rate; lines of files, containers and the journal.

pub mod events;
pub mod lines;
pub mod multiline;
pub mod parse;
mod receipt;
mod record;
pub mod redact;
pub mod sources;

pub use receipt::{Acknowledge, Receipt};
pub use record::{LogRecord, Severity, SpanContext};
