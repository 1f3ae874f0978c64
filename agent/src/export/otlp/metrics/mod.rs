//! Metrics over OTLP: the series that `/metrics` tells, under OpenTelemetry's names, pushed at an interval
//! (<https://opentelemetry.io/docs/specs/otel/metrics/sdk/#periodic-exporting-metricreader>).
//!
//! A [`MetricReader`] asks all sources, and hands on what they say in pieces ([`MetricBatch`]) while they still speak. Names come from
//! tables ([`host`], [`devices`], [`own`]) and, for families in none of them, from a rule ([`names`]). What must be remembered of a series from one
//! collection to the next is in [`streams`].

mod batch;
mod config;
mod devices;
mod encoder;
mod host;
mod names;
mod own;
mod resource;
mod streams;
mod sums;
mod table;
mod tables;

pub use batch::MetricBatch;
pub use config::{MetricsConfig, Temporality};
pub use streams::Origin;

use crate::metric::Source;
use encoder::{MetricEncoder, Setting};
use resource::OnHost;
use std::hash::RandomState;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use streams::Streams;

/// Series that are remembered, and points of one collection.
pub const LIMIT: usize = 131_072;

/// Which families are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// What the agent makes itself, and of the host what OpenTelemetry has names for.
    #[default]
    Semconv,
    /// Of the host all others too, under dotted names.
    All,
}

/// What was not sent, in samples.
#[derive(Debug, Default)]
pub struct MetricCounts {
    /// For want of room.
    limit: AtomicU64,
    /// The same attributes twice in one collection.
    twice: AtomicU64,
    /// A value that is no number, or of another form than its family.
    form: AtomicU64,
    /// Series that are remembered now.
    streams: AtomicUsize,
}

impl MetricCounts {
    /// Samples that were not sent, by reason.
    pub fn refused(&self) -> [(&'static str, u64); 3] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("series_limit", read(&self.limit)),
            ("duplicate", read(&self.twice)),
            ("malformed", read(&self.form)),
        ]
    }

    /// Series that are remembered now.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}

/// What a reader has to know of the world.
#[derive(Clone, Debug)]
pub struct ReaderConfig {
    /// See [`MetricsConfig::temporality`].
    pub temporality: Temporality,
    /// Which families are sent.
    pub families: Families,
    /// `host.name`.
    pub host: Option<Arc<str>>,
    /// When the agent started, Unix time in nanoseconds.
    pub started: u64,
    /// When the host did; `None`: not known.
    pub boot: Option<u64>,
    /// Series that are remembered, and points of one collection: [`LIMIT`].
    pub limit: usize,
}

/// Reads sources again and again.
#[derive(Debug)]
pub struct MetricReader {
    config: ReaderConfig,
    host: OnHost,
    hashing: RandomState,
    streams: Streams,
    counts: Arc<MetricCounts>,
}

impl MetricReader {
    /// A reader that has read nothing yet.
    pub fn new(config: ReaderConfig) -> MetricReader {
        MetricReader {
            host: OnHost(config.host.clone()),
            hashing: RandomState::new(),
            streams: Streams::new(config.limit, config.started, config.boot),
            counts: Arc::default(),
            config,
        }
    }

    /// What it could not send.
    pub fn counts(&self) -> Arc<MetricCounts> {
        self.counts.clone()
    }

    /// One collection: asks all sources in their order, and hands on what they say piece by piece. `now`: Unix time in nanoseconds. A
    /// source that panics costs what it did not say.
    pub fn collect(&mut self, sources: &[(Origin, Arc<dyn Source>)], now: u64, out: &mut dyn FnMut(MetricBatch)) {
        // A clock that was set back does not make an interval of less than nothing.
        let now = now.max(self.streams.previous().unwrap_or(self.config.started) + 1);
        let setting = Setting {
            host: &self.host,
            counts: &self.counts,
            hashing: &self.hashing,
            temporality: self.config.temporality,
            families: self.config.families,
            limit: self.config.limit,
            now,
        };
        self.streams.begin();
        let mut encoder = MetricEncoder::new(setting, &mut self.streams, out);
        let mut whole = true;
        for (origin, source) in sources {
            encoder.of(*origin);
            if catch_unwind(AssertUnwindSafe(|| source.collect(&mut encoder))).is_err() {
                tracing::error!("metrics are not whole because a source of them panicked");
                whole = false;
            }
        }
        encoder.finish();
        self.streams.end(now, whole);
        self.counts.streams.store(self.streams.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
