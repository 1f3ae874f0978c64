//! The aggregate as its users see it: what comes out of the encoder for what went in, and what holds at every limit.

mod limits;

use super::*;
use crate::export::prometheus::checker::{self, Sample};
use crate::export::prometheus::{Format, PrometheusEncoder};
use crate::metric::{Family, Kind, Source};
use crate::protocol::exchange::RoleSchema;
use crate::signal::{Actor, ConnId};
use crate::trace::span::Resource;
use std::collections::BTreeMap;

const fn histogram(name: &'static str, unit: &'static str) -> Family {
    Family::new(name, unit, "A histogram.", Kind::Histogram)
}

static SCHEMA: Schema = Schema {
    protocol: "http",
    operation: "http.request.method",
    operation_original: "http.request.method_original",
    target: "url.path",
    target_full: "",
    route: "http.route",
    status: "http.response.status_code",
    version: "network.protocol.version",
    scheme: ("url.scheme", "http"),
    agent: "user_agent.original",
    request_body: "",
    response_body: "",
    status_error: |role, status| match (role, status) {
        (_, 500..) => Some("500"),
        (Role::Client, 400..) => Some("400"),
        _ => None,
    },
    server: RoleSchema {
        duration: histogram("http_server_request_duration_seconds", "seconds"),
        first_byte: histogram("onlooker_http_server_first_byte_seconds", "seconds"),
        request_body: histogram("http_server_request_body_size_bytes", "bytes"),
        response_body: histogram("http_server_response_body_size_bytes", "bytes"),
        active: Family::new("http_server_active_requests", "", "Open.", Kind::Gauge),
    },
    client: RoleSchema {
        duration: histogram("http_client_request_duration_seconds", "seconds"),
        first_byte: histogram("onlooker_http_client_first_byte_seconds", "seconds"),
        request_body: histogram("http_client_request_body_size_bytes", "bytes"),
        response_body: histogram("http_client_response_body_size_bytes", "bytes"),
        active: Family::new("http_client_active_requests", "", "Open.", Kind::Gauge),
    },
};

const MS: u64 = 1_000_000;

fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        namespace: None,
        resource: Arc::new(Resource::default()),
    }
}

fn exchange(id: u64, role: Role, operation: &str, target: &str, status: Option<u16>) -> Exchange {
    Exchange {
        id: ExchangeId(id),
        schema: &SCHEMA,
        role,
        conn: ConnId(1),
        actor: Actor::default(),
        started: 1_000 * MS,
        first_byte: status.map(|_| 1_001 * MS),
        ended: 1_020 * MS,
        operation: operation.into(),
        operation_original: None,
        target: target.into(),
        version: "1.1",
        server: None,
        agent: None,
        status,
        error: status.is_none().then_some(ErrorType::Reset),
        request_size: 100,
        response_size: 200,
        request_body: Some(0),
        response_body: status.map(|_| 100),
        context: None,
        join: None,
        srtt_us: 0,
    }
}

fn get(id: u64, target: &str) -> Exchange {
    exchange(id, Role::Server, "GET", target, Some(200))
}

fn samples(source: &Aggregate) -> Vec<Sample> {
    let mut encoder = PrometheusEncoder::new(Format::OpenMetrics, Vec::new());
    source.collect(&mut encoder);
    assert_eq!(encoder.refused(), Default::default());
    let text = String::from_utf8(encoder.finish().expect("a Vec")).expect("UTF-8");
    checker::read(Format::OpenMetrics, &text)
}

/// Sum of the samples of this name whose labels include these.
fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |sample: &&Sample| {
        labels
            .iter()
            .all(|(l, v)| sample.labels.get(*l).is_some_and(|value| value == v))
    };
    samples
        .iter()
        .filter(|sample| sample.name == name)
        .filter(has)
        .map(|sample| sample.value)
        .sum()
}

