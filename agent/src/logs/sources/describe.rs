//! What a file's path says of the program that wrote it.

use super::decode::Format;
use crate::attribute::container::engine;
use crate::attribute::container::kubernetes::workload;
use crate::attribute::kubernetes::{Found, Pods};
use crate::attribute::service::attributes_of_pod;
use crate::host::Host;
use crate::trace::span::{AttributeValue, Resource};
use std::path::Path;
use std::sync::Arc;

/// A source of lines.
#[derive(Clone, Debug)]
pub struct Described {
    /// How its lines are wrapped.
    pub format: Format,
    /// Whose lines they are.
    pub resource: Arc<Resource>,
    /// `service.name` among them: what limits of rate go by.
    pub service: Arc<str>,
}

/// Whose log a path is, as far as the path tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log` (the kubelet's layout).
    Pod {
        namespace: &'a str,
        pod: &'a str,
        uid: &'a str,
        container: &'a str,
        restarts: Option<u32>,
    },
    /// `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` (the kubelet's links to the above).
    Linked {
        namespace: &'a str,
        pod: &'a str,
        container: &'a str,
        id: &'a str,
    },
    /// `…/containers/ID/ID-json.log` (Docker).
    Docker { id: &'a str },
    /// Any other file.
    Plain,
}

impl Place<'_> {
    pub(super) fn of(path: &str) -> Place<'_> {
        pod(path)
            .or_else(|| linked(path))
            .or_else(|| docker(path))
            .unwrap_or(Place::Plain)
    }

    /// Whether it is the log of that pod or container.
    pub(super) fn is_of(&self, pod: Option<&str>, container: Option<&str>) -> bool {
        match self {
            Place::Pod { uid, .. } => pod == Some(uid),
            Place::Linked { id, .. } | Place::Docker { id } => container == Some(id),
            Place::Plain => false,
        }
    }
}

fn pod(path: &str) -> Option<Place<'_>> {
    let mut parts = path.rsplit('/');
    let (file, container, folder) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next()? == "pods").then_some(())?;
    let (namespace, rest) = folder.split_once('_')?;
    let (pod, uid) = rest.split_once('_')?;
    Some(Place::Pod {
        namespace,
        pod,
        uid,
        container,
        // Rotated ones are `0.log.20260102-150405`.
        restarts: file.split('.').next().and_then(|number| number.parse().ok()),
    })
}

fn linked(path: &str) -> Option<Place<'_>> {
    let (folder, file) = path.rsplit_once('/')?;
    folder.ends_with("/log/containers").then_some(())?;
    let (name, id) = file.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = name.splitn(3, '_');
    Some(Place::Linked {
        pod: parts.next()?,
        namespace: parts.next()?,
        container: parts.next()?,
        id: is_id(id).then_some(id)?,
    })
}

fn docker(path: &str) -> Option<Place<'_>> {
    let mut parts = path.rsplit('/');
    let (file, id) = (parts.next()?, parts.next()?);
    let rest = file.strip_prefix(id)?;
    let its = is_id(id) && parts.next()? == "containers" && rest.starts_with("-json.log");
    its.then_some(Place::Docker { id })
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Who may know more of a file's writer than its path tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Where the host's files are.
    pub host: &'a Host,
    /// `host.name`.
    pub node: Option<&'a str>,
    /// Pods as the Kubernetes API tells them, where it is asked.
    pub pods: Option<&'a Pods>,
}

impl Known<'_> {
    /// The pod and container whose log it is.
    fn pod(&self, place: &Place<'_>) -> Option<Found> {
        let pods = self.pods?;
        match place {
            Place::Pod { uid, container, .. } => Some(pods.of_uid(uid)?.named(container)),
            Place::Linked { id, .. } | Place::Docker { id } => pods.of_container(id),
            Place::Plain => None,
        }
    }
}

