//! The encoder: what sources say becomes points of metrics, piece by piece. Nothing but sums waits for the end.

use super::batch::{Form, Gathered, Head, MetricBatch, Point};
use super::names;
use super::resource::{self, OnHost, Service};
use super::streams::{Nothing, Origin, Streams, Time};
use super::sums::{Key, Sums};
use super::table::{Metric, Of, Shape, Term};
use super::tables::{self, Place};
use super::{Families, MetricCounts, Temporality};
use crate::metric::{Encoder, Family, HistogramView, Kind, SummaryView, Value};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, HistogramDataPoint, NumberDataPoint, SummaryDataPoint, exemplar, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Attributes of a point, as texts.
type Attributes<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What does not change while a collection goes on.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) host: &'a OnHost,
    pub(super) counts: &'a MetricCounts,
    pub(super) hashing: &'a RandomState,
    pub(super) temporality: Temporality,
    pub(super) families: Families,
    /// Points of one collection.
    pub(super) limit: usize,
    pub(super) now: Time,
}

/// One collection.
pub(super) struct MetricEncoder<'a> {
    setting: Setting<'a>,
    streams: &'a mut Streams,
    out: &'a mut dyn FnMut(MetricBatch),
    origin: Origin,
    open: Option<Open>,
    /// Identities of the points so far.
    told: FxHashSet<u64>,
    /// Families by the metric that a rule made of them.
    named: FxHashMap<String, Box<str>>,
    sums: Sums,
    gathered: Gathered,
}

/// The open family.
struct Open {
    places: &'static [Place],
    /// What a sample becomes that no table takes.
    ruled: Option<Ruled>,
    instead: Option<&'static str>,
}

/// A metric that a rule made of a family.
struct Ruled {
    name: String,
    unit: String,
    help: Cow<'static, str>,
    kind: Kind,
}

/// A point before it has a start.
struct Sample<'a> {
    head: Head<'a>,
    service: Service<'a>,
    attributes: Attributes<'a>,
    origin: Origin,
}

