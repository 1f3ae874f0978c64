//! A YAML document as a tree whose parts know their lines, for messages. Small on purpose: no aliases, few levels.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Levels of nesting at most.
const DEPTH: usize = 8;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Its line, from 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, or a plain `null`.
    Nothing,
    /// Any text, as written.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of a value and where it stands.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) name: String,
}

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads one document; `None`: it is empty.
///
/// # Errors
/// The first breach of YAML's syntax, and what is not taken of it.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Mistake> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Mistake {
            line: error.marker().line(),
            what: format!("is no YAML: {}", error.info()),
        })?;
        let line = span.start.line();
        builder.event(event, line).map_err(|what| Mistake { line, what })?;
    }
    Ok(builder.root)
}

/// A list or a map that is not closed yet.
struct Open {
    line: usize,
    /// The key whose value comes next.
    key: Option<Key>,
    is_map: bool,
    list: Vec<Node>,
    map: Vec<(Key, Node)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::MappingStart(..) => self.start(line, true),
            Event::SequenceStart(..) => self.start(line, false),
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.is_map {
                    true => Value::Map(open.map),
                    false => Value::List(open.list),
                };
                let line = open.line;
                self.put(Node { line, value })
            }
            Event::Scalar(text, style, ..) => self.scalar(&text, style, line),
            Event::Alias(_) => Err("is an alias (*): write the value out".to_owned()),
            _ => Ok(()),
        }
    }

    fn start(&mut self, line: usize, is_map: bool) -> Result<(), String> {
        if self.open.last().is_some_and(|open| open.is_map && open.key.is_none()) {
            return Err("is a list or a map where a key should be".to_owned());
        }
        if self.open.len() == DEPTH {
            return Err(format!("is nested more than {DEPTH} levels deep"));
        }
        self.open.push(Open {
            line,
            key: None,
            is_map,
            list: Vec::new(),
            map: Vec::new(),
        });
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, line: usize) -> Result<(), String> {
        if let Some(open) = self.open.last_mut()
            && open.is_map
            && open.key.is_none()
        {
            if let Some((before, _)) = open.map.iter().find(|(key, _)| key.name == text) {
                return Err(format!("has {text} a second time, after line {}", before.line));
            }
            let name = text.to_owned();
            open.key = Some(Key { line, name });
            return Ok(());
        }
        let value = match style == ScalarStyle::Plain && matches!(text, "" | "~" | "null") {
            true => Value::Nothing,
            false => Value::Text(text.to_owned()),
        };
        self.put(Node { line, value })
    }

    fn put(&mut self, node: Node) -> Result<(), String> {
        match self.open.last_mut() {
            Some(open) => match open.key.take() {
                Some(key) => open.map.push((key, node)),
                None => open.list.push(node),
            },
            None if self.root.is_none() => self.root = Some(node),
            None => return Err("begins a second document: there must be one".to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (usize, String) {
        let mistake = parse(text).expect_err(text);
        (mistake.line, mistake.what)
    }

    #[test]
    fn a_tree_with_lines() {
        let root = parse("a: x\nb:\n  - 'null'\n  - null\nc: {}\n").unwrap().unwrap();
        let Value::Map(entries) = root.value else {
            panic!("a map")
        };
        let lines: Vec<_> = entries.iter().map(|(key, _)| (key.name.as_str(), key.line)).collect();
        assert_eq!(lines, [("a", 1), ("b", 2), ("c", 5)]);
        assert!(matches!(&entries[0].1.value, Value::Text(text) if text == "x"));
        let Value::List(items) = &entries[1].1.value else {
            panic!("a list")
        };
        assert!(matches!(&items[0].value, Value::Text(text) if text == "null"));
        assert!(matches!(items[1].value, Value::Nothing) && items[1].line == 4);
        assert!(matches!(&entries[2].1.value, Value::Map(none) if none.is_empty()));
        assert!(parse("").unwrap().is_none() && parse("# nothing\n").unwrap().is_none());
    }

    #[test]
    fn what_is_not_taken_is_said_with_its_line() {
        assert_eq!(
            refused("a: 1\nb: 2\na: 3\n"),
            (3, "has a a second time, after line 1".to_owned())
        );
        assert_eq!(refused("a: &x 1\nb: *x\n").0, 2);
        assert!(refused("a: [\n").1.starts_with("is no YAML"));
        assert_eq!(
            refused("a: 1\n---\nb: 2\n").1,
            "begins a second document: there must be one"
        );
        assert_eq!(refused(&"[".repeat(20)).1, "is nested more than 8 levels deep");
        // Said by the parser itself, or here.
        refused(&"[".repeat(100_000));
        assert!(refused("? [a]\n: b\n").1.contains("where a key"));
    }
}
