//! Secrets behind a name: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, `Cookie: …`.

use super::{Found, Kind, Kinds};
use std::ops::Range;

/// Ends of names, without `_`, `-` and `.`, in small letters.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "authkey",
    "accountkey",
    "sessionkey",
    "encryptionkey",
    "signingkey",
];
/// Ends of names that end like secrets and are none: places in a list of results, counts.
const HARMLESS: &[&str] = &[
    "pagetoken",
    "nexttoken",
    "continuationtoken",
    "synctoken",
    "maxtoken",
    "pertoken",
    "endtoken",
];
/// Values that say that there is none.
const EMPTY: &[&str] = &[
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "string",
    "***",
    "****",
    "<nil>",
    "(null)",
];
/// Longest name that is looked at.
const NAME: usize = 64;

/// What a name says of its value.
fn of_name(name: &str) -> Option<Kind> {
    if name.len() > NAME {
        return None;
    }
    let mut plain = [0u8; NAME];
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !b"_-.".contains(byte)) {
        *plain.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    let plain = plain.get(..length)?;
    let ends = |words: &[&str]| words.iter().any(|word| plain.ends_with(word.as_bytes()));
    if ends(&["authorization"]) {
        Some(Kind::Authorization)
    } else if ends(&["cookie"]) {
        Some(Kind::Cookie)
    } else if ends(SECRETS) && !ends(HARMLESS) {
        Some(Kind::Secret)
    } else {
        None
    }
}

