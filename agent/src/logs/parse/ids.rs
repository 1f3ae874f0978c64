//! Ids of traces and spans in lines: taken when they are certain, else left where they were.

use crate::logs::SpanContext;
use crate::trace::context::TraceContext;
use std::sync::LazyLock;

/// What a line tells of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) trace: Option<[u8; 16]>,
    pub(super) span: Option<[u8; 8]>,
    pub(super) flags: u8,
}

impl Ids {
    /// The context, if the trace is known. A span without a trace belongs to nothing.
    pub(super) fn context(&self) -> Option<SpanContext> {
        Some(SpanContext {
            trace_id: self.trace?,
            span_id: self.span.unwrap_or_default(),
            flags: self.flags,
        })
    }
}

/// A trace id: 32 hex digits, or 16 of a tracer with short ids, which OpenTelemetry pads with zeros. Sixteen decimal digits may be a
/// decimal number as Datadog writes it, and are not taken.
pub(super) fn trace(text: &str) -> Option<[u8; 16]> {
    if text.len() == 16 {
        text.bytes().any(|byte| byte.is_ascii_alphabetic()).then_some(())?;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&hex::<8>(text)?);
        return Some(id);
    }
    hex(text)
}

/// A span id: 16 hex digits.
pub(super) fn span(text: &str) -> Option<[u8; 8]> {
    hex(text)
}

/// AWS X-Ray's `1-5759e988-bd862e3fe1be46a994272793`: the same 128 bits.
pub(super) fn xray(text: &str) -> Option<[u8; 16]> {
    let (time, random) = text.strip_prefix("1-")?.split_once('-')?;
    (time.len() == 8 && random.len() == 24).then_some(())?;
    let mut id = [0; 16];
    id[..4].copy_from_slice(&hex::<4>(time)?);
    id[4..].copy_from_slice(&hex::<12>(random)?);
    Some(id)
}

/// Google's `projects/shop/traces/4bf92f3577b34da6a3ce929d0e0e4736`.
pub(super) fn google(text: &str) -> Option<[u8; 16]> {
    trace(text.rsplit_once("/traces/").map_or(text, |(_, id)| id))
}

/// W3C `traceparent`.
pub(super) fn parent(text: &str) -> Option<Ids> {
    let context = TraceContext::parse(text.as_bytes(), std::iter::empty())?;
    Some(Ids {
        trace: Some(context.trace_id),
        span: Some(context.span_id),
        flags: context.flags,
    })
}

/// `01`: W3C trace flags as two hex digits.
pub(super) fn flags(text: &str) -> Option<u8> {
    (text.len() == 2).then(|| u8::from_str_radix(text, 16).ok())?
}

/// `4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7`, as Spring Boot writes it between brackets.
pub(super) fn pair(text: &str) -> Option<Ids> {
    let (trace_id, span_id) = text.split_once('-')?;
    (trace_id.len() == 32).then_some(())?;
    Some(Ids {
        trace: Some(trace(trace_id)?),
        span: Some(span(span_id)?),
        flags: 0,
    })
}

/// Looks for `trace_id=…` and the like in a text for people.
pub(super) fn find(text: &str) -> Option<SpanContext> {
    static RACE: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new("race"));
    static PAN: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new("pan"));
    let bytes = text.as_bytes();
    let mut ids = Ids::default();
    for at in RACE.find_iter(bytes).take(8) {
        let Some(rest) = text.get(at + 4..) else { continue };
        if let Some(rest) = rest.strip_prefix("parent") {
            if let Some(found) = value(rest).and_then(parent) {
                return found.context();
            }
        } else if let Some(id) = named_id(rest).and_then(trace) {
            ids.trace = ids.trace.or(Some(id));
        }
    }
    ids.trace?;
    for at in PAN.find_iter(bytes).take(8) {
        if let Some(id) = text.get(at + 3..).and_then(named_id).and_then(span) {
            ids.span = ids.span.or(Some(id));
        }
    }
    ids.context()
}

/// What stands behind `Id`, `_id`, `.id` and a sign of equality.
fn named_id(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix(['_', '.', '-']).unwrap_or(rest);
    value(["id", "Id", "ID"].iter().find_map(|name| rest.strip_prefix(name))?)
}

/// The word behind `=` or `:`, with or without quotes.
fn value(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches(['"', '\'']);
    let rest = rest.strip_prefix(['=', ':'])?.trim_start_matches([' ', '"', '\'']);
    let end = rest
        .bytes()
        .position(|byte| !byte.is_ascii_alphanumeric() && byte != b'-')
        .unwrap_or(rest.len());
    rest.get(..end)
}

/// Exactly `2 * N` hex digits of either case, not all zero.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    if bytes.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let mut id = [0; N];
    for (byte, two) in id.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = digit(two[0])? << 4 | digit(two[1])?;
    }
    (id != [0; N]).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn certain_ids_alone_are_taken() {
        assert!(trace(TRACE).is_some() && trace(&TRACE.to_uppercase()).is_some());
        assert_eq!(trace("00f067aa0ba902b7").map(|id| id[7..9].to_vec()), Some(vec![0, 0]));
        let bad = [
            "1234567890123456",
            "5208512171318403364",
            "0".repeat(32).as_str(),
            "",
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        ]
        .map(trace);
        assert_eq!(bad, [None; 5]);
        assert_eq!(span("0000000000000000"), None);
        assert!(xray("1-5759e988-bd862e3fe1be46a994272793").is_some());
        assert!(google(&format!("projects/shop/traces/{TRACE}")).is_some());
        assert_eq!(parent(&format!("00-{TRACE}-{SPAN}-01")).map(|ids| ids.flags), Some(1));
    }

    #[test]
    fn ids_are_found_in_text() {
        let lines = [
            format!("charged [trace_id={TRACE} span_id={SPAN} resource.service.name=shop] ok"),
            format!("done traceId={TRACE}, spanId={SPAN}"),
            format!("x otelTraceID: \"{TRACE}\" otelSpanID: \"{SPAN}\""),
            format!("traceparent: 00-{TRACE}-{SPAN}-01"),
        ];
        for line in lines {
            let found = find(&line).expect(&line);
            assert_eq!(found.span_id, span(SPAN).expect("valid"), "{line}");
        }
        for line in [
            "a trace of something",
            &format!("span_id={SPAN}"),
            "trace_id=zzz",
            "trace_id=",
            "race",
        ] {
            assert_eq!(find(line), None, "{line}");
        }
    }
}
