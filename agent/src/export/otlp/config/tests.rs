use super::*;

fn from(vars: &[(&str, &str)]) -> Result<Option<OtlpConfig>, OtlpConfigError> {
    OtlpConfig::from_env(OtlpSignal::Traces, &|name| {
        vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    })
}

const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn check_endpoint(vars: &[(&str, &str)], expect: Option<&str>) {
    let found = from(vars).unwrap().map(|config| config.endpoint.to_string());
    assert_eq!(found.as_deref(), expect, "{vars:?}");
}

#[test]
fn endpoint() {
    let base = BASE.0;
    let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    check_endpoint(&[], None);
    check_endpoint(&[(base, " ")], None);
    check_endpoint(&[BASE], Some("http://collector:4318/v1/traces"));
    check_endpoint(
        &[(base, "http://collector:4318/")],
        Some("http://collector:4318/v1/traces"),
    );
    check_endpoint(
        &[(base, "https://c.example/otlp")],
        Some("https://c.example/otlp/v1/traces"),
    );
    check_endpoint(
        &[(base, "https://c.example/otlp/")],
        Some("https://c.example/otlp/v1/traces"),
    );
    check_endpoint(&[(traces, "http://t:1/own"), BASE], Some("http://t:1/own"));
    check_endpoint(&[(traces, "http://t:1")], Some("http://t:1/"));
    check_endpoint(
        &[("OTEL_TRACES_EXPORTER", "otlp")],
        Some("http://localhost:4318/v1/traces"),
    );
    check_endpoint(&[("OTEL_TRACES_EXPORTER", "none"), BASE], None);
    check_endpoint(&[("OTEL_SDK_DISABLED", "True"), BASE], None);
    check_endpoint(
        &[("OTEL_SDK_DISABLED", "false"), BASE],
        Some("http://collector:4318/v1/traces"),
    );
}

fn check_error(name: &str, value: &str, expect: &str) {
    let error = from(&[(name, value), BASE]).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains(expect), "{error}");
}

#[test]
fn errors() {
    check_error(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "collector",
        "relative URL without a base",
    );
    check_error(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "unix:/run/x",
        "its scheme is \"unix\"",
    );
    check_error(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc",
        "grpc comes later; use http/protobuf",
    );
    check_error(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "http/json",
        "http/json comes later",
    );
    check_error(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "thrift",
        "\"thrift\" is not known; use http/protobuf",
    );
    check_error("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "use gzip or none");
    check_error(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10s",
        "is not a whole number of milliseconds from 1 to",
    );
    check_error("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "whole number of milliseconds");
    check_error("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "whole number of spans");
    check_error("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8193", "no more than the queue");
    check_error("OTEL_TRACES_EXPORTER", "zipkin", "use otlp or none");
    for (headers, entry) in [("secret", 1), ("a=b,=secret", 2), ("a b=secret", 1), ("a=secret%0a", 1)] {
        check_error("OTEL_EXPORTER_OTLP_HEADERS", headers, &format!("entry {entry} is not"));
        let error = from(&[("OTEL_EXPORTER_OTLP_HEADERS", headers), BASE]).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("secret"), "{error}");
    }
}

#[test]
fn values() {
    let config = from(&[BASE]).unwrap().unwrap();
    assert_eq!((config.timeout, config.gzip), (Duration::from_secs(10), true));
    assert_eq!(config.queue, QueueLimits::default());
    let config = from(&[
        BASE,
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20x%3D,,X-Tenant = a , k=v=w",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ])
    .unwrap()
    .unwrap();
    assert_eq!((config.timeout, config.gzip), (Duration::from_millis(250), false));
    assert_eq!(
        (config.queue.items, config.queue.batch),
        (100, 100),
        "a batch is never more than the queue"
    );
    assert_eq!(config.queue.delay, Duration::from_millis(200));
    let header = |name: &str| config.headers[name].to_str().unwrap();
    assert_eq!(
        (header("authorization"), header("x-tenant"), header("k")),
        ("Bearer x=", "a", "v=w")
    );
    assert!(!format!("{config:?}").contains("Bearer"), "secrets stay out of the log");
    let only = from(&[
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "b=2"),
        BASE,
    ]);
    assert!(!only.unwrap().unwrap().headers.contains_key("b"));
}

/// Every variable of logs is its own, and what is common holds for both.
#[test]
fn logs() {
    let both = |vars: &[(&str, &str)]| {
        OtlpSignal::ALL.map(|signal| {
            let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            OtlpConfig::from_env(signal, &get).unwrap()
        })
    };
    let endpoints = |vars: &[(&str, &str)]| both(vars).map(|config| config.map(|config| config.endpoint.to_string()));
    let some = |text: &str| Some(text.to_owned());
    let (traces, logs) = ("http://collector:4318/v1/traces", "http://collector:4318/v1/logs");
    assert_eq!(endpoints(&[]), [None, None]);
    assert_eq!(endpoints(&[BASE]), [some(traces), some(logs)]);
    assert_eq!(endpoints(&[BASE, ("OTEL_LOGS_EXPORTER", "none")]), [some(traces), None]);
    assert_eq!(endpoints(&[BASE, ("OTEL_TRACES_EXPORTER", "none")]), [None, some(logs)]);
    assert_eq!(endpoints(&[BASE, ("OTEL_SDK_DISABLED", "true")]), [None, None]);
    assert_eq!(
        endpoints(&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://l/own")]),
        [None, some("http://l/own")]
    );
    assert_eq!(
        endpoints(&[("OTEL_LOGS_EXPORTER", "otlp")]),
        [None, some("http://localhost:4318/v1/logs")]
    );
    let [spans, records] = both(&[
        BASE,
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "b=2"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "250"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "200"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "7"),
    ])
    .map(Option::unwrap);
    assert_eq!(spans.queue, QueueLimits::default());
    assert!(spans.gzip && spans.headers.contains_key("a") && spans.timeout == Duration::from_secs(10));
    assert!(!records.gzip && records.headers.contains_key("b") && !records.headers.contains_key("a"));
    assert_eq!(records.timeout, Duration::from_millis(250));
    let queue = QueueLimits {
        items: 100,
        batch: 7,
        delay: Duration::from_millis(200),
        ..QueueLimits::default()
    };
    assert_eq!(records.queue, queue);
    let wrong = |name: &'static str| {
        let get = |asked: &str| (asked == name).then(|| "syslog".to_owned());
        OtlpConfig::from_env(OtlpSignal::Logs, &get)
    };
    let error = wrong("OTEL_LOGS_EXPORTER").unwrap_err().to_string();
    assert!(error.contains("OTEL_LOGS_EXPORTER: \"syslog\""), "{error}");
    assert_eq!(wrong("OTEL_TRACES_EXPORTER"), Ok(None), "of no concern to logs");
}