#[test]
fn an_exchange_is_in_every_family() {
    let mut aggregate = Aggregate::new(AggregateConfig::default());
    let shop = Service {
        namespace: Some("prod".into()),
        ..service("shop")
    };
    let one = get(1, "/orders/42?secret=1");
    aggregate.begin(&shop, &Begin::of(&one));
    let labels = [
        ("service_name", "shop"),
        ("service_namespace", "prod"),
        ("http_request_method", "GET"),
    ];
    assert_eq!(sum(&samples(&aggregate), "http_server_active_requests", &labels), 1.0);
    let route = aggregate.end(&shop, &one, |_| Some(([1; 16], [2; 8])));
    assert_eq!(&**route, "/orders/{id}");
    let all = samples(&aggregate);
    assert_eq!(sum(&all, "http_server_active_requests", &labels), 0.0);
    let duration = all
        .iter()
        .find(|sample| sample.name == "http_server_request_duration_seconds_sum")
        .expect("a sum");
    assert_eq!(duration.value, 0.02);
    let expect = [
        ("service_name", "shop"),
        ("service_namespace", "prod"),
        ("http_request_method", "GET"),
        ("http_response_status_code", "200"),
        ("http_route", "/orders/{id}"),
        ("network_protocol_version", "1.1"),
        ("url_scheme", "http"),
    ];
    let expect: BTreeMap<String, String> = expect.iter().map(|(l, v)| ((*l).into(), (*v).into())).collect();
    assert_eq!(duration.labels, expect);
    let exemplars: Vec<&str> = all.iter().filter_map(|sample| sample.exemplar.as_deref()).collect();
    assert_eq!(exemplars.len(), 1);
    assert!(exemplars[0].contains("01010101"), "{exemplars:?}");
    assert_eq!(sum(&all, "onlooker_http_server_first_byte_seconds_sum", &[]), 0.001);
    assert_eq!(sum(&all, "http_server_response_body_size_bytes_sum", &[]), 100.0);
    assert_eq!(
        sum(&all, "http_server_request_body_size_bytes_bucket", &[("le", "0.0")]),
        1.0
    );
}

#[test]
fn what_is_not_known_has_no_label() {
    let mut aggregate = Aggregate::new(AggregateConfig::default());
    aggregate.end(&service("shop"), &exchange(1, Role::Client, "GET", "/", None), |_| None);
    let all = samples(&aggregate);
    let count = all
        .iter()
        .find(|sample| sample.name == "http_client_request_duration_seconds_count")
        .expect("one");
    assert!(!count.labels.contains_key("http_response_status_code"));
    assert_eq!(count.labels["error_type"], "connection_reset");
    // No answer: neither a time to first byte nor a size of its body.
    assert_eq!(
        all.iter()
            .filter(|sample| sample.name.contains("first_byte_seconds_"))
            .count(),
        0
    );
    assert_eq!(
        all.iter()
            .filter(|sample| sample.name.starts_with("http_client_response_body"))
            .count(),
        0
    );
    assert_eq!(aggregate.rows()[0].errors, 1);
}

#[test]
fn errors_by_status_and_by_role() {
    let mut aggregate = Aggregate::new(AggregateConfig::default());
    for (id, (role, status)) in [(Role::Server, 404), (Role::Server, 500), (Role::Client, 404)]
        .into_iter()
        .enumerate()
    {
        aggregate.end(
            &service("shop"),
            &exchange(id as u64, role, "GET", "/", Some(status)),
            |_| None,
        );
    }
    let mut cut = exchange(9, Role::Server, "GET", "/", None);
    cut.error = Some(ErrorType::NotCaptured);
    aggregate.end(&service("shop"), &cut, |_| None);
    let all = samples(&aggregate);
    let server = "http_server_request_duration_seconds_count";
    assert_eq!(
        sum(
            &all,
            server,
            &[("http_response_status_code", "500"), ("error_type", "500")]
        ),
        1.0
    );
    assert!(
        all.iter()
            .any(|s| s.name == server && s.value == 1.0 && !s.labels.contains_key("error_type"))
    );
    assert_eq!(
        sum(
            &all,
            "http_client_request_duration_seconds_count",
            &[("error_type", "400")]
        ),
        1.0
    );
    let errors: Vec<(Role, u64)> = aggregate.rows().iter().map(|row| (row.role, row.errors)).collect();
    // What the agent failed to capture is no error of the program.
    assert_eq!(errors, [(Role::Server, 1), (Role::Client, 1)]);
}

