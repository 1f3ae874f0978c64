//! What is read, and how much of it at once.

use super::describe::{Described, Known, describe};
use super::globs::{Glob, Globs};
use super::mark::FileId;
use super::rate::Rate;
use crate::attribute::kubernetes::Pods;
use crate::host::Host;
use crate::logs::multiline;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files begin that are there at the very first start. Those that appear later begin at their beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At their beginning.
    Beginning,
    /// At their end.
    #[default]
    End,
}

/// A name for the service that writes some files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which files.
    pub files: Glob,
    /// `service.name`.
    pub service: Arc<str>,
}

/// What belongs to the agent itself and is never read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mine {
    /// Files that are its standard output and error.
    pub files: Vec<FileId>,
    /// Process id, as the journal has it.
    pub pid: u32,
    /// Uid of its pod.
    pub pod: Option<String>,
    /// Id of its container.
    pub container: Option<String>,
    /// Its systemd unit, without `.service`.
    pub unit: Option<String>,
}

/// How the journal is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The program, `journalctl`.
    pub program: PathBuf,
}

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest line, bytes; longer ones are cut.
    pub line: usize,
    /// Bytes of one file that are read in one turn.
    pub turn: usize,
    /// Files open at the same time.
    pub open: usize,
    /// Files known at the same time, and folders watched.
    pub files: usize,
    /// Renamed or removed files held open until they are read.
    pub away: usize,
    /// Turns whose records are not settled.
    pub unsettled: u64,
    /// Bytes of parts of lines that wait for their rest, of all files.
    pub parts: usize,
    /// Bytes of lines that wait for more that belongs to them, of all files and the journal.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line: 1 << 20,
            turn: 64 << 10,
            open: 1024,
            files: 16_384,
            away: 256,
            unsettled: 65_536,
            parts: 32 << 20,
            groups: 8 << 20,
        }
    }
}

/// What is read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the host's files are.
    pub host: Host,
    /// `host.name`.
    pub node: Option<Arc<str>>,
    /// Pods as the Kubernetes API tells them, where it is asked.
    pub pods: Option<Pods>,
    /// Files.
    pub globs: Globs,
    /// Services of plain files by path, the first that matches; else their name tells.
    pub services: Vec<Named>,
    /// The journal, if it is read.
    pub journal: Option<Journal>,
    /// Where files begin.
    pub start: StartAt,
    /// The file of checkpoints.
    pub state: PathBuf,
    /// How many lines of a service.
    pub rate: Rate,
    /// How much may be one event of several lines. `None`: every line is one.
    pub multiline: Option<multiline::Limits>,
    /// What is the agent's own.
    pub mine: Mine,
    /// Bounds.
    pub limits: Limits,
}

impl Settings {
    /// A path as the host has it.
    pub(super) fn on_host(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.host.root) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => path.to_owned(),
        }
    }

    /// Whose log a file is.
    pub(super) fn describe(&self, path: &Path) -> Described {
        let host = self.on_host(path);
        let known = Known {
            host: &self.host,
            node: self.node.as_deref(),
            pods: self.pods.as_ref(),
        };
        describe(known, &host.to_string_lossy(), self.service(&host))
    }

    /// The name that the operator gave to the service that writes a file.
    fn service(&self, path: &Path) -> Option<&str> {
        let named = self.services.iter().find(|named| named.files.matches(path));
        named.map(|named| &*named.service)
    }
}
