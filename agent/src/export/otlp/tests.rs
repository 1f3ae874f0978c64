//! Against an HTTP server of our own that knows nothing of the exporter and decodes by the published message types. What holds of
//! each signal is tested with each.

mod disk;
mod grpc;
mod json;
mod logs;
mod metrics;
mod server;
mod tls;

use super::metrics::MetricBatch;
use super::*;
use crate::export::queue::tests::{Log, ledger, span};
use crate::logs::LogRecord;
use crate::trace::span::{AttributeValue, Resource, Span, SpanKind};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use reqwest::Url;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

/// A request as the receiver saw it.
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
    /// The body as it was before it was packed.
    fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            Some("gzip") => drop(GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain).unwrap()),
            None => plain.clone_from(&self.body),
            other => panic!("{other:?}"),
        }
        plain
    }
    fn count<T: Sample>(&self) -> usize {
        T::count(&self.plain())
    }
}

/// What the tests of every signal need of it.
trait Sample: OtlpItem {
    fn sample(number: u64) -> Self;
    /// Items in a request.
    fn count(request: &[u8]) -> usize;
    /// A response that rejects some.
    fn rejects(rejected: i64, message: &str) -> Vec<u8>;
}

impl Sample for Span {
    fn sample(number: u64) -> Span {
        span(number)
    }
    fn count(request: &[u8]) -> usize {
        let request = ExportTraceServiceRequest::decode(request).unwrap();
        let resources = request.resource_spans.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
    fn rejects(rejected_spans: i64, message: &str) -> Vec<u8> {
        let partial = ExportTracePartialSuccess {
            rejected_spans,
            error_message: message.to_owned(),
        };
        let partial_success = Some(partial);
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    }
}

/// Makes a test of each signal of these functions.
macro_rules! of_each_signal {
    ($($test:ident)*) => {
        mod of_spans {
            $(#[test] fn $test() { super::$test::<super::Span>(); })*
        }
        mod of_logs {
            $(#[test] fn $test() { super::$test::<super::LogRecord>(); })*
        }
        mod of_metrics {
            $(#[test] fn $test() { super::$test::<super::MetricBatch>(); })*
        }
    };
}

of_each_signal! {
    busy_then_taken
    refused_is_dropped_and_counted
    partial_success
    nobody_listens_at_first
    stalled_receiver_times_out_and_is_tried_again
    broken_responses_are_tried_again
    full_queue_is_counted_and_the_rest_goes_out_in_batches
    shutdown_keeps_its_deadline
    aborted_task_leaves_nothing_pending
    https_client_can_be_made
}

/// Serves one connection per scripted response; an empty response keeps the connection open and silent until the test ends.
fn receiver(listener: TcpListener, responses: Vec<Vec<u8>>) -> Receiver<Request> {
    let (seen, requests) = channel();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for response in responses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            let line = lines.remove(0);
            let split = |line: &String| {
                line.split_once(": ")
                    .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
                    .unwrap()
            };
            let headers: Vec<_> = lines.iter().map(split).collect();
            let length = headers
                .iter()
                .find(|(name, _)| name == "content-length")
                .unwrap()
                .1
                .parse()
                .unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            if seen.send(Request { line, headers, body }).is_err() {
                return;
            }
            stream.write_all(&response).unwrap();
            if response.is_empty() {
                silent.push(stream);
            }
        }
    });
    requests
}

fn respond(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn ok() -> Vec<u8> {
    respond("200 OK", "content-type: application/x-protobuf\r\n", &[])
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn config(address: SocketAddr) -> OtlpConfig {
    let mut config = OtlpConfig::new(Url::parse(&format!("http://user:pass@{address}/v1/traces?k=1")).unwrap());
    config.queue.delay = Duration::ZERO;
    config.backoff = Backoff {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(5),
        total: Duration::from_secs(60),
    };
    config
}

/// Exports items as one batch to a receiver with these responses, and closes. Returns the sink and what arrived.
fn export<T: Sample>(
    items: u64,
    responses: Vec<Vec<u8>>,
    change: impl FnOnce(&mut OtlpConfig),
) -> (Arc<OtlpSink<T>>, Vec<Request>) {
    let (listener, address) = listen();
    let mut config = config(address);
    change(&mut config);
    let requests = receiver(listener, responses);
    let sink = run(config, |sink| {
        (0..items).for_each(|n| sink.accept(T::sample(n)));
        ledger(&sink.counts());
    });
    (sink, requests.try_iter().collect())
}

/// Runs the task to its end on a runtime of its own; `fill` offers items from this, another thread.
fn run<T: OtlpItem>(config: OtlpConfig, fill: impl FnOnce(&OtlpSink<T>)) -> Arc<OtlpSink<T>> {
    let (sink, task) = make(config);
    fill(&sink);
    sink.close(Duration::from_secs(60));
    runtime().block_on(task.run());
    assert_eq!(ledger(&sink.counts()).1, 0, "nothing is pending at the end");
    sink
}

fn make<T: OtlpItem>(config: OtlpConfig) -> (Arc<OtlpSink<T>>, OtlpTask<T>) {
    new(config, &mut OtlpClients::default()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn request_as_the_protocol_wants_it() {
    let (sink, requests) = export::<Span>(3, vec![ok()], |config| {
        config.headers.insert("x-tenant", "a".parse().unwrap());
    });
    assert_eq!(ledger(&sink.counts()), (3, 0, vec![]));
    let request = &requests[0];
    assert_eq!(
        (requests.len(), request.line.as_str()),
        (1, "POST /v1/traces?k=1 HTTP/1.1")
    );
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.header("x-tenant"), Some("a"));
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert!(request.header("user-agent").unwrap().contains("onlooker/"));
    assert_eq!(request.count::<Span>(), 3);
    let (_, requests) = export::<Span>(3, vec![ok()], |config| config.compression = OtlpCompression::None);
    assert_eq!(
        (requests[0].header("content-encoding"), requests[0].count::<Span>()),
        (None, 3)
    );
}

#[test]
fn spans_as_the_protocol_wants_them() {
    let (listener, address) = listen();
    let requests = receiver(listener, vec![ok()]);
    let resource = |name: &str| {
        let name = AttributeValue::Text(name.to_owned().into());
        Arc::new(Resource {
            attributes: vec![("service.name".into(), name)],
        })
    };
    let (shop, cart) = (resource("shop"), resource("cart"));
    let of = |number, resource: &Arc<Resource>| crate::trace::span::Span {
        resource: resource.clone(),
        ..span(number)
    };
    run::<Span>(config(address), |sink| {
        let mut first = of(1, &shop);
        first.parent = Some([9; 8]);
        first.state = Some("a=1".into());
        first.kind = SpanKind::Client;
        first.error = true;
        first.attributes = vec![
            ("t".into(), AttributeValue::Text("x".into())),
            ("i".into(), AttributeValue::Int(-5)),
            ("d".into(), AttributeValue::Double(0.5)),
            ("b".into(), AttributeValue::Bool(true)),
            ("l".into(), AttributeValue::Texts(vec!["y".to_owned()])),
        ];
        [first, of(2, &cart), of(3, &shop)]
            .into_iter()
            .for_each(|span| sink.accept(span));
    });
    let request = ExportTraceServiceRequest::decode(requests.recv().unwrap().plain().as_slice()).unwrap();
    let shape: Vec<_> = request
        .resource_spans
        .iter()
        .map(|group| group.scope_spans[0].spans.len())
        .collect();
    assert_eq!(shape, [2, 1], "one group per resource");
    let group = &request.resource_spans[0];
    let name = group.resource.as_ref().unwrap().attributes[0].clone();
    assert_eq!(name.value.unwrap().value, Some(Value::StringValue("shop".to_owned())));
    assert!(group.schema_url.starts_with("https://opentelemetry.io/schemas/"));
    let scope = group.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!(
        (scope.name.as_str(), scope.version.as_str()),
        ("onlooker", env!("CARGO_PKG_VERSION"))
    );
    let [one, three] = group.scope_spans[0].spans.as_slice() else {
        panic!()
    };
    assert_eq!(one.trace_id, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(
        (one.span_id.as_slice(), one.parent_span_id.as_slice()),
        ([0, 0, 0, 0, 0, 0, 0, 1].as_slice(), [9; 8].as_slice())
    );
    assert_eq!(
        (one.trace_state.as_str(), one.flags, one.name.as_str(), one.kind),
        ("a=1", 3, "GET /a", 3)
    );
    assert_eq!(one.end_time_unix_nano - one.start_time_unix_nano, 1_500_000);
    assert_eq!(one.status.as_ref().map(|status| status.code), Some(2));
    let values: Vec<_> = one
        .attributes
        .iter()
        .map(|kv| kv.value.clone().unwrap().value.unwrap())
        .collect();
    assert_eq!(values[..2], [Value::StringValue("x".to_owned()), Value::IntValue(-5)]);
    assert_eq!(values[2..4], [Value::DoubleValue(0.5), Value::BoolValue(true)]);
    assert!(matches!(&values[4], Value::ArrayValue(list) if list.values.len() == 1));
    assert_eq!(
        (three.kind, three.status.is_none(), three.parent_span_id.len()),
        (2, true, 0)
    );
}

fn busy_then_taken<T: Sample>() {
    for (status, headers) in [
        ("429 Too Many Requests", ""),
        ("502 Bad Gateway", ""),
        ("503 Service Unavailable", "retry-after: 0\r\n"),
        ("504 Gateway Timeout", "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
    ] {
        let (sink, requests) = export::<T>(2, vec![respond(status, headers, &[]), ok()], |_| {});
        assert_eq!(ledger(&sink.counts()), (2, 0, vec![]), "{status}");
        assert_eq!(requests.iter().map(Request::count::<T>).collect::<Vec<_>>(), [2, 2]);
    }
}

fn refused_is_dropped_and_counted<T: Sample>() {
    for (status, reason) in [
        ("400 Bad Request", "refused_4xx"),
        ("401 Unauthorized", "refused_4xx"),
        ("500 Internal Server Error", "refused_5xx"),
        ("501 Not Implemented", "refused_5xx"),
        ("301 Moved Permanently", "refused_other"),
    ] {
        let (sink, requests) = export::<T>(2, vec![respond(status, "location: /other\r\n", b"no")], |_| {});
        assert_eq!(
            (ledger(&sink.counts()), requests.len()),
            ((0, 0, vec![(reason, 2)]), 1),
            "{status}"
        );
    }
}

fn partial_success<T: Sample>() {
    let body = T::rejects(3, "too old");
    let (sink, requests) = export::<T>(5, vec![respond("200 OK", "", &body)], |_| {});
    assert_eq!(
        (ledger(&sink.counts()), requests.len()),
        ((2, 0, vec![("rejected", 3)]), 1)
    );
    // A success whose words are not understood is a success.
    let (sink, _) = export::<T>(5, vec![respond("200 OK", "", b"{\"json\":1}")], |_| {});
    assert_eq!(ledger(&sink.counts()), (5, 0, vec![]));
}

fn nobody_listens_at_first<T: Sample>() {
    let (listener, address) = listen();
    drop(listener);
    let (log, _guard) = Log::capture();
    let (sink, task) = make::<T>(config(address));
    sink.accept(T::sample(1));
    /// Until it is so, for a minute at most.
    async fn until(so: impl Fn() -> bool) {
        let wait = async {
            while !so() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    }
    runtime().block_on(async {
        let task = tokio::spawn(task.run());
        until(|| log.count("cannot connect") > 0).await;
        assert_eq!(ledger(&sink.counts()), (0, 1, vec![]));
        let requests = receiver(TcpListener::bind(address).unwrap(), vec![ok()]);
        until(|| sink.counts().delivered > 0).await;
        assert_eq!(requests.recv().unwrap().count::<T>(), 1);
        sink.close(Duration::from_secs(60));
        task.await.unwrap();
    });
    assert_eq!(ledger(&sink.counts()), (1, 0, vec![]));
    assert_eq!(
        (
            log.count(&format!("exporting {} fails", T::PLURAL)),
            log.count("works again"),
            log.count("pass")
        ),
        (1, 1, 0)
    );
}

fn stalled_receiver_times_out_and_is_tried_again<T: Sample>() {
    let (sink, requests) = export::<T>(2, vec![vec![], ok()], |config| {
        config.timeout = Duration::from_millis(50)
    });
    assert_eq!((ledger(&sink.counts()), requests.len()), ((2, 0, vec![]), 2));
}

fn broken_responses_are_tried_again<T: Sample>() {
    for broken in [b"HTTP/1.1 2".to_vec(), b"garbage\r\n\r\n".to_vec()] {
        let broken = if broken.starts_with(b"HTTP") {
            [broken, b"xx\r\n\r\n".to_vec()].concat()
        } else {
            broken
        };
        let (sink, requests) = export::<T>(2, vec![broken, ok()], |_| {});
        assert_eq!((ledger(&sink.counts()), requests.len()), ((2, 0, vec![]), 2));
    }
}

fn full_queue_is_counted_and_the_rest_goes_out_in_batches<T: Sample>() {
    let (sink, requests) = export::<T>(25, vec![ok(), ok(), ok()], |config| {
        config.queue.items = 10;
        config.queue.batch = 4;
    });
    assert_eq!(ledger(&sink.counts()), (10, 0, vec![("queue_full", 15)]));
    assert_eq!(requests.iter().map(Request::count::<T>).collect::<Vec<_>>(), [4, 4, 2]);
}

fn shutdown_keeps_its_deadline<T: Sample>() {
    let (listener, address) = listen();
    let requests = receiver(listener, vec![vec![]]);
    let (sink, task) = make::<T>(config(address));
    (0..3).for_each(|n| sink.accept(T::sample(n)));
    runtime().block_on(async {
        let task = tokio::spawn(task.run());
        while requests.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ledger(&sink.counts()), (0, 3, vec![]));
        sink.close(Duration::from_millis(10));
        task.await.unwrap();
    });
    sink.accept(T::sample(4));
    assert_eq!(ledger(&sink.counts()), (0, 0, vec![("shutdown", 4)]));
}

fn aborted_task_leaves_nothing_pending<T: Sample>() {
    let (sink, task) = make::<T>(config(listen().1));
    sink.accept(T::sample(1));
    drop(task);
    sink.accept(T::sample(2));
    assert_eq!(ledger(&sink.counts()), (0, 0, vec![("shutdown", 2)]));
}

fn https_client_can_be_made<T: Sample>() {
    let url = Url::parse("https://127.0.0.1:1/v1/traces").unwrap();
    assert!(new::<T>(OtlpConfig::new(url), &mut OtlpClients::default()).is_ok());
}
