//! Events of probes become records of a log, few enough to be read.
//!
//! Events of one kind (the same name, service and text) are one record at most per interval: the first is told at once, those
//! that follow are summed and told when the interval is over, with their count (`… EACCES (x134 in 1 min)`). What is told is
//! limited in rate, by service and in all. A fifth of each rate is kept for errors, so that what is merely worth knowing does not
//! drown a crash.
//!
//! For events as for all else `seen = delivered + lost + pending`: delivered are those whose record was handed on with them in its
//! count; pending are those of an interval that goes on; lost are those whose kind found no room (`table_full`), and those whose
//! interval ended when the rate was used up (`rate_limited`). What the agent itself does is no event: a receiver of records that
//! cannot be reached would be one for each attempt to say so.

mod rate;

use super::record::{LogRecord, Severity};
use crate::attribute::service::Service;
use crate::collectors::own::events::Counts;
use crate::signal::{self, Detail, EventSignal, Nanos, Who};
use crate::trace::clock::Clock;
use crate::trace::span::{Attribute, AttributeValue, Resource};
use rate::{Bucket, Rate};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Nanos = 1_000_000_000;
/// Bytes of an event's text; longer ones are cut.
const BODY_LIMIT: usize = 1024;
/// Bytes of an attribute's text; longer ones are cut.
const TEXT_LIMIT: usize = 512;
/// Attributes of an event; further ones are left out.
const ATTRIBUTES_LIMIT: usize = 16;
/// A service may have this part of the kinds.
const SHARE: usize = 4;
/// All services together may tell as much as so many at their limit.
const SERVICES: u32 = 20;

/// Reasons for which events are lost, as [`Events::counts`] has them.
const REASONS: &[&str] = &["rate_limited", "table_full"];
const RATE_LIMITED: usize = 0;
const TABLE_FULL: usize = 1;

/// Settings of [`Events`].
#[derive(Clone, Debug)]
pub struct EventsConfig {
    /// Least time between two records of one kind.
    pub interval: Duration,
    /// Kinds that are known at a time.
    pub kinds: usize,
    /// Records a minute and service.
    pub rate: u32,
    /// Process id of the agent.
    pub own: u32,
    /// Of what is nobody's in particular.
    pub host: Arc<Resource>,
}

/// Makes records of events. Owned by the pipeline's thread.
#[derive(Debug)]
pub struct Events {
    config: EventsConfig,
    interval: Nanos,
    clock: Clock,
    now: Nanos,
    kinds: FxHashMap<Box<str>, Kind>,
    tellers: FxHashMap<Box<str>, Teller>,
    all: Bucket,
    rate: Rate,
    rate_of_all: Rate,
    counts: Arc<Counts>,
    /// Key of the event at hand.
    key: String,
}

/// Events of one kind.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    severity: signal::Severity,
    /// Length of the service's part of the key.
    teller: usize,
    /// Where the text begins in the key.
    body: usize,
    /// When it was last told, or when it would have been.
    since: Nanos,
    /// Events not yet told, with the times of the first and last.
    pending: u64,
    first: Nanos,
    last: Nanos,
    /// Of the first of those.
    service: Option<Arc<Service>>,
    pid: u32,
    tid: u32,
    attributes: Vec<Attribute>,
}

/// A service that has events.
#[derive(Debug)]
struct Teller {
    bucket: Bucket,
    kinds: usize,
}

/// Takes records.
pub type Out<'a> = &'a mut dyn FnMut(LogRecord);

impl Events {
    /// An empty table.
    pub fn new(config: EventsConfig, clock: Clock) -> Events {
        let rate = Rate::per_minute(config.rate);
        let rate_of_all = Rate::per_minute(config.rate.saturating_mul(SERVICES));
        Events {
            interval: Nanos::try_from(config.interval.as_nanos()).unwrap_or(Nanos::MAX),
            config,
            clock,
            now: 0,
            kinds: FxHashMap::default(),
            tellers: FxHashMap::default(),
            all: Bucket::full(&rate_of_all),
            rate,
            rate_of_all,
            counts: Arc::new(Counts::new("event", REASONS)),
            key: String::new(),
        }
    }

