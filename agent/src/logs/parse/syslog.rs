//! Syslog: RFC 5424, RFC 3164 with and without its priority, and the `<N>` before lines that systemd knows (`sd-daemon(3)`).

use super::scan::{quoted, unescaped};
use super::{Context, Format, Parsed, level, time};
use crate::trace::span::AttributeValue;
use std::borrow::Cow;

pub(super) fn read(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let mut parsed = Parsed::of(Format::Syslog);
    let Some(rest) = line.strip_prefix('<') else {
        // Without a priority it is syslog only if all else is there.
        return bsd(line, &mut parsed, cx, true).map(|()| parsed);
    };
    let (priority, rest) = rest.split_once('>')?;
    let number: u8 = priority.parse().ok()?;
    if number > 191 || priority.len() != number.to_string().len() {
        return None;
    }
    let (severity, word) = level::of_syslog(number & 7)?;
    parsed.severity = severity;
    parsed.severity_text = Some(Cow::Borrowed(word));
    if let Some(rest) = rest.strip_prefix("1 ")
        && modern(rest, &mut parsed, cx).is_some()
    {
        facility(number, &mut parsed);
        return Some(parsed);
    }
    parsed.attributes.clear();
    parsed.timestamp = None;
    if bsd(rest, &mut parsed, cx, false).is_some() {
        facility(number, &mut parsed);
    } else {
        parsed.attributes.clear();
        parsed.timestamp = None;
        if number > 7 {
            facility(number, &mut parsed);
        }
        parsed.body = rest.trim_start().to_owned();
    }
    Some(parsed)
}

fn facility(priority: u8, parsed: &mut Parsed) {
    let code = AttributeValue::Int(i64::from(priority >> 3));
    parsed.add(Cow::Borrowed("log.syslog.facility.code"), code);
}

/// RFC 5424, section 6, behind the version: time, host, program, process, kind, structured data, message.
fn modern(rest: &str, parsed: &mut Parsed, cx: &Context<'_>) -> Option<()> {
    let mut words = rest.splitn(6, ' ');
    let when = words.next()?;
    if when != "-" {
        let (stamp, length) = time::iso(when.as_bytes())?;
        (length == when.len()).then_some(())?;
        parsed.time(&stamp, when, cx);
    }
    for name in [
        "log.syslog.hostname",
        "log.syslog.appname",
        "log.syslog.procid",
        "log.syslog.msgid",
    ] {
        let value = words.next()?;
        if value == "-" {
            continue;
        }
        if name == "log.syslog.procid" && value.parse::<u32>().is_ok() {
            parsed.int("process.pid", value);
        } else {
            parsed.text(name, value);
        }
    }
    let rest = structured(words.next()?, parsed)?;
    parsed.body = rest.trim_start_matches(' ').trim_start_matches('\u{feff}').to_owned();
    Some(())
}

/// `[id name="value"]…` or `-`; tells what follows.
fn structured<'a>(text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix('-') {
        return (rest.is_empty() || rest.starts_with(' ')).then_some(rest);
    }
    let mut rest = text;
    text.starts_with('[').then_some(())?;
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']'])?;
        let (id, mut element) = element.split_at(end);
        while let Some(pair) = element.strip_prefix(' ') {
            let (name, value) = pair.split_once('=')?;
            let (value, after) = quoted(value)?;
            let value = unescaped(value).replace("\\]", "]");
            let value = parsed.cut(Cow::Owned(value));
            parsed.add(Cow::Owned(format!("log.syslog.structured_data.{id}.{name}")), value);
            element = after;
        }
        rest = element.strip_prefix(']')?;
    }
    Some(rest)
}

/// RFC 3164, section 4.1: `Jan  2 03:04:05 host program[31]: message`, or with a modern time as rsyslog writes it. With a priority
/// before it, the host may be missing, as in what programs of the same host send.
fn bsd(line: &str, parsed: &mut Parsed, cx: &Context<'_>, all: bool) -> Option<()> {
    let bytes = line.as_bytes();
    let (stamp, length) = time::bsd(bytes).or_else(|| time::iso(bytes))?;
    let (written, rest) = line.split_at_checked(length)?;
    let rest = rest.strip_prefix(' ')?;
    let (host, rest) = match rest.split_once(' ') {
        Some((host, after)) if !host.ends_with(':') && is_host(host) => (host, after),
        _ if all => return None,
        _ => ("", rest),
    };
    let message = match tag(rest) {
        Some((program, pid, message)) => {
            parsed.text("log.syslog.appname", program);
            parsed.int("process.pid", pid);
            message
        }
        None if all => return None,
        None => rest,
    };
    parsed.time(&stamp, written, cx);
    parsed.text("log.syslog.hostname", host);
    parsed.body = message.to_owned();
    Some(())
}

fn is_host(text: &str) -> bool {
    let known = level::of_word(text).is_some();
    !text.is_empty()
        && !known
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte))
}

/// `program[31]: message` or `program: message`.
fn tag(text: &str) -> Option<(&str, &str, &str)> {
    let end = text
        .bytes()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)))?;
    let (program, rest) = text.split_at(end);
    let (pid, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let message = rest.strip_prefix(':')?;
    (!program.is_empty() && (message.is_empty() || message.starts_with(' '))).then_some(())?;
    Some((program, pid, message.trim_start()))
}
