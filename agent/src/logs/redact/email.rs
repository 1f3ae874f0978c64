//! E-mail addresses: those that are in use, a part of RFC 5321's grammar.

use super::{Found, Kind};

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    for at in memchr::memchr_iter(b'@', bytes) {
        let local = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte);
        let before = bytes.get(..at).unwrap_or_default();
        let start = at - before.iter().rev().take(64).take_while(local).count();
        let rest = bytes.get(at + 1..).unwrap_or_default();
        // A dot or a dash is within a domain only when a letter follows: a sentence may end there.
        let domain = |at: &usize| {
            let letter = |at: usize| rest.get(at).is_some_and(u8::is_ascii_alphanumeric);
            letter(*at) || (rest.get(*at).is_some_and(|byte| b".-".contains(byte)) && letter(at + 1))
        };
        let length = (0..255).take_while(domain).count();
        let name = rest.get(..length).unwrap_or_default();
        let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else {
            continue;
        };
        let top = name.get(dot + 1..).unwrap_or_default();
        if start < at && dot > 0 && top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic) {
            found.push(Found {
                range: start..at + 1 + name.len(),
                kind: Kind::Email,
            });
        }
    }
}