/// Describes the file at this path of the host. `service`: the name that the operator gave it.
pub(super) fn describe(known: Known<'_>, path: &str, service: Option<&str>) -> Described {
    let (place, node) = (Place::of(path), known.node);
    let found = known.pod(&place);
    let mut attributes = found.as_ref().map(attributes_of_pod).unwrap_or_default();
    // What the API told comes first, but for the name that the operator gave.
    attributes.retain(|(name, _)| service.is_none() || name != "service.name");
    let mut text = |name: &'static str, value: &str| {
        if !attributes.iter().any(|(told, _)| told == name) {
            attributes.push((name.into(), AttributeValue::Text(value.to_owned().into())));
        }
    };
    let (format, named) = match place {
        Place::Pod {
            namespace,
            pod,
            uid,
            container,
            ..
        } => {
            text("k8s.namespace.name", namespace);
            text("k8s.pod.name", pod);
            text("k8s.pod.uid", uid);
            text("k8s.container.name", container);
            text("service.namespace", namespace);
            (Format::Container, workload(pod, node).to_owned())
        }
        Place::Linked {
            namespace,
            pod,
            container,
            id,
        } => {
            text("k8s.namespace.name", namespace);
            text("k8s.pod.name", pod);
            text("k8s.container.name", container);
            text("container.id", id);
            text("service.namespace", namespace);
            (Format::Container, workload(pod, node).to_owned())
        }
        Place::Docker { id } => {
            text("container.id", id);
            let known = engine::look(known.host, id, Some("docker"));
            if let Some(image) = &known.image {
                text("container.image.name", image);
            }
            if let Some(name) = &known.name {
                text("container.name", name);
            }
            let short = || id.chars().take(12).collect();
            (Format::Container, known.name.unwrap_or_else(short))
        }
        Place::Plain => (Format::Plain, by_file(path).to_owned()),
    };
    let of_pod = found.map(|found| found.pod.service.clone());
    let service = service.map(str::to_owned).or(of_pod).unwrap_or(named);
    text("service.name", &service);
    text("log.file.path", path);
    if let Some(node) = node {
        text("host.name", node);
    }
    text("os.type", "linux");
    if let Place::Pod {
        restarts: Some(restarts),
        ..
    } = place
    {
        attributes.push((
            "k8s.container.restart_count".into(),
            AttributeValue::Int(restarts.into()),
        ));
    }
    Described {
        format,
        resource: Arc::new(Resource { attributes }),
        service: service.into(),
    }
}

/// Names of files that say what is in them, not whose they are.
const GENERAL: [&str; 12] = [
    "access", "error", "errors", "log", "logs", "out", "output", "stdout", "stderr", "current", "main", "debug",
];

