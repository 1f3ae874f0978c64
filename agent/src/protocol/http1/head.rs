//! Heads of requests and responses, parsed in place by httparse; what httparse refuses (too many fields, odd fields) or
//! what was not captured whole is read line by line as far as it goes.

use super::fields::Fields;
use crate::protocol::Match;
use std::mem::MaybeUninit;

/// Fields of a head that httparse may give; a head with more is read line by line.
const FIELDS: usize = 128;
/// Longest method token looked for.
const METHOD: usize = 64;

/// Outcome of looking at the start of a message.
#[derive(Debug)]
pub(super) enum Parsed<T> {
    /// The head, and its length in bytes.
    Complete(T, usize),
    /// More bytes are needed.
    Partial,
    /// Not a head.
    Bad,
}

/// Head of a request.
#[derive(Debug)]
pub(super) struct RequestHead<'a> {
    /// Method token.
    pub(super) method: &'a [u8],
    /// Request target as it was sent.
    pub(super) target: &'a [u8],
    /// `1.0` or `1.1`.
    pub(super) version: &'static str,
    /// What its fields say.
    pub(super) fields: Fields<'a>,
}

/// Head of a response.
#[derive(Debug)]
pub(super) struct ResponseHead<'a> {
    /// Status code.
    pub(super) status: u16,
    /// What its fields say.
    pub(super) fields: Fields<'a>,
}

/// Parses the head of a request at the start of `bytes`.
pub(super) fn request(bytes: &[u8]) -> Parsed<RequestHead<'_>> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(len)) => {
            if let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) {
                let head = RequestHead {
                    method: method.as_bytes(),
                    target: target.as_bytes(),
                    version: version_text(version),
                    fields: Fields::collect(request.headers.iter().map(|field| (field.name.as_bytes(), field.value))),
                };
                return Parsed::Complete(head, len);
            }
            Parsed::Bad
        }
        Ok(httparse::Status::Partial) if end_of_head(bytes, 0).is_none() => Parsed::Partial,
        // Not by httparse's rules, or by them not at its end, which is there all the same.
        Ok(httparse::Status::Partial) | Err(_) => match (request_line(bytes), end_of_head(bytes, 0)) {
            (Match::Maybe, _) => Parsed::Partial,
            (Match::Yes, None) => Parsed::Partial,
            (Match::Yes, Some(len)) => match partial_request(&bytes[..len]) {
                Some(head) => Parsed::Complete(head, len),
                None => Parsed::Bad,
            },
            (Match::No, _) => Parsed::Bad,
        },
    }
}

/// Parses the head of a response at the start of `bytes`.
pub(super) fn response(bytes: &[u8]) -> Parsed<ResponseHead<'_>> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true);
    match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(httparse::Status::Complete(len)) => match response.code {
            Some(status) => {
                let fields = response
                    .headers
                    .iter()
                    .map(|field| (field.name.as_bytes(), field.value));
                let fields = Fields::collect(fields);
                Parsed::Complete(ResponseHead { status, fields }, len)
            }
            None => Parsed::Bad,
        },
        Ok(httparse::Status::Partial) if end_of_head(bytes, 0).is_none() => Parsed::Partial,
        // Not by httparse's rules, or by them not at its end, which is there all the same.
        Ok(httparse::Status::Partial) | Err(_) => {
            let line = line(bytes);
            match (partial_response(bytes), end_of_head(bytes, 0)) {
                (Some(_), None) => Parsed::Partial,
                (Some(_), Some(len)) => match partial_response(&bytes[..len]) {
                    Some(head) => Parsed::Complete(head, len),
                    None => Parsed::Bad,
                },
                (None, _) if line.is_none() && may_be_response(bytes) => Parsed::Partial,
                (None, _) => Parsed::Bad,
            }
        }
    }
}

/// Reads what there is of a request's head that is not whole; `None` without a whole request line.
pub(super) fn partial_request(bytes: &[u8]) -> Option<RequestHead<'_>> {
    let (line, rest) = line(bytes)?;
    let (method, target, version) = split_request_line(line)?;
    let version = match version {
        b"HTTP/1.1" => "1.1",
        b"HTTP/1.0" => "1.0",
        _ => return None,
    };
    Some(RequestHead {
        method,
        target,
        version,
        fields: Fields::collect(Lines(rest)),
    })
}

/// Method and target of a request line that was cut behind the method; a target whose path may go on is empty.
pub(super) fn cut_request_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|&byte| byte == b' ')?;
    let (method, target) = (&bytes[..space], &bytes[space + 1..]);
    let end = target
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\r' | b'\n' | b'?' | b'#'));
    let target = match end {
        Some(end) => &target[..end],
        None if target.len() > super::target::PATH => target,
        None => &target[..0],
    };
    is_token(method).then_some((method, target))
}

/// Reads what there is of a response's head that is not whole; `None` without a whole status line.
pub(super) fn partial_response(bytes: &[u8]) -> Option<ResponseHead<'_>> {
    let (line, rest) = line(bytes)?;
    let line = line
        .strip_prefix(b"HTTP/1.0")
        .or_else(|| line.strip_prefix(b"HTTP/1.1"))?;
    if !line.starts_with(b" ") {
        return None;
    }
    let code = line.trim_ascii_start();
    let (digits, reason) = code.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) || reason.first().is_some_and(|&byte| byte != b' ') {
        return None;
    }
    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Some(ResponseHead {
        status,
        fields: Fields::collect(Lines(rest)),
    })
}

