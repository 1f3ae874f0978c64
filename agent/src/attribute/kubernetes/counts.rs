//! What is counted of asking the API.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Types of watch events, as the label `type` has them.
pub const EVENTS: [&str; 5] = ["added", "modified", "deleted", "bookmark", "error"];

/// Why asking failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The token, or the authority's certificates, cannot be read.
    File,
    /// No connection, or none that is trusted.
    Connect,
    /// No answer in time.
    Timeout,
    /// 401: the token is not accepted.
    Unauthorized,
    /// 403: the service account may not.
    Forbidden,
    /// 410: the state to watch from is too old. Listing anew mends it.
    Gone,
    /// 429, or 503: ask later.
    Busy,
    /// Any other answer that is no success.
    Refused,
    /// The stream ended in the middle of a line, or its connection was cut.
    Cut,
    /// The stream said nothing for too long.
    Stall,
    /// An answer is longer than what is read.
    TooLong,
    /// An answer cannot be read.
    Invalid,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 12] = [
        Reason::File,
        Reason::Connect,
        Reason::Timeout,
        Reason::Unauthorized,
        Reason::Forbidden,
        Reason::Gone,
        Reason::Busy,
        Reason::Refused,
        Reason::Cut,
        Reason::Stall,
        Reason::TooLong,
        Reason::Invalid,
    ];

    /// As the label `reason` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::File => "file",
            Reason::Connect => "connect",
            Reason::Timeout => "timeout",
            Reason::Unauthorized => "unauthorized",
            Reason::Forbidden => "forbidden",
            Reason::Gone => "gone",
            Reason::Busy => "busy",
            Reason::Refused => "refused",
            Reason::Cut => "cut",
            Reason::Stall => "stall",
            Reason::TooLong => "too_long",
            Reason::Invalid => "invalid",
        }
    }
}

/// Numbers of the watch, readable while it works.
pub struct Counts {
    refused: AtomicU64,
    lists: AtomicU64,
    events: [AtomicU64; EVENTS.len()],
    errors: [AtomicU64; Reason::ALL.len()],
    /// When the API last told of the present state, milliseconds since `began`; the largest: never.
    heard: AtomicU64,
    began: Instant,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            refused: AtomicU64::new(0),
            lists: AtomicU64::new(0),
            events: Default::default(),
            errors: Default::default(),
            heard: AtomicU64::new(u64::MAX),
            began: Instant::now(),
        }
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts")
            .field("refused", &self.refused)
            .field("lists", &self.lists)
            .finish_non_exhaustive()
    }
}

impl Counts {
    /// Times that a pod was not taken in because the table was full.
    pub fn refusals(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Times that all pods were listed to the end.
    pub fn lists(&self) -> u64 {
        self.lists.load(Relaxed)
    }

    /// Events of a type of [`EVENTS`].
    pub fn events(&self, at: usize) -> u64 {
        self.events.get(at).map_or(0, |count| count.load(Relaxed))
    }

    /// Failures for this reason.
    pub fn errors(&self, reason: Reason) -> u64 {
        self.errors.get(reason as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Seconds since the API last told of the present state: a list, an event or a bookmark. Not a number: never.
    pub fn age(&self) -> f64 {
        match self.heard.load(Relaxed) {
            u64::MAX => f64::NAN,
            heard => self.now().saturating_sub(heard) as f64 * 1e-3,
        }
    }

    pub(super) fn refused(&self, pods: u64) {
        self.refused.fetch_add(pods, Relaxed);
    }

    pub(super) fn listed(&self) {
        self.lists.fetch_add(1, Relaxed);
        self.heard.store(self.now(), Relaxed);
    }

    pub(super) fn event(&self, at: usize) {
        if let Some(count) = self.events.get(at) {
            count.fetch_add(1, Relaxed);
        }
        self.heard.store(self.now(), Relaxed);
    }

    pub(super) fn error(&self, reason: Reason, times: u64) {
        if let Some(count) = self.errors.get(reason as usize) {
            count.fetch_add(times, Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}
