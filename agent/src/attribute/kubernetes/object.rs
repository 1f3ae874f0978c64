//! What is read of the API's JSON. Everything else is skipped while decoding: of a pod of many kilobytes some hundred bytes stay.

use super::super::service::text;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Annotations that stand for attributes
/// (<https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/>).
const PREFIX: &str = "resource.opentelemetry.io/";
/// Attributes of annotations that are taken of a pod; the rest is dropped.
pub(super) const ATTRIBUTES_MAX: usize = 32;
/// Owners, and containers of each sort, that are looked at.
pub(super) const PARTS_MAX: usize = 64;

/// `v1.PodList`, one page of it.
#[derive(Debug, Deserialize)]
pub(super) struct PodList {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    pub(super) items: Option<Vec<PodObject>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMeta {
    pub(super) resource_version: Option<String>,
    /// Where the next page begins; none or empty: this is the last.
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// The type of a watch event; its object is of another type for each.
#[derive(Debug, Deserialize)]
pub(super) struct EventType<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
}

/// The object of a watch event.
#[derive(Debug, Deserialize)]
pub(super) struct EventOf<T> {
    pub(super) object: T,
}

/// `meta/v1.Status`: what went wrong.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Status {
    pub(super) code: Option<u16>,
    pub(super) message: Option<String>,
}

/// `v1.Pod`.
#[derive(Debug, Deserialize)]
pub(super) struct PodObject {
    pub(super) metadata: Meta,
    pub(super) spec: Option<PodSpec>,
    pub(super) status: Option<PodStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    #[serde(default)]
    pub(super) labels: Labels,
    #[serde(default)]
    pub(super) annotations: Annotations,
    pub(super) owner_references: Option<Vec<Owner>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub(super) phase: Option<String>,
    pub(super) container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) init_container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    /// `RUNTIME://ID`, when it has run.
    #[serde(rename = "containerID")]
    pub(super) container_id: Option<String>,
    pub(super) image: Option<String>,
}

/// Labels that say something here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// `pod-template-hash`.
    pub(super) template_hash: Option<String>,
    /// `rollouts-pod-template-hash`.
    pub(super) rollout_hash: Option<String>,
    /// `app.kubernetes.io/instance`.
    pub(super) instance: Option<String>,
    /// `app.kubernetes.io/name`.
    pub(super) name: Option<String>,
    /// `app.kubernetes.io/version`.
    pub(super) version: Option<String>,
}

/// Annotations that say something here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// `resource.opentelemetry.io/…`: name and value, in the order of their names.
    pub(super) attributes: Vec<(String, String)>,
    /// `kubernetes.io/config.mirror`: a static pod's uid as the kubelet and its cgroups have it; the API gives its mirror another.
    pub(super) mirror: Option<String>,
}

/// Visits a map of texts, or nothing (Go writes an empty map as `null`).
struct Texts<T>(fn(&mut T, &str) -> bool, fn(&mut T, &str, String), T);

impl<'de, T> Visitor<'de> for Texts<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(self.2)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let Texts(wanted, take, mut to) = self;
        while let Some(key) = map.next_key::<String>()? {
            if wanted(&mut to, &key) {
                let value = map.next_value::<String>()?;
                if let Some(value) = text::clean(value.as_bytes()) {
                    take(&mut to, &key, value);
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(to)
    }
}

impl Labels {
    fn place(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key {
            "pod-template-hash" => Some(&mut self.template_hash),
            "rollouts-pod-template-hash" => Some(&mut self.rollout_hash),
            "app.kubernetes.io/instance" => Some(&mut self.instance),
            "app.kubernetes.io/name" => Some(&mut self.name),
            "app.kubernetes.io/version" => Some(&mut self.version),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
        let wanted = |labels: &mut Labels, key: &str| labels.place(key).is_some();
        let take = |labels: &mut Labels, key: &str, value| {
            if let Some(place) = labels.place(key) {
                *place = Some(value);
            }
        };
        from.deserialize_any(Texts(wanted, take, Labels::default()))
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Annotations, D::Error> {
        const MIRROR: &str = "kubernetes.io/config.mirror";
        let wanted = |kept: &mut Annotations, key: &str| {
            key == MIRROR || (key.starts_with(PREFIX) && kept.attributes.len() < ATTRIBUTES_MAX)
        };
        let take = |kept: &mut Annotations, key: &str, value| match key.strip_prefix(PREFIX) {
            Some(name) => kept
                .attributes
                .extend(text::clean(name.as_bytes()).map(|name| (name, value))),
            None => kept.mirror = Some(value),
        };
        let mut kept = from.deserialize_any(Texts(wanted, take, Annotations::default()))?;
        kept.attributes.sort_unstable();
        Ok(kept)
    }
}
