//! Settings of records of logs: of events, and of the logs that are read.

use crate::logs::parse::Zone;
use crate::logs::{observed, redact, sources};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the records that events become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Least time between two records of the same event.
    pub interval: Duration,
    /// Records a minute and service.
    pub rate: u32,
}

/// Settings of the logs that are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    /// Files.
    pub include: Vec<sources::Glob>,
    /// Not these of them.
    pub exclude: Vec<sources::Glob>,
    /// Logs of containers.
    pub containers: bool,
    /// The journal of systemd.
    pub journal: bool,
    /// Services whose writes to standard output and error are observed.
    pub observe: Vec<observed::Pattern>,
    /// Services by the paths of their files.
    pub services: Vec<sources::Named>,
    /// Where logs begin at the very first start.
    pub start: sources::StartAt,
    /// File that remembers how far they were read.
    pub state: PathBuf,
    /// How many lines of a service.
    pub rate: sources::Rate,
    /// Lines are records as they are.
    pub raw: bool,
    /// Lines that are one event are one record.
    pub multiline: bool,
    /// Zone of times that do not say theirs.
    pub zone: Zone,
    /// What is redacted in them.
    pub redact: redact::Kinds,
}

impl Logs {
    /// Whether anything is read.
    pub fn wanted(&self) -> bool {
        !self.include.is_empty() || self.containers || self.journal
    }

    /// Before any setting: nothing is redacted that nobody names.
    pub(super) fn none() -> Logs {
        Logs {
            redact: redact::Kinds::NONE,
            ..Logs::default()
        }
    }
}
