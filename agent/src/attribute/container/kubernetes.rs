//! Pods by name, from the log folders that the kubelet keeps on every node. This is the seam for the API server: whoever
//! knows more gives a [`Pod`] for the same pod uid and container id.

use crate::host::Host;

/// Entries of a log folder that are looked at.
const ENTRIES_MAX: usize = 4096;
/// Letters of generated suffixes (`k8s.io/apimachinery/pkg/util/rand`): no vowels, no digits that look like letters.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A pod by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `k8s.namespace.name`.
    pub namespace: String,
    /// `k8s.pod.name`.
    pub name: String,
    /// `k8s.container.name`, when known.
    pub container: Option<String>,
}

/// Looks a pod up: `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` by the container's id, else
/// `/var/log/pods/NAMESPACE_POD_UID` by the pod's uid (the kubelet's legacy and present log layout).
pub fn look(host: &Host, uid: &str, container: Option<&str>) -> Option<Pod> {
    let by_id = container.and_then(|id| {
        let tail = format!("-{id}.log");
        entries(host, "var/log/containers").find_map(|name| {
            let mut parts = name.strip_suffix(&tail)?.splitn(3, '_');
            Some(Pod {
                name: parts.next()?.to_owned(),
                namespace: parts.next()?.to_owned(),
                container: Some(parts.next()?.to_owned()),
            })
        })
    });
    by_id.or_else(|| {
        entries(host, "var/log/pods").find_map(|name| {
            let (rest, its) = name.rsplit_once('_')?;
            let (namespace, pod) = rest.split_once('_')?;
            (its == uid).then(|| Pod {
                namespace: namespace.to_owned(),
                name: pod.to_owned(),
                container: None,
            })
        })
    })
}

fn entries(host: &Host, folder: &str) -> impl Iterator<Item = String> {
    std::fs::read_dir(host.root.join(folder))
        .into_iter()
        .flatten()
        .take(ENTRIES_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// Name of the workload that made a pod, from the pod's name alone:
///
/// | made by | pod | workload |
/// |---|---|---|
/// | Deployment | `shop-7d4b9c6f5d-x2x9z` | `shop` |
/// | CronJob | `backup-28391820-x2x9z` | `backup` |
/// | DaemonSet, Job, ReplicaSet | `proxy-x2x9z` | `proxy` |
/// | StatefulSet | `db-0` | `db` |
/// | static pod | `etcd-NODE` | `etcd` |
/// | anything else | `shop` | `shop` |
pub fn workload<'a>(pod: &'a str, node: Option<&str>) -> &'a str {
    if let Some(name) = node
        .and_then(|node| pod.strip_suffix(node)?.strip_suffix('-'))
        .filter(|name| !name.is_empty())
    {
        return name;
    }
    let Some((rest, last)) = pod.rsplit_once('-').filter(|(rest, _)| !rest.is_empty()) else {
        return pod;
    };
    if last.len() == 5 && generated(last) {
        return match rest.rsplit_once('-') {
            Some((name, middle)) if !name.is_empty() && (template_hash(middle) || scheduled(middle)) => name,
            _ => rest,
        };
    }
    let ordinal =
        last.len() <= 4 && last.bytes().all(|b| b.is_ascii_digit()) && (last == "0" || !last.starts_with('0'));
    if ordinal && !last.is_empty() { rest } else { pod }
}

fn generated(text: &str) -> bool {
    text.bytes().all(|b| ALPHABET.contains(&b))
}

fn template_hash(text: &str) -> bool {
    (8..=10).contains(&text.len()) && generated(text)
}

/// Minutes since 1970, as the CronJob controller names its Jobs.
fn scheduled(text: &str) -> bool {
    (8..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}
