//! Lines for people with a time and a level before the text: Java's usual patterns, Go's standard logger, `tracing`, and all others
//! that begin so.

use super::scan::{bracketed, is_name, level_word, word};
use super::{Context, Format, Parsed, ids, level, time};
use crate::logs::Severity;

/// A time at the start, and what follows.
struct Head<'a> {
    stamp: Option<time::Stamp>,
    written: &'a str,
    rest: &'a str,
}

impl Head<'_> {
    fn apply(&self, parsed: &mut Parsed, cx: &Context<'_>) {
        match &self.stamp {
            Some(stamp) => parsed.time(stamp, self.written, cx),
            // A time of day alone is not enough to know when.
            None => parsed.text("time", self.written),
        }
    }
}

/// A whole time, or a time of day with a fraction, which is what logback writes when nobody set it up.
fn head(line: &str) -> Option<Head<'_>> {
    let bytes = line.as_bytes();
    let (stamp, length) = match time::iso(bytes) {
        Some((stamp, length)) => (Some(stamp), length),
        None => {
            let (_, _, length) = time::clock(bytes, 0)?;
            (length > 8).then_some((None, length))?
        }
    };
    let (written, rest) = line.split_at_checked(length)?;
    rest.starts_with([' ', '\t']).then_some(())?;
    Some(Head { stamp, written, rest })
}

/// Spring Boot's `2026-01-02T03:04:05.123Z  INFO 31 --- [shop] [main] c.e.Cart : message`, logback's and log4j's
/// `03:04:05.123 [main] INFO  c.e.Cart -- message` and `2026-01-02 03:04:05,123 INFO  [main] c.e.Cart - message`, with or without
/// the time.
pub(super) fn java(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let head = head(line);
    let rest = head.as_ref().map_or(line, |head| head.rest);
    let mut parsed = Parsed::of(Format::Java);
    let rest = rest.trim_start_matches(' ');
    let body = spring(rest, &mut parsed).or_else(|| {
        parsed = Parsed::of(Format::Java);
        pattern(rest, head.is_some(), &mut parsed)
    })?;
    if let Some(head) = head {
        head.apply(&mut parsed, cx);
    }
    parsed.body = body.to_owned();
    Some(parsed)
}

fn java_level(word: &str) -> Option<Severity> {
    word.bytes()
        .all(|byte| byte.is_ascii_uppercase())
        .then(|| level::of_word(word))?
}

fn spring<'a>(rest: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    let (name, rest) = word(rest);
    let severity = java_level(name)?;
    let (pid, rest) = word(rest);
    pid.parse::<u32>().ok()?;
    let mut rest = rest.strip_prefix("---")?.trim_start();
    let mut thread = "";
    while let Some((inside, after)) = bracketed(rest) {
        match ids::pair(inside.trim()) {
            Some(found) => parsed.span = found.context(),
            None => thread = inside.trim(),
        }
        rest = after;
    }
    let (logger, rest) = word(rest);
    let message = rest.strip_prefix(": ").or_else(|| rest.strip_prefix(':'))?;
    parsed.level(severity, name);
    parsed.int("process.pid", pid);
    parsed.text("thread.name", thread);
    parsed.text("logger", logger);
    Some(message)
}

/// Thread and level in either order, a logger, and `-`, `--` or `:` before the message.
fn pattern<'a>(rest: &'a str, timed: bool, parsed: &mut Parsed) -> Option<&'a str> {
    let (thread, name, rest) = match bracketed(rest) {
        Some((thread, rest)) => {
            let (name, rest) = word(rest);
            (thread, name, rest)
        }
        None => {
            let (name, rest) = word(rest);
            let (thread, rest) = bracketed(rest).unwrap_or(("", rest));
            (thread, name, rest)
        }
    };
    let severity = java_level(name)?;
    let (logger, rest) = word(rest);
    let (logger, message) = match rest.split_once(' ') {
        Some(("-" | "--" | ":", message)) => (logger, message),
        _ if logger.ends_with(':') && !thread.is_empty() => (logger.trim_end_matches(':'), rest),
        _ => return None,
    };
    // Without a time or a thread it may be prose with a dash in it: then the logger must look like a class.
    let class = is_name(logger) && logger.contains('.');
    if !is_name(logger) || !(class || (timed && !thread.is_empty())) {
        return None;
    }
    parsed.level(severity, name);
    parsed.text("thread.name", thread.trim());
    match logger.rsplit_once(':') {
        Some((logger, line)) if line.parse::<u32>().is_ok() => {
            parsed.text("logger", logger);
            parsed.int("code.line.number", line);
        }
        _ => parsed.text("logger", logger),
    }
    Some(message.trim_start_matches(' '))
}

/// A time or a level, or both; a place in the source as Go's logger writes it, and a module of Rust before the text.
pub(super) fn read(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let mut parsed = Parsed::of(Format::Header);
    let head = head(line);
    let mut rest = head
        .as_ref()
        .map_or(line, |head| head.rest)
        .trim_start_matches([' ', '\t']);
    if let Some(head) = &head {
        head.stamp?;
        head.apply(&mut parsed, cx);
        let (first, after) = word(rest);
        if first.contains(".go:") && parsed.source(first.trim_end_matches(':')).is_some() {
            rest = after;
        }
        rest = rest
            .strip_prefix("- ")
            .or_else(|| rest.strip_prefix("| "))
            .unwrap_or(rest);
    }
    let (first, after) = word(rest);
    if let Some((severity, name)) = level_word(first) {
        parsed.level(severity, name);
        rest = after
            .strip_prefix("- ")
            .or_else(|| after.strip_prefix("| "))
            .unwrap_or(after);
        let (target, message) = word(rest);
        if let Some(target) = target
            .strip_suffix(':')
            .filter(|target| target.contains("::") && is_name(target))
        {
            parsed.text("target", target);
            rest = message;
        }
    } else if head.is_none() {
        return None;
    }
    parsed.body = rest.to_owned();
    Some(parsed)
}
