//! The configuration file: YAML whose nested keys are the names of the options split at their dots.
//!
//! The file is read as a stream of YAML events, so that every value keeps its line and its text as written: the same
//! checks serve flags, variables and the file. It makes entries of known options; all else is a [`Problem`].

use super::Problem;
use super::options::{CONFIG_FILE, OPTIONS, Opt, nearest};
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a file at most.
pub const FILE_MAX: u64 = 1 << 20;

/// One value of the file.
#[derive(Debug)]
pub struct Entry {
    /// The option it belongs to.
    pub option: &'static Opt,
    /// The value as written.
    pub value: String,
    /// The file.
    pub path: PathBuf,
    /// The value's line, from 1.
    pub line: usize,
}

/// Why there are no entries.
#[derive(Debug)]
pub enum FileError {
    /// The file could not be read as text.
    Unreadable(io::Error),
    /// The file has mistakes.
    Malformed(Vec<Problem>),
}

/// Reads a configuration file.
///
/// # Errors
/// See [`FileError`].
pub fn read(path: &Path) -> Result<Vec<Entry>, FileError> {
    let text = read_text(path).map_err(FileError::Unreadable)?;
    parse(path, &text)
}

/// The text of a file of at most [`FILE_MAX`] bytes.
///
/// # Errors
/// It cannot be read, is larger, or is no text.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {FILE_MAX} bytes"),
        ));
    }
    Ok(text)
}

/// Reads the text of a configuration file; `path` is for messages.
///
/// # Errors
/// All unknown, repeated or misplaced keys; the first breach of YAML's syntax.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, FileError> {
    let mut reader = Reader {
        path,
        open: Vec::new(),
        entries: Vec::new(),
        given: Vec::new(),
        problems: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => reader.event(event, span.start.line()),
            Err(error) => {
                reader.problem(error.marker().line(), format!("is no YAML: {}", error.info()));
                break;
            }
        }
    }
    match reader.problems.is_empty() {
        true => Ok(reader.entries),
        false => Err(FileError::Malformed(reader.problems)),
    }
}

/// An open collection.
enum Open {
    /// A mapping, with the key whose value comes next.
    Map(Option<String>),
    /// A list of values, with the line of its start and how many it had.
    List(usize, usize),
    /// Something already complained of: skipped to its end.
    Skipped,
}

