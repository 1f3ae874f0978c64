//! What loggers of Ruby, Python, Go (zap) and .NET write for people.

use super::scan::{is_name, word};
use super::{Context, Format, Parsed, json, level, time};
use crate::logs::Severity;
use std::borrow::Cow;

/// `I, [2026-01-02T03:04:05.123456 #31]  INFO -- program: message`.
pub(super) fn ruby(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    (line.get(1..4)? == ", [").then_some(())?;
    let (stamp, length) = time::iso(line.as_bytes().get(4..)?)?;
    let (written, rest) = line.get(4..)?.split_at_checked(length)?;
    let (pid, rest) = rest.strip_prefix(" #")?.split_once(']')?;
    let (name, rest) = word(rest);
    let (severity, name) = match name {
        "ANY" => (Severity::UNSPECIFIED, name),
        name => (level::of_word(name)?, name),
    };
    let (program, message) = rest.strip_prefix("-- ")?.split_once(": ").or_else(|| {
        // Without a message there is no blank.
        rest.strip_prefix("-- ")?.split_once(':')
    })?;
    let mut parsed = Parsed::of(Format::Ruby);
    parsed.time(&stamp, written, cx);
    parsed.level(severity, name);
    parsed.int("process.pid", pid);
    parsed.text("logger", program.trim());
    parsed.body = message.to_owned();
    Some(parsed)
}

/// `WARNING:root:message` and `2026-01-02 03:04:05,123 - name - LEVEL - message`.
pub(super) fn python(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    if !line.starts_with(|c: char| c.is_ascii_digit()) {
        let (name, rest) = line.split_once(':')?;
        let severity = python_level(name)?;
        let (logger, message) = rest.split_once(':')?;
        is_name(logger).then_some(())?;
        let mut parsed = Parsed::of(Format::Python);
        parsed.level(severity, name);
        parsed.text("logger", logger);
        parsed.body = message.to_owned();
        return Some(parsed);
    }
    let (stamp, length) = time::iso(line.as_bytes())?;
    let (written, rest) = line.split_at_checked(length)?;
    let (logger, rest) = rest.strip_prefix(" - ")?.split_once(" - ")?;
    let (name, message) = rest.split_once(" - ")?;
    let severity = python_level(name)?;
    is_name(logger).then_some(())?;
    let mut parsed = Parsed::of(Format::Python);
    parsed.time(&stamp, written, cx);
    parsed.level(severity, name);
    parsed.text("logger", logger);
    parsed.body = message.to_owned();
    Some(parsed)
}

fn python_level(word: &str) -> Option<Severity> {
    Some(match word {
        "DEBUG" => Severity::DEBUG,
        "INFO" => Severity::INFO,
        "WARNING" => Severity::WARN,
        "ERROR" => Severity::ERROR,
        "CRITICAL" => Severity::FATAL,
        _ => return None,
    })
}

/// zap's encoder for consoles, with tabs: time, level, logger, caller, message, fields as JSON; logger and caller may be missing.
pub(super) fn zap(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let (written, rest) = line.split_once('\t')?;
    let (stamp, length) = time::iso(written.as_bytes())?;
    (length == written.len()).then_some(())?;
    let (name, mut rest) = rest.split_once('\t')?;
    let severity = level::of_word(name)?;
    let mut parsed = Parsed::of(Format::ZapConsole);
    parsed.time(&stamp, written, cx);
    parsed.level(severity, name);
    if let Some((first, after)) = rest.split_once('\t') {
        if parsed.source(first).is_some() {
            rest = after;
        } else if let Some((caller, message)) = after.split_once('\t')
            && is_name(first)
            && parsed.source(caller).is_some()
        {
            parsed.text("logger", first);
            rest = message;
        }
    }
    if let Some((message, fields)) = rest.rsplit_once('\t')
        && fields.starts_with('{')
        && json::attributes_of(fields, &mut parsed)
    {
        rest = message;
    }
    parsed.body = rest.to_owned();
    Some(parsed)
}

/// `info: Microsoft.Hosting.Lifetime[14]` and the message in the next line, which the joiner put there.
pub(super) fn dotnet(line: &str, _: &Context<'_>) -> Option<Parsed> {
    let severity = match line.get(..6)? {
        "trce: " => Severity::TRACE,
        "dbug: " => Severity::DEBUG,
        "info: " => Severity::INFO,
        "warn: " => Severity::WARN,
        "fail: " => Severity::ERROR,
        "crit: " => Severity::FATAL,
        _ => return None,
    };
    let (head, message) = line.get(6..)?.split_once('\n').unwrap_or((line.get(6..)?, ""));
    let (category, event) = head.trim_end().strip_suffix(']')?.rsplit_once('[')?;
    is_name(category).then_some(())?;
    let mut parsed = Parsed::of(Format::Dotnet);
    parsed.severity = severity;
    parsed.severity_text = line.get(..4).map(|word| Cow::Owned(word.to_owned()));
    parsed.text("logger", category);
    parsed.int("event.id", event);
    let lines = message
        .split('\n')
        .map(|line| line.strip_prefix("      ").unwrap_or(line));
    parsed.body = lines.collect::<Vec<_>>().join("\n");
    Some(parsed)
}
