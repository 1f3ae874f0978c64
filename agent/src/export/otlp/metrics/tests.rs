//! Sources as they are, decoded from the bytes of requests; what `/metrics` tells of the same sources is the measure.

mod docs;
mod host;

use super::batch::{POINTS, decoded};
use super::*;
use crate::export::prometheus::{Format, PrometheusEncoder};
use crate::metric::{Encoder, Exemplar, Family, HistogramView, Kind, SummaryView, Value};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, number_data_point};
use std::fmt::Write as _;
use std::sync::Mutex;

const STARTED: u64 = 1_000_000_000;
const BOOT: u64 = 500_000_000;
const FIRST: u64 = 2_000_000_000;
const SECOND: u64 = 3_000_000_000;

pub(super) fn config() -> ReaderConfig {
    ReaderConfig {
        temporality: Temporality::Cumulative,
        families: Families::Semconv,
        host: Some("web1".into()),
        started: STARTED,
        boot: Some(BOOT),
        limit: LIMIT,
    }
}

/// A source that says what a function says.
struct Says<F>(F);

impl<F: Fn(&mut dyn Encoder) + Send + Sync> Source for Says<F> {
    fn collect(&self, out: &mut dyn Encoder) {
        (self.0)(out);
    }
}

fn says(what: impl Fn(&mut dyn Encoder) + Send + Sync + 'static) -> Arc<dyn Source> {
    Arc::new(Says(what))
}

/// A collection, whole.
pub(super) fn collect(reader: &mut MetricReader, sources: &[(Origin, Arc<dyn Source>)], now: u64) -> Vec<MetricBatch> {
    let mut batches = Vec::new();
    reader.collect(sources, now, &mut |batch| batches.push(batch));
    batches
}

