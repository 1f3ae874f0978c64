//! What the Kubernetes API knows of a process' pod, in its service: `service.*`, `k8s.*`, `container.*`.

use super::super::container::place::Place;
use super::super::kubernetes::{Found, Pods};
use super::put;
use crate::trace::span::{Attribute, AttributeValue};

/// The pod of a place: by its container, else by the pod's uid.
pub(super) fn find(pods: &Pods, place: &Place) -> Option<Found> {
    let container = place.cgroup.container.as_ref();
    container
        .and_then(|container| pods.of_container(&container.id))
        .or_else(|| pods.of_uid(&place.cgroup.pod.as_ref()?.uid))
}

/// Names that the cluster gives: neither a process nor an annotation denies them. What files of the node tell comes after and fills gaps.
pub(super) fn put_names(to: &mut Vec<Attribute>, found: &Found) {
    let pod = &*found.pod;
    put(to, "k8s.namespace.name", Some(&pod.namespace));
    put(to, "k8s.pod.name", Some(&pod.name));
    put(to, "k8s.pod.uid", Some(&pod.uid));
    put(to, "k8s.node.name", pod.node.as_deref());
    for (name, value) in &pod.workload {
        put(to, *name, Some(value));
    }
    if let Some(container) = found.container() {
        put(to, "k8s.container.name", Some(&container.name));
        put(to, "container.image.name", container.image.as_deref());
        if let Some(tag) = &container.tag {
            to.push(("container.image.tags".into(), AttributeValue::Texts(vec![tag.clone()])));
        }
    }
}

/// What annotations declare, after what the process itself does.
pub(super) fn put_declared(to: &mut Vec<Attribute>, found: &Found) {
    let pod = &*found.pod;
    for (name, value) in &pod.declared {
        put(to, name.clone(), Some(value));
    }
    let image = || found.container()?.version.as_deref();
    put(to, "service.version", pod.version.as_deref().or_else(image));
}

/// All of it, for what comes from a pod and from no process that is known: a container's log.
pub fn attributes(found: &Found) -> Vec<Attribute> {
    let mut all = Vec::with_capacity(16);
    put(&mut all, "service.name", Some(&found.pod.service));
    put(&mut all, "service.namespace", Some(&found.pod.service_namespace));
    put_names(&mut all, found);
    if let Some(container) = found.container() {
        put(&mut all, "container.id", Some(&container.id));
    }
    put_declared(&mut all, found);
    all
}
