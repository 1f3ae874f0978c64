//! Secrets that their shape gives away: keys and tokens with a prefix, JSON web tokens, private keys, passwords in URLs.

use super::{Found, Kind, Kinds};
use memchr::memmem;

/// Letters that a token consists of.
#[derive(Clone, Copy)]
enum Letters {
    /// Letters and digits.
    Word,
    /// Capitals and digits.
    Capital,
    /// Letters, digits, `_` and `-`.
    Url,
    /// The same and `/`.
    Path,
}

impl Letters {
    fn has(self, byte: u8) -> bool {
        match self {
            Letters::Word => byte.is_ascii_alphanumeric(),
            Letters::Capital => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Letters::Url => byte.is_ascii_alphanumeric() || b"_-".contains(&byte),
            Letters::Path => byte.is_ascii_alphanumeric() || b"_-/".contains(&byte),
        }
    }
}

/// Prefix, letters behind it, how many at least, kind. From the documentation of who issues them.
const PREFIXES: &[(&str, Letters, usize, Kind)] = &[
    ("AKIA", Letters::Capital, 16, Kind::AwsKey),
    ("ASIA", Letters::Capital, 16, Kind::AwsKey),
    ("ghp_", Letters::Word, 30, Kind::Token),
    ("gho_", Letters::Word, 30, Kind::Token),
    ("ghu_", Letters::Word, 30, Kind::Token),
    ("ghs_", Letters::Word, 30, Kind::Token),
    ("ghr_", Letters::Word, 30, Kind::Token),
    ("github_pat_", Letters::Url, 22, Kind::Token),
    ("glpat-", Letters::Url, 20, Kind::Token),
    ("xoxb-", Letters::Url, 10, Kind::Token),
    ("xoxp-", Letters::Url, 10, Kind::Token),
    ("xoxa-", Letters::Url, 10, Kind::Token),
    ("xoxr-", Letters::Url, 10, Kind::Token),
    ("xoxs-", Letters::Url, 10, Kind::Token),
    ("xapp-", Letters::Url, 10, Kind::Token),
    ("hooks.slack.com/services/", Letters::Path, 20, Kind::Token),
    ("sk_live_", Letters::Word, 16, Kind::Token),
    ("sk_test_", Letters::Word, 16, Kind::Token),
    ("rk_live_", Letters::Word, 16, Kind::Token),
    ("rk_test_", Letters::Word, 16, Kind::Token),
    ("whsec_", Letters::Word, 24, Kind::Token),
    ("npm_", Letters::Word, 36, Kind::Token),
    ("AIza", Letters::Url, 35, Kind::Token),
];

/// Looks at a place where one may begin.
pub(super) fn find(text: &str, at: usize, kinds: Kinds, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.starts_with(b"-BEG") || rest.starts_with(b"-beg") {
        if kinds.has(Kind::PrivateKey) {
            private_key(text, at, found);
        }
        return;
    }
    let before = at.checked_sub(1).and_then(|at| bytes.get(at));
    if before.is_some_and(|byte| Letters::Url.has(*byte)) {
        return;
    }
    if rest.starts_with(b"eyJ") {
        if kinds.has(Kind::Jwt) {
            jwt(rest, at, found);
        }
        return;
    }
    for (prefix, letters, least, kind) in PREFIXES {
        let Some(rest) = rest.strip_prefix(prefix.as_bytes()) else {
            continue;
        };
        let length = rest.iter().take_while(|byte| letters.has(**byte)).count();
        // An AWS id has its length exactly: words in capitals go on.
        let exact =
            !matches!(letters, Letters::Capital) || !rest.get(length).is_some_and(|byte| Letters::Url.has(*byte));
        if kinds.has(*kind) && length >= *least && exact && (*kind != Kind::AwsKey || length == *least) {
            let keep = if matches!(letters, Letters::Path) {
                prefix.len()
            } else {
                0
            };
            found.push(Found {
                range: at + keep..at + prefix.len() + length,
                kind: *kind,
            });
        }
        return;
    }
}

/// Three parts of base64url with dots between (RFC 7519), or five of an encrypted one (RFC 7516).
fn jwt(rest: &[u8], at: usize, found: &mut Vec<Found>) {
    let mut end = 0;
    let mut parts = 0;
    loop {
        let length = rest
            .get(end..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| Letters::Url.has(**byte))
            .count();
        // The second one may be empty when the payload is detached, and in an encrypted token.
        if length < 10 && parts != 1 {
            break;
        }
        parts += 1;
        end += length;
        if parts == 5 || rest.get(end) != Some(&b'.') {
            break;
        }
        end += 1;
    }
    if rest.get(end.wrapping_sub(1)) == Some(&b'.') {
        end -= 1;
    }
    if parts >= 3 {
        found.push(Found {
            range: at..at + end,
            kind: Kind::Jwt,
        });
    }
}

/// `-----BEGIN … PRIVATE KEY-----` to its end, or to the end of the text.
fn private_key(text: &str, at: usize, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let Some(start) = at.checked_sub(4).filter(|start| bytes.get(*start..at) == Some(b"----")) else {
        return;
    };
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(label) = rest.get(1..).and_then(|rest| rest.strip_prefix(b"BEGIN ")) else {
        return;
    };
    let Some(end) = memmem::find(label.get(..48).unwrap_or(label), b"-----") else {
        return;
    };
    if !label.get(..end).is_some_and(|label| label.ends_with(b"PRIVATE KEY")) {
        return;
    }
    let body = at + 7 + end;
    let tail = bytes.get(body..).unwrap_or_default();
    let end = memmem::find(tail, b"PRIVATE KEY-----").map_or(bytes.len(), |end| body + end + 16);
    found.push(Found {
        range: start..end,
        kind: Kind::PrivateKey,
    });
}

/// Passwords between `user:` and `@` (RFC 3986, section 3.2.1).
pub(super) fn urls(text: &str, found: &mut Vec<Found>) {
    for at in memmem::find_iter(text.as_bytes(), b"://") {
        let from = at + 3;
        let rest = text.get(from..).unwrap_or_default();
        let end = rest
            .bytes()
            .position(|byte| byte <= b' ' || b"/?#\"'<>`\\".contains(&byte))
            .unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@') else {
            continue;
        };
        let Some((name, password)) = user.split_once(':') else {
            continue;
        };
        if password.is_empty() || password.starts_with("[redacted:") {
            continue;
        }
        let start = from + name.len() + 1;
        found.push(Found {
            range: start..start + password.len(),
            kind: Kind::UrlPassword,
        });
    }
}
