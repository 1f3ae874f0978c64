//! Where a secret may be: at the first four bytes of the words and prefixes that secrets have.
//!
//! The search is Wu and Manber's: the last two bytes of a window of four tell how far the next window may be, which is three bytes
//! most of the time. A table of 16 KiB serves all patterns in both cases; a general automaton would add more to the program than
//! everything else here.

use std::sync::OnceLock;

/// Bytes of a pattern.
const WINDOW: usize = 4;
const PAIRS: usize = 1 << 14;

/// First four bytes, in small letters. Which of them is a secret is decided by who looks closer.
const PATTERNS: &[&[u8; WINDOW]] = &[
    // Names.
    b"pass", b"pwd=", b"pwd:", b"pwd\"", b"secr", b"toke", b"apik", b"api_", b"api-", b"acce", b"priv", b"cred",
    b"auth", b"cook", // Schemes.
    b"bear", b"basi", // Prefixes.
    b"akia", b"asia", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"gith", b"glpa", b"xoxb", b"xoxp", b"xoxa",
    b"xoxr", b"xoxs", b"xapp", b"hook", b"sk_l", b"sk_t", b"rk_l", b"rk_t", b"whse", b"npm_", b"aiza", b"-beg",
];

/// The patterns as a table.
#[derive(Debug)]
pub(super) struct Anchors {
    /// How far a window may move whose last two bytes are these.
    shift: Box<[u8; PAIRS]>,
}

pub(super) fn shared() -> &'static Anchors {
    static ANCHORS: OnceLock<Anchors> = OnceLock::new();
    ANCHORS.get_or_init(Anchors::new)
}

impl Anchors {
    fn new() -> Anchors {
        let mut shift = Box::new([(WINDOW - 1) as u8; PAIRS]);
        let mut add = |pattern: &[u8]| {
            for (at, pair) in pattern.windows(2).enumerate() {
                let entry = &mut shift[index(pair[0], pair[1])];
                *entry = (*entry).min((WINDOW - 2 - at) as u8);
            }
        };
        PATTERNS.iter().for_each(|pattern| add(*pattern));
        // The header of a JSON web token is base64 of `{"` and a letter: these are the digits that can come fourth.
        (b'a'..=b'z')
            .chain(b'0'..=b'6')
            .for_each(|fourth| add(&[b'e', b'y', b'j', fourth]));
        Anchors { shift }
    }

    /// Tells every place where a pattern may begin.
    pub(super) fn find(&self, text: &[u8], mut tell: impl FnMut(usize)) {
        let mut last = WINDOW - 1;
        while let Some(&second) = text.get(last) {
            let shift = self.shift[index(text[last - 1], second)];
            if shift == 0 {
                let start = last + 1 - WINDOW;
                if is_pattern(&text[start..=last]) {
                    tell(start);
                }
                last += 1;
            } else {
                last += usize::from(shift);
            }
        }
    }
}

/// Letters of both cases are the same; what else falls together is told apart by [`is_pattern`].
fn index(first: u8, second: u8) -> usize {
    usize::from((first | 0x20) & 0x7f) << 7 | usize::from((second | 0x20) & 0x7f)
}

fn is_pattern(window: &[u8]) -> bool {
    let mut lower = [0; WINDOW];
    for (to, from) in lower.iter_mut().zip(window) {
        *to = from.to_ascii_lowercase();
    }
    matches!(lower, [b'e', b'y', b'j', _]) || PATTERNS.contains(&&lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_found_anywhere() {
        for pattern in PATTERNS {
            for before in 0..9 {
                for upper in [false, true] {
                    let word = String::from_utf8_lossy(*pattern).into_owned();
                    let word = if upper { word.to_uppercase() } else { word };
                    let text = format!("{}{word}x", "q".repeat(before));
                    let mut found = Vec::new();
                    shared().find(text.as_bytes(), |at| found.push(at));
                    assert_eq!(found, [before], "{text}");
                }
            }
        }
    }

    #[test]
    fn neighbours_are_both_found() {
        let mut found = Vec::new();
        shared().find(b"passsecrtoke ghp_akia", |at| found.push(at));
        assert_eq!(found, [0, 4, 8, 13, 17]);
        shared().find(b"abc", |_| panic!("too short"));
    }
}
