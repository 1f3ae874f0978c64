//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>, level 2: <https://www.w3.org/TR/trace-context-2/>): reads the
//! headers `traceparent` and `tracestate`, and writes ids as hex.

/// Bit 0 of the trace flags: the caller may have recorded this request.
pub const FLAG_SAMPLED: u8 = 0x01;
/// Bit 1 of the trace flags (level 2): the trace id's last 56 bits are random.
pub const FLAG_RANDOM: u8 = 0x02;

/// Bytes of `tracestate` that are kept. Level 2, section 3.3.1.5: at least 512 should be.
pub const STATE_BYTES: usize = 512;
/// List members of `tracestate`; more make it invalid (section 3.3.1.1).
pub const STATE_MEMBERS: usize = 32;
/// Members longer than this go first when `tracestate` must be cut (section 3.3.1.5).
const STATE_LONG_MEMBER: usize = 128;

/// A valid `traceparent` and the `tracestate` beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace id, not all zero.
    pub trace_id: [u8; 16],
    /// Parent id, not all zero.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 is "sampled", bit 1 "random". Bits that the recommendation leaves undefined are cleared.
    pub flags: u8,
    /// `tracestate`: valid members joined by commas, at most 512 bytes.
    pub state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads one `traceparent` value and the `tracestate` lines beside it, in their order. `None` when the `traceparent` is not
    /// valid; a `tracestate` that is not valid is left out. More than one `traceparent` header is the caller's to refuse.
    pub fn parse<'a>(traceparent: &[u8], tracestate: impl Iterator<Item = &'a [u8]>) -> Option<TraceContext> {
        let value = traceparent.trim_ascii();
        let (fields, rest) = value.split_at_checked(55)?;
        let [version] = hex_decode::<1>(&fields[..2])?;
        let dashes = fields[2] == b'-' && fields[35] == b'-' && fields[52] == b'-';
        // Version 0 ends here; a later one may go on after another dash.
        let end = rest.is_empty() || (version > 0 && rest[0] == b'-');
        if version == 0xff || !dashes || !end {
            return None;
        }
        let trace_id = hex_decode::<16>(&fields[3..35])?;
        let span_id = hex_decode::<8>(&fields[36..52])?;
        let [flags] = hex_decode::<1>(&fields[53..55])?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(TraceContext {
            trace_id,
            span_id,
            flags: flags & (FLAG_SAMPLED | FLAG_RANDOM),
            state: parse_state(tracestate),
        })
    }
    /// The caller says that it may have recorded this request.
    pub fn sampled(&self) -> bool {
        self.flags & FLAG_SAMPLED != 0
    }
}

/// An id as lower-case hex, for `Display`.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Exactly `2 * N` lower-case hex digits.
fn hex_decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// Joins the lines, checks every member, and cuts as section 3.3.1.5 says: long members first, then from the end.
fn parse_state<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Box<str>> {
    let mut members: Vec<&str> = Vec::new();
    for member in lines.flat_map(|line| line.split(|&c| c == b',')) {
        let member = member.trim_ascii();
        if member.is_empty() {
            continue;
        }
        if members.len() == STATE_MEMBERS || !member_valid(member) {
            return None;
        }
        members.push(std::str::from_utf8(member).ok()?);
    }
    let size = |members: &[&str]| members.iter().map(|m| m.len() + 1).sum::<usize>().saturating_sub(1);
    if size(&members) > STATE_BYTES {
        members.retain(|member| member.len() <= STATE_LONG_MEMBER);
    }
    while size(&members) > STATE_BYTES {
        members.pop();
    }
    (!members.is_empty()).then(|| members.join(",").into())
}

