//! Names that are told, and names that are not, by regular expressions.

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a compiled pattern at most.
const SIZE: usize = 1 << 20;

/// A regular expression as RE2 has them: classes are ASCII, it may match anywhere.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the text.
    pub fn new(text: &str) -> Result<Pattern, String> {
        let made = RegexBuilder::new(text).unicode(false).size_limit(SIZE).build();
        made.map(Pattern).map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let what = last.trim_start_matches("error: ");
            format!("is no regular expression: {what}")
        })
    }

    /// Compiles it so that it must match the whole of a name.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn anchored(text: &str) -> Result<Pattern, String> {
        Pattern::new(text)?;
        Pattern::new(&format!("^(?:{text})$"))
    }

    /// Does it match a part of the text?
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

/// Lets names through by what they must match and what they must not.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Option<Pattern>,
    exclude: Option<Pattern>,
}

impl Filter {
    /// `None`: no such condition.
    pub fn new(include: Option<Pattern>, exclude: Option<Pattern>) -> Filter {
        Filter { include, exclude }
    }

    /// Is the name let through?
    pub fn takes(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|pattern| pattern.matches(name))
            && !self.exclude.as_ref().is_some_and(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_conditions_hold() {
        let pattern = |text| Some(Pattern::new(text).unwrap());
        assert!(Filter::default().takes("eth0"));
        assert!(Filter::new(pattern("^e"), None).takes("eth0"));
        assert!(!Filter::new(pattern("^e"), None).takes("veth0"));
        assert!(!Filter::new(None, pattern("^veth")).takes("veth0"));
        assert!(Filter::new(None, pattern("^veth")).takes("eth0"));
        let both = Filter::new(pattern(r"^\w+\.service$"), pattern("^b"));
        assert!(both.takes("a.service") && !both.takes("b.service") && !both.takes("a.socket"));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let error = Pattern::new("a(").unwrap_err();
        assert!(error.starts_with("is no regular expression: unclosed group"), "{error}");
        assert!(Pattern::anchored("a|b").unwrap().matches("b"));
        assert!(!Pattern::anchored("a|b").unwrap().matches("ab"));
    }
}
