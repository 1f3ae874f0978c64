//! Values of the web configuration, each read with the key and the line that a message about it names.

use super::yaml::{Node, Value};
use crate::config::Problem;
use crate::config::options::nearest;
use std::path::Path;

/// A key and its line.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) line: usize,
    section: &'a str,
    name: &'a str,
}

impl<'a> At<'a> {
    pub(super) fn key(&self) -> &'a str {
        self.name
    }

    fn path(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }
}

/// Gathers mistakes.
pub(super) struct Reader<'a> {
    /// The file, for messages.
    pub(super) path: &'a Path,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Something is wrong in a line.
    pub(super) fn problem(&mut self, line: usize, key: &str, what: &str) {
        let place = match key {
            "" => format!("{}:{line}", self.path.display()),
            key => format!("{}:{line}: {key}", self.path.display()),
        };
        let what = what.to_owned();
        self.problems.push(Problem { place, what });
    }

    /// Something is wrong with a key.
    pub(super) fn wrong(&mut self, at: At<'_>, what: &str) {
        self.problem(at.line, &at.path(), what);
    }

    /// Hands the entries of a map to `take`, those whose key is one of `keys`; without any, all.
    pub(super) fn section(
        &mut self,
        section: &str,
        keys: &[&str],
        node: &Node,
        take: &mut dyn FnMut(&mut Self, At<'_>, &Node),
    ) {
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Nothing => return,
            _ => return self.problem(node.line, section, "must hold keys"),
        };
        for (key, node) in entries {
            let (line, name) = (key.line, key.name.as_str());
            let at = At { line, section, name };
            if keys.is_empty() || keys.contains(&name) {
                take(self, at, node);
                continue;
            }
            let what = match nearest(name, keys.iter().copied()) {
                Some(near) => format!("is no known key: did you mean {near}?"),
                None => format!("is no known key: use one of {}", keys.join(", ")),
            };
            self.wrong(at, &what);
        }
    }

    /// The text of a value; `None`, which is no mistake: it has none.
    pub(super) fn text(&mut self, at: At<'_>, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            Value::Text(_) | Value::Nothing => None,
            _ => {
                self.problem(node.line, &at.path(), "must hold a single value");
                None
            }
        }
    }

    /// The texts of a list, with their lines.
    pub(super) fn texts(&mut self, at: At<'_>, node: &Node) -> Vec<(usize, String)> {
        let mut texts = Vec::new();
        match &node.value {
            Value::List(items) => {
                for item in items {
                    match &item.value {
                        Value::Text(text) => texts.push((item.line, text.clone())),
                        _ => self.problem(item.line, &at.path(), "must be a list of single values"),
                    }
                }
            }
            Value::Nothing => {}
            _ => self.problem(node.line, &at.path(), "must be a list"),
        }
        texts
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, at: At<'_>, node: &Node) -> Option<bool> {
        let text = self.text(at, node)?;
        // As YAML 1.1 has them, which the toolkit reads.
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some(true),
            "false" | "no" | "off" | "n" => Some(false),
            _ => {
                self.wrong(at, &format!("{text:?} is neither true nor false"));
                None
            }
        }
    }

    /// What one of some words stands for.
    pub(super) fn word<T: Copy>(&mut self, at: At<'_>, line: usize, text: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let what = format!("{text:?} is not offered: use one of {}", words.join(", "));
            self.problem(line, &at.path(), &what);
        }
        found.map(|(_, value)| *value)
    }
}