#[test]
fn lost_exchanges_are_no_longer_active() {
    let mut aggregate = Aggregate::new(AggregateConfig::default());
    let one = get(1, "/");
    aggregate.begin(&service("shop"), &Begin::of(&one));
    assert_eq!(aggregate.rows()[0].active, 1);
    aggregate.lost(one.id);
    aggregate.lost(one.id);
    assert_eq!(sum(&samples(&aggregate), "http_server_active_requests", &[]), 0.0);
    assert_eq!(sum(&samples(&aggregate), "onlooker_exchanges_open", &[]), 0.0);
}

/// What is counted by its handle is not read: its route and service are as much in use as its series.
#[test]
fn what_a_handle_counts_stays_with_its_labels() {
    let mut aggregate = Aggregate::new(AggregateConfig::default());
    let second = 1_000 * MS;
    let (mut handle, mut read) = (None, 0);
    for now in 2..1_000 {
        let times = (now * second, now * second + MS);
        if !handle.is_some_and(|handle| aggregate.again(handle, Role::Server, times, (0, 2))) {
            let one = exchange(now, Role::Server, "GET", "/a", Some(200));
            aggregate.end(&service("shop"), &one, |_| None);
            handle = aggregate.last();
            read += 1;
        }
        aggregate.tidy(times.1);
    }
    assert!(read < 1_000 / 15 + 3, "{read} were read");
    let all = samples(&aggregate);
    let labels = [("service_name", "shop"), ("http_route", "/a")];
    assert_eq!(sum(&all, "http_server_request_duration_seconds_count", &labels), 998.0);
    assert_eq!(sum(&all, "onlooker_series_expired_total", &[]), 0.0);
    assert_eq!(sum(&all, "onlooker_routes", &[]), 1.0);
    aggregate.renew();
    let old = handle.expect("a handle");
    assert!(!aggregate.again(old, Role::Server, (0, 0), (0, 0)), "after a renewal");
}

#[test]
fn series_expire_and_start_again_from_nothing() {
    let mut aggregate = Aggregate::new(AggregateConfig::default());
    let shop = service("shop");
    for id in 0..5 {
        aggregate.end(&shop, &get(id, "/a"), |_| None);
    }
    let open = get(9, "/b");
    aggregate.begin(&service("open"), &Begin::of(&open));
    aggregate.expire(1_020 * MS + 300_000 * MS);
    assert_eq!(aggregate.rows().len(), 2, "exactly the time to live is not beyond it");
    aggregate.expire(1_020 * MS + 300_000 * MS + 1);
    let all = samples(&aggregate);
    assert_eq!(all.iter().filter(|sample| sample.name.contains("duration")).count(), 0);
    assert_eq!(sum(&all, "onlooker_series_expired_total", &[]), 1.0);
    assert_eq!(sum(&all, "onlooker_routes", &[]), 0.0);
    // An exchange that is still open keeps its service and its gauge.
    assert_eq!(sum(&all, "onlooker_services", &[]), 1.0);
    assert_eq!(
        sum(&all, "http_server_active_requests", &[("service_name", "open")]),
        1.0
    );
    aggregate.end(&shop, &get(10, "/a"), |_| None);
    assert_eq!(
        sum(&samples(&aggregate), "http_server_request_duration_seconds_count", &[]),
        1.0
    );
}

#[test]
fn more_series_than_a_slice_are_all_written_once() {
    let shared = SharedAggregate::new(AggregateConfig {
        routes_per_service: 700,
        words_per_place: 700,
        ..AggregateConfig::default()
    });
    let letters = |n: u64| -> String { [n / 26, n % 26].iter().map(|i| (b'a' + *i as u8) as char).collect() };
    for id in 0..600 {
        shared
            .lock()
            .end(&service("shop"), &get(id, &format!("/{}", letters(id))), |_| None);
    }
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    shared.collect(&mut encoder);
    assert_eq!(encoder.refused(), Default::default());
    let text = String::from_utf8(encoder.finish().expect("a Vec")).expect("UTF-8");
    let all = checker::read(Format::Text, &text);
    assert_eq!(
        all.iter()
            .filter(|s| s.name == "http_server_request_duration_seconds_count")
            .count(),
        600
    );
    assert_eq!(sum(&all, "http_server_request_duration_seconds_count", &[]), 600.0);
}
