//! Error logs of nginx and Apache.

use super::scan::{bracketed, quoted};
use super::{Context, Format, Parsed, access, level, time};

/// `2026/01/02 03:04:05 [error] 31#32: *7 open() failed, client: 192.0.2.1, server: _, request: "GET / HTTP/1.1", host: "example.com"`.
pub(super) fn nginx(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    (line.as_bytes().get(4) == Some(&b'/')).then_some(())?;
    let (stamp, length) = time::iso(line.as_bytes())?;
    let (written, rest) = line.split_at_checked(length)?;
    let (word, rest) = bracketed(rest.strip_prefix(' ')?)?;
    let severity = level::of_word(word)?;
    let (process, rest) = rest.split_once(": ")?;
    let (pid, tid) = process.split_once('#')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !number(pid) || !number(tid) {
        return None;
    }
    let mut parsed = Parsed::of(Format::NginxError);
    parsed.time(&stamp, written, cx);
    parsed.level(severity, word);
    parsed.int("process.pid", pid);
    parsed.int("thread.id", tid);
    let mut message = rest;
    if let Some((connection, rest)) = rest.strip_prefix('*').and_then(|rest| rest.split_once(' '))
        && number(connection)
    {
        parsed.int("nginx.connection.id", connection);
        message = rest;
    }
    parsed.body = message.to_owned();
    field(message, "client", |value| parsed.text("client.address", value));
    field(message, "host", |value| parsed.text("server.address", value));
    field(message, "request", |value| access::request(value, &mut parsed));
    Some(parsed)
}

/// The value of `, name: value` or `, name: "value"` near the end of a message.
fn field(message: &str, name: &str, tell: impl FnOnce(&str)) {
    let mut from = 0;
    while let Some(at) = message.get(from..).and_then(|rest| rest.find(", ")) {
        from += at + 2;
        let Some(value) = message
            .get(from..)
            .and_then(|rest| rest.strip_prefix(name))
            .and_then(|rest| rest.strip_prefix(": "))
        else {
            continue;
        };
        let value = quoted(value).map_or_else(|| value.split(", ").next().unwrap_or_default(), |(value, _)| value);
        return tell(value);
    }
}

/// `[Fri Jan 02 03:04:05.123456 2026] [proxy:error] [pid 31:tid 32] [client 192.0.2.1:4711] AH00898: message`.
pub(super) fn apache(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let (written, rest) = bracketed(line)?;
    let (stamp, length) = time::ctime(written.as_bytes())?;
    (length == written.len()).then_some(())?;
    let (module, mut rest) = bracketed(rest)?;
    let (module, word) = module.split_once(':').unwrap_or(("", module));
    let severity = match word {
        "emerg" | "alert" | "crit" | "error" | "warn" | "notice" | "info" | "debug" => level::of_word(word)?,
        // trace1 to trace8.
        _ if word.starts_with("trace") => crate::logs::Severity::TRACE,
        _ => return None,
    };
    let mut parsed = Parsed::of(Format::ApacheError);
    parsed.time(&stamp, written, cx);
    parsed.level(severity, word);
    parsed.text("apache.module", module);
    while let Some((inside, after)) = bracketed(rest) {
        if let Some(process) = inside.strip_prefix("pid ") {
            let (pid, tid) = process.split_once(":tid ").unwrap_or((process, ""));
            parsed.int("process.pid", pid);
            parsed.int("thread.id", tid);
        } else if let Some(client) = inside
            .strip_prefix("client ")
            .or_else(|| inside.strip_prefix("remote "))
        {
            let (address, port) = client.rsplit_once(':').unwrap_or((client, ""));
            parsed.text("client.address", address);
            parsed.int("client.port", port);
        } else {
            break;
        }
        rest = after;
    }
    parsed.body = rest.to_owned();
    Some(parsed)
}
