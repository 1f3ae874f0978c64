//! The fifth waist, beside spans: records of logs, shaped as OTLP has them, with the Resource they belong to.

use super::Receipt;
use crate::trace::span::{Attribute, Resource};
use std::borrow::Cow;
use std::sync::Arc;

/// `SeverityNumber` of OpenTelemetry's log data model, 1 to 24; 0 is one that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// Not known, 0.
    pub const UNSPECIFIED: Severity = Severity(0);
    /// `TRACE`, 1.
    pub const TRACE: Severity = Severity(1);
    /// `DEBUG`, 5.
    pub const DEBUG: Severity = Severity(5);
    /// `INFO`, 9.
    pub const INFO: Severity = Severity(9);
    /// `WARN`, 13.
    pub const WARN: Severity = Severity(13);
    /// `ERROR`, 17.
    pub const ERROR: Severity = Severity(17);
    /// `FATAL`, 21.
    pub const FATAL: Severity = Severity(21);

    /// Of a number; those that the data model does not have are not known.
    pub const fn new(number: u8) -> Severity {
        if number > 24 { Severity(0) } else { Severity(number) }
    }
    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }
    /// Its short name, without the digit of those in between; empty when it is not known.
    pub const fn text(self) -> &'static str {
        match self.0 {
            0 => "",
            1..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            21.. => "FATAL",
        }
    }
}

/// The span that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id; all zero when only the trace is known.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
}

/// A record of a log (<https://opentelemetry.io/docs/specs/otel/logs/data-model/>).
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When it happened: Unix time, nanoseconds.
    pub timestamp: u64,
    /// When the agent made the record: Unix time, nanoseconds.
    pub observed: u64,
    /// How bad it is.
    pub severity: Severity,
    /// The word or number that says so where it came from, if it is another one than the severity's own name.
    pub severity_text: Option<Cow<'static, str>>,
    /// Name of the event, e.g. `onlooker.syscall.error`; records of one name have attributes of the same names. `None`: a line of a
    /// log.
    pub event_name: Option<Cow<'static, str>>,
    /// The text for people.
    pub body: String,
    /// Attributes.
    pub attributes: Vec<Attribute>,
    /// Whose record it is; what is nobody's in particular has the host's, without `service.name`.
    pub resource: Arc<Resource>,
    /// The span within which it was written, when known.
    pub span: Option<SpanContext>,
    /// Of the source that wants to know what becomes of it.
    pub receipt: Option<Receipt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_their_names() {
        let names = [Severity::INFO, Severity::WARN, Severity::ERROR].map(Severity::text);
        assert_eq!(names, ["INFO", "WARN", "ERROR"]);
        assert_eq!(
            [0, 4, 5, 24].map(|n| Severity(n).text()),
            ["", "TRACE", "DEBUG", "FATAL"]
        );
    }
}
