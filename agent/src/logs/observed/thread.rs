//! The thread that makes records of observed lines. It waits for room in the exporters' queues, and nobody waits for it.

use super::counts::ObservedCounts;
use super::joins::{JoinKey, Joins, container};
use super::queue::{Message, Queue};
use super::streams::{Event, Limits, Streams};
use crate::logs::multiline;
use crate::logs::sources::{Described, Dropped, Line, Make, Outlet, Rate, Rates, Room};
use crate::logs::{LogRecord, Severity};
use crate::trace::span::AttributeValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often streams are looked at that nothing comes from.
const LOOK: Duration = Duration::from_millis(250);
/// How often, while records wait for their write.
const WAIT: Duration = Duration::from_millis(50);
/// How long a record of a line that was read waits for its write: longer than that one waits in the ring and for its request.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Nanoseconds after which a line is not looked for any more: it is one of a backlog.
const FRESH: u64 = 2_000_000_000;
/// Writes that wait for their lines to be read.
const JOINS: usize = 65_536;
/// Pause while there is no room.
const FULL: Duration = Duration::from_millis(10);
/// How long room is waited for once the agent ends.
const LAST: Duration = Duration::from_millis(500);
/// Bytes of memory of a record beside its text, about.
const OVERHEAD: usize = 1024;

/// How observed lines become records.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How many lines of a service.
    pub rate: Rate,
    /// How much may be one event of several lines. `None`: every line is one.
    pub multiline: Option<multiline::Limits>,
    /// Bounds.
    pub limits: Limits,
}

/// The thread at work.
#[derive(Debug)]
pub struct Running {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Makes records of all that waits, and ends.
    pub fn finish(self) {
        self.queue.close();
        if self.thread.join().is_err() {
            tracing::error!("the thread that makes lines of writes ended by a fault of onlooker, please report it");
        }
    }
}

/// Begins to make records of what comes through a queue.
///
/// # Errors
/// No thread can be started.
pub fn start(
    settings: &Settings,
    queue: Arc<Queue>,
    outlet: Arc<dyn Outlet>,
    make: Make,
    counts: Arc<ObservedCounts>,
) -> io::Result<Running> {
    let mut streams = Streams::new(settings.limits, settings.multiline, counts.clone());
    let mut maker = Maker {
        outlet,
        make,
        rates: Rates::new(settings.rate),
        counts,
        queue: queue.clone(),
        room: (0, 0),
        now: Duration::ZERO,
        observed: 0,
        gives_up: None,
        joins: Joins::new(JOINS),
        delayed: VecDeque::new(),
    };
    let thread = std::thread::Builder::new().name("observed".to_owned()).spawn({
        let queue = queue.clone();
        move || maker.run(&queue, &mut streams)
    })?;
    Ok(Running { queue, thread })
}

/// Until when a record waits, by what its write is found, and when the runtime took its line.
type Delayed = (Duration, Box<LogRecord>, JoinKey, u64);

struct Maker {
    outlet: Arc<dyn Outlet>,
    make: Make,
    rates: Rates,
    counts: Arc<ObservedCounts>,
    queue: Arc<Queue>,
    /// What is left of the room that the outlet told: records and bytes.
    room: (usize, usize),
    now: Duration,
    observed: u64,
    /// Until when room is waited for: the agent ends.
    gives_up: Option<Instant>,
    joins: Joins,
    /// Records that wait for their write, each until a time.
    delayed: VecDeque<Delayed>,
}

/// Takes records of lines that are read from the logs of containers, and lets them wait for the ids of their write.
pub struct WithIds {
    outlet: Arc<dyn Outlet>,
    queue: Arc<Queue>,
}

impl WithIds {
    /// Those for which there are none, or no room to wait, go to the outlet at once.
    pub fn new(outlet: Arc<dyn Outlet>, queue: Arc<Queue>) -> WithIds {
        WithIds { outlet, queue }
    }
}

impl Outlet for WithIds {
    fn room(&self) -> Room {
        self.outlet.room()
    }
    fn take(&self, record: LogRecord) {
        self.outlet.take(record);
    }
    fn take_line(&self, record: LogRecord, line: &Line<'_>) {
        let key = line.stream.zip(line.time).filter(|_| record.span.is_none());
        let key = key.filter(|(_, time)| line.observed.saturating_sub(*time) < FRESH);
        let key = key.and_then(|(stream, time)| {
            let container = container(&record.resource)?;
            Some((JoinKey::new(container, stream, line.text.as_bytes()), time))
        });
        let refused = match key {
            Some((key, time)) => self.queue.put_read(record, key, time).err(),
            None => Some(Box::new(record)),
        };
        if let Some(record) = refused {
            self.outlet.take(*record);
        }
    }
}

