//! Events that probes tell: single things that an operator may want to read.

use super::{Nanos, Who};

/// How bad it is, in OpenTelemetry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something failed that programs may bear.
    Warn,
    /// Something failed.
    Error,
}

/// Value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Detail<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number.
    Int(i64),
}

/// See [`super::Signal::Event`]. Events of the same name, service and body are told once in a while, with their count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventSignal<'a> {
    /// When it happened.
    pub at: Nanos,
    /// What it is, e.g. `onlooker.syscall.error`: a name of an OpenTelemetry event.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Whose it is.
    pub who: Who,
    /// The thread, initial pid namespace; 0 when none in particular.
    pub tid: u32,
    /// What happened, without the process and without what differs from one to the next (times, thread):
    /// `openat /etc/billing/tls.key: EACCES`.
    pub body: &'a str,
    /// The same for programs: names of the semantic conventions where they have one (`error.type`, `file.path`).
    pub attributes: &'a [(&'static str, Detail<'a>)],
    /// How many it stands for, itself included: more than 1 when others of its kind were not told one by one.
    pub count: u64,
}