    /// What became of the events.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Takes an event of this service (`None`: of nobody in particular).
    pub fn tell(&mut self, event: &EventSignal<'_>, service: Option<&Arc<Service>>, out: Out<'_>) {
        if matches!(event.who, Who::Process(key) if key.pid == self.config.own) {
            return;
        }
        let count = event.count.max(1);
        self.counts.seen(count);
        self.now = self.now.max(event.at);
        let (teller, body) = self.name(event, service.map(|service| &**service));
        let at_once = match self.kinds.get_mut(self.key.as_str()) {
            Some(kind) => {
                let quiet = kind.pending == 0;
                if quiet {
                    kind.begin(event, service);
                }
                kind.add(event.at, count);
                quiet && event.at.saturating_sub(kind.since) >= self.interval
            }
            None => {
                if !self.has_room(teller) {
                    return self.counts.lost(TABLE_FULL, count);
                }
                let mut kind = Kind::new(event, teller, body);
                kind.begin(event, service);
                kind.add(event.at, count);
                let full = Bucket::full(&self.rate);
                let teller = self
                    .tellers
                    .entry(self.key[..teller].into())
                    .or_insert(Teller { bucket: full, kinds: 0 });
                teller.kinds += 1;
                self.kinds.insert(self.key.as_str().into(), kind);
                true
            }
        };
        if at_once {
            let told = self.allowed(event.severity, teller, self.now);
            let record = self.kinds.get(self.key.as_str()).filter(|_| told);
            let record = record.map(|kind| self.record(&self.key, kind, None));
            if let Some(kind) = self.kinds.get_mut(self.key.as_str()) {
                kind.since = event.at;
                if let Some(record) = record {
                    self.counts.delivered(std::mem::take(&mut kind.pending));
                    out(record);
                }
            }
        }
    }

    /// To be called about once a second: tells the sums of the intervals that are over, and forgets what is quiet.
    pub fn tidy(&mut self, now: Nanos, out: Out<'_>) {
        self.now = self.now.max(now);
        self.clock.refresh(self.now);
        let (now, interval) = (self.now, self.interval);
        let over = |kind: &Kind| now.saturating_sub(kind.since) >= interval;
        self.tell_sums(&|kind| kind.pending > 0 && over(kind), true, out);
        let (kinds, tellers) = (&mut self.kinds, &mut self.tellers);
        kinds.retain(|key, kind| {
            let keep = kind.pending > 0 || !over(kind);
            if !keep && let Some(teller) = tellers.get_mut(&key[..kind.teller]) {
                teller.kinds -= 1;
            }
            keep
        });
        let rate = &self.rate;
        tellers.retain(|_, teller| teller.kinds > 0 || !teller.bucket.is_full(rate, now));
    }

    /// Tells everything that is pending, whatever the rate: the agent ends.
    pub fn end(&mut self, now: Nanos, out: Out<'_>) {
        self.now = self.now.max(now);
        self.tell_sums(&|kind| kind.pending > 0, false, out);
    }

    /// Tells the sums of these kinds, errors first, then what there is most of.
    fn tell_sums(&mut self, which: &dyn Fn(&Kind) -> bool, limited: bool, out: Out<'_>) {
        let chosen = self.kinds.iter().filter(|(_, kind)| which(kind));
        let mut chosen: Vec<(Box<str>, signal::Severity, u64, usize)> = chosen
            .map(|(key, kind)| (key.clone(), kind.severity, kind.pending, kind.teller))
            .collect();
        chosen.sort_by_key(|(_, severity, pending, _)| Reverse((*severity, *pending)));
        let now = self.now;
        for (key, severity, _, teller) in chosen {
            self.key.clear();
            self.key.push_str(&key);
            let told = !limited || self.allowed(severity, teller, now);
            let record = self.kinds.get(&key).filter(|_| told);
            let record = record.map(|kind| self.record(&key, kind, Some(now.saturating_sub(kind.since))));
            let Some(kind) = self.kinds.get_mut(&key) else { continue };
            kind.since = now;
            let count = std::mem::take(&mut kind.pending);
            match record {
                Some(record) => {
                    self.counts.delivered(count);
                    out(record);
                }
                None => self.counts.lost(RATE_LIMITED, count),
            }
        }
    }

    /// Sets the key of an event: service, name, text. Returns the length of the service's part and where the text begins.
    fn name(&mut self, event: &EventSignal<'_>, service: Option<&Service>) -> (usize, usize) {
        let key = &mut self.key;
        key.clear();
        if let Some(service) = service {
            key.push_str(service.namespace.as_deref().unwrap_or_default());
            key.push('\0');
            key.push_str(&service.name);
        }
        let teller = key.len();
        key.push('\0');
        key.push_str(event.name);
        key.push('\0');
        let body = key.len();
        key.push_str(cut(event.body, BODY_LIMIT));
        (teller, body)
    }

