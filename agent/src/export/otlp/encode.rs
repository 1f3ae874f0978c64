//! Spans as an OTLP `ExportTraceServiceRequest`, records of logs as an `ExportLogsServiceRequest`, one group per resource.

use super::{OtlpItem, OtlpSignal};
use crate::logs::LogRecord;
use crate::trace::span::{Attribute, AttributeValue, Resource, Span, SpanKind};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as ProtoRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as ProtoKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status};
use prost::Message;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::sync::Arc;

/// The semantic conventions that the attributes follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

impl OtlpItem for Span {
    const SIGNAL: OtlpSignal = OtlpSignal::Traces;

    fn encode(spans: Vec<Span>) -> Vec<u8> {
        let group = |(resource, spans): (Arc<Resource>, Vec<Span>)| ResourceSpans {
            resource: Some(convert_resource(&resource)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: spans.into_iter().map(convert).collect(),
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        };
        let groups = by_resource(spans, |span| &span.resource);
        let resource_spans = groups.into_iter().map(group).collect();
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    fn partial(body: &[u8]) -> Option<(i64, String)> {
        let partial = ExportTraceServiceResponse::decode(body).ok()?.partial_success?;
        Some((partial.rejected_spans, partial.error_message))
    }
}

impl OtlpItem for LogRecord {
    const SIGNAL: OtlpSignal = OtlpSignal::Logs;

    fn encode(records: Vec<LogRecord>) -> Vec<u8> {
        let group = |(resource, records): (Arc<Resource>, Vec<LogRecord>)| ResourceLogs {
            resource: Some(convert_resource(&resource)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: records.into_iter().map(convert_record).collect(),
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        };
        let groups = by_resource(records, |record| &record.resource);
        let resource_logs = groups.into_iter().map(group).collect();
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }

    fn partial(body: &[u8]) -> Option<(i64, String)> {
        let partial = ExportLogsServiceResponse::decode(body).ok()?.partial_success?;
        Some((partial.rejected_log_records, partial.error_message))
    }
}

/// Items grouped by their resource, in the order in which the resources first appear.
fn by_resource<T>(items: Vec<T>, of: impl Fn(&T) -> &Arc<Resource>) -> Vec<(Arc<Resource>, Vec<T>)> {
    // The resources are kept alive by the groups, so that an address names one resource.
    let mut places: FxHashMap<*const Resource, usize> = FxHashMap::default();
    let mut groups: Vec<(Arc<Resource>, Vec<T>)> = Vec::new();
    for item in items {
        let resource = of(&item);
        let place = *places.entry(Arc::as_ptr(resource)).or_insert_with(|| {
            groups.push((resource.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(item);
    }
    groups
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    }
}

fn convert_resource(resource: &Resource) -> ProtoResource {
    ProtoResource {
        attributes: resource.attributes.iter().cloned().map(attribute).collect(),
        ..Default::default()
    }
}

fn convert_record(record: LogRecord) -> ProtoRecord {
    let span = record.span;
    ProtoRecord {
        time_unix_nano: record.timestamp,
        observed_time_unix_nano: record.observed,
        severity_number: record.severity.number().into(),
        severity_text: record
            .severity_text
            .map_or_else(|| record.severity.text().to_owned(), Cow::into_owned),
        body: Some(AnyValue {
            value: Some(Value::StringValue(record.body)),
        }),
        attributes: record.attributes.into_iter().map(attribute).collect(),
        flags: span.map(|span| span.flags.into()).unwrap_or_default(),
        trace_id: span.map(|span| span.trace_id.to_vec()).unwrap_or_default(),
        // Empty where only the trace is known.
        span_id: span
            .filter(|span| span.span_id != [0; 8])
            .map(|span| span.span_id.to_vec())
            .unwrap_or_default(),
        event_name: record.event_name.map(|name| name.into_owned()).unwrap_or_default(),
        ..Default::default()
    }
}

fn convert(span: Span) -> ProtoSpan {
    ProtoSpan {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        trace_state: span.state.map(String::from).unwrap_or_default(),
        parent_span_id: span.parent.map(|id| id.to_vec()).unwrap_or_default(),
        flags: span.flags.into(),
        name: span.name,
        kind: match span.kind {
            SpanKind::Server => ProtoKind::Server,
            SpanKind::Client => ProtoKind::Client,
        } as i32,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: span.attributes.into_iter().map(attribute).collect(),
        status: span.error.then(|| Status {
            code: StatusCode::Error as i32,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn attribute((name, value): Attribute) -> KeyValue {
    let value = match value {
        AttributeValue::Text(text) => Value::StringValue(text.into_owned()),
        AttributeValue::Int(number) => Value::IntValue(number),
        AttributeValue::Double(number) => Value::DoubleValue(number),
        AttributeValue::Bool(truth) => Value::BoolValue(truth),
        AttributeValue::Texts(texts) => Value::ArrayValue(ArrayValue {
            values: texts
                .into_iter()
                .map(|text| AnyValue {
                    value: Some(Value::StringValue(text)),
                })
                .collect(),
        }),
    };
    KeyValue {
        key: name.into_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}
