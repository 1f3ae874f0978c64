//! Records of logs: events that probes tell, deduplicated and limited in rate.

pub mod events;
mod receipt;
mod record;

pub use receipt::{Acknowledge, Receipt};
pub use record::{LogRecord, Severity, SpanContext};
