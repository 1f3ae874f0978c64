//! Settings of the OTLP exporter by flag, variable and file.

use super::*;
use crate::export::otlp::{OtlpCompression, OtlpConfig, OtlpProtocol, OtlpSignal};

/// The settings of spans and of records of logs that these come to.
fn settled(flags: &Flags, env: &[(&str, &str)]) -> Result<[Option<OtlpConfig>; 2], ConfigError> {
    let get = |name: &str| {
        let found = env.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let (config, _) = load(flags, &get)?;
    let of = |signal| OtlpConfig::from_env(signal, &config.otlp.over(&get)).expect("checked by load");
    Ok([of(OtlpSignal::Traces), of(OtlpSignal::Logs)])
}

fn file(folder: &Path, text: &str) -> Flags {
    let path = folder.join("onlooker.yml");
    fs::write(&path, text).expect("written");
    vec![(options::CONFIG_FILE, path.display().to_string())]
}

fn with(flags: &Flags, more: &[(&'static str, &str)]) -> Flags {
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    flags.iter().cloned().chain(more).collect()
}

#[test]
fn every_source_sets_the_exporter_and_the_first_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = file(
        folder.path(),
        "otlp:\n  endpoint: http://file.example:4317\n  protocol: grpc\n  compression: zstd\n  timeout: 2500\n  \
         headers: [a=1, b=2]\n  logs: {endpoint: 'http://logs.example/own', protocol: http/json}\n",
    );
    let [spans, records] = settled(&flags, &[])
        .expect("valid")
        .map(|config| config.expect("an end point"));
    assert_eq!(
        (spans.protocol, records.protocol),
        (OtlpProtocol::Grpc, OtlpProtocol::HttpJson)
    );
    assert_eq!(spans.endpoint.host_str(), Some("file.example"));
    assert_eq!(records.endpoint.as_str(), "http://logs.example/own");
    assert_eq!(records.compression, OtlpCompression::Zstd, "of all signals");
    assert_eq!(records.timeout, Duration::from_millis(2500));
    assert_eq!(
        (&records.headers["a"], &records.headers["b"]),
        (&"1".parse().unwrap(), &"2".parse().unwrap())
    );
    let host = |flags: &Flags, env: &[(&str, &str)]| {
        let [spans, _] = settled(flags, env).expect("valid");
        spans.and_then(|config| config.endpoint.host_str().map(str::to_owned))
    };
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable.example")];
    assert_eq!(host(&flags, &env).as_deref(), Some("variable.example"));
    let flagged = with(&flags, &[("otlp.endpoint", "http://flag.example")]);
    assert_eq!(host(&flagged, &env).as_deref(), Some("flag.example"));
    let own = with(&flagged, &[("otlp.traces.endpoint", "http://own.example")]);
    assert_eq!(
        host(&own, &env).as_deref(),
        Some("own.example"),
        "a signal's own beats that of all"
    );
    assert_eq!(host(&Flags::new(), &[]), None);
}

#[test]
fn mistakes_name_who_made_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |flags: &Flags, env: &[(&str, &str)], expect: &[&str]| {
        let error = settled(flags, env).expect_err("a mistake");
        assert_eq!(error.0.len(), expect.len(), "{error}");
        for (problem, expect) in error.0.iter().zip(expect) {
            assert!(problem.to_string().contains(expect), "{problem} does not say {expect}");
        }
    };
    let yaml = file(folder.path(), "otlp:\n  traces:\n    compression: lz4\n");
    check(
        &yaml,
        &[],
        &["onlooker.yml:3: otlp.traces.compression: \"lz4\" is not known; use gzip, zstd or none"],
    );
    let flags = with(&Flags::new(), &[("otlp.protocol", "thrift")]);
    check(&flags, &[], &["--otlp.protocol: \"thrift\" is not known; use grpc"]);
    check(
        &Flags::new(),
        &[("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")],
        &["OTEL_EXPORTER_OTLP_TIMEOUT: \"soon\" is not"],
    );
    check(
        &Flags::new(),
        &[("OTEL_BSP_MAX_QUEUE_SIZE", "0")],
        &["OTEL_BSP_MAX_QUEUE_SIZE: \"0\" is not"],
    );
    let both = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "x"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "y"),
    ];
    check(&Flags::new(), &both, &[both[0].0, both[1].0]);
    let missing = folder.path().join("ca.crt").display().to_string();
    for name in ["otlp.certificate", "otlp.logs.certificate"] {
        let expect = format!("--{name}: cannot read {missing:?}: No such file");
        check(&with(&Flags::new(), &[(name, &missing)]), &[], &[&expect]);
    }
    // Each option, with a value that it cannot have.
    for (name, value) in [
        ("otlp.endpoint", "collector"),
        ("otlp.insecure", "yes"),
        ("otlp.compression", "best"),
        ("otlp.timeout", "0"),
        ("otlp.headers", "secret"),
        ("otlp.client-certificate", &missing),
        ("otlp.client-key", &missing),
    ] {
        let flags = with(&Flags::new(), &[(name, value)]);
        check(&flags, &[], &[&format!("--{name}: ")]);
        let error = settled(&flags, &[]).expect_err("a mistake").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn what_may_be_a_password_is_not_shown() {
    let flags = with(
        &Flags::new(),
        &[
            ("otlp.headers", "authorization=Bearer%20hunter2"),
            ("otlp.endpoint", "https://user:hunter2@collector.example"),
            ("otlp.logs.endpoint", "https://logs.example/v1/logs"),
        ],
    );
    let (config, settings) = load(&flags, &no_env).expect("valid");
    let shown: Vec<_> = settings.iter().map(Setting::to_string).collect();
    assert!(!format!("{shown:?}{config:?}").contains("hunter2"), "{shown:?}");
    assert!(
        shown.contains(&"otlp.headers = (not shown) (flag)".to_owned()),
        "{shown:?}"
    );
    assert!(shown.contains(&"otlp.logs.endpoint = https://logs.example/v1/logs (flag)".to_owned()));
}
