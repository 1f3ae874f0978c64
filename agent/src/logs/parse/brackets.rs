//! Lines whose head stands in one pair of brackets.

use super::scan::{bracketed, is_name, word};
use super::{Context, Format, Parsed, level, time};

/// `[2026-01-02T03:04:05Z INFO  shop::cart] message` (`env_logger`), `[2026-01-02T03:04:05+00:00] app.ERROR: message` (Monolog),
/// `[2026-01-02 03:04:05,123] INFO message` (Kafka and others), `[03:04:05 INF] message` (Serilog).
pub(super) fn read(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let (head, rest) = bracketed(line)?;
    let mut parsed = Parsed::of(Format::Bracketed);
    let Some((stamp, length)) = time::iso(head.as_bytes()) else {
        // A time of day alone is not enough to know when.
        let (_, _, length) = time::clock(head.as_bytes(), 0)?;
        let (written, name) = head.split_at_checked(length)?;
        let name = name.strip_prefix(' ')?;
        let severity = level::of_word(name)?;
        parsed.text("time", written);
        parsed.level(severity, name);
        parsed.body = rest.to_owned();
        return Some(parsed);
    };
    let (written, inside) = head.split_at_checked(length)?;
    parsed.time(&stamp, written, cx);
    let (name, target) = word(inside);
    if !name.is_empty() {
        // `env_logger` pads the level and may leave the target out.
        let severity = level::of_word(name)?;
        (target.is_empty() || is_name(target)).then_some(())?;
        parsed.level(severity, name);
        parsed.text("target", target);
        parsed.body = rest.to_owned();
        return Some(parsed);
    }
    let (first, message) = word(rest);
    if let Some((channel, name)) = first.strip_suffix(':').and_then(|first| first.rsplit_once('.'))
        && let Some(severity) = level::of_word(name)
        && is_name(channel)
    {
        parsed.level(severity, name);
        parsed.text("logger", channel);
        parsed.body = message.to_owned();
        return Some(parsed);
    }
    match super::scan::level_word(first) {
        Some((severity, name)) => {
            parsed.level(severity, name);
            parsed.body = message.to_owned();
        }
        None => parsed.body = rest.to_owned(),
    }
    Some(parsed)
}
