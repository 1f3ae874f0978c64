//! Access logs: NCSA's common format and the combined one, as nginx and Apache write them, with a virtual host before or without.
//! <https://httpd.apache.org/docs/current/logs.html#accesslog>

use super::scan::quoted;
use super::{Context, Format, Parsed, time};
use crate::trace::span::AttributeValue;
use std::borrow::Cow;

/// The whole line is the body: it has no message of its own. Status codes are no severity.
pub(super) fn read(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    let open = memchr::memchr(b'[', line.as_bytes())?;
    let (head, rest) = line.split_at(open);
    let (stamp, length) = time::clf(rest.as_bytes().get(1..)?)?;
    let (written, rest) = rest.get(1..)?.split_at_checked(length)?;
    let mut parsed = Parsed::of(Format::Access);
    client(head, &mut parsed)?;
    let (request, rest) = quoted(rest.strip_prefix("] ")?)?;
    let mut words = rest.trim_start_matches(' ').splitn(3, ' ');
    let (status, bytes) = (words.next()?, words.next()?);
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    parsed.time(&stamp, written, cx);
    self::request(request, &mut parsed);
    parsed.int("http.response.status_code", status);
    parsed.int("http.response.body.size", bytes);
    if let Some((referer, rest)) = words.next().and_then(quoted) {
        if referer != "-" && !referer.is_empty() {
            let value = AttributeValue::Texts(vec![referer.to_owned()]);
            parsed.add(Cow::Borrowed("http.request.header.referer"), value);
        }
        if let Some((agent, _)) = quoted(rest.trim_start_matches(' '))
            && agent != "-"
        {
            parsed.text("user_agent.original", agent);
        }
    }
    parsed.body = line.to_owned();
    Some(parsed)
}

/// `192.0.2.1 - alice `, or with `shop.example.com:443 ` before it.
fn client(head: &str, parsed: &mut Parsed) -> Option<()> {
    let mut words = head.split_ascii_whitespace();
    let (mut first, mut second, mut third) = (words.next()?, words.next()?, words.next()?);
    if let Some(fourth) = words.next() {
        let (host, port) = first.rsplit_once(':').unwrap_or((first, ""));
        parsed.text("server.address", host);
        parsed.int("server.port", port);
        (first, second, third) = (second, third, fourth);
    }
    if words.next().is_some() || first.contains(['"', '=']) || second.contains('"') {
        return None;
    }
    parsed.text("client.address", first);
    if third != "-" {
        parsed.text("user.name", third);
    }
    Some(())
}

/// `GET /cart?id=7 HTTP/1.1`; what is none is left out, as a scanner's bytes are.
pub(super) fn request(line: &str, parsed: &mut Parsed) {
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return;
    };
    let Some(version) = version.strip_prefix("HTTP/") else {
        return;
    };
    if method.is_empty() || method.len() > 20 || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return;
    }
    parsed.text("http.request.method", method);
    let target = target
        .strip_prefix("http://")
        .and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)))
        .unwrap_or(target);
    if target.starts_with('/') {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        parsed.text("url.path", path);
        parsed.text("url.query", query);
    }
    parsed.text("network.protocol.version", version);
}
