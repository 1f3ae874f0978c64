//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>).

/// A valid `traceparent` and the `tracestate` beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace id, not all zero.
    pub trace_id: [u8; 16],
    /// Parent id, not all zero.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 is "sampled".
    pub flags: u8,
    /// `tracestate`, verbatim, at most 512 bytes.
    pub state: Option<Box<str>>,
}
