//! W3C Trace Context of a request, until `trace::context` parses it itself.

use crate::trace::context::TraceContext;

/// Parses `traceparent` (version 00 and what later versions keep of it) and joins `tracestate`.
pub(super) fn parse<'a>(traceparent: &[u8], tracestate: impl Iterator<Item = &'a [u8]>) -> Option<TraceContext> {
    let text = traceparent.trim_ascii();
    if text.len() < 55 || text[2] != b'-' || text[35] != b'-' || text[52] != b'-' {
        return None;
    }
    let version = hex::<1>(&text[..2])?[0];
    if version == 0xff || (version == 0 && text.len() != 55) || text.get(55).is_some_and(|&byte| byte != b'-') {
        return None;
    }
    let trace_id = hex::<16>(&text[3..35])?;
    let span_id = hex::<8>(&text[36..52])?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return None;
    }
    let mut state = String::new();
    for part in tracestate.filter_map(|part| std::str::from_utf8(part.trim_ascii()).ok()) {
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(part);
    }
    let keep = !state.is_empty() && state.len() <= 512;
    Some(TraceContext {
        trace_id,
        span_id,
        flags: hex::<1>(&text[53..55])?[0],
        state: keep.then(|| state.into_boxed_str()),
    })
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
