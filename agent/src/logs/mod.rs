//! Records of logs: events that probes tell, deduplicated and limited in rate.

pub mod events;
pub mod multiline;
pub mod parse;
mod receipt;
mod record;
pub mod redact;

pub use receipt::{Acknowledge, Receipt};
pub use record::{LogRecord, Severity, SpanContext};
