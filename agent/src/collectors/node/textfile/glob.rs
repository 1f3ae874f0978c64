//! Folders by pattern: `*`, `?`, `[a-z]`, `[^a-z]` and `\` in parts of a path, as Go's `filepath.Glob` has them.

use crate::collectors::node::files::names;
use crate::collectors::node::filter::Pattern;
use std::path::{Component, Path, PathBuf};

/// Paths at most.
const MOST: usize = 1000;

/// Paths that are there and match, in order. Without a pattern, one that cannot be read, or nothing that matches: the path
/// itself.
pub(super) fn paths(pattern: &str) -> Vec<PathBuf> {
    let plain = || vec![PathBuf::from(pattern)];
    if !pattern.contains(['*', '?', '[', '\\']) {
        return plain();
    }
    let mut found = vec![PathBuf::new()];
    for part in Path::new(pattern).components() {
        let Component::Normal(name) = part else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let Some(matcher) = name.to_str().and_then(matcher) else {
            return plain();
        };
        found = found
            .iter()
            .flat_map(|folder| inside(folder, &matcher))
            .take(MOST)
            .collect();
    }
    match found.is_empty() {
        true => plain(),
        false => found,
    }
}

/// What a part of a path must be.
enum Matcher {
    Name(String),
    Pattern(Pattern),
}

fn inside(folder: &Path, matcher: &Matcher) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    match matcher {
        Matcher::Name(name) => {
            let path = folder.join(name);
            if here.join(name).exists() {
                vec![path]
            } else {
                Vec::new()
            }
        }
        Matcher::Pattern(pattern) => {
            let names = names(here).unwrap_or_default();
            let fitting = names.into_iter().filter(|name| pattern.matches(name));
            fitting.map(|name| folder.join(name)).collect()
        }
    }
}

/// `None`: it is no pattern.
fn matcher(part: &str) -> Option<Matcher> {
    if !part.contains(['*', '?', '[', '\\']) {
        return Some(Matcher::Name(part.to_owned()));
    }
    let mut text = String::new();
    let mut letters = part.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => text.push_str("(?s:.)*"),
            '?' => text.push_str("(?s:.)"),
            '\\' => text.push_str(&regex::escape(letters.next()?.encode_utf8(&mut [0; 4]))),
            '[' => class(&mut letters, &mut text)?,
            letter => text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    Some(Matcher::Pattern(Pattern::anchored(&text).ok()?))
}

/// A class of letters, without the bracket before it.
fn class(letters: &mut std::str::Chars<'_>, text: &mut String) -> Option<()> {
    text.push('[');
    let mut first = true;
    loop {
        match letters.next()? {
            '^' if first && !text.ends_with('^') => {
                text.push('^');
                continue;
            }
            ']' if !first => break,
            '-' if !first => text.push('-'),
            letter => {
                let letter = if letter == '\\' { letters.next()? } else { letter };
                text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
            }
        }
        first = false;
    }
    text.push(']');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_match() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a1", "a2", "b1", "b1/in", "a*"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let found = |pattern: &str| {
            let paths = paths(&format!("{}/{pattern}", dir.path().display()));
            let inner = paths
                .iter()
                .map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned());
            inner.collect::<Vec<_>>()
        };
        assert_eq!(found("a1"), ["a1"]);
        assert_eq!(found("missing"), ["missing"]);
        assert_eq!(found("a*"), ["a*", "a1", "a2"]);
        assert_eq!(found("?1"), ["a1", "b1"]);
        assert_eq!(found("[ab]1"), ["a1", "b1"]);
        assert_eq!(found("[^a]?"), ["b1"]);
        assert_eq!(found("[a-b]2"), ["a2"]);
        assert_eq!(found("a\\*"), ["a*"]);
        assert_eq!(found("*/in"), ["b1/in"]);
        assert_eq!(
            found("z*"),
            ["z*"],
            "nothing matches: the folder of that name is what cannot be read"
        );
        assert_eq!(found("[a"), ["[a"], "no pattern");
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_is_a_panic(pattern in "[a\\[\\]^*?\\\\\\-/é]{0,12}") {
            let _ = matcher(&pattern);
        }
    }
}
