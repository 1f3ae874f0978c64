//! Who and what a request asks for: method, path without anything secret, host and port.

use std::sync::{Arc, LazyLock};

/// Longest path kept, bytes.
pub(super) const PATH: usize = 1024;
/// Longest host name kept, bytes (a DNS name has at most 253).
const HOST: usize = 255;
/// Longest method kept, bytes.
const METHOD: usize = 64;

/// Stands for all methods that are not known.
pub(super) const OTHER: &str = "_OTHER";
/// Methods that semantic conventions name; `_OTHER` stands for all others.
const KNOWN: [&str; 11] = [
    "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY", OTHER,
];
static OPERATIONS: LazyLock<[Arc<str>; KNOWN.len()]> = LazyLock::new(|| KNOWN.map(Arc::from));

/// A host and its port.
pub(super) type Server = (Box<str>, Option<u16>);

/// The operation of a method token (case matters, RFC 9110 section 9.1), and the token itself where it is another.
pub(super) fn operation(method: &[u8]) -> (Arc<str>, Option<Box<str>>) {
    let known = KNOWN[..KNOWN.len() - 1]
        .iter()
        .position(|name| name.as_bytes() == method);
    let at = known.unwrap_or(KNOWN.len() - 1);
    let original = (known.is_none() && !method.is_empty()).then(|| text(method, METHOD));
    (Arc::clone(&OPERATIONS[at]), original)
}

/// Path of a request target in any of its four forms (RFC 9112 section 3.2), and the server if the target names it. Query,
/// fragment and user information are never kept.
pub(super) fn split(method: &[u8], target: &[u8]) -> (Box<str>, Option<Server>) {
    if method == b"CONNECT" {
        return (Box::default(), server(target));
    }
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let target = &target[..end.unwrap_or(target.len())];
    if target.starts_with(b"/") || target == b"*" {
        return (text(target, PATH), None);
    }
    if let Some(scheme) = target.windows(3).position(|part| part == b"://") {
        let rest = &target[scheme + 3..];
        let slash = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let path = if path.is_empty() { b"/" } else { path };
        return (text(path, PATH), server(authority));
    }
    // No form of the standard. It may hold user information, then nothing of it is kept.
    match target.contains(&b'@') {
        true => (Box::default(), None),
        false => (text(target, PATH), None),
    }
}

/// Host and port of an authority or a `Host` field; an IPv6 address loses its brackets.
pub(super) fn server(authority: &[u8]) -> Option<Server> {
    let authority = authority.rsplit(|&byte| byte == b'@').next()?.trim_ascii();
    let (host, port) = match authority.strip_prefix(b"[") {
        Some(rest) => {
            let end = rest.iter().position(|&byte| byte == b']')?;
            let port = &rest[end + 1..];
            (&rest[..end], port.strip_prefix(b":").unwrap_or_default())
        }
        None => match authority.iter().position(|&byte| byte == b':') {
            Some(colon) => (&authority[..colon], &authority[colon + 1..]),
            None => (authority, &b""[..]),
        },
    };
    if host.is_empty() || host.len() > HOST {
        return None;
    }
    let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
    Some((text(host, HOST), port))
}

/// Bytes as text, cut at a character; what is not UTF-8 is replaced.
pub(super) fn text(bytes: &[u8], limit: usize) -> Box<str> {
    let cut = bytes.len() > limit;
    let bytes = &bytes[..bytes.len().min(limit)];
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        // The cut went through a character.
        Err(error) if cut && error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into()
        }
        Err(_) => {
            let mut text = String::from_utf8_lossy(bytes).into_owned();
            text.truncate(text.floor_char_boundary(limit));
            text.into_boxed_str()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations() {
        let check = |method: &[u8], name: &str, original: Option<&str>| {
            let found = operation(method);
            assert_eq!((&*found.0, found.1.as_deref()), (name, original));
        };
        check(b"GET", "GET", None);
        check(b"QUERY", "QUERY", None);
        check(b"PROPFIND", "_OTHER", Some("PROPFIND"));
        check(b"get", "_OTHER", Some("get"));
        check(b"", "_OTHER", None);
    }

    #[test]
    fn targets() {
        let check = |method: &[u8], target: &[u8], path: &str, host: Option<(&str, Option<u16>)>| {
            let (found, server) = split(method, target);
            let server = server.as_ref().map(|(host, port)| (&**host, *port));
            assert_eq!((&*found, server), (path, host), "{:?}", target.escape_ascii());
        };
        check(b"GET", b"/", "/", None);
        check(b"GET", b"/a/b?token=secret", "/a/b", None);
        check(b"GET", b"/a#frag", "/a", None);
        check(b"OPTIONS", b"*", "*", None);
        check(
            b"GET",
            b"http://u:p@h.example:81/x?q",
            "/x",
            Some(("h.example", Some(81))),
        );
        check(b"GET", b"http://h.example?q=1", "/", Some(("h.example", None)));
        check(b"GET", b"http://[::1]:8080/x", "/x", Some(("::1", Some(8080))));
        check(b"CONNECT", b"h.example:443", "", Some(("h.example", Some(443))));
        check(b"CONNECT", b"[2001:db8::1]:443", "", Some(("2001:db8::1", Some(443))));
        check(b"GET", b"user:pass@host", "", None);
        check(b"GET", b"index.html?x", "index.html", None);
        check(b"GET", "/ä".as_bytes(), "/ä", None);
        check(b"GET", b"/\xff", "/\u{fffd}", None);
        let long = ["/", &"a".repeat(1022), "ä"].concat();
        check(b"GET", long.as_bytes(), &long[..1023], None);
        let garbage = vec![0xff; 2000];
        assert!(split(b"GET", &garbage).0.len() <= PATH);
    }

    #[test]
    fn servers() {
        let check = |field: &[u8], expect: Option<(&str, Option<u16>)>| {
            let found = server(field);
            assert_eq!(found.as_ref().map(|(host, port)| (&**host, *port)), expect);
        };
        check(b"a.example", Some(("a.example", None)));
        check(b"a.example:80", Some(("a.example", Some(80))));
        check(b"a.example:", Some(("a.example", None)));
        check(b"a.example:99999", Some(("a.example", None)));
        check(b"[::1]", Some(("::1", None)));
        check(b"[::1", None);
        check(b"", None);
        check(&[b'a'; 256], None);
    }
}
