//! Points gathered to pieces of bounded size, each a request of its own, in the bytes of the protocol.

use super::super::encode::scope;
use super::super::{OtlpItem, OtlpSignal};
use crate::export::Item;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use rustc_hash::FxHashMap;
use std::mem::size_of;

/// The semantic conventions that names and attributes of metrics follow: the first version with `system.memory.linux.*`.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.40.0";

/// Points of one piece.
pub(super) const POINTS: usize = 2000;
/// Bytes of one piece, about: receivers of gRPC take 4 MiB, as they come.
pub(super) const BYTES: usize = 512 << 10;

/// A piece of a collection: an `ExportMetricsServiceRequest`, whose messages may be put one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricBatch {
    request: Bytes,
    points: u64,
}

impl MetricBatch {
    /// Data points in it.
    pub fn points(&self) -> u64 {
        self.points
    }
}

impl Item for MetricBatch {
    const PLURAL: &'static str = "data points";

    fn weight(&self) -> usize {
        size_of::<MetricBatch>() + self.request.len()
    }

    fn units(&self) -> u64 {
        self.points
    }
}

impl OtlpItem for MetricBatch {
    const SIGNAL: OtlpSignal = OtlpSignal::Metrics;

    /// Messages of one type one behind the other are one message with all their repeated fields
    /// (<https://protobuf.dev/programming-guides/encoding/#last-one-wins>).
    fn encode(items: Vec<MetricBatch>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(items.iter().map(|item| item.request.len()).sum());
        items.iter().for_each(|item| bytes.extend_from_slice(&item.request));
        bytes
    }

    fn partial(body: &[u8]) -> Option<(i64, String)> {
        let partial = ExportMetricsServiceResponse::decode(body).ok()?.partial_success?;
        Some((partial.rejected_data_points, partial.error_message))
    }
}

/// What a metric is called, in what unit, and how it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) help: &'a str,
    pub(super) form: Form,
}

/// How a metric is told. Temporalities are those of `AggregationTemporality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Gauge,
    Sum { monotonic: bool, temporality: i32 },
    Histogram { temporality: i32 },
    Summary,
}

/// One point.
pub(super) enum Point {
    Number(NumberDataPoint),
    Histogram(HistogramDataPoint),
    Summary(SummaryDataPoint),
}

impl Point {
    fn size(&self) -> usize {
        // Tag and length come on top.
        4 + match self {
            Point::Number(point) => point.encoded_len(),
            Point::Histogram(point) => point.encoded_len(),
            Point::Summary(point) => point.encoded_len(),
        }
    }
}

/// Gathers points.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// By name of their resource; that of the host has none.
    resources: Vec<Group>,
    places: FxHashMap<Box<str>, usize>,
    points: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    resource: Resource,
    metrics: Vec<Metric>,
    places: FxHashMap<Box<str>, usize>,
}

impl Gathered {
    /// Adds a point to the metric of a resource, which is made by its name when it is new. `false`: a metric of that name and resource
    /// is told in another form.
    pub(super) fn add(
        &mut self,
        resource: &str,
        make: impl FnOnce() -> Resource,
        head: &Head<'_>,
        point: Point,
    ) -> bool {
        let place = match self.places.get(resource) {
            Some(place) => *place,
            None => {
                let resource_message = make();
                self.bytes += resource_message.encoded_len() + 128;
                self.resources.push(Group {
                    resource: resource_message,
                    metrics: Vec::new(),
                    places: FxHashMap::default(),
                });
                self.places.insert(resource.into(), self.resources.len() - 1);
                self.resources.len() - 1
            }
        };
        let Some(group) = self.resources.get_mut(place) else {
            return false;
        };
        let place = match group.places.get(head.name) {
            Some(place) => *place,
            None => {
                let metric = metric(head);
                self.bytes += metric.encoded_len() + 8;
                group.metrics.push(metric);
                group.places.insert(head.name.into(), group.metrics.len() - 1);
                group.metrics.len() - 1
            }
        };
        let size = point.size();
        let data = group.metrics.get_mut(place).and_then(|metric| metric.data.as_mut());
        match (data, point) {
            (Some(Data::Gauge(gauge)), Point::Number(point)) => gauge.data_points.push(point),
            (Some(Data::Sum(sum)), Point::Number(point)) => sum.data_points.push(point),
            (Some(Data::Histogram(histogram)), Point::Histogram(point)) => histogram.data_points.push(point),
            (Some(Data::Summary(summary)), Point::Summary(point)) => summary.data_points.push(point),
            _ => return false,
        }
        self.points += 1;
        self.bytes += size;
        true
    }

    /// A piece, when there is enough for one.
    pub(super) fn full(&mut self) -> Option<MetricBatch> {
        (self.points >= POINTS || self.bytes >= BYTES)
            .then(|| self.take())
            .flatten()
    }

    /// What there is.
    pub(super) fn take(&mut self) -> Option<MetricBatch> {
        let gathered = std::mem::take(self);
        if gathered.points == 0 {
            return None;
        }
        let group = |group: Group| ResourceMetrics {
            resource: Some(group.resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: group.metrics,
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        };
        let request = ExportMetricsServiceRequest {
            resource_metrics: gathered.resources.into_iter().map(group).collect(),
        };
        Some(MetricBatch {
            request: request.encode_to_vec().into(),
            points: gathered.points as u64,
        })
    }
}

fn metric(head: &Head<'_>) -> Metric {
    let data = match head.form {
        Form::Gauge => Data::Gauge(Gauge::default()),
        Form::Sum { monotonic, temporality } => Data::Sum(Sum {
            aggregation_temporality: temporality,
            is_monotonic: monotonic,
            ..Sum::default()
        }),
        Form::Histogram { temporality } => Data::Histogram(Histogram {
            aggregation_temporality: temporality,
            ..Histogram::default()
        }),
        Form::Summary => Data::Summary(Summary::default()),
    };
    Metric {
        name: head.name.to_owned(),
        description: head.help.to_owned(),
        unit: head.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

#[cfg(test)]
pub(super) fn decoded(batches: &[MetricBatch]) -> ExportMetricsServiceRequest {
    let bytes = MetricBatch::encode(batches.to_vec());
    ExportMetricsServiceRequest::decode(bytes.as_slice()).expect("a request of the protocol")
}
