//! What an option came to, and who said so.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The flag of the option.
    Flag,
    /// An environment variable.
    Environment(&'static str),
    /// A line (from 1) of the configuration file.
    File(PathBuf, usize),
    /// Nowhere: the default.
    Default,
}

/// An option as it was settled, for `check-config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name of the option, e.g. `limits.connections`.
    pub name: &'static str,
    /// Its values, as given.
    pub values: Vec<String>,
    /// Who gave them.
    pub origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = match self.values.is_empty() {
            true => "none".to_string(),
            false => self.values.join(", "),
        };
        write!(f, "{} = {values} ", self.name)?;
        match &self.origin {
            Origin::Flag => write!(f, "(flag)"),
            Origin::Environment(name) => write!(f, "({name})"),
            Origin::File(path, line) => write!(f, "({}:{line})", path.display()),
            Origin::Default => write!(f, "(default)"),
        }
    }
}
