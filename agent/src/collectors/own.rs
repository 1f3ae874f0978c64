//! The agent's own health as series: its build, its probes, its events and what was lost of them, its process, and what
//! other parts of the agent register.

pub mod events;
pub mod process;

use crate::health::Health;
use crate::host::Host;
use crate::metric::{Encoder, Family, Kind, Source};
use crate::privilege::NEEDED;
use events::{EventCounts, merged};
use process::{ProcessStats, boot_time};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// A number that another part of the agent keeps, read at every collection.
pub struct Reading {
    /// Its family. Readings of one name share the family of the first.
    pub family: Family,
    /// Its labels, e.g. `("map", "SOCKETS")`.
    pub labels: Vec<(&'static str, String)>,
    /// Reads the present value; must not block. Not a number: not known now, left out.
    pub read: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl Reading {
    /// A gauge without labels. `unit` as in [`Family::unit`].
    pub fn gauge(
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Reading {
        Reading {
            family: Family::new(name, unit, help, Kind::Gauge),
            labels: Vec::new(),
            read: Box::new(read),
        }
    }
    /// A counter without labels; its name ends in `_total`.
    pub fn counter(
        name: &'static str,
        unit: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Reading {
        Reading {
            family: Family::new(name, unit, help, Kind::Counter),
            labels: Vec::new(),
            read: Box::new(read),
        }
    }
    /// Bytes of kernel memory of one map: `onlooker_map_bytes{map}`.
    pub fn map_bytes(map: &'static str, read: impl Fn() -> f64 + Send + Sync + 'static) -> Reading {
        let help = "Kernel memory of the agent's maps, in bytes.";
        Reading::gauge("onlooker_map_bytes", "bytes", help, read).label("map", map)
    }
    /// The same with one more label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Reading {
        self.labels.push((name, value.into()));
        self
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("name", &self.family.name)
            .field("labels", &self.labels)
            .finish()
    }
}

/// The agent's own series. Parts of the agent register what they count; they may do so at any time.
pub struct Own {
    host: Host,
    health: Arc<Health>,
    started: f64,
    producers: RwLock<Vec<Arc<dyn EventCounts>>>,
    readings: RwLock<Vec<Reading>>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own")
            .field("host", &self.host)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl Own {
    /// The agent's own series; it counts as started now.
    pub fn new(host: Host, health: Arc<Health>) -> Own {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |time| time.as_secs_f64());
        Own {
            host,
            health,
            started,
            producers: RwLock::default(),
            readings: RwLock::default(),
        }
    }
    /// Registers a part of the agent that counts events.
    pub fn register_events(&self, producer: Arc<dyn EventCounts>) {
        self.producers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(producer);
    }
    /// Registers a number.
    pub fn register(&self, reading: Reading) {
        self.readings
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reading);
    }
    /// Events lost so far, of all kinds and for all reasons.
    pub fn lost(&self) -> u64 {
        let lost = |event: &events::EventCount| {
            event
                .lost
                .iter()
                .fold(0u64, |sum, (_, count)| sum.saturating_add(*count))
        };
        self.events().iter().map(lost).fold(0, u64::saturating_add)
    }
    /// Counts of all kinds of events, those of several producers added up.
    pub fn events(&self) -> Vec<events::EventCount> {
        let producers = self.producers.read().unwrap_or_else(PoisonError::into_inner).clone();
        merged(producers.iter().flat_map(|producer| producer.events()))
    }

    fn collect_events(&self, out: &mut dyn Encoder) {
        let events = self.events();
        out.family(&SEEN);
        for event in &events {
            out.number(&[("kind", event.kind)], event.seen as f64);
        }
        out.family(&DELIVERED);
        for event in &events {
            out.number(&[("kind", event.kind)], event.delivered as f64);
        }
        out.family(&LOST);
        for event in &events {
            for (reason, count) in &event.lost {
                out.number(&[("kind", event.kind), ("reason", reason)], *count as f64);
            }
        }
        out.family(&PENDING);
        for event in &events {
            out.number(&[("kind", event.kind)], event.pending() as f64);
        }
    }

    fn collect_readings(&self, out: &mut dyn Encoder) {
        let readings = self.readings.read().unwrap_or_else(PoisonError::into_inner);
        for (index, first) in readings.iter().enumerate() {
            let name = &first.family.name;
            if readings[..index].iter().any(|before| before.family.name == *name) {
                continue;
            }
            out.family(&first.family);
            for reading in readings[index..].iter().filter(|reading| reading.family.name == *name) {
                let labels: Vec<_> = reading
                    .labels
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let value = (reading.read)();
                if !value.is_nan() {
                    out.number(&labels, value);
                }
            }
        }
    }

    /// Names and meaning as Prometheus' client libraries have them
    /// (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>). What cannot be read is left out.
    fn collect_process(&self, out: &mut dyn Encoder) {
        let Ok(stats) = ProcessStats::read(&self.host) else {
            return;
        };
        // "No limit" is the largest number, as client_golang has it.
        let limit = |value: Option<u64>| value.unwrap_or(u64::MAX) as f64;
        let mut one = |family: &Family, value: f64| {
            out.family(family);
            out.number(&[], value);
        };
        one(&CPU, stats.cpu_seconds);
        one(&RESIDENT, stats.resident_bytes as f64);
        one(&VIRTUAL, stats.virtual_bytes as f64);
        one(&VIRTUAL_MAX, limit(stats.virtual_max_bytes));
        one(&OPEN_FDS, stats.open_fds as f64);
        one(&MAX_FDS, limit(stats.max_fds));
        if let Ok(boot) = boot_time(&self.host) {
            one(&PROCESS_START, boot as f64 + stats.started_after_boot);
        }
    }
}

impl Source for Own {
    fn collect(&self, out: &mut dyn Encoder) {
        out.family(&BUILD);
        use std::env::consts::{ARCH, OS};
        out.number(
            &[("version", env!("CARGO_PKG_VERSION")), ("arch", ARCH), ("os", OS)],
            1.0,
        );
        out.family(&START);
        out.number(&[], self.started);
        out.family(&PROBE);
        for probe in self.health.probes() {
            let alternative = probe.alternative.unwrap_or("");
            let attached = if probe.alternative.is_some() { 1.0 } else { 0.0 };
            out.number(&[("probe", probe.probe), ("alternative", alternative)], attached);
        }
        out.family(&CAPABILITY);
        let missing = self.health.missing();
        for capability in NEEDED {
            let held = if missing.contains(&capability) { 0.0 } else { 1.0 };
            out.number(&[("capability", capability.name)], held);
        }
        self.collect_events(out);
        self.collect_readings(out);
        self.collect_process(out);
    }
}

static BUILD: Family = Family::new(
    "onlooker_build_info",
    "",
    "Constant 1, with the version in its labels.",
    Kind::Gauge,
);
static START: Family = Family::new(
    "onlooker_start_time_seconds",
    "seconds",
    "When the agent began to watch, Unix time in seconds.",
    Kind::Gauge,
);
static PROBE: Family = Family::new(
    "onlooker_probe_attached",
    "",
    "Whether a probe is attached, and by which of its alternatives (none: an empty label).",
    Kind::Gauge,
);
static CAPABILITY: Family = Family::new(
    "onlooker_capability_held",
    "",
    "Whether the agent has a capability that it needs.",
    Kind::Gauge,
);
static SEEN: Family = Family::new(
    "onlooker_events_seen_total",
    "",
    "Events that happened: delivered, lost or pending.",
    Kind::Counter,
);
static DELIVERED: Family = Family::new(
    "onlooker_events_delivered_total",
    "",
    "Events that reached their destination.",
    Kind::Counter,
);
static LOST: Family = Family::new(
    "onlooker_events_lost_total",
    "",
    "Events that were lost, by reason.",
    Kind::Counter,
);
static PENDING: Family = Family::new(
    "onlooker_events_pending",
    "",
    "Events on their way: seen, not yet delivered or lost.",
    Kind::Gauge,
);
static CPU: Family = Family::new(
    "process_cpu_seconds_total",
    "seconds",
    "Total user and system CPU time spent in seconds.",
    Kind::Counter,
);
static RESIDENT: Family = Family::new(
    "process_resident_memory_bytes",
    "bytes",
    "Resident memory size in bytes.",
    Kind::Gauge,
);
static VIRTUAL: Family = Family::new(
    "process_virtual_memory_bytes",
    "bytes",
    "Virtual memory size in bytes.",
    Kind::Gauge,
);
static VIRTUAL_MAX: Family = Family::new(
    "process_virtual_memory_max_bytes",
    "bytes",
    "Maximum amount of virtual memory available in bytes.",
    Kind::Gauge,
);
static OPEN_FDS: Family = Family::new("process_open_fds", "", "Number of open file descriptors.", Kind::Gauge);
static MAX_FDS: Family = Family::new(
    "process_max_fds",
    "",
    "Maximum number of open file descriptors.",
    Kind::Gauge,
);
static PROCESS_START: Family = Family::new(
    "process_start_time_seconds",
    "seconds",
    "Start time of the process since unix epoch in seconds.",
    Kind::Gauge,
);

#[cfg(test)]
mod tests;