/// `key=value` by the grammar of section 3.3.1.3 (level 2, which holds level 1's `tenant@vendor` keys too).
fn member_valid(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|&c| c == b'=') else {
        return false;
    };
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=256).contains(&key.len())
        && alphanumeric(key[0])
        && key.iter().all(|&c| alphanumeric(c) || b"_-*/@".contains(&c))
        && (1..=256).contains(&value.len())
        && value.iter().all(|&c| (0x20..=0x7e).contains(&c) && c != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn check(traceparent: &str, expect: Option<u8>) {
        let context = TraceContext::parse(traceparent.as_bytes(), std::iter::empty());
        assert_eq!(context.as_ref().map(|c| c.flags), expect, "{traceparent}");
        if let Some(context) = context {
            assert_eq!(Hex(&context.trace_id).to_string(), TRACE);
            assert_eq!(Hex(&context.span_id).to_string(), "b7ad6b7169203331");
        }
    }

    #[test]
    fn traceparent() {
        let base = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        check(&format!("00-{base}-01"), Some(1));
        check(&format!("00-{base}-00"), Some(0));
        check(&format!(" 00-{base}-03\t"), Some(3));
        check(&format!("00-{base}-ff"), Some(3));
        check(&format!("00-{base}-01-"), None);
        check(&format!("00-{base}-01-what"), None);
        check(&format!("00-{base}-01.what"), None);
        check(&format!("00-{base}-0"), None);
        check(&format!("00-{base}-0X"), None);
        check(&format!("00-{base}"), None);
        check(&format!("cc-{base}-01"), Some(1));
        check(&format!("cc-{base}-01-"), Some(1));
        check(&format!("cc-{base}-01-what-the-future"), Some(1));
        check(&format!("cc-{base}-01.what"), None);
        check(&format!("ff-{base}-01"), None);
        check(&format!("0-{base}-01"), None);
        check(&format!(".0-{base}-01"), None);
        check(&format!("FE-{base}-01"), None);
        check("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-B7ad6b7169203331-01", None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        check("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033311-01", None);
        check("", None);
        check("\u{e9}", None);
    }

    fn check_state(lines: &[&str], expect: Option<&str>) {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
        let context = TraceContext::parse(parent.as_bytes(), lines.iter().map(|l| l.as_bytes())).unwrap();
        assert_eq!(context.state.as_deref(), expect, "{lines:?}");
    }

    #[test]
    fn tracestate() {
        check_state(&[], None);
        check_state(&[""], None);
        check_state(&["foo=1"], Some("foo=1"));
        check_state(&["foo=1 \t , \t bar=2"], Some("foo=1,bar=2"));
        check_state(
            &["foo=1", "bar=2,rojo=00f067aa0ba902b7"],
            Some("foo=1,bar=2,rojo=00f067aa0ba902b7"),
        );
        check_state(&["foo=1,,bar=2,"], Some("foo=1,bar=2"));
        check_state(&["t61rcwkgmze@vendor=x y"], Some("t61rcwkgmze@vendor=x y"));
        check_state(&["0a*-_/=1"], Some("0a*-_/=1"));
        check_state(&["foo"], None);
        check_state(&["foo="], None);
        check_state(&["=1"], None);
        check_state(&["Foo=1"], None);
        check_state(&["foo=1=2"], None);
        check_state(&["foo=\u{e9}"], None);
        check_state(&["foo @=1"], None);
        check_state(
            &[&format!("{}=1", "z".repeat(256))],
            Some(&format!("{}=1", "z".repeat(256))),
        );
        check_state(&[&format!("{}=1", "z".repeat(257))], None);
        check_state(&[&format!("a={}", "z".repeat(257))], None);
    }

    #[test]
    fn tracestate_limits() {
        let members = |n: usize| (0..n).map(|i| format!("k{i:02}=1")).collect::<Vec<_>>().join(",");
        check_state(&[&members(32)], Some(&members(32)));
        check_state(&[&members(33)], None);
        // The long member goes first, wherever it stands.
        let (short, long) = (members(20), format!("long={}", "v".repeat(250)));
        check_state(&[&long, &long.replace("long", "lang"), &short], Some(&short));
        // Then members from the end.
        let wide = |n: usize| {
            (0..n)
                .map(|i| format!("{i}={}", "v".repeat(98)))
                .collect::<Vec<_>>()
                .join(",")
        };
        check_state(&[&wide(6)], Some(&wide(5)));
    }
}