impl Maker {
    fn run(&mut self, queue: &Queue, streams: &mut Streams) {
        let begun = Instant::now();
        let mut looked = Duration::ZERO;
        while let Some(messages) = queue.take(if self.delayed.is_empty() { LOOK } else { WAIT }) {
            self.turn(begun.elapsed());
            let now = nanos(self.now);
            for message in messages {
                match message {
                    Message::Written(source, written) => {
                        streams.take(&source, &written, now, &mut |source, event| self.send(source, event));
                    }
                    Message::Ended(ended) => {
                        streams.ended(ended.process, &mut |source, event| self.send(source, event));
                    }
                    Message::Read(record, key, time) => {
                        self.delayed.push_back((self.now + PATIENCE, record, key, time))
                    }
                }
            }
            self.hand_on(self.now);
            if self.now.saturating_sub(looked) >= LOOK {
                looked = self.now;
                self.joins.tidy(self.observed);
                streams.flush(now, &mut |source, event| self.send(source, event));
            }
        }
        self.turn(begun.elapsed());
        streams.close(&mut |source, event| self.send(source, event));
        self.hand_on(Duration::MAX);
    }

    /// Hands on the records that waited until this time or whose write is known, with its ids.
    fn hand_on(&mut self, until: Duration) {
        // In their order: behind one that waits all do.
        while let Some((_, mut record, key, time)) = self
            .delayed
            .pop_front_if(|(due, _, key, time)| *due <= until || self.joins.knows(*key, *time))
        {
            record.span = self.joins.take(key, time);
            self.counts.joined_read.add(u64::from(record.span.is_some()));
            self.wait_for_room(record.body.len() + OVERHEAD);
            self.outlet.take(*record);
        }
        self.counts.joins_refused.set(self.joins.refused);
    }

    fn turn(&mut self, now: Duration) {
        self.now = now;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.observed = since.map_or(0, nanos);
        self.room = (0, 0);
    }

    /// Makes a record of an event, unless it is to be dropped.
    fn send(&mut self, source: &Described, event: Event<'_>) {
        if let Some(container) = event.container {
            let key = JoinKey::new(container, event.stream, event.text);
            return self.joins.put(key, event.place.at, event.place.span);
        }
        let nuls = event.text.iter().take_while(|byte| **byte == 0).count();
        let text = event.text.get(nuls..).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            return self.counts.dropped(Dropped::Empty);
        }
        if let Err(why) = self.rates.admits(&source.service, self.now) {
            return self.counts.dropped(why);
        }
        let text = String::from_utf8_lossy(text);
        self.counts.invalid.add(u64::from(matches!(text, Cow::Owned(_))));
        let mut record: LogRecord = (self.make)(&Line {
            source,
            stream: Some(event.stream),
            time: Some(event.place.at),
            observed: self.observed,
            severity: Severity::UNSPECIFIED,
            text: &text,
        });
        // What the line itself says comes first.
        if record.span.is_none() && event.place.span.is_some() {
            record.span = event.place.span;
            self.counts.correlated.add(1);
        }
        if record.attributes.iter().all(|(name, _)| name != "thread.id") {
            let thread = AttributeValue::Int(event.place.tid.into());
            record.attributes.push(("thread.id".into(), thread));
        }
        self.wait_for_room(text.len() + OVERHEAD);
        self.outlet.take(record);
        self.counts.taken();
    }

    /// Waits until exporters have room. Once the agent ends, not for ever: they then count what they cannot take.
    fn wait_for_room(&mut self, bytes: usize) {
        loop {
            let (records, left) = self.room;
            if records > 0 && left >= bytes {
                self.room = (records - 1, left - bytes);
                return;
            }
            let room = self.outlet.room();
            self.room = (room.records, room.bytes);
            if room.records > 0 && room.bytes >= bytes {
                continue;
            }
            if self.queue.is_closed() {
                let until = *self.gives_up.get_or_insert_with(|| Instant::now() + LAST);
                if Instant::now() >= until {
                    return;
                }
            }
            std::thread::sleep(FULL);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