struct Reader<'a> {
    path: &'a Path,
    open: Vec<Open>,
    entries: Vec<Entry>,
    given: Vec<(&'static str, usize)>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, line: usize) {
        let skipped = matches!(self.open.last(), Some(Open::Skipped));
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) if skipped => self.open.push(Open::Skipped),
            Event::MappingStart(..) => {
                let place = self.enter_map(line);
                self.open.push(place);
            }
            Event::SequenceStart(..) => {
                let place = self.enter_list(line);
                self.open.push(place);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(Open::List(start, 0)) = self.open.pop() {
                    let key = self.key();
                    self.problem_at(&key, start, "is empty: give at least one value, or leave the key out");
                }
                self.value_done();
            }
            Event::Scalar(text, style, ..) if !skipped => self.scalar(&text, style, line),
            Event::Alias(_) => self.problem(line, "has an alias (*): write the value out".to_string()),
            _ => {}
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, line: usize) {
        let null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null");
        match self.open.last_mut() {
            Some(Open::Map(key @ None)) => {
                *key = Some(text.to_string());
                if self.prefix_or_option().is_none() {
                    self.unknown(line);
                }
            }
            Some(Open::Map(Some(_))) => {
                let key = self.key();
                match option(&key) {
                    Some(_) if null => self.problem_at(&key, line, "has no value: give one, or leave the key out"),
                    Some(found) if self.first(found, line) => self.push(found, text, line),
                    Some(_) => {}
                    None if null || self.prefix_or_option().is_none() => {}
                    None => self.problem_at(&key, line, "holds keys, not a value"),
                }
                self.value_done();
            }
            Some(Open::List(_, count)) => {
                *count += 1;
                let key = self.key();
                if let Some(found) = option(&key) {
                    self.push(found, text, line);
                }
            }
            Some(Open::Skipped) => {}
            None if null => {}
            None => self.problem(
                line,
                format!("holds {text:?} where keys should be, e.g. \"log: {{level: debug}}\""),
            ),
        }
    }

    fn enter_map(&mut self, line: usize) -> Open {
        let key = self.key();
        match self.open.last_mut() {
            None => Open::Map(None),
            Some(Open::Map(Some(_))) => match option(&key) {
                Some(_) => {
                    self.problem_at(&key, line, "holds a value, not keys");
                    Open::Skipped
                }
                None if self.prefix_or_option().is_some() => Open::Map(None),
                None => Open::Skipped,
            },
            Some(Open::List(_, values)) => {
                // Not also complained of as empty.
                *values += 1;
                self.problem_at(&key, line, "holds keys where a plain value should be");
                Open::Skipped
            }
            Some(_) => {
                self.problem_at(&key, line, "holds keys where a plain value should be");
                Open::Skipped
            }
        }
    }

    fn enter_list(&mut self, line: usize) -> Open {
        let key = self.key();
        if let (Some(Open::Map(Some(_))), Some(found)) = (self.open.last(), option(&key))
            && found.repeatable
        {
            return match self.first(found, line) {
                true => Open::List(line, 0),
                false => Open::Skipped,
            };
        }
        if let Some(Open::List(_, values)) = self.open.last_mut() {
            *values += 1;
        }
        if !matches!(self.open.last(), Some(Open::Map(Some(_)))) || self.prefix_or_option().is_some() {
            self.problem_at(&key, line, "holds a list where a single value or keys should be");
        }
        Open::Skipped
    }

    /// The value of a mapping's key was read: the next scalar is a key.
    fn value_done(&mut self) {
        if let Some(Open::Map(key)) = self.open.last_mut() {
            *key = None;
        }
    }

    fn push(&mut self, option: &'static Opt, value: &str, line: usize) {
        self.entries.push(Entry {
            option,
            value: value.to_string(),
            path: self.path.to_path_buf(),
            line,
        });
    }

    /// Notes that an option was given; complains when it was before.
    fn first(&mut self, option: &'static Opt, line: usize) -> bool {
        if let Some((_, before)) = self.given.iter().find(|(name, _)| *name == option.name) {
            let what = format!("was given before, in line {before}: leave one of the two out");
            self.problem_at(option.name, line, &what);
            return false;
        }
        self.given.push((option.name, line));
        true
    }

    /// The keys down to here, joined by dots.
    fn key(&self) -> String {
        let keys = self.open.iter().filter_map(|open| match open {
            Open::Map(Some(key)) => Some(key.as_str()),
            _ => None,
        });
        keys.collect::<Vec<_>>().join(".")
    }

    /// The keys down to here lead to an option, or are one.
    fn prefix_or_option(&self) -> Option<&'static Opt> {
        let key = self.key();
        OPTIONS.iter().find(|option| {
            option
                .key()
                .strip_prefix(key.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    fn unknown(&mut self, line: usize) {
        let key = self.key();
        if key == CONFIG_FILE || key == "config" {
            return self.problem_at(&key, line, "is a flag, no key of the file that it names: leave it out");
        }
        let what = match mend(&key) {
            Some(name) => format!("is no known key: did you mean {name}?"),
            None => match key.rsplit_once('.') {
                Some((group, _)) => format!("is no known key: {group} has {}", children(group).join(", ")),
                None => "is no known key: the keys are the names of the flags, see --help".to_string(),
            },
        };
        self.problem_at(&key, line, &what);
    }

    fn problem_at(&mut self, key: &str, line: usize, what: &str) {
        let place = match key.is_empty() {
            true => format!("{}:{line}", self.path.display()),
            false => format!("{}:{line}: {key}", self.path.display()),
        };
        self.problems.push(Problem {
            place,
            what: what.to_string(),
        });
    }

    fn problem(&mut self, line: usize, what: String) {
        self.problem_at("", line, &what);
    }
}

fn option(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.key() == name)
}

/// The known key that an unknown one was likely meant to be: a neighbour, or one of the same last word elsewhere.
fn mend(key: &str) -> Option<String> {
    let (group, last) = key.rsplit_once('.').unwrap_or(("", key));
    if let Some(name) = nearest(last, children(group).into_iter()) {
        return Some(if group.is_empty() {
            name.to_string()
        } else {
            format!("{group}.{name}")
        });
    }
    // Of another group: the same last word, or a name that is like it as a whole.
    let mut names = OPTIONS.iter().map(Opt::key);
    if let Some(same) = names.clone().find(|name| name.rsplit('.').next() == Some(last)) {
        return Some(same.to_string());
    }
    if !group.is_empty() && names.any(|name| name.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))) {
        return None;
    }
    nearest(key, OPTIONS.iter().map(Opt::key)).map(str::to_string)
}

/// The keys that a group (empty: the file itself) may hold.
fn children(group: &str) -> Vec<&'static str> {
    let mut found: Vec<&str> = OPTIONS
        .iter()
        .filter_map(|option| match group {
            "" => Some(option.key()),
            _ => option.key().strip_prefix(group)?.strip_prefix('.'),
        })
        .filter_map(|rest| rest.split('.').next())
        .collect();
    found.dedup();
    found
}
