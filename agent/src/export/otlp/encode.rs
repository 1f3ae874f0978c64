//! Spans as an OTLP `ExportTraceServiceRequest`, one `ResourceSpans` per resource.

use crate::trace::span::{Attribute, AttributeValue, Resource, Span, SpanKind};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as ProtoKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status};
use prost::Message;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The semantic conventions that the attributes follow.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

/// The bytes of a request that holds these spans.
pub(super) fn encode(spans: Vec<Span>) -> Vec<u8> {
    // The resources are kept alive by the spans of the batch, so that an address names one resource.
    let mut places: FxHashMap<*const Resource, usize> = FxHashMap::default();
    let mut groups: Vec<(Arc<Resource>, Vec<ProtoSpan>)> = Vec::new();
    for span in spans {
        let place = *places.entry(Arc::as_ptr(&span.resource)).or_insert_with(|| {
            groups.push((span.resource.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(convert(span));
    }
    let resource_spans = groups
        .into_iter()
        .map(|(resource, spans)| group(&resource, spans))
        .collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn group(resource: &Resource, spans: Vec<ProtoSpan>) -> ResourceSpans {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    ResourceSpans {
        resource: Some(ProtoResource {
            attributes: resource.attributes.iter().cloned().map(attribute).collect(),
            ..Default::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope),
            spans,
            schema_url: SCHEMA_URL.to_owned(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
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
