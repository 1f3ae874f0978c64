//! Whose a series is: the service that its labels name, on this host, or the host itself. A series tells of all processes of a
//! service on the host, so its resource has no process; spans and records have that of theirs.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::sync::Arc;

/// Labels that name a service and its namespace. `groupname` is process-exporter's name for the same.
const SERVICE: [&str; 2] = ["service_name", "groupname"];
const NAMESPACE: &str = "service_namespace";

/// A service as labels name it; both empty: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
}

impl<'a> Service<'a> {
    /// That of a sample.
    pub(super) fn of(labels: &[(&'a str, &'a str)]) -> Service<'a> {
        let mut service = Service::default();
        for (label, value) in labels {
            match *label {
                NAMESPACE => service.namespace = value,
                label if SERVICE.contains(&label) => service.name = value,
                _ => {}
            }
        }
        service
    }

    /// As one text, which is another one for each.
    pub(super) fn key(&self) -> String {
        match self.name {
            "" => String::new(),
            name => format!("{name}\0{}", self.namespace),
        }
    }
}

/// Is a label part of the resource?
pub(super) fn is_resource(label: &str) -> bool {
    label == NAMESPACE || SERVICE.contains(&label)
}

/// The host that resources are on.
#[derive(Clone, Debug, Default)]
pub(super) struct OnHost(pub(super) Option<Arc<str>>);

impl OnHost {
    /// The resource of a service, or of the host.
    pub(super) fn resource(&self, service: Service<'_>) -> Resource {
        let mut attributes = Vec::with_capacity(5);
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                attributes.push(text(key, value));
            }
        };
        if !service.name.is_empty() {
            put("service.name", service.name);
            put("service.namespace", service.namespace);
        }
        if let Some(name) = &self.0 {
            put("host.name", name);
            // Receivers tell series of several hosts apart by it: Prometheus makes `instance` of it.
            put("service.instance.id", name);
        }
        put("os.type", "linux");
        Resource {
            attributes,
            ..Resource::default()
        }
    }
}

/// An attribute that is a text.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    of(key, Value::StringValue(value.to_owned()))
}

/// An attribute.
pub(super) fn of(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
