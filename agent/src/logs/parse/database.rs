//! PostgreSQL and Redis.

use super::level::{DEBUG2, NOTICE};
use super::scan::bracketed;
use super::{Context, Format, Parsed, time};
use crate::logs::Severity;
use std::borrow::Cow;

/// `2026-01-02 03:04:05.123 UTC [31] app@shop LOG:  message`: the prefixes `%m [%p] ` and Debian's `%m [%p] %q%u@%d `.
pub(super) fn postgres(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let (stamp, length) = time::iso(line.as_bytes())?;
    let (written, rest) = line.split_at_checked(length)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    // Names of zones other than UTC are not unique: such a time is not certain, whatever zone was told.
    let (zone, rest) = match rest.split_once(' ') {
        Some((zone, after)) if (2..=5).contains(&zone.len()) && zone.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            (zone, after)
        }
        _ => ("", rest),
    };
    let (pid, rest) = bracketed(rest)?;
    let pid = pid.split_once('-').map_or(pid, |(pid, _)| pid);
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    let (head, message) = rest.split_once(":  ")?;
    let (who, word) = head.rsplit_once(' ').unwrap_or(("", head));
    let severity = match word {
        "DEBUG" | "DEBUG1" | "DEBUG2" | "DEBUG3" | "DEBUG4" | "DEBUG5" => Severity::DEBUG,
        "LOG" | "INFO" => Severity::INFO,
        "NOTICE" => NOTICE,
        "WARNING" => Severity::WARN,
        "ERROR" => Severity::ERROR,
        "FATAL" | "PANIC" => Severity::FATAL,
        // They belong to the line before, which has the severity.
        "DETAIL" | "HINT" | "CONTEXT" | "STATEMENT" | "QUERY" | "LOCATION" => Severity::UNSPECIFIED,
        _ => return None,
    };
    let mut parsed = Parsed::of(Format::Postgres);
    if zone.is_empty() {
        parsed.time(&stamp, written, cx);
    } else {
        parsed.text("time", &format!("{written} {zone}"));
    }
    parsed.level(severity, word);
    parsed.int("process.pid", pid);
    if let Some((user, database)) = who.split_once('@') {
        parsed.text("user.name", user);
        parsed.text("db.namespace", database);
    }
    parsed.body = message.to_owned();
    Some(parsed)
}

/// `1:M 02 Jan 2026 03:04:05.123 * message`.
pub(super) fn redis(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let (pid, rest) = line.split_once(':')?;
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    let (role, rest) = rest.split_once(' ')?;
    let role = match role {
        "M" => "master",
        "S" => "replica",
        "C" => "child",
        "X" => "sentinel",
        _ => return None,
    };
    let (stamp, length) = time::day_first(rest.as_bytes())?;
    let (written, rest) = rest.split_at_checked(length)?;
    let mut parsed = Parsed::of(Format::Redis);
    let (severity, word) = match rest.as_bytes().get(..3)? {
        b" . " => (Severity::DEBUG, "debug"),
        b" - " => (DEBUG2, "verbose"),
        b" * " => (NOTICE, "notice"),
        b" # " => (Severity::WARN, "warning"),
        _ => return None,
    };
    parsed.time(&stamp, written, cx);
    parsed.severity = severity;
    parsed.severity_text = Some(Cow::Borrowed(word));
    parsed.int("process.pid", pid);
    parsed.text("redis.role", role);
    parsed.body = rest.get(3..).unwrap_or_default().to_owned();
    Some(parsed)
}
