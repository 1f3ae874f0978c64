//! Which families and labels a query of PromQL names.
//!
//! That it is PromQL, promtool says; a parser of the whole language would bring forty crates for what a walk over its words gives.

use std::collections::BTreeSet;

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Each selector: the family's name and the labels in its braces.
    pub(super) selectors: Vec<(String, Vec<String>)>,
    /// Labels of groupings and matchings (`by (…)`, `on (…)`).
    pub(super) grouped: BTreeSet<String>,
}

/// Words before a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are neither functions nor families.
const WORDS: [&str; 21] = [
    "and",
    "or",
    "unless",
    "offset",
    "bool",
    "atan2",
    "inf",
    "nan",
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
    "limitk",
];

/// Reads a query.
pub(super) fn names(query: &str) -> Names {
    let mut found = Names::default();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' | '\'' | '`' => behind_text(rest),
            '[' => rest.find(']').map_or("", |end| &rest[end + 1..]),
            '{' => {
                // Without a family before it.
                let (labels, behind) = matchers(&rest[1..]);
                found.selectors.push((String::new(), labels));
                behind
            }
            '$' => rest[1..].trim_start_matches(is_of_a_word),
            _ if first.is_ascii_digit() => rest.trim_start_matches(|c| is_of_a_word(c) || c == '.'),
            _ if is_of_a_word(first) => word(rest, &mut found),
            _ => &rest[first.len_utf8()..],
        };
    }
    found
}

/// A word and what belongs to it; what stands behind.
fn word<'q>(text: &'q str, found: &mut Names) -> &'q str {
    let behind = text.trim_start_matches(is_of_a_word);
    let word = &text[..text.len() - behind.len()];
    let next = behind.trim_start();
    if LISTS.contains(&word) {
        let Some((list, behind)) = next.strip_prefix('(').and_then(|list| list.split_once(')')) else {
            return behind;
        };
        let labels = list.split(',').map(str::trim).filter(|label| !label.is_empty());
        found.grouped.extend(labels.map(str::to_owned));
        return behind;
    }
    if next.starts_with('(') || WORDS.contains(&word) {
        return behind;
    }
    let (labels, behind) = match next.strip_prefix('{') {
        Some(inner) => matchers(inner),
        None => (Vec::new(), behind),
    };
    found.selectors.push((word.to_owned(), labels));
    behind
}

/// Labels up to the closing brace, and what stands behind it.
fn matchers(mut rest: &str) -> (Vec<String>, &str) {
    let mut labels = Vec::new();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '}' => return (labels, &rest[1..]),
            '"' | '\'' | '`' => behind_text(rest),
            _ if is_of_a_word(first) => {
                let behind = rest.trim_start_matches(is_of_a_word);
                labels.push(rest[..rest.len() - behind.len()].to_owned());
                behind
            }
            _ => &rest[first.len_utf8()..],
        };
    }
    (labels, "")
}

/// What stands behind a text in quotes.
fn behind_text(text: &str) -> &str {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return "" };
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => drop(chars.next()),
            _ if c == quote => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selectors(query: &str) -> Vec<(String, String)> {
        let all = names(query).selectors.into_iter();
        all.map(|(name, labels)| (name, labels.join(","))).collect()
    }

    #[test]
    fn families_and_labels_are_found_and_nothing_else_is() {
        let query = r#"sum by (instance, le) (rate(a_bucket{job="x{y}", kind=~"p|\"q"}[5m] offset 1h))
            / on (instance) group_left () (b:c:rate5m > 0.5e3) and count(d) or topk(3, e @ end()) unless {f!=""} * $g"#;
        let expect = [
            ("a_bucket", "job,kind"),
            ("b:c:rate5m", ""),
            ("d", ""),
            ("e", ""),
            ("", "f"),
        ];
        assert_eq!(selectors(query), expect.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let grouped: Vec<String> = names(query).grouped.into_iter().collect();
        assert_eq!(grouped, ["instance", "le"]);
    }

    #[test]
    fn broken_queries_end() {
        for query in ["a{", "a{b=\"", "by (", "[", "\"", "é{", "sum by"] {
            names(query);
        }
    }
}