impl<'a> MetricEncoder<'a> {
    pub(super) fn new(
        setting: Setting<'a>,
        streams: &'a mut Streams,
        out: &'a mut dyn FnMut(MetricBatch),
    ) -> MetricEncoder<'a> {
        MetricEncoder {
            setting,
            streams,
            out,
            origin: Origin::Host,
            open: None,
            told: FxHashSet::default(),
            named: FxHashMap::default(),
            sums: Sums::default(),
            gathered: Gathered::default(),
        }
    }

    /// Whose the numbers are that come next.
    pub(super) fn of(&mut self, origin: Origin) {
        self.origin = origin;
        self.open = None;
    }

    /// Tells what waits.
    pub(super) fn finish(mut self) {
        let sums = std::mem::take(&mut self.sums);
        sums.finish(&mut |metric, key, value| {
            let attributes = key
                .iter()
                .map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(&**value)));
            self.number(
                Sample {
                    head: self.head(metric),
                    service: Service::default(),
                    attributes: attributes.collect(),
                    origin: Origin::Host,
                },
                value,
            );
        });
        if let Some(batch) = self.gathered.take() {
            (self.out)(batch);
        }
    }

    fn head(&self, metric: &'static Metric) -> Head<'static> {
        let form = match metric.shape {
            Shape::Gauge => Form::Gauge,
            Shape::Counter => self.sum(true),
            Shape::UpDown => self.sum(false),
        };
        Head {
            name: metric.name,
            unit: metric.unit,
            help: metric.help,
            form,
        }
    }

    fn sum(&self, monotonic: bool) -> Form {
        Form::Sum {
            monotonic,
            temporality: self.setting.temporality.of_sums(monotonic),
        }
    }

    /// The metric of a family that no table names; `None`: it is not sent.
    fn ruled(&mut self, family: &Family) -> Option<Ruled> {
        let own = family.name.starts_with("onlooker_");
        let nodes = family.name.starts_with("node_");
        let foreign = self.origin == Origin::Host && !own;
        if (foreign || nodes) && self.setting.families != Families::All {
            return None;
        }
        let (mut name, unit) = names::by_rule(family);
        if foreign && !nodes {
            name = family.name.clone().into_owned();
        }
        let others = self.named.get(&name).is_some_and(|known| **known != *family.name);
        if tables::names(&name) || others {
            name = family.name.clone().into_owned();
        }
        self.named.insert(name.clone(), (*family.name).into());
        Some(Ruled {
            name,
            unit,
            help: family.help.clone(),
            kind: family.kind,
        })
    }

    /// A sample for a term of a table. `false`: it is not for that term.
    fn mapped(&mut self, place: Place, labels: &[(&str, &str)], value: f64) -> bool {
        let Some((metric, term)) = tables::at(place) else {
            return false;
        };
        let Some(attributes) = attributes(term, labels) else {
            return false;
        };
        let value = if term.ones { 1.0 } else { value * term.factor };
        match metric.of {
            Of::Samples(_) => {
                let sample = Sample {
                    head: self.head(metric),
                    service: self.service(labels),
                    attributes: attributes
                        .into_iter()
                        .map(|(name, value)| (name.into(), value))
                        .collect(),
                    origin: self.origin,
                };
                self.number(sample, value);
            }
            _ => {
                let key: Key = attributes
                    .into_iter()
                    .map(|(name, value)| (name, value.into_owned()))
                    .collect();
                if !self.sums.add(place, key, value) {
                    self.refuse(&self.setting.counts.limit);
                }
            }
        }
        true
    }

    fn service<'l>(&self, labels: &[(&'l str, &'l str)]) -> Service<'l> {
        match self.origin {
            Origin::Agent => Service::of(labels),
            Origin::Host => Service::default(),
        }
    }

    /// A sample of a family that no table names.
    fn unmapped(&mut self, ruled: &Ruled, labels: &[(&str, &str)], value: Value<'_>) {
        let agent = self.origin == Origin::Agent;
        let kept = labels
            .iter()
            .filter(|(label, value)| !(value.is_empty() || agent && resource::is_resource(label)));
        let sample = |form| Sample {
            head: Head {
                name: &ruled.name,
                unit: &ruled.unit,
                help: &ruled.help,
                form,
            },
            service: self.service(labels),
            attributes: kept
                .map(|(label, value)| (names::attribute(label), Cow::Borrowed(*value)))
                .collect(),
            origin: self.origin,
        };
        match (ruled.kind, value) {
            (Kind::Counter, Value::Number(value)) => self.number(sample(self.sum(true)), value),
            // As the compatibility specification has it: a sum that is not monotonic.
            (Kind::Info, Value::Number(value)) => self.number(sample(self.sum(false)), value),
            (Kind::Gauge | Kind::Unknown, Value::Number(value)) => self.number(sample(Form::Gauge), value),
            (Kind::Histogram, Value::Histogram(view)) => {
                let temporality = self.setting.temporality.of_histograms();
                self.histogram(sample(Form::Histogram { temporality }), view);
            }
            (Kind::Summary, Value::Summary(view)) => self.summary(sample(Form::Summary), view),
            _ => self.refuse(&self.setting.counts.form),
        }
    }

    fn number(&mut self, sample: Sample<'_>, value: f64) {
        let sum = matches!(sample.head.form, Form::Sum { .. });
        if value.is_nan() || (sum && value.is_infinite()) {
            return self.refuse(&self.setting.counts.form);
        }
        let Some(key) = self.identity(&sample) else { return };
        let now = self.setting.now;
        let (start, value) = match sample.head.form {
            Form::Sum {
                monotonic: true,
                temporality,
            } => {
                let delta = temporality == Temporality::DELTA;
                match self.streams.number(key, sample.origin, now, value, delta) {
                    Ok(told) => (told.start, told.value),
                    Err(nothing) => return self.nothing(nothing),
                }
            }
            Form::Sum { .. } => (self.streams.since(sample.origin), value),
            _ => (0, value),
        };
        let point = NumberDataPoint {
            attributes: key_values(&sample.attributes),
            start_time_unix_nano: start,
            time_unix_nano: now,
            value: Some(number(sample.head.unit, value)),
            ..NumberDataPoint::default()
        };
        self.add(&sample, Point::Number(point));
    }

    fn histogram(&mut self, sample: Sample<'_>, view: &HistogramView<'_>) {
        if view.counts.len() != view.bounds.len() + 1 || !view.sum.is_finite() {
            return self.refuse(&self.setting.counts.form);
        }
        let Some(key) = self.identity(&sample) else { return };
        let (now, previous) = (self.setting.now, self.streams.previous());
        let delta = self.setting.temporality.of_histograms() == Temporality::DELTA;
        let counts = (view.counts, view.sum);
        let told = match self.streams.histogram(key, sample.origin, now, counts, delta) {
            Ok(Some(told)) => told,
            Ok(None) => return,
            Err(nothing) => return self.nothing(nothing),
        };
        // Those that were told are not told again; those that came meanwhile are for the next time.
        let exemplars = view.exemplars.iter().flatten().filter_map(|example| {
            let at = (example.timestamp * 1e9) as u64;
            (previous.unwrap_or_default() < at && at <= now).then(|| Exemplar {
                time_unix_nano: at,
                trace_id: example.trace_id.to_vec(),
                span_id: example.span_id.to_vec(),
                value: Some(exemplar::Value::AsDouble(example.value)),
                ..Exemplar::default()
            })
        });
        let point = HistogramDataPoint {
            attributes: key_values(&sample.attributes),
            start_time_unix_nano: told.start,
            time_unix_nano: now,
            count: told
                .value
                .counts
                .iter()
                .fold(0, |sum: u64, count| sum.saturating_add(*count)),
            sum: Some(told.value.sum),
            bucket_counts: told.value.counts,
            explicit_bounds: view.bounds.to_vec(),
            exemplars: exemplars.collect(),
            ..HistogramDataPoint::default()
        };
        self.add(&sample, Point::Histogram(point));
    }

    fn summary(&mut self, sample: Sample<'_>, view: &SummaryView<'_>) {
        if !(view.count >= 0.0 && view.count.is_finite()) {
            return self.refuse(&self.setting.counts.form);
        }
        let Some(key) = self.identity(&sample) else { return };
        let now = self.setting.now;
        let told = match self.streams.number(key, sample.origin, now, view.count, false) {
            Ok(told) => told,
            Err(nothing) => return self.nothing(nothing),
        };
        let quantiles = view.quantiles.iter().map(|(quantile, value)| ValueAtQuantile {
            quantile: *quantile,
            value: *value,
        });
        let point = SummaryDataPoint {
            attributes: key_values(&sample.attributes),
            start_time_unix_nano: told.start,
            time_unix_nano: now,
            count: view.count as u64,
            sum: view.sum,
            quantile_values: quantiles.collect(),
            ..SummaryDataPoint::default()
        };
        self.add(&sample, Point::Summary(point));
    }

    fn add(&mut self, sample: &Sample<'_>, point: Point) {
        let host = self.setting.host;
        let service = sample.service;
        if !self
            .gathered
            .add(&service.key(), || host.resource(service), &sample.head, point)
        {
            self.refuse(&self.setting.counts.form);
        }
        if let Some(batch) = self.gathered.full() {
            (self.out)(batch);
        }
    }

    /// Identity of a point, the same in each collection; `None`: it was told in this one, or there is no room.
    fn identity(&mut self, sample: &Sample<'_>) -> Option<u64> {
        let hash = |parts: [&str; 2]| {
            let mut hasher = self.setting.hashing.build_hasher();
            parts.iter().for_each(|part| {
                hasher.write(part.as_bytes());
                hasher.write_u8(0xff);
            });
            hasher.finish()
        };
        let attributes = sample.attributes.iter();
        let key = attributes
            .map(|(name, value)| hash([name, value]))
            .fold(hash([sample.head.name, &sample.service.key()]), u64::wrapping_add);
        let refused = match self.told.contains(&key) {
            true => Some(&self.setting.counts.twice),
            false => (self.told.len() >= self.setting.limit).then_some(&self.setting.counts.limit),
        };
        if let Some(count) = refused {
            self.refuse(count);
            return None;
        }
        self.told.insert(key);
        Some(key)
    }

    fn nothing(&self, nothing: Nothing) {
        if nothing == Nothing::Full {
            self.refuse(&self.setting.counts.limit);
        }
    }

    fn refuse(&self, count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Encoder for MetricEncoder<'_> {
    fn family(&mut self, family: &Family) {
        self.open = Some(Open {
            places: tables::places(&family.name),
            ruled: self.ruled(family),
            instead: tables::replacing(&family.name),
        });
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: Value<'_>) {
        let Some(open) = self.open.take() else { return };
        if let Some(family) = open.instead {
            self.sums.instead(family);
        }
        let mut taken = false;
        if let Value::Number(value) = value {
            for place in open.places {
                taken |= self.mapped(*place, labels, value);
            }
        }
        if let (false, Some(ruled)) = (taken, &open.ruled) {
            self.unmapped(ruled, labels, value);
        }
        self.open = Some(open);
    }
}

/// What a term makes of labels; `None`: they are not for it.
fn attributes<'a>(term: &'static Term, labels: &[(&'a str, &'a str)]) -> Option<Vec<(&'static str, Cow<'a, str>)>> {
    let find = |name: &str| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value);
    let word = match term.words {
        None => None,
        Some((label, words)) => {
            let value = find(label)?;
            Some((label, words.iter().find(|(from, _)| *from == value)?.1))
        }
    };
    let mut attributes: Vec<(&'static str, Cow<'a, str>)> = term
        .fixed
        .iter()
        .map(|(name, value)| (*name, (*value).into()))
        .collect();
    for (label, name) in term.labels {
        let value = match word {
            Some((of, word)) if of == *label => Some(word),
            _ => find(label),
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            attributes.push((name, value.into()));
        }
    }
    if !term.id.is_empty() {
        let parts: Vec<&str> = term.id.iter().filter_map(|label| find(label)).collect();
        attributes.push(("hw.id", parts.join("/").into()));
    }
    Some(attributes)
}

fn key_values(attributes: &Attributes<'_>) -> Vec<KeyValue> {
    let one = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| {
        let whole = names::is_whole(name).then(|| value.parse().ok()).flatten();
        let value = match whole {
            Some(whole) => AnyValue::IntValue(whole),
            None => AnyValue::StringValue(value.clone().into_owned()),
        };
        resource::of(name, value)
    };
    attributes.iter().map(one).collect()
}

/// Counts of things and bytes are whole numbers, all else is not.
fn number(unit: &str, value: f64) -> number_data_point::Value {
    let whole = unit == "By" || unit.starts_with('{');
    // Beyond 2^53 doubles are whole too, and an `i64` holds what is below 2^63.
    if whole && value.fract() == 0.0 && value.abs() < 9.2e18 {
        return number_data_point::Value::AsInt(value as i64);
    }
    number_data_point::Value::AsDouble(value)
}
