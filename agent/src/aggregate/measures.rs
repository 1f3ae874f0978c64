//! Numbers that probes tell, folded into series by instrument, service and labels.
//!
//! Bounded: an instrument holds [`Instrument::limit`] label sets, all instruments together [`MeasuresConfig::limit`]. What comes
//! beyond is counted under `_OTHER` in every label but the service, then in the service too, and each time is counted. So the
//! sum over all series of an instrument stays what was told.

use super::routes::OTHER;
use crate::attribute::service::Service;
use crate::metric::{Encoder, Family, HistogramView, Kind, Source, Value};
use crate::signal::{Amount, Instrument, Nanos, Shape};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Limits of [`Measures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuresConfig {
    /// Label sets of all instruments. Two more an instrument and service come on top, for those that found no room.
    pub limit: usize,
    /// A label set to which nothing came for this long is removed.
    pub ttl: Duration,
}

/// Series of one instrument.
#[derive(Debug)]
struct Table {
    instrument: &'static Instrument,
    /// By service name, namespace and labels, in this order.
    series: FxHashMap<Arc<[Arc<str>]>, Series>,
    /// Of a gauge: the latest moment that was told of.
    latest: Nanos,
    /// Amounts that were counted under coarser labels.
    folded: u64,
}

#[derive(Clone, Debug)]
struct Series {
    /// Last change.
    at: Nanos,
    /// Value of a counter or gauge, sum of a histogram.
    value: f64,
    /// Buckets of a histogram, one more than bounds.
    buckets: Box<[u64]>,
}

/// All series. One thread writes, see [`SharedMeasures`].
#[derive(Debug)]
pub struct Measures {
    config: MeasuresConfig,
    /// In the order in which they were first told of; found by address.
    tables: Vec<Table>,
    held: usize,
    expired: u64,
    texts: FxHashMap<Box<str>, Arc<str>>,
    none: Arc<str>,
    other: Arc<str>,
    due: Nanos,
}

/// Texts that are kept to be shared among series; beyond that a series holds its own.
const TEXTS: usize = 8192;

impl Measures {
    /// Nothing told yet.
    pub fn new(config: MeasuresConfig) -> Measures {
        Measures {
            config,
            tables: Vec::new(),
            held: 0,
            expired: 0,
            texts: FxHashMap::default(),
            none: "".into(),
            other: OTHER.into(),
            due: 0,
        }
    }

    /// Adds an amount. `service`: `None` for the host's. `labels`: one for each of the instrument's.
    pub fn tell(
        &mut self,
        at: Nanos,
        instrument: &'static Instrument,
        service: Option<&Service>,
        labels: &[&str],
        amount: Amount<'_>,
    ) {
        let table = match self
            .tables
            .iter()
            .position(|table| std::ptr::eq(table.instrument, instrument))
        {
            Some(index) => index,
            None => {
                self.tables.push(Table {
                    instrument,
                    series: FxHashMap::default(),
                    latest: 0,
                    folded: 0,
                });
                self.tables.len() - 1
            }
        };
        let mut key: Vec<Arc<str>> = Vec::with_capacity(labels.len() + 2);
        match service {
            Some(service) => {
                key.push(service.name.clone());
                key.push(service.namespace.clone().unwrap_or_else(|| self.none.clone()));
            }
            None => key.extend([self.none.clone(), self.none.clone()]),
        }
        for index in 0..instrument.labels.len() {
            let text = labels.get(index).copied().unwrap_or_default();
            key.push(self.text(text));
        }
        let table = &mut self.tables[table];
        if instrument.shape == Shape::Gauge && at > table.latest {
            table.latest = at;
        }
        if let Some(series) = table.series.get_mut(&key[..]) {
            series.tell(at, instrument.shape, amount);
            return;
        }
        let room = table.series.len() < instrument.limit && self.held < self.config.limit;
        if !room {
            table.folded += 1;
            // Every label but the service, then the service too. The last always finds room.
            for (label, name) in key[2..].iter_mut().zip(instrument.labels) {
                if !name.is_empty() && !label.is_empty() {
                    *label = self.other.clone();
                }
            }
            let crowded = table.series.len() >= 2 * instrument.limit.max(1);
            if crowded && service.is_some() && !table.series.contains_key(&key[..]) {
                key[0] = self.other.clone();
                key[1] = self.none.clone();
            }
        }
        let held = &mut self.held;
        let series = table.series.entry(key.into()).or_insert_with(|| {
            *held += 1;
            Series {
                at,
                value: 0.0,
                buckets: match instrument.shape {
                    Shape::Histogram(bounds) => vec![0; bounds.len() + 1].into(),
                    Shape::Counter | Shape::Gauge => Box::default(),
                },
            }
        });
        series.tell(at, instrument.shape, amount);
    }

    /// To be called about once a second: removes what nothing came to, when that is due.
    pub fn tidy(&mut self, now: Nanos) {
        if now < self.due {
            return;
        }
        let step = (self.config.ttl / 16).clamp(Duration::from_secs(1), Duration::from_secs(15));
        self.due = now.saturating_add(step.as_nanos() as Nanos);
        let ttl = u64::try_from(self.config.ttl.as_nanos()).unwrap_or(u64::MAX);
        let since = now.saturating_sub(ttl);
        let before = self.held;
        for table in &mut self.tables {
            let gauge = table.instrument.shape == Shape::Gauge;
            let latest = table.latest;
            table
                .series
                .retain(|_, series| series.at >= since && (!gauge || series.at >= latest));
        }
        self.held = self.tables.iter().map(|table| table.series.len()).sum();
        self.expired += (before - self.held) as u64;
        self.texts.retain(|_, text| Arc::strong_count(text) > 1);
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if text.is_empty() {
            return self.none.clone();
        }
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let shared: Arc<str> = text.into();
        if self.texts.len() < TEXTS {
            self.texts.insert(text.into(), shared.clone());
        }
        shared
    }
}

impl Series {
    fn tell(&mut self, at: Nanos, shape: Shape, amount: Amount<'_>) {
        match amount {
            Amount::Add(by) => self.value += by,
            Amount::Set(value) if self.at == at => self.value += value,
            Amount::Most(value) if self.at == at => self.value = self.value.max(value),
            Amount::Least(value) if self.at == at => self.value = self.value.min(value),
            Amount::Set(value) | Amount::Most(value) | Amount::Least(value) => self.value = value,
            Amount::Buckets(buckets, sum) => {
                for (bucket, by) in self.buckets.iter_mut().zip(buckets) {
                    *bucket += by;
                }
                self.value += sum;
            }
            Amount::Observe(value) => {
                if let Shape::Histogram(bounds) = shape
                    && let Some(bucket) = self.buckets.get_mut(bounds.partition_point(|bound| *bound < value))
                {
                    *bucket += 1;
                }
                self.value += value;
            }
        }
        self.at = self.at.max(at);
    }
}

static HELD: Family = Family::new(
    "onlooker_measures",
    "",
    "Label sets of what probes measure that are held now.",
    Kind::Gauge,
);
static EXPIRED: Family = Family::new(
    "onlooker_measures_expired_total",
    "",
    "Label sets of what probes measure that were removed because nothing came to them for the time to live.",
    Kind::Counter,
);
static FOLDED: Family = Family::new(
    "onlooker_measures_folded_total",
    "",
    "Amounts that were counted under _OTHER because a limit was reached, by family.",
    Kind::Counter,
);

/// [`Measures`] that one thread writes to, a look at a time, and any thread reads.
#[derive(Clone, Debug)]
pub struct SharedMeasures(Arc<Mutex<Measures>>);

impl SharedMeasures {
    /// Nothing told yet.
    pub fn new(config: MeasuresConfig) -> SharedMeasures {
        SharedMeasures(Arc::new(Mutex::new(Measures::new(config))))
    }

    /// Access for one look.
    pub fn lock(&self) -> MutexGuard<'_, Measures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for SharedMeasures {
    /// The lock is held to copy one family at a time, never while an encoder writes.
    fn collect(&self, out: &mut dyn Encoder) {
        let mut index = 0;
        let mut copied: Vec<(Arc<[Arc<str>]>, Series)> = Vec::new();
        let mut folded = Vec::new();
        loop {
            copied.clear();
            let instrument = {
                let measures = self.lock();
                let Some(table) = measures.tables.get(index) else { break };
                let current = table.series.iter().filter(|(_, series)| table.shows(series));
                copied.extend(current.map(|(key, series)| (key.clone(), series.clone())));
                folded.push((table.instrument.name, table.folded));
                table.instrument
            };
            index += 1;
            if copied.is_empty() {
                continue;
            }
            copied.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            out.family(&Family {
                name: instrument.name.into(),
                unit: instrument.unit.into(),
                help: instrument.help.into(),
                kind: match instrument.shape {
                    Shape::Counter => Kind::Counter,
                    Shape::Gauge => Kind::Gauge,
                    Shape::Histogram(_) => Kind::Histogram,
                },
            });
            let mut labels: Vec<(&str, &str)> = Vec::new();
            for (key, series) in &copied {
                labels.clear();
                let names = ["service_name", "service_namespace"].into_iter();
                let names = names.chain(instrument.labels.iter().copied());
                labels.extend(
                    names
                        .zip(key.iter().map(|value| &**value))
                        .filter(|(_, value)| !value.is_empty()),
                );
                match instrument.shape {
                    Shape::Histogram(bounds) => {
                        let view = HistogramView {
                            bounds,
                            counts: &series.buckets,
                            sum: series.value,
                            exemplars: &[],
                        };
                        out.sample(&labels, Value::Histogram(&view));
                    }
                    Shape::Counter | Shape::Gauge => out.number(&labels, series.value),
                }
            }
        }
        let (held, expired) = {
            let measures = self.lock();
            (measures.held, measures.expired)
        };
        out.family(&HELD);
        out.number(&[], held as f64);
        out.family(&EXPIRED);
        out.number(&[], expired as f64);
        out.family(&FOLDED);
        for (family, count) in folded {
            out.number(&[("family", family)], count as f64);
        }
    }
}

impl Table {
    /// Gauges that were not told of at the latest moment are gone.
    fn shows(&self, series: &Series) -> bool {
        self.instrument.shape != Shape::Gauge || series.at >= self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::service::Facts;
    use crate::export::prometheus::{Format, PrometheusEncoder};
    use crate::signal::ProcessKey;

    static COUNTER: Instrument = Instrument {
        name: "errors_total",
        unit: "",
        help: "Errors.",
        shape: Shape::Counter,
        labels: &["call", "errno"],
        limit: 3,
        source: "",
    };
    static GAUGE: Instrument = Instrument {
        name: "open",
        shape: Shape::Gauge,
        labels: &["family"],
        ..COUNTER_BASE
    };
    static HISTOGRAM: Instrument = Instrument {
        name: "wait_seconds",
        unit: "seconds",
        shape: Shape::Histogram(&[0.5, 1.0]),
        labels: &[],
        ..COUNTER_BASE
    };
    const COUNTER_BASE: Instrument = Instrument {
        name: "",
        unit: "",
        help: "Of a test.",
        shape: Shape::Counter,
        labels: &[],
        limit: 10,
        source: "",
    };

    fn service(name: &str) -> Service {
        let facts = Facts {
            comm: Some(name.into()),
            ..Facts::default()
        };
        facts.service(ProcessKey::default(), None, None)
    }

    fn measures(limit: usize) -> SharedMeasures {
        SharedMeasures::new(MeasuresConfig {
            limit,
            ttl: Duration::from_secs(60),
        })
    }

    /// The samples of a family, a line each.
    fn lines(measures: &SharedMeasures, family: &str) -> Vec<String> {
        let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
        measures.collect(&mut encoder);
        let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(family));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn counters_add_up_by_labels() {
        let measures = measures(100);
        let shop = service("shop");
        for _ in 0..2 {
            measures
                .lock()
                .tell(1, &COUNTER, Some(&shop), &["open", "EACCES"], Amount::Add(2.0));
        }
        measures.lock().tell(1, &COUNTER, None, &["open", ""], Amount::Add(1.0));
        assert_eq!(
            lines(&measures, "errors_total"),
            [
                "errors_total{call=\"open\"} 1",
                "errors_total{service_name=\"shop\",call=\"open\",errno=\"EACCES\"} 4"
            ]
        );
    }

    #[test]
    fn what_finds_no_room_is_counted_in_others() {
        let measures = measures(100);
        for n in 0..20 {
            let service = service(&format!("s{n}"));
            for call in ["a", "b"] {
                measures
                    .lock()
                    .tell(1, &COUNTER, Some(&service), &[call, "EIO"], Amount::Add(1.0));
            }
        }
        let all = lines(&measures, "errors_total");
        let sum: f64 = all
            .iter()
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum();
        assert_eq!(sum, 40.0);
        assert!(all.len() <= 2 * COUNTER.limit + 1, "{all:#?}");
        assert!(
            all.contains(&"errors_total{service_name=\"_OTHER\",call=\"_OTHER\",errno=\"_OTHER\"} 32".to_owned()),
            "{all:#?}"
        );
        assert_eq!(
            lines(&measures, "onlooker_measures_folded_total"),
            ["onlooker_measures_folded_total{family=\"errors_total\"} 37"]
        );
    }

    #[test]
    fn gauges_of_one_moment_add_up_and_replace_those_before() {
        let measures = measures(100);
        let shop = service("shop");
        for (at, family) in [(1, "4"), (1, "4"), (1, "6"), (2, "4")] {
            measures
                .lock()
                .tell(at, &GAUGE, Some(&shop), &[family], Amount::Set(1.0));
            if at == 1 && family == "6" {
                assert_eq!(lines(&measures, "open{").len(), 2);
            }
        }
        assert_eq!(
            lines(&measures, "open{"),
            ["open{service_name=\"shop\",family=\"4\"} 1"]
        );
    }

    #[test]
    fn histograms_take_buckets_and_single_observations() {
        let measures = measures(100);
        for value in [0.5, 0.6, 7.0] {
            measures.lock().tell(1, &HISTOGRAM, None, &[], Amount::Observe(value));
        }
        measures
            .lock()
            .tell(1, &HISTOGRAM, None, &[], Amount::Buckets(&[1, 0, 2], 5.0));
        assert_eq!(
            lines(&measures, "wait_seconds"),
            [
                "wait_seconds_bucket{le=\"0.5\"} 2",
                "wait_seconds_bucket{le=\"1\"} 3",
                "wait_seconds_bucket{le=\"+Inf\"} 6",
                "wait_seconds_sum 13.1",
                "wait_seconds_count 6"
            ]
        );
    }

    #[test]
    fn what_nothing_comes_to_goes() {
        let measures = measures(100);
        measures.lock().tell(1, &COUNTER, None, &["a", "b"], Amount::Add(1.0));
        measures.lock().tidy(30_000_000_000);
        assert_eq!(lines(&measures, "errors_total").len(), 1);
        measures.lock().tidy(90_000_000_000);
        assert_eq!(lines(&measures, "errors_total"), [""; 0]);
        assert_eq!(
            lines(&measures, "onlooker_measures_expired"),
            ["onlooker_measures_expired_total 1"]
        );
        assert_eq!(measures.lock().texts.len(), 0);
    }
}