fn attributes(list: &[KeyValue]) -> String {
    let value = |kv: &KeyValue| match kv.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(AnyValue::StringValue(text)) => format!("{text:?}"),
        Some(AnyValue::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let mut all: Vec<String> = list.iter().map(|kv| format!("{}={}", kv.key, value(kv))).collect();
    all.sort_unstable();
    all.join(" ")
}

fn shape(metric: &Metric) -> String {
    let temporality = |number| if number == 1 { "delta" } else { "cumulative" };
    match metric.data.as_ref().expect("data") {
        Data::Gauge(_) => "gauge".to_owned(),
        Data::Sum(sum) => format!(
            "{} {}",
            temporality(sum.aggregation_temporality),
            if sum.is_monotonic { "counter" } else { "updown" }
        ),
        Data::Histogram(histogram) => format!("{} histogram", temporality(histogram.aggregation_temporality)),
        Data::Summary(_) => "summary".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// What requests say, a point a line, in order of names.
pub(super) fn text(batches: &[MetricBatch]) -> String {
    let mut lines = Vec::new();
    for group in decoded(batches).resource_metrics {
        let resource = attributes(&group.resource.expect("a resource").attributes);
        let [scope] = group.scope_metrics.as_slice() else {
            panic!("one scope")
        };
        for metric in &scope.metrics {
            let head = format!("{} [{}] {}", metric.name, metric.unit, shape(metric));
            let mut line = |list: &[KeyValue], start: u64, value: String| {
                lines.push(format!("{head} {{{}}} {start}: {value} ({resource})", attributes(list)));
            };
            match metric.data.as_ref().expect("data") {
                Data::Gauge(gauge) => gauge.data_points.iter().for_each(|point| {
                    line(
                        &point.attributes,
                        point.start_time_unix_nano,
                        number(point.value.as_ref()),
                    )
                }),
                Data::Sum(sum) => sum.data_points.iter().for_each(|point| {
                    line(
                        &point.attributes,
                        point.start_time_unix_nano,
                        number(point.value.as_ref()),
                    )
                }),
                Data::Histogram(histogram) => histogram.data_points.iter().for_each(|point| {
                    let value = format!("{:?} {:?} n={}", point.bucket_counts, point.sum, point.count);
                    line(&point.attributes, point.start_time_unix_nano, value);
                }),
                Data::Summary(summary) => summary.data_points.iter().for_each(|point| {
                    let value = format!("n={} {}", point.count, point.sum);
                    line(&point.attributes, point.start_time_unix_nano, value);
                }),
                other => panic!("{other:?}"),
            }
        }
    }
    lines.sort_unstable();
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

fn number(value: Option<&number_data_point::Value>) -> String {
    match value {
        Some(number_data_point::Value::AsInt(number)) => number.to_string(),
        Some(number_data_point::Value::AsDouble(number)) => format!("{number:?}"),
        None => panic!("no value"),
    }
}

const HTTP: [(&str, &str); 4] = [
    ("service_name", "shop"),
    ("service_namespace", "eu"),
    ("http_request_method", "GET"),
    ("http_response_status_code", "200"),
];

fn example(timestamp: f64) -> Exemplar {
    Exemplar {
        value: 0.7,
        trace_id: [1; 16],
        span_id: [2; 8],
        timestamp,
    }
}

/// One of everything that the agent says.
fn one_of_each(out: &mut dyn Encoder) {
    out.family(&Family::new(
        "http_server_request_duration_seconds",
        "seconds",
        "D.",
        Kind::Histogram,
    ));
    let view = HistogramView {
        bounds: &[0.5, 1.0],
        counts: &[1, 2, 3],
        sum: 9.5,
        exemplars: &[None, Some(example(1.5)), None],
    };
    out.sample(&HTTP, Value::Histogram(&view));
    out.family(&Family::new("http_server_active_requests", "", "A.", Kind::Gauge));
    out.number(&[("service_name", "shop"), ("http_request_method", "GET")], 2.0);
    out.family(&Family::new("onlooker_tcp_retransmits_total", "", "R.", Kind::Counter));
    out.number(
        &[
            ("service_name", "shop"),
            ("server_port", "80"),
            ("onlooker_peer_class", "lan"),
        ],
        4.0,
    );
    out.number(&[], 7.0);
    out.family(&Family::new(
        "namedprocess_namegroup_memory_bytes",
        "bytes",
        "M.",
        Kind::Gauge,
    ));
    out.number(&[("groupname", "shop"), ("memtype", "resident")], 4096.0);
    out.number(&[("groupname", "shop"), ("memtype", "swapped")], 0.0);
    out.family(&Family::new(
        "namedprocess_namegroup_cpu_seconds_total",
        "seconds",
        "C.",
        Kind::Counter,
    ));
    out.number(&[("groupname", "shop"), ("mode", "user")], 1.5);
    out.family(&Family::new("onlooker_build_info", "", "B.", Kind::Info));
    out.number(&[("version", "1")], 1.0);
    out.family(&Family::new("wait_seconds", "seconds", "S.", Kind::Summary));
    let view = SummaryView {
        quantiles: &[(0.5, 7.0)],
        sum: 8.0,
        count: 9.0,
    };
    out.sample(&[], Value::Summary(&view));
}

#[test]
fn what_the_agent_says_by_service() {
    let mut reader = MetricReader::new(config());
    let sources = [(Origin::Agent, says(one_of_each))];
    let batches = collect(&mut reader, &sources, FIRST);
    let (shop, eu) = (
        "(host.name=\"web1\" os.type=\"linux\" service.instance.id=\"web1\" service.name=\"shop\")",
        "(host.name=\"web1\" os.type=\"linux\" service.instance.id=\"web1\" service.name=\"shop\" service.namespace=\"eu\")",
    );
    let host = "(host.name=\"web1\" os.type=\"linux\" service.instance.id=\"web1\")";
    let s = STARTED;
    let expect = format!(
        "http.server.active_requests [{{request}}] cumulative updown {{http.request.method=\"GET\"}} {s}: 2 {shop}\n\
         http.server.request.duration [s] cumulative histogram {{http.request.method=\"GET\" http.response.status_code=200}} {s}: \
         [1, 2, 3] Some(9.5) n=6 {eu}\n\
         onlooker.build.info [1] cumulative updown {{version=\"1\"}} {s}: 1.0 {host}\n\
         onlooker.process.memory [By] gauge {{memtype=\"swapped\"}} 0: 0 {shop}\n\
         onlooker.tcp.retransmits [{{retransmit}}] cumulative counter {{onlooker.peer_class=\"lan\" server.port=80}} {s}: 4 {shop}\n\
         onlooker.tcp.retransmits [{{retransmit}}] cumulative counter {{}} {s}: 7 {host}\n\
         process.cpu.time [s] cumulative counter {{cpu.mode=\"user\"}} {s}: 1.5 {shop}\n\
         process.memory.usage [By] cumulative updown {{}} {s}: 4096 {shop}\n\
         wait [s] summary {{}} {s}: n=9 8 {host}\n"
    );
    assert_eq!(text(&batches), expect);
    assert!(reader.counts().refused().iter().all(|(_, count)| *count == 0));
    assert_eq!(batches.iter().map(MetricBatch::points).sum::<u64>(), 9);
}

fn histograms(batches: &[MetricBatch]) -> Vec<HistogramDataPoint> {
    let metrics = decoded(batches).resource_metrics.into_iter();
    let metrics = metrics
        .flat_map(|group| group.scope_metrics)
        .flat_map(|scope| scope.metrics);
    let points = metrics.filter_map(|metric| match metric.data {
        Some(Data::Histogram(histogram)) => Some(histogram.data_points),
        _ => None,
    });
    points.flatten().collect()
}

#[test]
fn exemplars_are_told_once() {
    let mut reader = MetricReader::new(config());
    let sources = [(Origin::Agent, says(one_of_each))];
    let first = histograms(&collect(&mut reader, &sources, FIRST));
    let [example] = first[0].exemplars.as_slice() else {
        panic!("{first:?}")
    };
    assert_eq!((example.time_unix_nano, example.trace_id.len()), (1_500_000_000, 16));
    assert_eq!((first[0].explicit_bounds.len(), first[0].min), (2, None));
    let second = histograms(&collect(&mut reader, &sources, SECOND));
    assert_eq!((second.len(), second[0].exemplars.len()), (1, 0));
}

#[test]
fn differences_are_told_of_what_is_counted() {
    let value = Arc::new(Mutex::new(5.0));
    let told = value.clone();
    let source = says(move |out| {
        let now = *told.lock().expect("not poisoned");
        out.family(&Family::new("onlooker_tcp_retransmits_total", "", "R.", Kind::Counter));
        out.number(&[], now);
        out.family(&Family::new("http_server_active_requests", "", "A.", Kind::Gauge));
        out.number(&[], now);
        out.family(&Family::new(
            "dns_lookup_duration_seconds",
            "seconds",
            "D.",
            Kind::Histogram,
        ));
        let view = HistogramView {
            bounds: &[1.0],
            counts: &[now as u64, 0],
            sum: now,
            exemplars: &[],
        };
        out.sample(&[], Value::Histogram(&view));
    });
    let short = |temporality| {
        *value.lock().expect("not poisoned") = 5.0;
        let mut reader = MetricReader::new(ReaderConfig {
            temporality,
            ..config()
        });
        let sources = [(Origin::Agent, source.clone())];
        collect(&mut reader, &sources, FIRST);
        *value.lock().expect("not poisoned") = 9.0;
        let told = text(&collect(&mut reader, &sources, SECOND));
        let lines = told
            .lines()
            .map(|line| line.split(" (host").next().unwrap_or_default().to_owned());
        lines.collect::<Vec<_>>()
    };
    let updown = format!("http.server.active_requests [{{request}}] cumulative updown {{}} {STARTED}: 9");
    assert_eq!(
        short(Temporality::Delta),
        [
            format!("dns.lookup.duration [s] delta histogram {{}} {FIRST}: [4, 0] Some(4.0) n=4"),
            updown.clone(),
            format!("onlooker.tcp.retransmits [{{retransmit}}] delta counter {{}} {FIRST}: 4"),
        ]
    );
    assert_eq!(
        short(Temporality::LowMemory),
        [
            format!("dns.lookup.duration [s] delta histogram {{}} {FIRST}: [4, 0] Some(4.0) n=4"),
            updown.clone(),
            format!("onlooker.tcp.retransmits [{{retransmit}}] cumulative counter {{}} {STARTED}: 9"),
        ]
    );
    assert_eq!(
        short(Temporality::Cumulative)[0],
        format!("dns.lookup.duration [s] cumulative histogram {{}} {STARTED}: [9, 0] Some(9.0) n=9")
    );
}

/// The totals of a family in the text of `/metrics`, and those of its metric in the bytes of requests, of one and the same source.
#[test]
fn totals_are_those_of_the_exposition() {
    fn many(out: &mut dyn Encoder) {
        out.family(&Family::new(
            "http_server_request_duration_seconds",
            "seconds",
            "D.",
            Kind::Histogram,
        ));
        for number in 0..300u64 {
            let name = format!("s{}", number % 7);
            let route = format!("/{number}");
            let view = HistogramView {
                bounds: &[0.5, 1.0],
                counts: &[number, 2 * number, 1],
                sum: number as f64 / 4.0,
                exemplars: &[],
            };
            out.sample(
                &[("service_name", &name), ("http_route", &route)],
                Value::Histogram(&view),
            );
        }
    }
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    many(&mut encoder);
    let exposed = String::from_utf8(encoder.finish().expect("written")).expect("text");
    let total = |end: &str| -> f64 {
        let lines = exposed.lines().filter(|line| line.contains(end));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    };
    let mut reader = MetricReader::new(config());
    let points = histograms(&collect(&mut reader, &[(Origin::Agent, says(many))], FIRST));
    assert_eq!(points.len(), 300);
    let count: u64 = points.iter().map(|point| point.count).sum();
    let sum: f64 = points.iter().filter_map(|point| point.sum).sum();
    let below: u64 = points.iter().map(|point| point.bucket_counts[0]).sum();
    assert_eq!(
        (count as f64, sum, below as f64),
        (
            total("_duration_seconds_count{"),
            total("_duration_seconds_sum{"),
            total("le=\"0.5\"")
        )
    );
}

#[test]
fn pieces_are_of_bounded_size_and_together_everything() {
    let many = says(|out| {
        out.family(&Family::new("onlooker_tcp_retransmits_total", "", "R.", Kind::Counter));
        for number in 0..(2 * POINTS + 5) {
            let name = format!("s{}", number % 100);
            out.number(&[("service_name", &name), ("n", &number.to_string())], 1.0);
        }
    });
    let mut reader = MetricReader::new(config());
    let batches = collect(&mut reader, &[(Origin::Agent, many)], FIRST);
    let sizes: Vec<u64> = batches.iter().map(MetricBatch::points).collect();
    assert_eq!(sizes, [POINTS as u64, POINTS as u64, 5]);
    assert_eq!(text(&batches).lines().count(), 2 * POINTS + 5);
    let long = says(|out| {
        out.family(&Family::new("onlooker_names", "", "R.", Kind::Gauge));
        for number in 0..200 {
            out.number(&[("n", &format!("{number:08000}"))], 1.0);
        }
    });
    let batches = collect(&mut reader, &[(Origin::Agent, long)], SECOND);
    assert!(batches.len() > 1, "1.6 MB are not one request");
    use crate::export::Item;
    assert!(batches.iter().all(|batch| batch.weight() < batch::BYTES + 10_000));
}

#[test]
fn beyond_the_limit_samples_are_left_out_and_counted() {
    let many = says(|out| {
        out.family(&Family::new("onlooker_tcp_retransmits_total", "", "R.", Kind::Counter));
        (0..10).for_each(|n| out.number(&[("n", &format!("{n}"))], 1.0));
        out.number(&[("n", "0")], 1.0);
        out.family(&Family::new("onlooker_names", "", "N.", Kind::Gauge));
        out.number(&[], f64::NAN);
    });
    let mut reader = MetricReader::new(ReaderConfig { limit: 6, ..config() });
    let batches = collect(&mut reader, &[(Origin::Agent, many)], FIRST);
    assert_eq!(text(&batches).lines().count(), 6);
    let refused = reader.counts().refused();
    assert_eq!(refused, [("series_limit", 4), ("duplicate", 1), ("malformed", 1)]);
    assert_eq!(reader.counts().streams(), 6);
}

#[test]
fn sums_have_a_limit_too() {
    let mut sums = sums::Sums::default();
    let place = tables::places("node_filesystem_size_bytes")[0];
    let key = |n: usize| vec![("system.device", n.to_string())];
    assert!((0..sums::LIMIT).all(|n| sums.add(place, key(n), 1.0)));
    assert!(!sums.add(place, key(sums::LIMIT), 1.0));
    assert!(sums.add(place, key(0), 1.0), "those that are there go on");
}

#[test]
fn what_is_told_twice_is_sent_once() {
    let twice = says(|out| {
        for value in [1.0, 2.0] {
            out.family(&Family::new("onlooker_names", "", "N.", Kind::Gauge));
            out.number(&[("a", "1"), ("b", "2")], value);
        }
    });
    let mut reader = MetricReader::new(config());
    let told = text(&collect(&mut reader, &[(Origin::Agent, twice)], FIRST));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(reader.counts().refused()[1], ("duplicate", 1));
}

#[test]
fn a_source_that_panics_costs_its_own_series() {
    let sources = [
        (Origin::Agent, says(|_| panic!("a test"))),
        (Origin::Agent, says(one_of_each)),
    ];
    let mut reader = MetricReader::new(config());
    assert_eq!(text(&collect(&mut reader, &sources, FIRST)).lines().count(), 9);
}

#[test]
fn families_of_others_are_sent_when_all_are_asked_for() {
    let foreign = || {
        says(|out| {
            out.family(&Family::new("backup_age_seconds", "", "Of a file.", Kind::Gauge));
            out.number(&[("job", "x")], 5.0);
            out.family(&Family::new("node_context_switches_total", "", "S.", Kind::Counter));
            out.number(&[], 8.0);
            out.family(&Family::new("onlooker_cgroup_memory_bytes", "", "M.", Kind::Gauge));
            out.number(&[("unit", "a.service")], 5.0);
            out.family(&Family::new("node_load1", "", "L.", Kind::Gauge));
            out.number(&[], 0.5);
        })
    };
    let names = |families| {
        let mut reader = MetricReader::new(ReaderConfig { families, ..config() });
        let told = text(&collect(&mut reader, &[(Origin::Host, foreign())], FIRST));
        let names = told
            .lines()
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        names(Families::Semconv),
        ["onlooker.cgroup.memory", "system.cpu.load_average.1m"]
    );
    assert_eq!(
        names(Families::All),
        [
            "backup_age_seconds",
            "node.context.switches",
            "onlooker.cgroup.memory",
            "system.cpu.load_average.1m"
        ]
    );
}

/// Two families whose names are one by the rule: the second keeps its own.
#[test]
fn names_do_not_meet() {
    let source = says(|out| {
        for name in ["onlooker_wait_seconds_total", "onlooker_wait_bytes"] {
            out.family(&Family::new(name, "", "W.", Kind::Gauge));
            out.number(&[], 1.0);
        }
    });
    let told = text(&collect(
        &mut MetricReader::new(config()),
        &[(Origin::Agent, source)],
        FIRST,
    ));
    let names: Vec<&str> = told.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["onlooker.wait", "onlooker_wait_bytes"]);
}
