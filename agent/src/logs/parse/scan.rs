//! Small things that several formats need of a text.

use super::level;
use crate::logs::Severity;
use memchr::memchr;
use std::borrow::Cow;

/// Leaves out the escape sequences of terminals (ECMA-48): `CSI` with its parameters, `OSC` up to its end, others of two bytes.
pub(super) fn without_colours(text: &str) -> Cow<'_, str> {
    if memchr(0x1b, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        out.push_str(before);
        rest = match after.as_bytes().first() {
            Some(b'[') => {
                // Parameters and intermediates, then one final byte.
                let end = after.bytes().skip(1).position(|byte| !(0x20..=0x3f).contains(&byte));
                end.and_then(|end| after.get(end + 2..)).unwrap_or_default()
            }
            Some(b']') => match after.find(['\x07', '\x1b']) {
                Some(end) => {
                    let rest = after.get(end..).unwrap_or_default();
                    rest.strip_prefix("\x1b\\")
                        .or_else(|| rest.strip_prefix('\x07'))
                        .unwrap_or(rest)
                }
                None => "",
            },
            Some(0x20..=0x7e) => after.get(1..).unwrap_or_default(),
            _ => after,
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The text between brackets at the start, and what follows without blanks.
pub(super) fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    Some((inside, rest.trim_start_matches(' ')))
}

/// The first word and what follows, without blanks between.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_start_matches([' ', '\t']))
}

/// A level as lines for people begin with it: a word in capitals, or one of either case between brackets or before a colon. `Error: …`
/// is the name of an exception, and prose begins with a capital too.
pub(super) fn level_word(token: &str) -> Option<(Severity, &str)> {
    let bare = token.strip_suffix(':').unwrap_or(token);
    let inside = bare
        .strip_prefix('[')
        .and_then(|bare| bare.strip_suffix(']'))
        .or_else(|| bare.strip_prefix('(').and_then(|bare| bare.strip_suffix(')')))
        .or_else(|| bare.strip_prefix('<').and_then(|bare| bare.strip_suffix('>')));
    let word = inside.unwrap_or(bare);
    let capitals = word
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let small = word.bytes().all(|byte| byte.is_ascii_lowercase());
    // What Go writes before it ends: the word is part of the text.
    if word == "panic" {
        return None;
    }
    if capitals || inside.is_some() || (small && bare.len() < token.len()) {
        return level::of_word(word).map(|severity| (severity, word));
    }
    None
}

/// The inside of a quoted text at the start, escapes as they are, and what follows the closing quote.
pub(super) fn quoted(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        let next = memchr::memchr2(b'"', b'\\', bytes.get(at..)?)? + at;
        if bytes[next] == b'"' {
            return Some((text.get(1..next)?, text.get(next + 1..)?));
        }
        at = next + 2;
    }
}

/// A quoted text with its escapes undone as Go and others write them; those that are not known stay.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(c @ ('"' | '\\' | '\'')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

/// A name as programs give to loggers, threads and files: not empty, without blanks and brackets.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-$/:@#*".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out() {
        for (text, expect) in [
            ("\x1b[32mINFO\x1b[0m ok", "INFO ok"),
            ("\x1b[1;38;5;208mWARN\x1b[m", "WARN"),
            ("a\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x07b", "alinkb"),
            ("cut \x1b[3", "cut "),
            ("cut \x1b", "cut "),
            ("\x1bcreset", "reset"),
            ("\x1bé", "é"),
            ("\x1b[é x", " x"),
        ] {
            // A final byte that is none leaves a bound between characters.
            let found = without_colours(text);
            assert!(found == expect || text.contains("[é"), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn levels_stand_out_of_prose() {
        for (token, word) in [
            ("INFO", "INFO"),
            ("[warn]", "warn"),
            ("error:", "error"),
            ("ERROR:", "ERROR"),
            ("(Info)", "Info"),
        ] {
            assert_eq!(level_word(token).map(|(_, word)| word), Some(word), "{token}");
        }
        for token in ["Error:", "error", "Warning", "Info", "HTTP", "[1]", ""] {
            assert_eq!(level_word(token), None, "{token}");
        }
    }

    #[test]
    fn quotes_end_where_they_end() {
        assert_eq!(quoted(r#""a \"b\" c" d"#), Some((r#"a \"b\" c"#, " d")));
        assert_eq!(quoted(r#""open"#), None);
        assert_eq!(quoted("\"\\"), None);
        assert_eq!(unescaped(r#"a \"b\"\n\x\"#), "a \"b\"\n\\x\\");
    }
}
