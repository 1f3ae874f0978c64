//! The service a process speaks for, and the rules that name it.
//!
//! `service.name` is the first of these that is known:
//!
//! 1. `OTEL_SERVICE_NAME` in the process' own environment,
//! 2. `service.name` in its `OTEL_RESOURCE_ATTRIBUTES`,
//! 3. the pod's annotation, labels or workload, from the Kubernetes API (see [`super::kubernetes::Pod`]),
//! 4. the Kubernetes workload, from the pod's name (see [`kubernetes::workload`]),
//! 5. the container's name,
//! 6. the systemd service (for LXC and systemd-nspawn, which run whole systems, before the container's name),
//! 7. an interpreter's script, jar or module (see [`program`]),
//! 8. the executable's file name,
//! 9. the kernel's `comm`,
//! 10. `unknown`.
//!
//! `service.namespace` is what the process declares, else what its pod's annotation does, else the pod's namespace. The API may answer later
//! than a process is seen: its service is then another one from there on, if its name or namespace is.

use super::container::kubernetes;
use super::container::place::Place;
use super::kubernetes::{Found, Pods};
use crate::signal::ProcessKey;
use crate::trace::span::{Attribute, AttributeValue, Resource};
use declared::Declared;
use program::Program;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

pub mod declared;
mod pod;
pub mod program;
pub mod text;

pub use pod::attributes as attributes_of_pod;

/// Name of a service of whose process nothing is known but that it was there.
pub const UNKNOWN: &str = "unknown";

/// Name of the service of processes that are not told apart.
pub const OTHER: &str = "_OTHER";

/// A service as metrics and spans name it. One per process; processes of one service share `name` and `namespace`.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `service.name`.
    pub name: Arc<str>,
    /// `service.namespace`, when known.
    pub namespace: Option<Arc<str>>,
    /// Everything that is known of the process: `service.name`, `process.pid`, `container.id`, …
    pub resource: Arc<Resource>,
}

impl Service {
    /// That of processes which are not told apart for lack of room.
    pub fn other() -> Arc<Service> {
        static SERVICE: LazyLock<Arc<Service>> = LazyLock::new(|| {
            Arc::new(Service {
                name: OTHER.into(),
                namespace: None,
                resource: Arc::default(),
            })
        });
        SERVICE.clone()
    }
}

/// What is known of a process when its service is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's name of the process, `None` when not known.
    pub comm: Option<Box<str>>,
    /// Its program.
    pub program: Program,
    /// What it declares.
    pub declared: Option<Declared>,
    /// Where it runs.
    pub place: Option<Arc<Place>>,
}

impl Facts {
    /// What the Kubernetes API knows of its pod.
    pub fn pod(&self, pods: &Pods) -> Option<Found> {
        pod::find(pods, self.place.as_deref()?)
    }

    /// Name by the rules above; `node` is the host's own name (static pods carry it), `pod` what [`Facts::pod`] tells.
    pub fn name(&self, node: Option<&str>, pod: Option<&Found>) -> String {
        let declared = self.declared.as_ref().and_then(|declared| declared.name.as_deref());
        let place = self.place.as_deref();
        let workload = place
            .and_then(|place| place.pod.as_ref())
            .map(|pod| kubernetes::workload(&pod.name, node));
        let container = place.and_then(|place| place.engine.name.as_deref());
        let unit = place.and_then(|place| place.cgroup.unit.as_deref());
        let system = place
            .and_then(|place| place.cgroup.container.as_ref())
            .is_some_and(|container| container.is_system());
        let (first, second) = if system { (unit, container) } else { (container, unit) };
        let known = [
            declared,
            pod.map(|found| &*found.pod.service),
            workload,
            first,
            second,
            self.program.script.as_deref(),
            self.program.exe_name.as_deref(),
            self.comm.as_deref(),
        ];
        known
            .into_iter()
            .flatten()
            .find_map(|name| text::clean(name.as_bytes()))
            .unwrap_or_else(|| UNKNOWN.to_owned())
    }

    /// The service with its resource. `host` is `host.name`, `pod` what [`Facts::pod`] tells.
    pub fn service(&self, key: ProcessKey, host: Option<&Arc<str>>, pod: Option<&Found>) -> Service {
        let name = self.name(host.map(|host| &**host), pod);
        let namespace = self.namespace(pod);
        let mut resource = Resource::default();
        let to = &mut resource.attributes;
        put(to, "service.name", Some(&name));
        put(to, "service.namespace", namespace.as_deref());
        // What the kernel knows is not for the process to declare.
        to.push(("process.pid".into(), AttributeValue::Int(key.pid.into())));
        put(to, "process.executable.name", self.program.exe_name.as_deref());
        put(to, "process.executable.path", self.program.exe.as_deref());
        put(to, "process.command", self.program.command.as_deref());
        put(to, "process.runtime.name", self.program.runtime);
        put(to, "os.type", Some("linux"));
        if let Some(container) = self.place.as_deref().and_then(|place| place.cgroup.container.as_ref()) {
            put(to, "container.id", Some(&container.id));
            put(to, "container.runtime.name", container.runtime);
        }
        if let Some(pod) = pod {
            pod::put_names(to, pod);
        }
        for (key, value) in self.declared.iter().flat_map(|declared| &declared.attributes) {
            put(to, key.clone(), Some(value));
        }
        if let Some(pod) = pod {
            pod::put_declared(to, pod);
        }
        if let Some(place) = self.place.as_deref() {
            put(to, "container.name", place.engine.name.as_deref());
            put(to, "container.image.name", place.engine.image.as_deref());
            put(to, "k8s.pod.uid", place.cgroup.pod.as_ref().map(|pod| &*pod.uid));
            put(to, "k8s.namespace.name", place.pod.as_ref().map(|pod| &*pod.namespace));
            put(to, "k8s.pod.name", place.pod.as_ref().map(|pod| &*pod.name));
            let container = place.pod.as_ref().and_then(|pod| pod.container.as_deref());
            put(to, "k8s.container.name", container);
        }
        put(to, "host.name", host.map(|host| &**host));
        // The same for as long as the process lives, whoever asks, and no other process' on any host of another name.
        let instance = match host {
            Some(host) => format!("{host}:{}:{}", key.pid, key.start),
            None => format!("{}:{}", key.pid, key.start),
        };
        put(to, "service.instance.id", Some(&instance));
        Service {
            name: name.into(),
            namespace: namespace.map(Arc::from),
            resource: Arc::new(resource),
        }
    }
}

impl Facts {
    fn namespace(&self, pod: Option<&Found>) -> Option<String> {
        let declared = self.declared.as_ref().and_then(|declared| declared.namespace.clone());
        let of_files = || self.place.as_ref()?.pod.as_ref().map(|pod| &*pod.namespace);
        let of_pod = || pod.map(|found| &*found.pod.service_namespace).or_else(of_files);
        declared.or_else(|| text::clean(of_pod()?.as_bytes()))
    }
}

/// Adds a text unless it is not known or there already.
fn put(to: &mut Vec<Attribute>, name: impl Into<Cow<'static, str>>, value: Option<&str>) {
    let name = name.into();
    if let Some(value) = value
        && !to.iter().any(|(known, _)| *known == name)
    {
        to.push((name, AttributeValue::Text(value.to_owned().into())));
    }
}

#[cfg(test)]
mod tests;
