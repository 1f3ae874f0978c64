//! klog and glog: `I0102 15:04:05.000000       7 file.go:12] message`, and klog's structured form behind the bracket.

use super::scan::{quoted, unescaped, word};
use super::{Context, Format, Parsed, ids, logfmt, time};
use crate::logs::Severity;
use std::borrow::Cow;

pub(super) fn read(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let (severity, name) = match line.as_bytes().first()? {
        b'I' => (Severity::INFO, "I"),
        b'W' => (Severity::WARN, "W"),
        b'E' => (Severity::ERROR, "E"),
        b'F' => (Severity::FATAL, "F"),
        _ => return None,
    };
    let (stamp, length) = time::glog(line.as_bytes().get(1..)?)?;
    let (written, rest) = line.get(1..)?.split_at_checked(length)?;
    let (head, message) = rest.split_once("] ").or_else(|| Some((rest.strip_suffix(']')?, "")))?;
    let (thread, place) = word(head);
    let mut parsed = Parsed::of(Format::Glog);
    parsed.source(place)?;
    parsed.int("thread.id", thread);
    parsed.time(&stamp, written, cx);
    parsed.severity = severity;
    parsed.severity_text = Some(Cow::Borrowed(name));
    parsed.body = message.to_owned();
    structured(message, &mut parsed);
    parsed.span = ids::find(message);
    Some(parsed)
}

/// `"Starting controller" controller="job" workers=5`.
fn structured(message: &str, parsed: &mut Parsed) {
    let Some((text, rest)) = quoted(message) else { return };
    let mut found = Vec::new();
    let pairs = logfmt::pairs(rest, |key, value| found.push((key, value)));
    if pairs.is_some() && (rest.is_empty() || rest.starts_with(' ')) {
        parsed.body = unescaped(text).into_owned();
        for (key, value) in found {
            let value = parsed.cut(value);
            parsed.add(Cow::Owned(key.to_owned()), value);
        }
    }
}
