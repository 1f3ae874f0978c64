//! Where a process runs, as pure functions of the text of `/proc/PID/cgroup`: container, pod, systemd unit.
//!
//! Paths are read segment by segment and the innermost container wins (kind, docker in docker). A unit outside of the
//! container (`docker.service`) is not the process' own and is forgotten. Supervisors that sit in a scope beside the
//! container (`conmon`, `lxc.monitor`) belong to no container.

pub mod engine;
pub mod kubernetes;
pub mod place;

#[cfg(test)]
mod tests;

/// A container as its cgroup path tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// `container.id`: 64 hexadecimal digits where the engine has them, else the engine's own handle or name.
    pub id: String,
    /// `container.runtime.name`: `docker`, `containerd`, `cri-o`, `podman`, `lxc`, `systemd-nspawn`, `garden`; `None` when
    /// the path does not tell.
    pub runtime: Option<&'static str>,
}

impl Container {
    /// It runs a whole system with an init of its own (LXC, systemd-nspawn), so that a unit inside says more than its name.
    pub fn is_system(&self) -> bool {
        matches!(self.runtime, Some("lxc" | "systemd-nspawn"))
    }
}

/// A Kubernetes pod as its cgroup path tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUid {
    /// `k8s.pod.uid`, with dashes.
    pub uid: String,
    /// Quality of service class: `guaranteed`, `burstable`, `besteffort`.
    pub qos: &'static str,
}

/// What the cgroup paths of a process tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Innermost container.
    pub container: Option<Container>,
    /// Pod.
    pub pod: Option<PodUid>,
    /// Innermost systemd service within that container (or the host), without `.service`; instances of a template keep
    /// theirs (`postgresql@15-main`). Never a scope, a user manager, a D-Bus activation or a transient `run-*` unit.
    pub unit: Option<String>,
}

impl Cgroup {
    /// Reads the text of `/proc/PID/cgroup`: lines `id:controllers:path` (cgroups(7)). The version 2 line and systemd's
    /// own hierarchy are asked before the other controllers.
    pub fn parse(text: &str) -> Cgroup {
        let mut best = Cgroup::default();
        for rank in 0..3 {
            for (controllers, path) in text.lines().filter_map(line) {
                let its = match controllers {
                    "" => 0,
                    "name=systemd" => 1,
                    _ => 2,
                };
                if its != rank {
                    continue;
                }
                let found = Cgroup::from_path(path);
                if found.container.is_some() {
                    return found;
                }
                best.pod = best.pod.or(found.pod);
                best.unit = best.unit.or(found.unit);
            }
        }
        best
    }

    /// Reads one path, absolute or relative to a cgroup namespace (`/../../…`).
    pub fn from_path(path: &str) -> Cgroup {
        let mut found = Cgroup::default();
        let mut kubepods = false;
        let mut qos = "guaranteed";
        let mut hint = None;
        let mut before = "";
        for segment in path.split('/').flat_map(pieces).filter(|segment| !segment.is_empty()) {
            if segment.starts_with("kubepods") {
                kubepods = true;
            }
            if kubepods {
                for class in ["burstable", "besteffort"] {
                    if segment == class || segment.starts_with(&format!("kubepods-{class}")) {
                        qos = class;
                    }
                }
            }
            if let Some(uid) = pod_uid(segment) {
                found.pod = Some(PodUid { uid, qos });
            } else if supervises(segment) {
                return Cgroup::default();
            } else if let Some(container) = container(before, segment, hint) {
                found.container = Some(container);
                found.unit = None;
            } else if let Some(unit) = unit(segment) {
                found.unit = Some(unit);
            }
            hint = runtime(segment).or(hint);
            before = segment;
        }
        found
    }

    /// The version 2 path in the text of `/proc/PID/cgroup`, when it is more than a root.
    pub fn v2_path(text: &str) -> Option<&str> {
        text.lines()
            .filter_map(line)
            .find(|(controllers, path)| controllers.is_empty() && *path != "/")
            .map(|(_, path)| path)
    }
}

