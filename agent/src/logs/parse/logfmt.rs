//! logfmt: `level=info ts=2026-01-02T03:04:05Z msg="a text" key=value`, as logrus, slog, go-kit and Prometheus write it.

use super::keyed::{Keyed, Value};
use super::scan::{quoted, unescaped};
use super::{Context, Format, Parsed};
use std::borrow::Cow;

/// A line all of which is pairs, and among them two of time, level and message. Others only look so.
pub(super) fn read(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let mut keyed = Keyed::new(Format::Logfmt);
    pairs(line, |key, value| keyed.take(key, Value::Text(value)))?;
    keyed.is_log().then(|| keyed.finish(line, cx))
}

/// Tells all pairs; `None` at the first thing that is none.
pub(super) fn pairs<'a>(text: &'a str, mut tell: impl FnMut(&'a str, Cow<'a, str>)) -> Option<()> {
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let end = rest
            .bytes()
            .position(|byte| byte <= b' ' || byte == b'"' || byte == b'=')?;
        let (key, after) = rest.split_at(end);
        let after = after.strip_prefix('=')?;
        if key.is_empty() || key.contains(['[', '(', '{', ',']) {
            return None;
        }
        if after.starts_with('"') {
            let (value, after) = quoted(after)?;
            if !after.is_empty() && !after.starts_with(' ') {
                return None;
            }
            tell(key, unescaped(value));
            rest = after.trim_ascii_start();
        } else {
            let end = after.bytes().position(|byte| byte <= b' ').unwrap_or(after.len());
            let (value, after) = after.split_at(end);
            tell(key, Cow::Borrowed(value));
            rest = after.trim_ascii_start();
        }
    }
    Some(())
}
