mod tls;

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
        "thrift",
        "\"thrift\" is not known; use grpc, http/protobuf or http/json",
    );
    check_error("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http", "is not known; use grpc");
    check_error("OTEL_EXPORTER_OTLP_INSECURE", "1", "use true or false");
    check_error("OTEL_EXPORTER_OTLP_COMPRESSION", "lz4", "use gzip, zstd or none");
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
    assert_eq!(config.protocol, OtlpProtocol::HttpProtobuf);
    assert_eq!(
        (config.timeout, config.compression),
        (Duration::from_secs(10), OtlpCompression::Gzip)
    );
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
    assert_eq!(
        (config.timeout, config.compression),
        (Duration::from_millis(250), OtlpCompression::None)
    );
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
        let found = OtlpSignal::ALL.map(|signal| {
            let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            OtlpConfig::from_env(signal, &get).unwrap()
        });
        let [traces, _, logs] = found;
        [traces, logs]
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
    assert!(
        spans.compression == OtlpCompression::Gzip
            && spans.headers.contains_key("a")
            && spans.timeout == Duration::from_secs(10)
    );
    assert!(
        records.compression == OtlpCompression::None
            && records.headers.contains_key("b")
            && !records.headers.contains_key("a")
    );
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

/// The end point of gRPC: the scheme says whether there is TLS, and without one `INSECURE` does.
#[test]
fn endpoints_of_grpc() {
    const PROTOCOL: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    const METHOD: &str = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let check = |endpoint: &str, insecure: &str, expect: &str| {
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
            let vars = [(name, endpoint), ("OTEL_EXPORTER_OTLP_INSECURE", insecure), PROTOCOL];
            check_endpoint(&vars, Some(&format!("{expect}/{METHOD}")));
        }
    };
    check("http://collector:4317", "false", "http://collector:4317");
    check("https://collector:4317/", "true", "https://collector:4317");
    check("https://c.example/v1/traces?k=1", "", "https://c.example");
    check("collector:4317", "", "https://collector:4317");
    check("collector:4317", "False", "https://collector:4317");
    check("collector:4317", "TRUE", "http://collector:4317");
    check("collector", "true", "http://collector:4317");
    check("collector:443", "", "https://collector");
    check("collector:80", "true", "http://collector");
    check("[::1]", "true", "http://[::1]:4317");
    check("[::1]:9", "true", "http://[::1]:9");
    check("192.0.2.1", "", "https://192.0.2.1:4317");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true");
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:1"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "false"),
        own,
        PROTOCOL,
    ];
    check_endpoint(&vars, Some(&format!("http://c:1/{METHOD}")));
    let default = format!("http://localhost:4317/{METHOD}");
    check_endpoint(&[("OTEL_TRACES_EXPORTER", "otlp"), PROTOCOL], Some(&default));
    check_endpoint(&[PROTOCOL], None);
    for (endpoint, expect) in [
        ("unix:/run/otlp.sock", "its scheme is \"unix\""),
        ("dns:///collector:4317", "its scheme is \"dns\""),
        ("collector:port", "neither a host with a port nor a URL"),
        (":4317", "neither a host with a port nor a URL"),
    ] {
        let error = from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), PROTOCOL])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: ") && error.contains(expect),
            "{error}"
        );
    }
    // By HTTP it is no URL.
    let error = from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("use e.g. http://collector.example:4318"), "{error}");
}

/// Each signal has a method of its own, and may have a protocol of its own.
#[test]
fn protocols_by_signal() {
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
    ];
    let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let found = OtlpSignal::ALL.map(|signal| {
        let config = OtlpConfig::from_env(signal, &get).unwrap().unwrap();
        (config.protocol, config.endpoint.path().to_owned())
    });
    let of = |protocol, path: &str| (protocol, path.to_owned());
    assert_eq!(
        found[0],
        of(
            OtlpProtocol::Grpc,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        )
    );
    assert_eq!(
        found[1],
        of(
            OtlpProtocol::Grpc,
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
        )
    );
    assert_eq!(found[2], of(OtlpProtocol::HttpJson, "/v1/logs"));
}

/// What is set is checked, also when nothing is to be sent.
#[test]
fn mistakes_are_found_without_an_endpoint() {
    let error = from(&[("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "lz4")]).unwrap_err();
    assert_eq!(error.name, "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION");
    assert_eq!(
        from(&[("OTEL_EXPORTER_OTLP_COMPRESSION", "lz4"), ("OTEL_SDK_DISABLED", "true")]),
        Ok(None)
    );
}

/// Metrics have no batch processor: a piece is a request, and the variables of other signals' processors are not theirs.
#[test]
fn metrics() {
    let from = |vars: &[(&str, &str)]| {
        OtlpConfig::from_env(OtlpSignal::Metrics, &|name| {
            assert!(!name.is_empty(), "a variable has a name");
            vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        })
    };
    let config = from(&[BASE, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "7")]).unwrap().unwrap();
    assert_eq!(config.endpoint.as_str(), "http://collector:4318/v1/metrics");
    assert_eq!((config.queue.batch, config.queue.delay), (1, Duration::ZERO));
    for word in ["none", "prometheus"] {
        assert_eq!(from(&[BASE, ("OTEL_METRICS_EXPORTER", word)]), Ok(None));
    }
    let own = from(&[
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "5"),
    ]);
    let own = own.unwrap().unwrap();
    assert_eq!(own.endpoint.as_str(), "http://localhost:4318/v1/metrics");
    assert_eq!(own.timeout, Duration::from_millis(5));
    let error = from(&[
        BASE,
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        ),
    ]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("use explicit_bucket_histogram"), "{error}");
}
