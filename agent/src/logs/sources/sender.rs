//! From a whole line to a record that is handed on.

use super::counts::SourceCounts;
use super::decode::Stream;
use super::describe::Described;
use super::rate::Rates;
use crate::logs::{LogRecord, Receipt, Severity};
use crate::trace::span::AttributeValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of memory of a record beside its text, about.
const OVERHEAD: usize = 768;

/// One whole line, without its newline and what a container runtime wrapped it in.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Whose it is.
    pub source: &'a Described,
    /// Where its program wrote it, when that is known.
    pub stream: Option<Stream>,
    /// When the container runtime or the journal took it: Unix time, nanoseconds.
    pub time: Option<u64>,
    /// When it was read: Unix time, nanoseconds.
    pub observed: u64,
    /// Severity that the source has apart from the text.
    pub severity: Severity,
    /// The text, not empty: one line, or several that are one event, with line feeds between.
    pub text: &'a str,
}

/// What is known of a line beside its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) stream: Option<Stream>,
    /// When the container runtime or the journal took it: Unix time, nanoseconds.
    pub(super) time: Option<u64>,
    /// When it was read: Unix time, nanoseconds.
    pub(super) observed: u64,
    pub(super) severity: Severity,
}

/// Makes a record of a line. This is the seam of parsing: without any, [`plain`].
pub type Make = Arc<dyn Fn(&Line<'_>) -> LogRecord + Send + Sync>;

/// The line as it is: its text is the body.
pub fn plain(line: &Line<'_>) -> LogRecord {
    let stream = line.stream.map(|stream| {
        let value = AttributeValue::Text(Cow::Borrowed(stream.as_str()));
        (Cow::Borrowed("log.iostream"), value)
    });
    LogRecord {
        timestamp: line.time.unwrap_or(line.observed),
        observed: line.observed,
        severity: line.severity,
        event_name: None,
        body: line.text.to_owned(),
        attributes: stream.into_iter().collect(),
        resource: line.source.resource.clone(),
        span: None,
        severity_text: None,
        receipt: None,
    }
}

/// What an outlet takes now without losing anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Records.
    pub records: usize,
    /// Bytes of their memory, about.
    pub bytes: usize,
}

/// Where records go.
pub trait Outlet: Send + Sync {
    /// How much it takes now.
    fn room(&self) -> Room;
    /// Takes one. Hands its receipt back once, sooner or later.
    fn take(&self, record: LogRecord);
    /// Takes one that was made of a line.
    fn take_line(&self, record: LogRecord, _line: &Line<'_>) {
        self.take(record);
    }
}

/// Hands lines on; one for each thread that reads.
pub(super) struct Sender {
    outlet: Arc<dyn Outlet>,
    make: Make,
    rates: Rates,
    pub(super) counts: Arc<SourceCounts>,
    /// What is left of the room that the outlet told.
    room: Room,
    observed: u64,
    now: Duration,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(outlet: Arc<dyn Outlet>, make: Make, rates: Rates, counts: Arc<SourceCounts>) -> Sender {
        Sender {
            outlet,
            make,
            rates,
            counts,
            room: Room::default(),
            observed: 0,
            now: Duration::ZERO,
        }
    }

    /// A turn begins: what was read by then counts as read at this time.
    pub(super) fn turn(&mut self, now: Duration) {
        self.now = now;
        self.observed = unix_nanos();
        self.room = Room::default();
    }

    /// Time of this turn.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Whether one more line of so many bytes can be handed on.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let fits = |room: Room| room.records > 0 && room.bytes >= bytes + OVERHEAD;
        if !fits(self.room) {
            self.room = self.outlet.room();
        }
        fits(self.room)
    }

    /// Of a line read in this turn, whose source knows nothing of its severity.
    pub(super) fn about(&self, stream: Option<Stream>, time: Option<u64>) -> About {
        About {
            stream,
            time,
            observed: self.observed,
            severity: Severity::UNSPECIFIED,
        }
    }

    /// Hands a line on, unless it is to be dropped; tells whether its receipt went with it.
    pub(super) fn send(&mut self, source: &Described, about: About, text: &[u8], receipt: Receipt) -> bool {
        let nuls = text.iter().take_while(|byte| **byte == 0).count();
        if nuls > 0 {
            self.counts.nul_bytes.add(nuls as u64);
        }
        let text = text.get(nuls..).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            self.counts.empty();
            return false;
        }
        if let Err(reason) = self.rates.admits(&source.service, self.now) {
            self.counts.dropped(reason);
            return false;
        }
        let text = String::from_utf8_lossy(text);
        if matches!(text, Cow::Owned(_)) {
            self.counts.invalid.add(1);
        }
        let line = Line {
            source,
            stream: about.stream,
            time: about.time,
            observed: about.observed,
            severity: about.severity,
            text: &text,
        };
        let mut record = (self.make)(&line);
        record.receipt = Some(receipt);
        self.room.records = self.room.records.saturating_sub(1);
        self.room.bytes = self.room.bytes.saturating_sub(text.len() + OVERHEAD);
        self.outlet.take_line(record, &line);
        self.counts.taken();
        true
    }
}

/// Now, Unix time in nanoseconds.
fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
