//! Flags of collectors: each collector says which it has, and the command line, the file and the documents follow from that.

use super::filter::{Filter, Pattern};
use crate::host::Host;
use std::collections::BTreeMap;

/// A flag of a collector, `--collector.NAME.…`.
#[derive(Debug)]
pub struct Flag {
    /// Name without the dashes.
    pub name: &'static str,
    /// What its values are.
    pub form: Form,
    /// One sentence for the help.
    pub help: &'static str,
    /// Values when nobody gives one. A switch that is on: `true`.
    pub default: &'static [&'static str],
    /// May be given more than once.
    pub repeatable: bool,
    /// Old names, which are taken and not shown.
    pub also: &'static [&'static str],
}

impl Flag {
    /// What most flags have in common.
    pub const BASE: Flag = Flag {
        name: "",
        form: Form::Text,
        help: "",
        default: &[],
        repeatable: false,
        also: &[],
    };
}

/// What the values of a flag are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// On or off: `--NAME`, `--no-NAME`.
    Switch,
    /// A regular expression, as RE2 has them.
    Regex,
    /// A number of at least the first and at most the second.
    Number(u64, u64),
    /// A time as Go writes it, `5s`.
    Duration,
    /// A path.
    Path,
    /// Any text.
    Text,
}

impl Form {
    /// Placeholder of the value in the help.
    pub fn placeholder(self) -> &'static str {
        match self {
            Form::Switch => "BOOL",
            Form::Regex => "REGEX",
            Form::Number(..) => "N",
            Form::Duration => "DURATION",
            Form::Path => "PATH",
            Form::Text => "TEXT",
        }
    }

    /// Whether a value is one.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the value.
    pub fn check(self, value: &str) -> Result<(), String> {
        match self {
            Form::Switch => boolean(value).map(drop),
            Form::Regex => Pattern::new(value).map(drop),
            Form::Number(least, most) => crate::config::value::count::<u64>(value, least, most).map(drop),
            Form::Duration => crate::config::value::duration(value, std::time::Duration::ZERO).map(drop),
            Form::Path | Form::Text => Ok(()),
        }
    }
}

/// `true` or `false`.
///
/// # Errors
/// It is neither.
pub fn boolean(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "is neither true nor false".to_owned())
}

/// What was set of collectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--collector.disable-defaults`: only those run that are switched on.
    pub disable_defaults: bool,
    /// Collectors that were switched on or off, by name.
    pub switched: BTreeMap<&'static str, bool>,
    /// What was given of each flag. Checked.
    pub given: BTreeMap<&'static str, Vec<String>>,
}

/// What a collector is made with.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The host.
    pub host: &'a Host,
    /// What was set.
    pub settings: &'a Settings,
}

impl Setup<'_> {
    /// Was a value given, other than the default?
    pub fn is_given(&self, flag: &Flag) -> bool {
        self.settings.given.contains_key(flag.name)
    }

    /// All values of a flag.
    pub fn texts(&self, flag: &Flag) -> Vec<String> {
        match self.settings.given.get(flag.name) {
            Some(given) => given.clone(),
            None => flag.default.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// The value of a flag; empty when it has none.
    pub fn text(&self, flag: &Flag) -> String {
        self.texts(flag).pop().unwrap_or_default()
    }

    /// Is a switch on?
    pub fn is_on(&self, flag: &Flag) -> bool {
        self.text(flag) == "true"
    }

    /// The value of a flag of [`Form::Number`].
    pub fn number(&self, flag: &Flag) -> u64 {
        crate::config::value::count(&self.text(flag), 0, u64::MAX).unwrap_or_default()
    }

    /// The value of a flag of [`Form::Duration`].
    pub fn duration(&self, flag: &Flag) -> std::time::Duration {
        crate::config::value::duration(&self.text(flag), std::time::Duration::ZERO).unwrap_or_default()
    }

    /// The pattern of a flag of [`Form::Regex`]; `None` when it is empty.
    ///
    /// # Errors
    /// It is no pattern.
    pub fn pattern(&self, flag: &Flag) -> Result<Option<Pattern>, String> {
        let text = self.text(flag);
        if text.is_empty() {
            return Ok(None);
        }
        let made = Pattern::new(&text).map_err(|error| format!("--{}: {text:?} {error}", flag.name))?;
        Ok(Some(made))
    }

    /// What the pair of flags lets through. Given both, it is an error; an include that was given replaces an exclude
    /// that is the default.
    ///
    /// # Errors
    /// One is no pattern, or both were given.
    pub fn filter(&self, include: &Flag, exclude: &Flag) -> Result<Filter, String> {
        if self.is_given(include)
            && self.is_given(exclude)
            && !self.text(include).is_empty()
            && !self.text(exclude).is_empty()
        {
            return Err(format!(
                "--{} and --{} exclude each other: leave one of the two out",
                include.name, exclude.name
            ));
        }
        let included = self.pattern(include)?;
        let excluded = match included {
            Some(_) if !self.is_given(exclude) => None,
            _ => self.pattern(exclude)?,
        };
        Ok(Filter::new(included, excluded))
    }
}
