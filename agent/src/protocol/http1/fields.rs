//! The few header fields that matter here, picked in one pass.

use crate::trace::context::TraceContext;

/// Longest `User-Agent` kept, bytes.
const AGENT: usize = 256;

/// What the fields of a head say. Values are as sent.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// `Content-Length`.
    pub(super) length: Length,
    /// `Transfer-Encoding`.
    pub(super) transfer: Transfer,
    /// `Host`.
    pub(super) host: Option<&'a [u8]>,
    /// `User-Agent`.
    pub(super) agent: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
    tracestate: [&'a [u8]; TRACESTATES],
    tracestates: usize,
}

/// `tracestate` fields of one request that are read; more make the state unknown.
const TRACESTATES: usize = 4;

/// `Content-Length` of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    /// Not given.
    #[default]
    Absent,
    /// So many.
    Bytes(u64),
    /// Not a number, or several different ones (RFC 9112 section 6.3 rule 5).
    Invalid,
}

/// `Transfer-Encoding` of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Transfer {
    /// Not given.
    #[default]
    Absent,
    /// The last coding is `chunked`.
    Chunked,
    /// The last coding is another one.
    Other,
}

impl<'a> Fields<'a> {
    /// Picks from all fields in their order.
    pub(super) fn collect(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Fields<'a> {
        let mut out = Fields::default();
        for (name, value) in fields {
            out.note(name, value);
        }
        out
    }

    /// `User-Agent` as text, cut at [`AGENT`] bytes.
    pub(super) fn user_agent(&self) -> Option<Box<str>> {
        self.agent.map(|agent| super::target::text(agent, AGENT))
    }

    /// The trace context that they carry.
    pub(super) fn context(&self) -> Option<TraceContext> {
        let states = self.tracestate.get(..self.tracestates).unwrap_or_default();
        TraceContext::parse(self.traceparent?, states.iter().copied())
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        // The length alone dismisses nearly all others.
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            4 if is("host") => self.host = self.host.or(Some(value)),
            10 if is("user-agent") => self.agent = self.agent.or(Some(value)),
            10 if is("tracestate") => {
                if let Some(place) = self.tracestate.get_mut(self.tracestates) {
                    *place = value;
                }
                self.tracestates += 1;
            }
            // A second traceparent makes the context invalid: it is then no value at all.
            11 if is("traceparent") => self.traceparent = Some(self.traceparent.map_or(value, |_| b"")),
            14 if is("content-length") => self.length = self.length.and(value),
            17 if is("transfer-encoding") => {
                let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
                let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                self.transfer = if chunked { Transfer::Chunked } else { Transfer::Other };
            }
            _ => {}
        }
    }
}

impl Length {
    /// With one more field value; a list of equal numbers is that number.
    fn and(self, value: &[u8]) -> Length {
        value
            .split(|&byte| byte == b',')
            .fold(self, |sum, part| match (sum, number(part.trim_ascii())) {
                (Length::Absent, Some(n)) => Length::Bytes(n),
                (Length::Bytes(before), Some(n)) if before == n => sum,
                _ => Length::Invalid,
            })
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digit = |sum: u64, byte: &u8| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0, digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let check = |values: &[&str], expect| {
            let fields = values.iter().map(|value| (&b"Content-Length"[..], value.as_bytes()));
            assert_eq!(Fields::collect(fields).length, expect, "{values:?}");
        };
        check(&[], Length::Absent);
        check(&["0"], Length::Bytes(0));
        check(&["17"], Length::Bytes(17));
        check(&["17", "17"], Length::Bytes(17));
        check(&["17, 17"], Length::Bytes(17));
        check(&["17", "18"], Length::Invalid);
        check(&["17, 18"], Length::Invalid);
        check(&["-1"], Length::Invalid);
        check(&["+1"], Length::Invalid);
        check(&["0x10"], Length::Invalid);
        check(&[""], Length::Invalid);
        check(&["99999999999999999999"], Length::Invalid);
    }

    #[test]
    fn transfers() {
        let check = |values: &[&str], expect| {
            let fields = values.iter().map(|value| (&b"transfer-encoding"[..], value.as_bytes()));
            assert_eq!(Fields::collect(fields).transfer, expect, "{values:?}");
        };
        check(&[], Transfer::Absent);
        check(&["chunked"], Transfer::Chunked);
        check(&["gzip, Chunked"], Transfer::Chunked);
        check(&["gzip", "chunked"], Transfer::Chunked);
        check(&["chunked, gzip"], Transfer::Other);
        check(&["identity"], Transfer::Other);
    }

    #[test]
    fn contexts() {
        let parent: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let name: &[u8] = b"Traceparent";
        let state: &[u8] = b"tracestate";
        let context = Fields::collect([(state, &b"a=1"[..]), (name, parent), (state, b"b=2")].into_iter()).context();
        let context = context.expect("valid");
        assert_eq!((context.flags, context.state.as_deref()), (1, Some("a=1,b=2")));
        assert!(
            Fields::collect([(name, parent), (name, parent)].into_iter())
                .context()
                .is_none()
        );
    }
}
