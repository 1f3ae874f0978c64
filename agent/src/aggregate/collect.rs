//! Series to an encoder, in slices: the lock is held to copy 256 series of one family at a time, never while an encoder
//! writes. A slow reader of `/metrics` cannot hold up the pipeline, and no copy of all series exists.

use super::histogram::{Bounds, DURATION, Exemplars, FIRST_BYTE, MAX_BUCKETS, SIZE};
use super::series::{Labels, Series};
use super::services::ServiceName;
use super::{Aggregate, AggregateConfig, Folded};
use crate::metric::{Encoder, Family, HistogramView, Kind, Source, Value};
use crate::protocol::exchange::{RoleSchema, Schema};
use crate::signal::Role;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Series copied while the lock is held once.
const SLICE: usize = 256;

static SERIES: Family = Family::new(
    "onlooker_series",
    "",
    "Label sets of ended exchanges that are held now.",
    Kind::Gauge,
);
static SERIES_LIMIT: Family = Family::new(
    "onlooker_series_limit",
    "",
    "Label sets of ended exchanges that may be held before new ones give up labels.",
    Kind::Gauge,
);
static SERIES_EXPIRED: Family = Family::new(
    "onlooker_series_expired_total",
    "",
    "Label sets that were removed because no exchange had them for the time to live.",
    Kind::Counter,
);
static SERIES_FOLDED: Family = Family::new(
    "onlooker_series_folded_total",
    "",
    "Exchanges counted under coarser labels, or not as active, because a limit was reached.",
    Kind::Counter,
);
static ROUTES: Family = Family::new("onlooker_routes", "", "Routes that are held now.", Kind::Gauge);
static SERVICES: Family = Family::new("onlooker_services", "", "Services that are held now.", Kind::Gauge);
static OPEN: Family = Family::new(
    "onlooker_exchanges_open",
    "",
    "Exchanges that began and did not end yet.",
    Kind::Gauge,
);

/// An [`Aggregate`] that one thread writes to, a batch at a time, and any thread reads.
#[derive(Clone, Debug)]
pub struct SharedAggregate(Arc<Mutex<Aggregate>>);

impl SharedAggregate {
    /// An empty one.
    pub fn new(config: AggregateConfig) -> SharedAggregate {
        SharedAggregate(Arc::new(Mutex::new(Aggregate::new(config))))
    }

    /// Access for one batch.
    pub fn lock(&self) -> MutexGuard<'_, Aggregate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for SharedAggregate {
    fn collect(&self, out: &mut dyn Encoder) {
        collect(&|read| read(&self.lock()), out);
    }
}

impl Aggregate {
    /// Writes all families.
    pub fn collect(&self, out: &mut dyn Encoder) {
        collect(&|read| read(self), out);
    }
}

/// Label names of a schema in Prometheus' form.
#[derive(Debug)]
pub(crate) struct LabelNames {
    operation: String,
    status: String,
    route: String,
    version: String,
    scheme: String,
    scheme_value: &'static str,
}

impl LabelNames {
    /// Dots become underscores.
    pub(crate) fn of(schema: &Schema) -> LabelNames {
        let name = |dotted: &str| dotted.replace('.', "_");
        LabelNames {
            operation: name(schema.operation),
            status: name(schema.status),
            route: name(schema.route),
            version: name(schema.version),
            scheme: name(schema.scheme.0),
            scheme_value: schema.scheme.1,
        }
    }
}

/// A histogram of every series.
#[derive(Clone, Copy)]
enum Which {
    Duration,
    FirstByte,
    RequestBody,
    ResponseBody,
}

impl Which {
    const ALL: [Which; 4] = [
        Which::Duration,
        Which::FirstByte,
        Which::RequestBody,
        Which::ResponseBody,
    ];

    fn family(self, schema: &RoleSchema) -> &Family {
        match self {
            Which::Duration => &schema.duration,
            Which::FirstByte => &schema.first_byte,
            Which::RequestBody => &schema.request_body,
            Which::ResponseBody => &schema.response_body,
        }
    }

    fn bounds(self) -> &'static Bounds {
        match self {
            Which::Duration => &DURATION,
            Which::FirstByte => &FIRST_BYTE,
            Which::RequestBody | Which::ResponseBody => &SIZE,
        }
    }

    fn counts(self, series: &Series) -> (&[u64], f64) {
        let bounds = self.bounds();
        match self {
            Which::Duration => (series.duration.counts(), series.duration.sum(bounds)),
            Which::FirstByte => (series.first_byte.counts(), series.first_byte.sum(bounds)),
            Which::RequestBody => (series.request_body.counts(), series.request_body.sum(bounds)),
            Which::ResponseBody => (series.response_body.counts(), series.response_body.sum(bounds)),
        }
    }
}

/// One histogram, copied.
struct Copied {
    labels: Arc<Labels>,
    schema: u8,
    counts: [u64; MAX_BUCKETS],
    sum: f64,
    exemplars: Option<Box<Exemplars>>,
}

/// Gives a closure access to the aggregate for as short as it runs.
type Access<'a> = &'a dyn Fn(&mut dyn FnMut(&Aggregate));

fn collect(access: Access<'_>, out: &mut dyn Encoder) {
    let mut schemas = Vec::new();
    access(&mut |aggregate| schemas.clone_from(&aggregate.schemas));
    for role in [Role::Server, Role::Client] {
        for which in Which::ALL {
            for family in distinct(schemas.iter().map(|(schema, _)| which.family(schema.role(role)))) {
                out.family(family);
                histograms(access, &schemas, (role, which, family), out);
            }
        }
        for family in distinct(schemas.iter().map(|(schema, _)| &schema.role(role).active)) {
            out.family(family);
            gauges(access, &schemas, (role, family), out);
        }
    }
    own(access, out);
}

