//! What the encoder writes, letter by letter, and what it keeps out.

use super::{Format, PrometheusEncoder, Refused, checker};
use crate::metric::{Encoder, Exemplar, Family, HistogramView, Kind, Value};
use std::io;

const SEEN: Family = Family::new("onlooker_events_seen_total", "", "Events seen.", Kind::Counter);
const DURATION: Family = Family::new(
    "http_server_request_duration_seconds",
    "seconds",
    "Durations.",
    Kind::Histogram,
);
const BUILD: Family = Family::new("onlooker_build_info", "", "Facts \"of\" the\nbuild \\.", Kind::Info);
const UNTYPED: Family = Family::new("node_netstat_Tcp_InSegs", "", "Segments.", Kind::Unknown);
const MEMORY: Family = Family::new("onlooker_memory_bytes", "bytes", "Memory.", Kind::Gauge);
const BARE: Family = Family::new("node_context_switches", "", "A counter without suffix.", Kind::Counter);

fn encode(format: Format, write: impl FnOnce(&mut dyn Encoder)) -> (String, Refused) {
    let mut encoder = PrometheusEncoder::new(format, Vec::new());
    write(&mut encoder);
    let refused = encoder.refused();
    let text = String::from_utf8(encoder.finish().expect("a Vec takes everything")).expect("UTF-8");
    checker::read(format, &text);
    (text, refused)
}

fn all(out: &mut dyn Encoder) {
    out.family(&SEEN);
    out.number(&[("kind", "payload")], 3.0);
    out.number(&[("kind", "a \"quoted\" \\ and\nbroken")], 1_234_567.0);
    out.family(&DURATION);
    let exemplar = Exemplar {
        value: 0.02,
        trace_id: [0xab; 16],
        span_id: [0x0f; 8],
        timestamp: 1_700_000_000.25,
    };
    let view = HistogramView {
        bounds: &[0.005, 1.0],
        counts: &[2, 1, 1_000_000],
        sum: 1.5,
        exemplars: &[None, Some(exemplar), None],
    };
    out.sample(
        &[("service_name", "shop"), ("http_route", "/a/{id}")],
        Value::Histogram(&view),
    );
    out.family(&BUILD);
    out.number(&[("version", "0.1.0")], 1.0);
    out.family(&UNTYPED);
    out.number(&[], 7.0);
    out.family(&MEMORY);
    out.number(&[], f64::NAN);
    out.family(&BARE);
    out.number(&[], 5.0);
}

#[test]
fn text_format() {
    let (text, refused) = encode(Format::Text, all);
    let expect = r##"# HELP onlooker_events_seen_total Events seen.
# TYPE onlooker_events_seen_total counter
onlooker_events_seen_total{kind="payload"} 3
onlooker_events_seen_total{kind="a \"quoted\" \\ and\nbroken"} 1.234567e+06
# HELP http_server_request_duration_seconds Durations.
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{service_name="shop",http_route="/a/{id}",le="0.005"} 2
http_server_request_duration_seconds_bucket{service_name="shop",http_route="/a/{id}",le="1"} 3
http_server_request_duration_seconds_bucket{service_name="shop",http_route="/a/{id}",le="+Inf"} 1.000003e+06
http_server_request_duration_seconds_sum{service_name="shop",http_route="/a/{id}"} 1.5
http_server_request_duration_seconds_count{service_name="shop",http_route="/a/{id}"} 1.000003e+06
# HELP onlooker_build_info Facts "of" the\nbuild \\.
# TYPE onlooker_build_info gauge
onlooker_build_info{version="0.1.0"} 1
# HELP node_netstat_Tcp_InSegs Segments.
# TYPE node_netstat_Tcp_InSegs untyped
node_netstat_Tcp_InSegs 7
# HELP onlooker_memory_bytes Memory.
# TYPE onlooker_memory_bytes gauge
onlooker_memory_bytes NaN
# HELP node_context_switches A counter without suffix.
# TYPE node_context_switches counter
node_context_switches 5
"##;
    assert_eq!(text, expect);
    assert_eq!(refused, Refused::default());
}

