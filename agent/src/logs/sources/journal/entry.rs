//! An entry of the journal: the fields that are used (systemd.journal-fields(7)).

use crate::logs::Severity;
use crate::logs::sources::decode::Format;
use crate::logs::sources::describe::Described;
use crate::logs::sources::settings::Settings;
use crate::trace::span::{AttributeValue, Resource};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Sources that are remembered; further ones are described for each entry.
const SOURCES: usize = 4096;

/// Bytes of a name or cursor; longer ones are cut.
const NAME: usize = 512;

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) cursor: Option<String>,
    pub(super) message: Vec<u8>,
    /// Unix time, nanoseconds.
    pub(super) time: Option<u64>,
    /// It is that of the program, not the journal's own.
    its_own_time: bool,
    priority: Option<u8>,
    /// It came through a program's standard output or error, a line an entry.
    stdout: bool,
    /// Which of those streams it was.
    stream: Option<String>,
    pid: Option<u32>,
    key: Key,
    /// Bytes of all its values.
    pub(super) bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Key {
    unit: Option<String>,
    identifier: Option<String>,
    command: Option<String>,
    container: Option<String>,
    container_name: Option<String>,
}

impl Entry {
    pub(super) fn is_empty(&self) -> bool {
        *self == Entry::default()
    }

    /// Takes a field; those that are not used are passed over.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        self.bytes += value.len() as u64;
        let text = || Some(String::from_utf8_lossy(value.get(..NAME).unwrap_or(value)).into_owned());
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match name {
            b"__CURSOR" => self.cursor = text(),
            b"MESSAGE" => value.clone_into(&mut self.message),
            b"__REALTIME_TIMESTAMP" if !self.its_own_time => {
                self.time = number().and_then(|time| time.checked_mul(1000))
            }
            b"_SOURCE_REALTIME_TIMESTAMP" => {
                let time = number().and_then(|time| time.checked_mul(1000));
                self.its_own_time = time.is_some();
                self.time = time.or(self.time);
            }
            b"PRIORITY" => self.priority = number().and_then(|priority| u8::try_from(priority).ok()),
            b"_TRANSPORT" => self.stdout = value == b"stdout",
            b"_STREAM_ID" => self.stream = text(),
            b"_PID" => self.pid = number().and_then(|pid| u32::try_from(pid).ok()),
            b"_SYSTEMD_UNIT" => self.key.unit = text(),
            b"SYSLOG_IDENTIFIER" => self.key.identifier = text(),
            b"_COMM" => self.key.command = text(),
            b"CONTAINER_ID_FULL" => self.key.container = text(),
            b"CONTAINER_NAME" => self.key.container_name = text(),
            _ => {}
        }
    }

    /// What it is a line of: others of that belong to it if they say so. `None`: it is an event for itself, told as one to the journal.
    /// Runtimes of containers tell it of each line as well, of standard output as 6 (info) and of standard error as 3 (error).
    pub(super) fn stream(&self) -> Option<String> {
        if self.message.contains(&b'\n') {
            return None;
        }
        match (&self.key.container, &self.stream) {
            (Some(container), _) => Some(format!("{container} {}", self.priority.unwrap_or(u8::MAX))),
            (None, stream) => stream.clone().filter(|_| self.stdout),
        }
    }

    /// As OpenTelemetry's log data model maps syslog's severities, to the names that there are.
    pub(super) fn severity(&self) -> Severity {
        match self.priority {
            Some(0) => Severity::FATAL,
            Some(1..=3) => Severity::ERROR,
            Some(4) => Severity::WARN,
            Some(5 | 6) => Severity::INFO,
            Some(7) => Severity::DEBUG,
            _ => Severity::UNSPECIFIED,
        }
    }
}

/// Whose entries they are.
pub(super) struct Sources {
    settings: Settings,
    known: FxHashMap<Key, Arc<Described>>,
}

impl Sources {
    pub(super) fn new(settings: &Settings) -> Sources {
        Sources {
            settings: settings.clone(),
            known: FxHashMap::default(),
        }
    }

    /// Whether the agent itself, or the agent before it, wrote it.
    pub(super) fn is_mine(&self, entry: &Entry) -> bool {
        let mine = &self.settings.mine;
        let same = |ours: &Option<String>, theirs: Option<&str>| ours.is_some() && ours.as_deref() == theirs;
        entry.pid == Some(mine.pid)
            || same(&mine.unit, entry.key.unit.as_deref().map(bare))
            || same(&mine.container, entry.key.container.as_deref())
    }

    pub(super) fn of(&mut self, entry: &Entry) -> Arc<Described> {
        if let Some(known) = self.known.get(&entry.key) {
            return known.clone();
        }
        let described = Arc::new(self.describe(&entry.key));
        if self.known.len() < SOURCES {
            self.known.insert(entry.key.clone(), described.clone());
        }
        described
    }

    /// A container's name, else the unit's, unless that is the manager of many programs, else what the program calls itself.
    fn describe(&self, key: &Key) -> Described {
        let unit = key
            .unit
            .as_deref()
            .filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@"));
        let names = [
            key.container_name.as_deref(),
            unit.filter(|_| key.container.is_none()).map(bare),
            key.identifier.as_deref(),
            key.command.as_deref(),
        ];
        let service = names.into_iter().flatten().next().unwrap_or("journal");
        let mut attributes = Vec::new();
        let mut text = |name: &'static str, value: &str| {
            attributes.push((name.into(), AttributeValue::Text(value.to_owned().into())));
        };
        text("service.name", service);
        if let Some(id) = &key.container {
            text("container.id", id);
        }
        if let Some(name) = &key.container_name {
            text("container.name", name);
        }
        if let Some(node) = self.settings.node.as_deref() {
            text("host.name", node);
        }
        text("os.type", "linux");
        Described {
            format: Format::Plain,
            resource: Arc::new(Resource { attributes }),
            service: service.into(),
        }
    }
}

fn bare(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}