/// Families by name, each once; protocols may share them.
fn distinct<'a>(families: impl Iterator<Item = &'a Family>) -> Vec<&'a Family> {
    let mut distinct: Vec<&Family> = Vec::new();
    for family in families {
        if !family.name.is_empty() && !distinct.iter().any(|known| known.name == family.name) {
            distinct.push(family);
        }
    }
    distinct
}

fn histograms(
    access: Access<'_>,
    schemas: &[(&'static Schema, Arc<LabelNames>)],
    (role, which, family): (Role, Which, &Family),
    out: &mut dyn Encoder,
) {
    let belongs: Vec<bool> = schemas
        .iter()
        .map(|(schema, _)| which.family(schema.role(role)).name == family.name)
        .collect();
    let bounds = which.bounds();
    let mut slice: Vec<Copied> = Vec::new();
    let (mut position, mut more) = (0, true);
    while more {
        slice.clear();
        access(&mut |aggregate| {
            while slice.len() < SLICE {
                let Some(series) = aggregate.series.next(&mut position) else {
                    more = false;
                    break;
                };
                let key = &series.key;
                if key.role != role || !belongs.get(usize::from(key.schema)).copied().unwrap_or(false) {
                    continue;
                }
                let (counts, sum) = which.counts(series);
                if counts.iter().all(|count| *count == 0) {
                    continue;
                }
                let mut copied = Copied {
                    labels: series.labels.clone(),
                    schema: key.schema,
                    counts: [0; MAX_BUCKETS],
                    sum,
                    exemplars: series.exemplars.clone().filter(|_| matches!(which, Which::Duration)),
                };
                copied.counts[..counts.len()].copy_from_slice(counts);
                slice.push(copied);
            }
        });
        for copied in &slice {
            let Some((_, names)) = schemas.get(usize::from(copied.schema)) else {
                continue;
            };
            let mut labels = LabelSet::new(&copied.labels.service);
            labels.push(&names.operation, &copied.labels.operation);
            labels.push(&names.status, &copied.labels.status);
            labels.push(&names.route, &copied.labels.route);
            labels.push(&names.version, copied.labels.version);
            labels.push(&names.scheme, names.scheme_value);
            labels.push("error_type", &copied.labels.error);
            let view = HistogramView {
                bounds: bounds.exported,
                counts: &copied.counts[..=bounds.exported.len()],
                sum: copied.sum,
                exemplars: copied.exemplars.as_deref().map_or(&[], |exemplars| exemplars),
            };
            out.sample(labels.as_slice(), Value::Histogram(&view));
        }
    }
}

fn gauges(
    access: Access<'_>,
    schemas: &[(&'static Schema, Arc<LabelNames>)],
    (role, family): (Role, &Family),
    out: &mut dyn Encoder,
) {
    let mut gauges = Vec::new();
    access(&mut |aggregate| {
        gauges = aggregate
            .active
            .gauges()
            .filter(|gauge| gauge.key.role == role)
            .cloned()
            .collect()
    });
    for gauge in &gauges {
        let schema = schemas.get(usize::from(gauge.key.schema));
        if let Some((_, names)) = schema.filter(|(schema, _)| schema.role(role).active.name == family.name) {
            let mut labels = LabelSet::new(&gauge.service);
            labels.push(&names.operation, &gauge.operation);
            labels.push(&names.scheme, names.scheme_value);
            out.number(labels.as_slice(), gauge.value as f64);
        }
    }
}

/// What the aggregate tells of itself.
fn own(access: Access<'_>, out: &mut dyn Encoder) {
    let (mut folded, mut limit, mut expired) = (Folded::default(), 0, 0);
    let (mut series, mut routes, mut services, mut open) = (0, 0, 0, 0);
    access(&mut |aggregate| {
        folded = aggregate.folded();
        limit = aggregate.config.series_limit;
        expired = aggregate.series.expired;
        series = aggregate.series.len();
        routes = aggregate.services.routes();
        services = aggregate.services.len();
        open = aggregate.active.open();
    });
    let numbers = [
        (&SERIES, series as f64),
        (&SERIES_LIMIT, limit as f64),
        (&SERIES_EXPIRED, expired as f64),
        (&ROUTES, routes as f64),
        (&SERVICES, services as f64),
        (&OPEN, open as f64),
    ];
    for (family, value) in numbers {
        out.family(family);
        out.number(&[], value);
    }
    out.family(&SERIES_FOLDED);
    let reasons = [
        ("route_limit", folded.routes),
        ("series_limit", folded.series),
        ("service_limit", folded.services),
        ("active_limit", folded.active),
        ("open_limit", folded.open),
    ];
    for (reason, count) in reasons {
        out.number(&[("reason", reason)], count as f64);
    }
}

/// Labels of one sample, without allocation. An empty value is an absent label.
struct LabelSet<'a> {
    labels: [(&'a str, &'a str); 8],
    len: usize,
}

impl<'a> LabelSet<'a> {
    fn new(service: &'a ServiceName) -> LabelSet<'a> {
        let mut set = LabelSet {
            labels: [("", ""); 8],
            len: 0,
        };
        set.push("service_name", &service.name);
        set.push("service_namespace", service.namespace.as_deref().unwrap_or_default());
        set
    }

    fn push(&mut self, name: &'a str, value: &'a str) {
        if let (false, Some(slot)) = (name.is_empty() || value.is_empty(), self.labels.get_mut(self.len)) {
            *slot = (name, value);
            self.len += 1;
        }
    }

    fn as_slice(&self) -> &[(&'a str, &'a str)] {
        &self.labels[..self.len]
    }
}
