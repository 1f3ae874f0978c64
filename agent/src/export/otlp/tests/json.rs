//! OTLP/HTTP with JSON: what is sent, and that a partial success is understood.

use super::server::{Answer, serve, settings};
use super::*;
use hyper::body::Frame;
use serde_json::{Value as Json, json};

fn export<T: Sample>(items: u64, answers: Vec<Answer>) -> (Arc<OtlpSink<T>>, Json) {
    let server = serve(listen().0, false, None, answers);
    let endpoint = format!("http://{}", server.address);
    let mut config = settings::<T>(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ]);
    config.queue = super::config(server.address).queue;
    let sink = run::<T>(config, |sink| (0..items).for_each(|n| sink.accept(T::sample(n))));
    let call = server.calls.recv().unwrap();
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("content-encoding"), Some("gzip"));
    assert_eq!(call.path, T::SIGNAL.names().path);
    let json = serde_json::from_reader(GzDecoder::new(call.body.as_ref())).unwrap();
    (sink, json)
}

fn partial(json: &str) -> Answer {
    let mut answer = Answer::head(200, &[("content-type", "application/json")]);
    answer.frames.push_back(Frame::data(json.to_owned().into()));
    answer
}

#[test]
fn spans() {
    let rejects = partial(r#"{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "too old"}}"#);
    let (sink, json) = export::<Span>(2, vec![rejects]);
    assert_eq!(ledger(&sink.counts()), (1, 0, vec![("rejected", 1)]));
    let group = &json["resourceSpans"][1];
    let name = json!({"key": "service.name", "value": {"stringValue": "shop"}});
    assert_eq!(group["resource"]["attributes"][0], name);
    let span = &group["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], "00000000000000010000000000000001");
    assert_eq!(span["spanId"], "0000000000000001");
    assert_eq!(span["kind"], 2);
    assert_eq!(span["startTimeUnixNano"], "1700000000000000001");
}

#[test]
fn records() {
    let (sink, json) = export::<LogRecord>(1, vec![partial("not JSON")]);
    assert_eq!(ledger(&sink.counts()), (1, 0, vec![]), "taken, whatever was said");
    let record = &json["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(
        (&record["severityNumber"], &record["severityText"]),
        (&json!(13), &json!("WARN"))
    );
    assert_eq!(record["observedTimeUnixNano"], "1");
    assert!(record["body"]["stringValue"].as_str().unwrap().contains("EACCES"));
}
