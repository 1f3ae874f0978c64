//! Just enough of Rust's lexical structure to tell code from comments and literals.

/// An identifier or keyword in code, with what stands around it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// The word itself.
    pub(crate) text: &'a str,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Part of a path (`a::word`, `word::b`) or of a `use` item.
    pub(crate) in_path: bool,
}

/// The words of source text whose comments and literals were blanked by [`code_of`].
pub(crate) fn words(code: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let (mut line, mut in_use) = (1, false);
    let mut rest = code;
    let mut before = "";
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            in_use |= text == "use";
            let joined = before.ends_with("::") || after.trim_start().starts_with("::");
            words.push(Word {
                text,
                line,
                in_path: in_use || joined,
            });
            rest = after;
        } else {
            line += usize::from(first == '\n');
            in_use &= first != ';';
            rest = &rest[first.len_utf8()..];
        }
        before = &code[..code.len() - rest.len()];
    }
    words
}

/// The source with each character of comments, strings and character literals turned into a space; line ends stay.
pub(crate) fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = literal(rest, after_word);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (blank, after) = rest.split_at(length);
            code.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// Length in bytes of the comment or literal that the text begins with, 0 when it begins with code.
fn literal(text: &str, after_word: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    if text.starts_with('\'') {
        return character(text);
    }
    if !after_word && text.starts_with(['r', 'b', 'c']) {
        return raw_string(text);
    }
    0
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A character literal, or 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => quoted(text, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// A raw string with its prefix (`r"`, `br##"`, …), or 0.
fn raw_string(text: &str) -> usize {
    let Some(prefix) = ["r", "br", "cr"].into_iter().find(|prefix| {
        let after = text.strip_prefix(prefix).unwrap_or_default().trim_start_matches('#');
        text.starts_with(prefix) && after.starts_with('"')
    }) else {
        return 0;
    };
    let hashes = text[prefix.len()..].chars().take_while(|&c| c == '#').count();
    let start = prefix.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: &[&str]) {
        let code = code_of(source);
        assert_eq!(code.lines().count(), source.lines().count(), "{source}");
        let found: Vec<&str> = words(&code).iter().map(|word| word.text).collect();
        assert_eq!(found, expect, "{source}");
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        check("a // unsafe\nb", &["a", "b"]);
        check("a /* x /* y */ z */ b", &["a", "b"]);
        check(r#"a "unsafe \" c" b"#, &["a", "b"]);
        check("a r#\"un \" safe\"# b", &["a", "b"]);
        check("a br\"x\" b\"y\" c", &["a", "b", "c"]);
        check("f('\"', '\\'', 'x', b'\\\\') g", &["f", "b", "g"]);
        check("fn f<'a>(x: &'a str) {}", &["fn", "f", "a", "x", "a", "str"]);
        check("r#type raw bar", &["r", "type", "raw", "bar"]);
        check("a \"line\nline\" b", &["a", "b"]);
        check("ä \"ö", &["ä"]);
        check("a /* open", &["a"]);
    }

    fn paths(source: &str, expect: &[&str]) {
        let found: Vec<&str> = words(source)
            .iter()
            .filter(|word| word.in_path)
            .map(|word| word.text)
            .collect();
        assert_eq!(found, expect, "{source}");
    }

    #[test]
    fn words_of_paths_are_told_from_names_of_values() {
        paths("let protocol = 1;", &[]);
        paths("crate::protocol::parse(protocol)", &["crate", "protocol", "parse"]);
        paths(
            "use crate::{\n    kernel,\n    web,\n};\nkernel",
            &["use", "crate", "kernel", "web"],
        );
        paths("self.kernel.probes: kernel :: x", &["kernel"]);
    }

    #[test]
    fn lines_count_from_one() {
        let lines: Vec<usize> = words("a\n\nb c\n").iter().map(|word| word.line).collect();
        assert_eq!(lines, [1, 3, 3]);
    }
}
