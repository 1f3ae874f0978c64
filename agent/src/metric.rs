//! The fourth waist: series. A [`Source`] writes families and samples to an [`Encoder`], one after the other; an exporter is
//! an encoder. Nothing in between holds all series at once.

mod tape;

pub use tape::Tape;

use std::borrow::Cow;

/// Type of a family, as Prometheus names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// Quantiles, sum and count.
    Summary,
    /// Constant 1, facts in the labels.
    Info,
    /// Not told.
    Unknown,
}

/// A family of series: everything but labels and values. `name` is the full name in Prometheus' text format
/// (`http_server_request_duration_seconds`, `onlooker_events_lost_total`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Full name, with unit and `_total`.
    pub name: Cow<'static, str>,
    /// Base unit in Prometheus' words (`seconds`, `bytes`), empty when none; a suffix of the name when not empty.
    pub unit: Cow<'static, str>,
    /// One sentence.
    pub help: Cow<'static, str>,
    /// Type.
    pub kind: Kind,
}

impl Family {
    /// A family whose texts are constants.
    pub const fn new(name: &'static str, unit: &'static str, help: &'static str, kind: Kind) -> Family {
        Family {
            name: Cow::Borrowed(name),
            unit: Cow::Borrowed(unit),
            help: Cow::Borrowed(help),
            kind,
        }
    }
}

/// Value of one series.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Of counters, gauges, infos and unknowns.
    Number(f64),
    /// Of histograms.
    Histogram(&'a HistogramView<'a>),
    /// Of summaries.
    Summary(&'a SummaryView<'a>),
}

/// A summary as exporters see it.
#[derive(Clone, Copy, Debug)]
pub struct SummaryView<'a> {
    /// Quantiles (0 to 1) and their values.
    pub quantiles: &'a [(f64, f64)],
    /// Sum of observations.
    pub sum: f64,
    /// Number of observations.
    pub count: f64,
}

/// A histogram as exporters see it. `counts` has one more entry than `bounds` (the last is +Inf); counts are per bucket, not
/// cumulative.
#[derive(Clone, Copy, Debug)]
pub struct HistogramView<'a> {
    /// Upper bounds, ascending, inclusive.
    pub bounds: &'a [f64],
    /// Observations per bucket.
    pub counts: &'a [u64],
    /// Sum of observations.
    pub sum: f64,
    /// An example per bucket; empty, or as long as `counts`.
    pub exemplars: &'a [Option<Exemplar>],
}

/// One observation with the trace it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The observation.
    pub value: f64,
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Unix time, seconds.
    pub timestamp: f64,
}

/// Receives series. `family` opens a family; the `sample` calls until the next `family` belong to it. A family is opened at
/// most once per collection. An encoder that cannot go on remembers its error; sources need not look.
pub trait Encoder {
    /// Opens a family.
    fn family(&mut self, family: &Family);
    /// One series of the open family. Label names are unique; values are any UTF-8.
    fn sample(&mut self, labels: &[(&str, &str)], value: Value<'_>);
    /// A series whose value is a plain number.
    fn number(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample(labels, Value::Number(value));
    }
}

/// Something that has series: the aggregate of exchanges, the agent's own health, a host collector.
pub trait Source: Send + Sync {
    /// Writes all its families. Called for every scrape and every push, possibly at the same time by several threads.
    fn collect(&self, out: &mut dyn Encoder);
}
