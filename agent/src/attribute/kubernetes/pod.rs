//! What is kept of a pod, and what of it names a service.

use super::super::container::kubernetes;
use super::image::Image;
use super::object::{ATTRIBUTES_MAX, ContainerStatus, PARTS_MAX, PodObject};
use super::owner::workload;

/// Longest name of an object (RFC 1123 subdomain) and longest id of a container that is taken, bytes.
const NAME_MAX: usize = 253;
/// Longest name of an image, bytes.
const IMAGE_MAX: usize = 512;

/// A pod. At most 64 containers of each sort and 32 attributes of it, their texts bounded: some hundred bytes
/// as a rule, 160 KiB at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `k8s.namespace.name`.
    pub namespace: String,
    /// `k8s.pod.name`.
    pub name: String,
    /// `k8s.pod.uid`.
    pub uid: String,
    /// `k8s.node.name`.
    pub node: Option<String>,
    /// Uid that cgroups and folders of logs have for a static pod, which the API has under another.
    pub mirror: Option<String>,
    /// `k8s.deployment.name` and the like.
    pub workload: Vec<(&'static str, String)>,
    /// Containers that run or ran.
    pub containers: Vec<Container>,
    /// `service.name` by the rules of [`Pod::new`].
    pub service: String,
    /// `service.namespace`.
    pub service_namespace: String,
    /// `service.version` where it is declared; else see [`Container::version`].
    pub version: Option<String>,
    /// Attributes that annotations declare, without those above.
    pub declared: Vec<(String, String)>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// `container.id`, without the runtime's name before it.
    pub id: String,
    /// `k8s.container.name`.
    pub name: String,
    /// `container.image.name`, without tag.
    pub image: Option<String>,
    /// `container.image.tags`: the one that the pod names.
    pub tag: Option<String>,
    /// `service.version` by the image's tag and digest.
    pub version: Option<String>,
}

impl Pod {
    /// Keeps what is needed. `labels`: well-known labels may name the service. `None`: it has ended, or has no name.
    ///
    /// `service.name` is the first of these that is there: the annotation `resource.opentelemetry.io/service.name`; with `labels` the
    /// labels `app.kubernetes.io/instance` and `app.kubernetes.io/name`; the workload, from the highest in rank down; what the pod's name
    /// tells of it ([`kubernetes::workload`]). `service.namespace`: the annotation, else the pod's namespace. `service.version`: the
    /// annotation, with `labels` the label `app.kubernetes.io/version`, else that of the container's image.
    pub(super) fn new(object: PodObject, labels: bool) -> Option<Pod> {
        let status = object.status.unwrap_or_default();
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return None;
        }
        let meta = object.metadata;
        let (namespace, name, uid) = (named(meta.namespace)?, named(meta.name)?, named(meta.uid)?);
        let node = object.spec.and_then(|spec| named(spec.node_name));
        let owners = meta.owner_references.unwrap_or_default();
        let controller = owners
            .into_iter()
            .take(PARTS_MAX)
            .find(|owner| owner.controller == Some(true));
        let made = controller
            .and_then(|owner| Some(workload(&owner.kind, &named(Some(owner.name))?, &meta.labels)))
            .unwrap_or_default();
        let mut declared = meta.annotations.attributes;
        let mut take = |name: &str| {
            let at = declared.iter().position(|(known, _)| known == name)?;
            Some(declared.remove(at).1)
        };
        let (service, service_namespace) = (take("service.name"), take("service.namespace"));
        let version = take("service.version");
        // One pod may hold many processes, and an instance is one of them.
        take("service.instance.id");
        let well_known = |label: Option<String>| label.filter(|_| labels);
        let service = service
            .or(well_known(meta.labels.instance))
            .or(well_known(meta.labels.name))
            .or(made.name)
            .unwrap_or_else(|| kubernetes::workload(&name, node.as_deref()).to_owned());
        debug_assert!(declared.len() <= ATTRIBUTES_MAX);
        let statuses = [
            status.container_statuses,
            status.init_container_statuses,
            status.ephemeral_container_statuses,
        ];
        let statuses = statuses.into_iter().flatten();
        Some(Pod {
            service,
            service_namespace: service_namespace.unwrap_or_else(|| namespace.clone()),
            version: version.or(well_known(meta.labels.version)),
            mirror: named(meta.annotations.mirror).filter(|mirror| *mirror != uid),
            workload: made.attributes,
            containers: statuses
                .flat_map(|sort| sort.into_iter().take(PARTS_MAX))
                .filter_map(Container::new)
                .collect(),
            declared,
            namespace,
            name,
            uid,
            node,
        })
    }
}

impl Container {
    fn new(status: ContainerStatus) -> Option<Container> {
        let id = status.container_id?;
        let id = id.split_once("://").map_or(id.as_str(), |(_, id)| id);
        let image = status.image.filter(|image| image.len() <= IMAGE_MAX && plain(image));
        let image = image.as_deref().and_then(Image::parse);
        Some(Container {
            id: named(Some(id.to_owned()))?,
            name: named(Some(status.name))?,
            image: image.map(|image| image.name.to_owned()),
            tag: image.and_then(|image| image.tag).map(str::to_owned),
            version: image.and_then(Image::version),
        })
    }
}

/// A name as the API server takes it. It checks names itself; what is none came from something else.
fn named(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.is_empty() && name.len() <= NAME_MAX && plain(name))
}

fn plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