#[test]
fn open_metrics() {
    let (text, refused) = encode(Format::OpenMetrics, all);
    let expect = r##"# HELP onlooker_events_seen Events seen.
# TYPE onlooker_events_seen counter
onlooker_events_seen_total{kind="payload"} 3.0
onlooker_events_seen_total{kind="a \"quoted\" \\ and\nbroken"} 1.234567e+06
# HELP http_server_request_duration_seconds Durations.
# TYPE http_server_request_duration_seconds histogram
# UNIT http_server_request_duration_seconds seconds
http_server_request_duration_seconds_bucket{service_name="shop",http_route="/a/{id}",le="0.005"} 2
http_server_request_duration_seconds_bucket{service_name="shop",http_route="/a/{id}",le="1.0"} 3 # {trace_id="abababababababababababababababab",span_id="0f0f0f0f0f0f0f0f"} 0.02 1700000000.250
http_server_request_duration_seconds_bucket{service_name="shop",http_route="/a/{id}",le="+Inf"} 1000003
http_server_request_duration_seconds_sum{service_name="shop",http_route="/a/{id}"} 1.5
http_server_request_duration_seconds_count{service_name="shop",http_route="/a/{id}"} 1000003
# HELP onlooker_build Facts \"of\" the\nbuild \\.
# TYPE onlooker_build info
onlooker_build_info{version="0.1.0"} 1.0
# HELP node_netstat_Tcp_InSegs Segments.
# TYPE node_netstat_Tcp_InSegs unknown
node_netstat_Tcp_InSegs 7.0
# HELP onlooker_memory_bytes Memory.
# TYPE onlooker_memory_bytes gauge
# UNIT onlooker_memory_bytes bytes
onlooker_memory_bytes NaN
# HELP node_context_switches A counter without suffix.
# TYPE node_context_switches unknown
node_context_switches 5.0
# EOF
"##;
    assert_eq!(text, expect);
    assert_eq!(refused, Refused::default());
}

#[test]
fn duplicates_and_nonsense_are_kept_out() {
    for format in [Format::Text, Format::OpenMetrics] {
        let (text, refused) = encode(format, |out| {
            out.number(&[], 1.0);
            out.family(&MEMORY);
            out.number(&[("a", "1"), ("b", "2")], 1.0);
            out.number(&[("b", "2"), ("a", "1")], 2.0);
            // An empty label is no label.
            out.number(&[("a", "1"), ("b", "2"), ("c", "")], 3.0);
            out.number(&[("a", "2"), ("b", "1")], 4.0);
            out.family(&MEMORY);
            out.number(&[], 5.0);
            out.family(&Family::new("", "", "Nameless.", Kind::Gauge));
            out.family(&DURATION);
            out.number(&[], 6.0);
            let view = HistogramView {
                bounds: &[1.0],
                counts: &[1],
                sum: 0.0,
                exemplars: &[],
            };
            out.sample(&[], Value::Histogram(&view));
        });
        assert_eq!(
            refused,
            Refused {
                families: 2,
                samples: 5
            }
        );
        assert_eq!(text.matches("onlooker_memory_bytes{").count(), 2, "{text}");
        assert!(text.contains("onlooker_memory_bytes{a=\"1\",b=\"2\"} 1"), "{text}");
    }
}

#[test]
fn names_that_are_not_allowed_are_mended() {
    let (text, _) = encode(Format::Text, |out| {
        out.family(&Family::new("9http.server-x", "", "", Kind::Gauge));
        out.number(&[("service.name", "x"), ("1a", "y")], 1.0);
    });
    assert!(
        text.ends_with("\n_9http_server_x{service_name=\"x\",_1a=\"y\"} 1\n"),
        "{text}"
    );
}

#[test]
fn a_broken_writer_is_reported() {
    struct Broken;
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut encoder = PrometheusEncoder::new(Format::Text, Broken);
    all(&mut encoder);
    assert_eq!(
        encoder.finish().err().map(|error| error.kind()),
        Some(io::ErrorKind::BrokenPipe)
    );
}

#[test]
fn any_labels_survive_the_round_trip() {
    let config = proptest::test_runner::Config::with_cases(64);
    proptest::proptest!(config, |(values in proptest::collection::vec(".{0,20}", 1..20), open: bool)| {
        let format = if open { Format::OpenMetrics } else { Format::Text };
        let (text, refused) = encode(format, |out| {
            out.family(&MEMORY);
            for value in &values {
                out.number(&[("label", value), ("end", "x")], 1.0);
            }
        });
        let mut read: Vec<String> = checker::read(format, &text).into_iter().map(|mut s| s.labels.remove("label").unwrap_or_default()).collect();
        let mut expect = values.clone();
        expect.sort();
        expect.dedup();
        read.sort();
        proptest::prop_assert_eq!(refused.samples as usize, values.len() - expect.len());
        proptest::prop_assert_eq!(read, expect);
    });
}
