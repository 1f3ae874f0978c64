//! Records of logs: events that probes tell, deduplicated and limited in rate.

pub mod events;
mod record;

pub use record::{LogRecord, Severity, SpanContext};