    /// Whether one more kind of the service in the key finds room.
    fn has_room(&self, teller: usize) -> bool {
        let limit = self.config.kinds;
        let known = self.tellers.get(&self.key[..teller]);
        let share = (limit / SHARE).max(1);
        self.kinds.len() < limit && known.map_or(self.tellers.len() < limit, |teller| teller.kinds < share)
    }

    /// Whether the service in the key may tell something now; if so, it has.
    fn allowed(&mut self, severity: signal::Severity, teller: usize, now: Nanos) -> bool {
        let urgent = severity == signal::Severity::Error;
        let Some(teller) = self.tellers.get_mut(&self.key[..teller]) else {
            return false;
        };
        let allowed = teller.bucket.has(&self.rate, now, urgent) && self.all.has(&self.rate_of_all, now, urgent);
        if allowed {
            teller.bucket.take();
            self.all.take();
        }
        allowed
    }

    /// The record of what is pending of a kind; `window`: time in which it came, when it is a sum.
    fn record(&self, key: &str, kind: &Kind, window: Option<Nanos>) -> LogRecord {
        let mut body = String::new();
        if let Some(service) = &kind.service {
            let _ = write!(body, "{}[{}]: ", service.name, kind.pid);
        }
        body.push_str(&key[kind.body..]);
        if kind.pending > 1 {
            let _ = write!(body, " (x{}", kind.pending);
            if let Some(window) = window {
                let _ = write!(body, " in {}", span_of_time(window));
            }
            body.push(')');
        }
        let mut attributes = kind.attributes.clone();
        let mut put = |name: &'static str, value| attributes.push((name.into(), value));
        if kind.tid != 0 {
            put("thread.id", AttributeValue::Int(kind.tid.into()));
        }
        let count = i64::try_from(kind.pending).unwrap_or(i64::MAX);
        put("onlooker.event.count", AttributeValue::Int(count));
        if kind.pending > 1 {
            let time = |at| AttributeValue::Text(rfc3339(self.clock.unix(at)).into());
            put("onlooker.event.first_time", time(kind.first));
            put("onlooker.event.last_time", time(kind.last));
        }
        LogRecord {
            timestamp: self.clock.unix(kind.last),
            observed: self.clock.unix(self.now),
            severity: match kind.severity {
                signal::Severity::Info => Severity::INFO,
                signal::Severity::Warn => Severity::WARN,
                signal::Severity::Error => Severity::ERROR,
            },
            event_name: Some(kind.name.into()),
            body,
            attributes,
            resource: match &kind.service {
                Some(service) => service.resource.clone(),
                None => self.config.host.clone(),
            },
            span: None,
            severity_text: None,
            receipt: None,
        }
    }
}

impl Kind {
    fn new(event: &EventSignal<'_>, teller: usize, body: usize) -> Kind {
        Kind {
            name: event.name,
            severity: event.severity,
            teller,
            body,
            since: event.at,
            pending: 0,
            first: event.at,
            last: event.at,
            service: None,
            pid: 0,
            tid: 0,
            attributes: Vec::new(),
        }
    }

    /// What is told with the next record comes from this event.
    fn begin(&mut self, event: &EventSignal<'_>, service: Option<&Arc<Service>>) {
        (self.first, self.last) = (event.at, event.at);
        self.severity = event.severity;
        self.service = service.cloned();
        self.pid = match event.who {
            Who::Process(key) => key.pid,
            Who::Host | Who::Other => 0,
        };
        self.tid = event.tid;
        self.attributes.clear();
        let attributes = event.attributes.iter().take(ATTRIBUTES_LIMIT);
        self.attributes.extend(attributes.map(|(name, value)| {
            let value = match *value {
                Detail::Text(text) => AttributeValue::Text(cut(text, TEXT_LIMIT).to_owned().into()),
                Detail::Int(number) => AttributeValue::Int(number),
            };
            ((*name).into(), value)
        }));
    }

    fn add(&mut self, at: Nanos, count: u64) {
        self.pending = self.pending.saturating_add(count);
        self.first = self.first.min(at);
        self.last = self.last.max(at);
    }
}

/// The beginning of a text, of whole characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// About how long, for people: `45 s`, `1 min`, `3 h`.
fn span_of_time(time: Nanos) -> String {
    let seconds = (time + SECOND / 2) / SECOND;
    match seconds {
        ..60 => format!("{} s", seconds.max(1)),
        60..7200 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h", (seconds + 1800) / 3600),
    }
}

fn rfc3339(unix_nanos: u64) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos);
    humantime::format_rfc3339_nanos(time).to_string()
}

#[cfg(test)]
mod tests;