fn line(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    Some((parts.next()?, parts.next()?))
}

/// containerd without a systemd driver below a slice writes `SLICE:cri-containerd:ID` as one segment.
fn pieces(segment: &str) -> impl Iterator<Item = &str> {
    let together = !segment.contains(".slice:");
    segment.split(move |c| c == ':' && !together)
}

fn pod_uid(segment: &str) -> Option<String> {
    let name = segment.strip_suffix(".slice").unwrap_or(segment);
    let uid = match name.strip_prefix("pod") {
        Some(uid) => uid,
        None if name.starts_with("kubepods") => name.rsplit_once("-pod")?.1,
        None => return None,
    };
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let whole = uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'_');
    (digits == 32 && whole).then(|| uid.replace('_', "-"))
}

/// Scopes of the processes that watch over a container.
fn supervises(segment: &str) -> bool {
    segment.starts_with("crio-conmon-")
        || segment.starts_with("libpod-conmon-")
        || segment == "lxc.monitor"
        || segment.starts_with("lxc.monitor.")
}

const PREFIXES: &[(&str, Option<&str>)] = &[
    ("docker-", Some("docker")),
    ("cri-containerd-", Some("containerd")),
    ("containerd-", Some("containerd")),
    ("nerdctl-", Some("containerd")),
    ("crio-", Some("cri-o")),
    ("libpod-payload-", Some("podman")),
    ("libpod-", Some("podman")),
];

fn runtime(segment: &str) -> Option<&'static str> {
    match segment {
        "docker" => Some("docker"),
        "cri-containerd" | "k8s.io" => Some("containerd"),
        "libpod_parent" => Some("podman"),
        "crio" => Some("cri-o"),
        "garden" => Some("garden"),
        _ => None,
    }
}

fn container(before: &str, segment: &str, hint: Option<&'static str>) -> Option<Container> {
    let made = |id: &str, runtime| {
        Some(Container {
            id: unescape(id),
            runtime,
        })
    };
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    if is_id(name) {
        return made(name, hint);
    }
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = name.strip_prefix(prefix).filter(|id| is_id(id)) {
            return made(id, *runtime);
        }
    }
    if let Some(name) = segment.strip_prefix("lxc.payload.") {
        return made(name, Some("lxc"));
    }
    if let Some(name) = segment
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"))
    {
        return made(name, Some("systemd-nspawn"));
    }
    match before {
        "lxc" | "lxc.payload" => made(segment, Some("lxc")),
        "garden" => made(segment, Some("garden")),
        "machine.slice" if segment.ends_with(".scope") => {
            let machine = name.strip_prefix("machine-")?;
            if let Some(domain) = machine.strip_prefix("lxc\\x2d") {
                return made(domain.split_once("\\x2d").map_or(domain, |(_, name)| name), Some("lxc"));
            }
            (!machine.starts_with("qemu\\x2d")).then(|| made(machine, Some("systemd-nspawn")))?
        }
        _ => is_fargate(segment).then(|| made(segment, hint))?,
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// ECS on Fargate: `TASK-NUMBER`, 32 hexadecimal digits and up to ten decimal ones.
fn is_fargate(name: &str) -> bool {
    name.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && task.bytes().all(|b| b.is_ascii_hexdigit())
            && (1..=10).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

fn unit(segment: &str) -> Option<String> {
    let name = segment.strip_suffix(".service")?;
    let transient = name
        .strip_prefix("run-")
        .is_some_and(|rest| rest.starts_with(|c: char| matches!(c, 'u' | 'r' | 'p') || c.is_ascii_digit()))
        && name[4..]
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b'u' | b'r' | b'p' | b'i' | b'-'));
    if name.is_empty() || transient || name.starts_with("user@") || name.starts_with("dbus-:") {
        return None;
    }
    Some(unescape(name))
}

/// Undoes systemd's `\xNN` (systemd.unit(5), "String Escaping for Inclusion in Unit Names").
fn unescape(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'\\' && after.first() == Some(&b'x'))
            .then(|| after.get(1..3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(value) => {
                out.push(value);
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