/// What the name of an attribute says of its value. `pass` alone is one too; in a text it is mostly a word.
pub(super) fn of_attribute(name: &str) -> Option<Kind> {
    // Nearly all names end with another letter.
    if !matches!(
        name.as_bytes().last()?,
        b'd' | b't' | b'n' | b'y' | b'e' | b's' | b'l' | b'D' | b'T' | b'N' | b'Y' | b'E' | b'S' | b'L'
    ) {
        return None;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.eq_ignore_ascii_case("pass") {
        return Some(Kind::Secret);
    }
    of_name(last).or_else(|| of_name(name))
}

/// Whether a value is worth hiding: not empty, none already hidden.
pub(super) fn is_secret(value: &str) -> bool {
    let value = value.trim();
    !value.is_empty() && !value.starts_with("[redacted:") && !EMPTY.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Looks at a place where a name or a scheme may be.
pub(super) fn find(text: &str, at: usize, kinds: Kinds, found: &mut Vec<Found>) {
    if kinds.has(Kind::Authorization) {
        scheme(text, at, found);
    }
    let bytes = text.as_bytes();
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let before = bytes.get(..at).unwrap_or_default();
    let start = at - before.iter().rev().take(NAME).take_while(|byte| letter(byte)).count();
    let rest = bytes.get(at..).unwrap_or_default();
    let end = at + rest.iter().take(NAME).take_while(|byte| letter(byte)).count();
    let Some(kind) = text.get(start..end).and_then(of_name).filter(|kind| kinds.has(*kind)) else {
        return;
    };
    let Some((value, certain)) = value(text, end, kind) else {
        return;
    };
    let Some(secret) = text.get(value.clone()) else { return };
    // `token: expected …` is prose; a password may be any word.
    let prose = !certain && !looks_secret(secret);
    if !prose && is_secret(secret) {
        found.push(Found { range: value, kind });
    }
}

/// The value behind a name that ends at a place, and whether it is certainly one.
fn value(text: &str, end: usize, kind: Kind) -> Option<(Range<usize>, bool)> {
    let bytes = text.as_bytes();
    let mut at = end;
    let skip = |at: &mut usize, set: &[u8]| {
        let from = *at;
        while bytes.get(*at).is_some_and(|byte| set.contains(byte)) {
            *at += 1;
        }
        *at - from
    };
    // The closing quote of the name, escaped or not.
    skip(&mut at, b"\\\"'`");
    let blanks = skip(&mut at, b" ");
    let sign = *bytes.get(at)?;
    let certain = match sign {
        b'=' => {
            at += 1;
            at += usize::from(bytes.get(at) == Some(&b'>'));
            if blanks > 0 || bytes.get(at..at + 2).is_some_and(|next| next == b" \"") {
                skip(&mut at, b" ");
            }
            true
        }
        b':' if blanks == 0 => {
            at += 1;
            skip(&mut at, b" ") == 0
        }
        _ => return None,
    };
    let opened = at;
    let escaped = bytes.get(at) == Some(&b'\\') && matches!(bytes.get(at + 1), Some(b'"' | b'\''));
    at += usize::from(escaped);
    if let Some(quote @ (b'"' | b'\'' | b'`')) = bytes.get(at) {
        let from = at + 1;
        if bytes.get(from..)?.starts_with(b"[redacted:") {
            return None;
        }
        return Some((from..closing(bytes, from, *quote, escaped), true));
    }
    let at = opened;
    // Hidden already: to look for its end each time would cost the square of the text.
    if bytes.get(at..)?.starts_with(b"[redacted:") {
        return None;
    }
    if matches!(kind, Kind::Authorization | Kind::Cookie) {
        return Some((at..header_end(text, at, kind, sign), true));
    }
    let stops = |byte: &u8| *byte <= b' ' || b",;&\"'`)}]>|\\".contains(byte);
    let rest = bytes.get(at..)?;
    let length = rest.iter().position(stops).unwrap_or(rest.len());
    Some((at..at + length, certain || names_password(text.get(..end)?)))
}

fn names_password(before: &str) -> bool {
    let name = before.as_bytes().trim_ascii_end();
    let tail = name
        .get(name.len().saturating_sub(8)..)
        .unwrap_or_default()
        .to_ascii_lowercase();
    [b"password".as_slice(), b"passwd", b"pwd"]
        .iter()
        .any(|word| tail.ends_with(word))
}

/// Where a quoted text ends.
fn closing(bytes: &[u8], from: usize, quote: u8, escaped: bool) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if escaped && bytes.get(at + 1) == Some(&quote) => return at,
            b'\\' => at += 2,
            _ if *byte == quote => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the value of a header ends that has no quotes: for `name: value` the rest of the line, for `name=value` a blank, with the
/// credentials behind the scheme.
fn header_end(text: &str, at: usize, kind: Kind, sign: u8) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    // Each looks no farther than it must: a line may have many names of headers.
    let line = || rest.find(['\n', '"', '\'', '\\']).unwrap_or(rest.len());
    let end = |from: usize| {
        let stops = |byte: u8| b" ,;\n\"'\\".contains(&byte);
        let after = rest.get(from..).unwrap_or_default();
        from + after.bytes().position(stops).unwrap_or(after.len())
    };
    let word = end(0);
    let length = match kind {
        Kind::Cookie if sign == b':' => line(),
        Kind::Authorization => {
            let scheme = rest.get(..word).unwrap_or_default();
            let one = ["bearer", "basic", "token", "apikey", "negotiate"];
            if one.iter().any(|name| scheme.eq_ignore_ascii_case(name)) {
                let after = rest.get(word..).unwrap_or_default();
                end(word + after.len() - after.trim_start_matches(' ').len())
            } else if scheme.eq_ignore_ascii_case("digest") || scheme.starts_with("AWS4-") {
                line()
            } else {
                word
            }
        }
        _ => word,
    };
    at + length
}

/// Long, or with a digit or a sign: not a word of a sentence.
fn looks_secret(value: &str) -> bool {
    value.len() >= 20 || (value.len() >= 6 && value.bytes().any(|byte| byte.is_ascii_digit()))
}

/// `Bearer …` and `Basic …` without a name before them.
fn scheme(text: &str, at: usize, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let inside = at
        .checked_sub(1)
        .and_then(|at| bytes.get(at))
        .is_some_and(u8::is_ascii_alphanumeric);
    let starts = |word: &str| {
        bytes
            .get(at..at + word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    let bearer = starts("bearer ");
    if inside || !(bearer || starts("basic ")) {
        return;
    }
    let from = at + if bearer { 7 } else { 6 };
    let rest = bytes.get(from..).unwrap_or_default();
    // RFC 6750, section 2.1: token68.
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let length = rest.iter().take_while(|byte| letter(byte)).count();
    let Some(value) = text.get(from..from + length) else {
        return;
    };
    let secret = if bearer {
        length >= 6 && looks_secret(value)
    } else {
        is_basic(value)
    };
    if secret {
        found.push(Found {
            range: from..from + length,
            kind: Kind::Authorization,
        });
    }
}

/// Base64 of a name, a colon and a password: `basic authentication` is not.
fn is_basic(value: &str) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    let decoded = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value));
    decoded.is_ok_and(|decoded| decoded.contains(&b':'))
}