/// A plain file's service: its name up to the first dot, or its folder's where that says nothing (`nginx/access.log`).
fn by_file(path: &str) -> &str {
    let mut parts = Path::new(path).iter().rev().filter_map(|part| part.to_str());
    let file = parts.next().unwrap_or(path);
    let stem = file.split('.').find(|part| !part.is_empty()).unwrap_or(file);
    match parts.next() {
        Some(folder) if GENERAL.contains(&stem) && !matches!(folder, "/" | "log" | "logs" | "tmp") => folder,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::kubernetes::{Container, Pod};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn texts(pods: Option<&Pods>, path: &str, service: Option<&str>) -> (Format, Vec<(String, String)>) {
        let host = Host {
            root: "/nowhere".into(),
            ..Host::default()
        };
        let known = Known {
            host: &host,
            node: Some("node-1"),
            pods,
        };
        let found = describe(known, path, service);
        let of = |value: &AttributeValue| match value {
            AttributeValue::Text(text) => text.to_string(),
            other => format!("{other:?}"),
        };
        let attributes = found.resource.attributes.iter();
        (
            found.format,
            attributes.map(|(name, value)| (name.to_string(), of(value))).collect(),
        )
    }

    fn has(path: &str, service: Option<&str>, expect: &[(&str, &str)]) -> Format {
        let (format, all) = texts(None, path, service);
        for (name, value) in expect {
            assert!(
                all.contains(&((*name).to_owned(), (*value).to_owned())),
                "{name} in {all:?}"
            );
        }
        format
    }

    #[test]
    fn pods_are_told_by_their_path() {
        let path = "/var/log/pods/shop_cart-7d4b9c6f5d-x2x9z_8d7d0b5e-6f6c-4b3b-9c1e-0a1b2c3d4e5f/server/3.log";
        let format = has(
            path,
            None,
            &[
                ("k8s.namespace.name", "shop"),
                ("k8s.pod.name", "cart-7d4b9c6f5d-x2x9z"),
                ("k8s.pod.uid", "8d7d0b5e-6f6c-4b3b-9c1e-0a1b2c3d4e5f"),
                ("k8s.container.name", "server"),
                ("k8s.container.restart_count", "Int(3)"),
                ("service.name", "cart"),
                ("service.namespace", "shop"),
                ("host.name", "node-1"),
                ("log.file.path", path),
            ],
        );
        assert_eq!(format, Format::Container);
        let rotated = has(
            &format!("{path}.20260102-150405"),
            None,
            &[("k8s.container.restart_count", "Int(3)")],
        );
        assert_eq!(rotated, Format::Container);
        assert!(Place::of(path).is_of(Some("8d7d0b5e-6f6c-4b3b-9c1e-0a1b2c3d4e5f"), None));
    }

    #[test]
    fn containers_are_told_by_their_id() {
        let path = format!("/var/lib/docker/containers/{ID}/{ID}-json.log");
        let format = has(&path, None, &[("container.id", ID), ("service.name", "0123456789ab")]);
        assert_eq!(format, Format::Container);
        let path = format!("/var/log/containers/cart-x2x9z_shop_server-{ID}.log");
        has(
            &path,
            None,
            &[
                ("container.id", ID),
                ("k8s.container.name", "server"),
                ("k8s.namespace.name", "shop"),
            ],
        );
        assert!(Place::of(&path).is_of(None, Some(ID)));
    }

    #[test]
    fn plain_files_are_named_by_file_folder_or_operator() {
        for (path, service) in [
            ("/var/log/shop.log", "shop"),
            ("/var/log/shop.log.1", "shop"),
            ("/var/log/nginx/access.log", "nginx"),
            ("/var/log/error.log", "error"),
            ("/srv/.hidden.log", "hidden"),
            ("/", "/"),
        ] {
            assert_eq!(has(path, None, &[("service.name", service)]), Format::Plain, "{path}");
        }
        has("/var/log/shop.log", Some("cart"), &[("service.name", "cart")]);
    }

    #[test]
    fn what_the_api_tells_of_a_pod_comes_first() {
        let uid = "8d7d0b5e-6f6c-4b3b-9c1e-0a1b2c3d4e5f";
        let container = |name: &str, id: &str| Container {
            id: id.to_owned(),
            name: name.to_owned(),
            image: Some("registry.example.com/cart".to_owned()),
            tag: None,
            version: Some("1.2".to_owned()),
        };
        let pods = Pods::new(8);
        pods.put(Pod {
            namespace: "shop".to_owned(),
            name: "cart-x2x9z".to_owned(),
            uid: uid.to_owned(),
            node: Some("node-1".to_owned()),
            mirror: None,
            workload: vec![("k8s.deployment.name", "cart".to_owned())],
            containers: vec![container("proxy", "0123"), container("server", ID)],
            service: "basket".to_owned(),
            service_namespace: "store".to_owned(),
            version: None,
            declared: vec![("team".to_owned(), "blue".to_owned())],
        });
        let expect = [
            ("service.name", "basket"),
            ("service.namespace", "store"),
            ("service.version", "1.2"),
            ("k8s.deployment.name", "cart"),
            ("k8s.container.name", "server"),
            ("container.id", ID),
            ("team", "blue"),
            ("log.file.path", ""),
        ];
        let logs = [
            format!("/var/log/pods/shop_cart-x2x9z_{uid}/server/0.log"),
            format!("/var/log/containers/cart-x2x9z_shop_server-{ID}.log"),
            format!("/var/lib/docker/containers/{ID}/{ID}-json.log"),
        ];
        for path in &logs {
            let (_, all) = texts(Some(&pods), path, None);
            for (name, value) in expect {
                let of_it: Vec<&str> = all
                    .iter()
                    .filter(|(known, _)| known == name)
                    .map(|(_, value)| &**value)
                    .collect();
                let value = if value.is_empty() { path } else { value };
                assert_eq!(of_it, [value], "{name} of {path}: {all:?}");
            }
        }
        let (_, all) = texts(Some(&pods), &logs[0], Some("mine"));
        let names = all.iter().filter(|(name, _)| name == "service.name");
        assert_eq!(names.map(|(_, value)| &**value).collect::<Vec<_>>(), ["mine"]);
    }
}
