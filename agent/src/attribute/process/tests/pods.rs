//! Processes of pods of which the Kubernetes API tells, later than they are seen.

use super::*;
use crate::attribute::kubernetes::{Container, Pod};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "12345678-1234-1234-1234-123456789012";

fn pod(service: &str) -> Pod {
    Pod {
        namespace: "eu".into(),
        name: "shop-7d4b9c6f5d-x2x9z".into(),
        uid: UID.into(),
        node: Some("node-1".into()),
        mirror: None,
        workload: vec![("k8s.deployment.name", "shop".into())],
        containers: vec![Container {
            id: ID.into(),
            name: "web".into(),
            image: Some("shop".into()),
            tag: Some("1.2".into()),
            version: Some("1.2".into()),
        }],
        service: service.into(),
        service_namespace: "eu".into(),
        version: None,
        declared: vec![("team".into(), "a".into()), ("k8s.pod.name".into(), "forged".into())],
    }
}

/// A node with two processes of the pod, the second of which names itself, and one of none.
fn node(pods: &Pods) -> (Proc, Processes) {
    let proc = Proc::new();
    let cgroup = format!(
        "0::/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{ID}.scope\n",
        UID.replace('-', "_")
    );
    proc.add(key(5), "/app/web", "web", "", &cgroup);
    proc.add(key(6), "/app/web", "web", "OTEL_SERVICE_NAME=own", &cgroup);
    proc.add(key(7), "/usr/sbin/nginx", "nginx", "", "0::/system.slice/web.service\n");
    let folder = format!("var/log/pods/eu_shop-7d4b9c6f5d-x2x9z_{UID}");
    std::fs::create_dir_all(proc.0.path().join(folder)).expect("a folder");
    let config = ProcessesConfig {
        pods: Some(pods.clone()),
        ..ProcessesConfig::default()
    };
    let processes = Processes::new(proc.host(), config);
    (proc, processes)
}

fn named(processes: &mut Processes, pid: u32) -> (String, Option<String>) {
    let service = processes.service(key(pid));
    (
        service.name.to_string(),
        service.namespace.as_deref().map(str::to_owned),
    )
}

fn both(name: &str) -> (String, Option<String>) {
    (name.to_owned(), Some("eu".to_owned()))
}

#[test]
fn what_the_api_adds_later_renames_nobody_who_keeps_the_name() {
    let pods = Pods::new(8);
    let (_proc, mut processes) = node(&pods);
    assert_eq!(named(&mut processes, 5), both("shop"), "by files of the node");
    let before = processes.service(key(5));
    processes.expire(SECOND);
    pods.put(pod("shop"));
    assert!(
        Arc::ptr_eq(&before, &processes.service(key(5))),
        "until it is looked at"
    );
    processes.expire(2 * SECOND);
    assert!(!processes.take_renamed());
    assert_eq!(named(&mut processes, 5), both("shop"));
    let text = format!("{:?}", processes.service(key(5)).resource);
    for part in [
        "k8s.deployment.name",
        "node-1",
        "k8s.container.name",
        "container.image.tags",
        "service.version",
        "team",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("forged"), "{text}");
}

#[test]
fn another_name_is_told_and_stays_when_the_pod_goes() {
    let pods = Pods::new(8);
    let (_proc, mut processes) = node(&pods);
    for pid in [5, 6, 7] {
        processes.service(key(pid));
    }
    pods.put(pod("till"));
    processes.expire(SECOND);
    assert!(processes.take_renamed());
    assert_eq!(named(&mut processes, 5), both("till"));
    assert_eq!(named(&mut processes, 6), both("own"), "what it declares comes first");
    assert_eq!(named(&mut processes, 7), ("web".to_owned(), None));
    pods.remove(UID);
    processes.expire(2 * SECOND);
    assert_eq!(
        (named(&mut processes, 5), processes.take_renamed()),
        (both("till"), false)
    );
    // An ended one is what it was.
    processes.signal(&exit(key(5), 3 * SECOND));
    pods.put(pod("bank"));
    processes.expire(3 * SECOND);
    assert_eq!(
        (named(&mut processes, 5), processes.take_renamed()),
        (both("till"), false)
    );
}

#[test]
fn a_process_is_named_by_the_api_at_first_sight() {
    let pods = Pods::new(8);
    pods.put(pod("till"));
    let (_proc, mut processes) = node(&pods);
    assert_eq!(named(&mut processes, 5), both("till"));
    processes.expire(SECOND);
    assert!(!processes.take_renamed());
}