/// Whether `bytes` begin with a request line of HTTP/1.x. Leading line ends are the caller's business.
pub(super) fn request_line(bytes: &[u8]) -> Match {
    let Some((line, _)) = line(bytes) else {
        let method = bytes.iter().position(|&byte| byte == b' ').unwrap_or(bytes.len());
        let (method, rest) = bytes.split_at(method);
        if method.len() > METHOD || !(is_token(method) || bytes.is_empty()) {
            return Match::No;
        }
        let rest = rest.get(1..).unwrap_or_default();
        let control = |&byte: &u8| byte < b' ' && byte != b'\r' && byte != b'\t' || byte == 0x7f;
        return match rest.first() == Some(&b' ') || rest.iter().take(256).any(control) {
            true => Match::No,
            false => Match::Maybe,
        };
    };
    match split_request_line(line) {
        Some((_, _, b"HTTP/1.1" | b"HTTP/1.0")) => Match::Yes,
        _ => Match::No,
    }
}

/// Whether `bytes` may be the beginning of a response of HTTP/1.x.
pub(super) fn may_be_response(bytes: &[u8]) -> bool {
    let n = bytes.len().min(7);
    n > 0 && bytes[..n] == b"HTTP/1."[..n]
}

/// Position behind the empty line that ends a head; looks at `bytes` from `from` on (with what came just before it).
pub(super) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == b'\n')? + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

fn version_text(minor: u8) -> &'static str {
    match minor {
        0 => "1.0",
        _ => "1.1",
    }
}

/// The first line without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

fn split_request_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let method = line.iter().position(|&byte| byte == b' ')?;
    let version = line.iter().rposition(|&byte| byte == b' ')?;
    let (token, target) = (&line[..method], line.get(method + 1..version)?);
    let sound = token.len() <= METHOD && is_token(token) && !target.is_empty() && target[0] != b' ';
    let sound = sound && !target.iter().any(|&byte| byte < b' ');
    sound.then(|| (token, target, &line[version + 1..]))
}

/// `token` of RFC 9110 section 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

/// Field lines until the empty line or the last whole line; lines that are no fields are passed over.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (line, rest) = line(self.0)?;
            self.0 = rest;
            if line.is_empty() {
                self.0 = &[];
                return None;
            }
            if let Some(colon) = line.iter().position(|&byte| byte == b':') {
                return Some((line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        let check = |bytes: &[u8], expect| assert_eq!(request_line(bytes), expect, "{:?}", bytes.escape_ascii());
        check(b"", Match::Maybe);
        check(b"G", Match::Maybe);
        check(b"GET ", Match::Maybe);
        check(b"GET /a?b HTTP/1.", Match::Maybe);
        check(b"GET / HTTP/1.1\r\n", Match::Yes);
        check(b"GET / HTTP/1.0\n", Match::Yes);
        check(b"M-SEARCH * HTTP/1.1\r\n", Match::Yes);
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Match::No);
        check(b"GET /\r\n", Match::No);
        check(b"GET  / HTTP/1.1\r\n", Match::No);
        check(b"\x16\x03\x01\x02", Match::No);
        check(b"GET \x01\x02", Match::No);
        check(b"Host: x\r\n", Match::No);
        check(b"{\"a\":1}", Match::No);
        check(&[b'A'; 65], Match::No);
    }

    #[test]
    fn ends_of_heads() {
        let check = |bytes: &[u8], expect| assert_eq!(end_of_head(bytes, 0), expect, "{:?}", bytes.escape_ascii());
        check(b"a\r\n\r\nb", Some(5));
        check(b"a\n\nb", Some(3));
        check(b"a\r\nb\r\n", None);
        check(b"", None);
        assert_eq!(end_of_head(b"abcd\r\n\r\n", 7), Some(8));
    }

    #[test]
    fn too_many_fields_are_read_by_line() {
        let mut text = b"POST /x HTTP/1.1\r\n".to_vec();
        for n in 0..500 {
            text.extend(format!("X-{n}: y\r\n").bytes());
        }
        text.extend(b"Content-Length: 7\r\n");
        assert!(matches!(request(&text), Parsed::Partial));
        text.extend(b"\r\n");
        let Parsed::Complete(head, len) = request(&text) else {
            panic!("not complete")
        };
        assert_eq!((head.target, len), (&b"/x"[..], text.len()));
        assert_eq!(head.fields.length, super::super::fields::Length::Bytes(7));
    }

    /// Found by fuzzing: httparse wants more, though the empty line is there; who then waited for it never found it.
    #[test]
    fn a_head_with_its_end_is_never_partial() {
        for head in [
            "HTTP/1.1 100 \n\n\n\n",
            "HTTP/1.1 200 \n\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            let Parsed::Complete(_, len) = response(head.as_bytes()) else {
                panic!("{head:?}")
            };
            assert_eq!(Some(len), end_of_head(head.as_bytes(), 0), "{head:?}");
        }
    }

    #[test]
    fn status_lines() {
        let check = |bytes: &[u8], expect| {
            let status = partial_response(bytes).map(|head| head.status);
            assert_eq!(status, expect, "{:?}", bytes.escape_ascii());
        };
        check(b"HTTP/1.1 200 OK\r\n", Some(200));
        check(b"HTTP/1.0 404\r\n", Some(404));
        check(b"HTTP/1.1 200 OK", None);
        check(b"HTTP/1.1 2000 OK\r\n", None);
        check(b"HTTP/2.0 200 OK\r\n", None);
        check(b"hello\r\n", None);
    }
}
