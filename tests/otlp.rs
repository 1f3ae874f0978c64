//! An OTLP/HTTP receiver that keeps what it is sent and can refuse for a while.

use crate::http::{Connection, Stream};
use anyhow::{Context, Result, bail};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::VecDeque;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

/// What was received.
#[derive(Debug, Default)]
pub struct Received {
    /// Spans, each with the `service.name` of its resource.
    pub spans: Vec<(String, Span)>,
    /// Records of logs, each with its resource.
    pub logs: Vec<(Resource, LogRecord)>,
    /// Metric requests.
    pub metrics: Vec<ExportMetricsServiceRequest>,
    /// Requests whose body was gzip.
    pub gzip: usize,
    /// Value of the header `x-test`, of every request.
    pub headers: Vec<String>,
    /// Requests answered with another status than 200.
    pub refused: usize,
    /// What could not be read.
    pub errors: Vec<String>,
}

/// The receiver; it lives as long as the test process.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    /// Starts a receiver that answers its first requests with these statuses, all later ones with 200.
    pub fn start(first_statuses: &[u16]) -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let received = Arc::new(Mutex::new(Received::default()));
        let refusals = Arc::new(Mutex::new(VecDeque::from(first_statuses.to_vec())));
        let keep = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (keep, refusals) = (keep.clone(), refusals.clone());
                std::thread::spawn(move || {
                    let mut connection = Connection::of(Stream::Tcp(stream));
                    while let Ok(()) = serve(&mut connection, &keep, &refusals) {}
                });
            }
        });
        Ok(Receiver { endpoint, received })
    }

    /// What was received so far.
    pub fn received(&self) -> MutexGuard<'_, Received> {
        lock(&self.received)
    }

    /// Records of a service with a name of an event so far, each with its resource.
    pub fn logs(&self, service: &str, event: &str) -> Vec<(Resource, LogRecord)> {
        let received = self.received();
        let of = |(resource, record): &&(Resource, LogRecord)| {
            record.event_name == event && attribute(&resource.attributes, "service.name").as_deref() == Some(service)
        };
        received.logs.iter().filter(of).cloned().collect()
    }

    /// Spans of a service so far.
    pub fn spans(&self, service: &str) -> Vec<Span> {
        let received = self.received();
        received
            .spans
            .iter()
            .filter(|(name, _)| name == service)
            .map(|(_, span)| span.clone())
            .collect()
    }
}

fn serve(connection: &mut Connection, keep: &Mutex<Received>, refusals: &Mutex<VecDeque<u16>>) -> Result<()> {
    let head = connection.head()?;
    let body = if head.chunked() {
        connection.chunked()?
    } else {
        connection.exactly(head.content_length().unwrap_or(0))?
    };
    if let Some(status) = lock(refusals).pop_front() {
        lock(keep).refused += 1;
        let text = format!("HTTP/1.1 {status} Text\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n");
        return connection.send(text.as_bytes());
    }
    let mut received = lock(keep);
    let gzip = head.field("content-encoding") == Some("gzip");
    received.gzip += usize::from(gzip);
    received.headers.push(head.field("x-test").unwrap_or("").into());
    if head.field("content-type") != Some("application/x-protobuf") {
        received
            .errors
            .push(format!("content type {:?}", head.field("content-type")));
    }
    if let Err(error) = take(&mut received, head.word(1), gzip, &body) {
        received.errors.push(format!("{}: {error:#}", head.line));
    }
    drop(received);
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
}

fn take(received: &mut Received, path: &str, gzip: bool, body: &[u8]) -> Result<()> {
    let mut bytes = Vec::new();
    if gzip {
        flate2::read::GzDecoder::new(body)
            .read_to_end(&mut bytes)
            .context("gzip")?;
    } else {
        bytes.extend_from_slice(body);
    }
    match path {
        "/v1/traces" => {
            for resource in ExportTraceServiceRequest::decode(bytes.as_slice())?.resource_spans {
                let attributes = resource
                    .resource
                    .map(|resource| resource.attributes)
                    .unwrap_or_default();
                let service = attribute(&attributes, "service.name").unwrap_or_default();
                let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                received.spans.extend(spans.map(|span| (service.clone(), span)));
            }
        }
        "/v1/logs" => {
            for resource in ExportLogsServiceRequest::decode(bytes.as_slice())?.resource_logs {
                let of = resource.resource.unwrap_or_default();
                let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                received.logs.extend(records.map(|record| (of.clone(), record)));
            }
        }
        "/v1/metrics" => received
            .metrics
            .push(ExportMetricsServiceRequest::decode(bytes.as_slice())?),
        other => bail!("unexpected path {other}"),
    }
    Ok(())
}

/// The text of a record.
pub fn body(record: &LogRecord) -> String {
    match record.body.clone().and_then(|body| body.value) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

/// A text or integer attribute as text.
pub fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = attributes.iter().find(|pair| pair.key == name)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
