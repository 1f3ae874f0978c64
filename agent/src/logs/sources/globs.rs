//! Patterns of paths: `*`, `?`, `[abc]` within a name, `**` for any number of folders.

use glob::Pattern;
use std::path::Path;
use std::str::FromStr;

/// A pattern of absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    whole: Pattern,
    parts: Vec<Part>,
}

/// Between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Wild(Pattern),
    Deep,
}

impl Part {
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Part::Literal(literal) => literal == name,
            Part::Wild(pattern) => pattern.matches_with(name, OPTIONS),
            Part::Deep => true,
        }
    }
}

const OPTIONS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Glob, String> {
        let rest = text
            .strip_prefix('/')
            .filter(|rest| !rest.is_empty() && !rest.ends_with('/'));
        let rest = rest.ok_or("is no absolute path of files: use e.g. /var/log/shop/*.log")?;
        let pattern = |text: &str| Pattern::new(text).map_err(|error| format!("is no pattern: {}", error.msg));
        let part = |part: &str| match part {
            "" | "." | ".." => Err("has an empty part, . or .. between two slashes: write the path without".to_owned()),
            "**" => Ok(Part::Deep),
            literal if !literal.contains(['*', '?', '[']) => Ok(Part::Literal(literal.to_owned())),
            wild => pattern(wild).map(Part::Wild),
        };
        Ok(Glob {
            whole: pattern(text)?,
            parts: rest.split('/').map(part).collect::<Result<_, _>>()?,
        })
    }
}

impl Glob {
    /// Whether a path of the host matches.
    pub fn matches(&self, path: &Path) -> bool {
        self.whole.matches_path_with(path, OPTIONS)
    }
}

/// What is read, and what of it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globs {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

impl Globs {
    /// Of the first what does not match one of the second.
    pub fn new(include: impl IntoIterator<Item = Glob>, exclude: impl IntoIterator<Item = Glob>) -> Globs {
        Globs {
            include: include.into_iter().collect(),
            exclude: exclude.into_iter().collect(),
        }
    }

    pub(super) fn include(&self) -> impl Iterator<Item = &[Part]> {
        self.include.iter().map(|glob| glob.parts.as_slice())
    }

    pub(super) fn excludes(&self, path: &Path) -> bool {
        self.exclude.iter().any(|glob| glob.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_within_a_name() {
        let matches = |glob: &str, path: &str| glob.parse::<Glob>().expect("a pattern").matches(Path::new(path));
        assert!(matches("/var/log/*.log", "/var/log/a.log"));
        assert!(!matches("/var/log/*.log", "/var/log/a/b.log"));
        assert!(matches("/var/log/**/*.log", "/var/log/a/b/c.log"));
        assert!(matches("/var/log/**", "/var/log/a/b"));
        assert!(matches("/var/log/[ab]?.log", "/var/log/bx.log"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "/", "a/b", "/a/", "/a//b", "/a/../b", "/a/[b", "/a/**b"] {
            let error = text.parse::<Glob>().expect_err(text);
            assert!(
                error.starts_with("is no ") || error.starts_with("has "),
                "{text}: {error}"
            );
        }
    }
}
