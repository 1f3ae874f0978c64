//! The fifth waist: spans, shaped as OTLP has them, with the Resource they belong to.

use std::borrow::Cow;
use std::sync::Arc;

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// Text.
    Text(Cow<'static, str>),
    /// Integer.
    Int(i64),
    /// Floating point.
    Double(f64),
    /// Truth.
    Bool(bool),
    /// List of texts.
    Texts(Vec<String>),
}

/// Name (dotted, OpenTelemetry) and value.
pub type Attribute = (Cow<'static, str>, AttributeValue);

/// What a span, a log record or a metric is about: a process or container under its service name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Attributes; `service.name` is always among them.
    pub attributes: Vec<Attribute>,
}

/// Kind of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The observed side answered.
    Server,
    /// The observed side asked.
    Client,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Parent span id.
    pub parent: Option<[u8; 8]>,
    /// `tracestate`.
    pub state: Option<Box<str>>,
    /// W3C trace flags.
    pub flags: u8,
    /// `{method} {route}` and the like.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Unix time, nanoseconds.
    pub start: u64,
    /// Unix time, nanoseconds.
    pub end: u64,
    /// Attributes.
    pub attributes: Vec<Attribute>,
    /// Status is ERROR (else UNSET).
    pub error: bool,
    /// Whose span it is.
    pub resource: Arc<Resource>,
}
