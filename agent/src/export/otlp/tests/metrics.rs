//! Metrics: what a request holds, and that data points are what is counted.

use super::*;
use crate::export::otlp::metrics::{Families, LIMIT, MetricReader, Origin, ReaderConfig, Temporality};
use crate::metric::{Encoder, Family, Kind, Source};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

static COUNTER: Family = Family::new(
    "onlooker_tcp_retransmits_total",
    "",
    "Segments sent again.",
    Kind::Counter,
);

/// A counter with so many series, each of a service of its own.
struct Series(u64);

impl Source for Series {
    fn collect(&self, out: &mut dyn Encoder) {
        out.family(&COUNTER);
        (0..self.0).for_each(|n| out.number(&[("service_name", &format!("s{n}"))], 2.0));
    }
}

/// One collection of it.
fn collected(series: u64) -> Vec<MetricBatch> {
    let mut reader = MetricReader::new(ReaderConfig {
        temporality: Temporality::Cumulative,
        families: Families::Semconv,
        host: None,
        started: 1,
        boot: None,
        limit: LIMIT,
    });
    let mut batches = Vec::new();
    reader.collect(&[(Origin::Agent, Arc::new(Series(series)))], 2, &mut |batch| {
        batches.push(batch)
    });
    batches
}

fn points(request: &[u8]) -> Vec<(String, usize)> {
    let request = ExportMetricsServiceRequest::decode(request).unwrap();
    let groups = request.resource_metrics.into_iter();
    let metrics = groups
        .flat_map(|group| group.scope_metrics)
        .flat_map(|scope| scope.metrics);
    let points = metrics.map(|metric| match metric.data {
        Some(Data::Sum(sum)) => (metric.name, sum.data_points.len()),
        other => panic!("{other:?}"),
    });
    points.collect()
}

impl Sample for MetricBatch {
    fn sample(_: u64) -> MetricBatch {
        collected(1).remove(0)
    }
    fn count(request: &[u8]) -> usize {
        points(request).iter().map(|(_, points)| points).sum()
    }
    fn rejects(rejected_data_points: i64, message: &str) -> Vec<u8> {
        let partial = ExportMetricsPartialSuccess {
            rejected_data_points,
            error_message: message.to_owned(),
        };
        let partial_success = Some(partial);
        ExportMetricsServiceResponse { partial_success }.encode_to_vec()
    }
}

#[test]
fn metrics_as_the_protocol_wants_them() {
    let (listener, address) = listen();
    let requests = receiver(listener, vec![ok()]);
    let sink = run::<MetricBatch>(config(address), |sink| {
        collected(3).into_iter().for_each(|batch| sink.accept(batch));
        assert_eq!(ledger(&sink.counts()).1, 3, "each point counts");
    });
    assert_eq!(ledger(&sink.counts()), (3, 0, vec![]));
    let request = requests.recv().unwrap().plain();
    let name = "onlooker.tcp.retransmits".to_owned();
    assert_eq!(points(&request), vec![(name, 1); 3]);
    let request = ExportMetricsServiceRequest::decode(request.as_slice()).unwrap();
    let group = &request.resource_metrics[1];
    let service = group.resource.as_ref().unwrap().attributes[0].clone();
    assert_eq!(service.value.unwrap().value, Some(Value::StringValue("s1".to_owned())));
    assert!(group.schema_url.starts_with("https://opentelemetry.io/schemas/"));
    let scope = group.scope_metrics[0].scope.as_ref().unwrap();
    assert_eq!(
        (scope.name.as_str(), group.resource.as_ref().unwrap().attributes.len()),
        ("onlooker", 2)
    );
}

/// What a receiver rejects, refuses or never sees is counted in data points, not in pieces.
#[test]
fn losses_are_counted_in_points() {
    let (listener, address) = listen();
    let rejects = respond("200 OK", "", &MetricBatch::rejects(30, "too old"));
    let requests = receiver(listener, vec![rejects, respond("400 Bad Request", "", &[])]);
    let mut config = config(address);
    config.queue.batch = 1;
    config.queue.items = 2;
    let sink = run::<MetricBatch>(config, |sink| {
        let pieces = [collected(100), collected(50), collected(7)];
        pieces.into_iter().flatten().for_each(|batch| sink.accept(batch));
        assert_eq!(ledger(&sink.counts()), (0, 150, vec![("queue_full", 7)]));
    });
    assert_eq!(
        ledger(&sink.counts()),
        (70, 0, vec![("queue_full", 7), ("rejected", 30), ("refused_4xx", 50)])
    );
    assert_eq!(
        requests
            .iter()
            .map(|request| request.count::<MetricBatch>())
            .collect::<Vec<_>>(),
        [100, 50]
    );
}
