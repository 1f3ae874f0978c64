//! The watch against a server that answers as scripted; objects as a real server writes them.

mod account;
mod bounds;
mod objects;
mod server;
mod troubles;

use super::*;
use serde_json::{Value, json};
use server::{Answer, Call, End, Server};
use std::time::Duration;

/// A pod as the API has it, with much that nobody wants.
fn pod(name: &str, version: u64) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "eu", "uid": uid(name), "resourceVersion": version.to_string(),
            "generateName": "shop-7d4b9c6f5d-", "creationTimestamp": "2026-01-02T15:04:05Z",
            "labels": {"app": "shop", "pod-template-hash": "7d4b9c6f5d"},
            "annotations": {"cni.example.com/addresses": "[\"192.0.2.7\"]"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-7d4b9c6f5d", "uid": "u",
                "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:phase": {}}}}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "shop:1.2", "env": [{"name": "A", "value": "b"}]}]},
        "status": {
            "phase": "Running", "podIP": "192.0.2.7", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "web", "containerID": format!("containerd://{}", id(name)), "image": "registry.example.com/shop:1.2",
                "imageID": "registry.example.com/shop@sha256:ab", "ready": true, "restartCount": 0, "state": {"running": {}},
            }],
        },
    })
}

fn uid(name: &str) -> String {
    format!("uid-of-{name}")
}

fn id(name: &str) -> String {
    format!("id-of-{name}")
}

fn list(pods: &[Value], version: u64, next: &str) -> String {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": pods})
        .to_string()
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn bookmark(version: u64) -> String {
    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string()},
        "spec": {"containers": null}, "status": {}});
    event("BOOKMARK", &object)
}

/// A server, and what a watch of it knows.
struct Watched {
    server: Server,
    pods: Pods,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn settings(server: &str) -> Settings {
    Settings {
        server: reqwest::Url::parse(server).expect("a URL"),
        node: "node-1".into(),
        token_file: None,
        ca_file: None,
        labels: false,
        timing: Timing {
            silence: Duration::from_secs(60),
            pause: Duration::from_millis(5),
            pause_max: Duration::from_millis(50),
            ..Timing::default()
        },
    }
}

impl Watched {
    async fn start(answers: Vec<Answer>) -> Watched {
        Watched::with(answers, 100, |_| {}).await
    }

    async fn with(answers: Vec<Answer>, limit: usize, change: impl FnOnce(&mut Settings)) -> Watched {
        let server = Server::start(None, answers).await;
        let mut settings = settings(&format!("http://{}", server.address));
        change(&mut settings);
        Watched::of(server, settings, limit)
    }

    fn of(server: Server, settings: Settings, limit: usize) -> Watched {
        let pods = Pods::new(limit);
        let task = tokio::spawn(watch(settings, pods.clone()));
        Watched { server, pods, task }
    }

    /// Waits until something holds.
    async fn until(&self, what: &str, holds: impl Fn(&Watched) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(waited.is_ok(), "{what}: {:?} {:?}", self.names(), self.server.calls());
    }

    /// Waits until so many requests have come, the last of which is unanswered, so that all before were dealt with.
    async fn calls(&self, count: usize) -> Vec<Call> {
        self.until("requests", |watched| watched.server.calls().len() >= count)
            .await;
        let calls = self.server.calls();
        assert_eq!(calls.len(), count, "{calls:?}");
        calls
    }

    /// Names of known pods.
    fn names(&self) -> Vec<String> {
        self.pods.all()
    }

    fn errors(&self, reason: Reason) -> u64 {
        self.pods.counts().errors(reason)
    }
}

#[tokio::test]
async fn pages_are_listed_and_then_watched() {
    let watched = Watched::start(vec![
        Answer::whole(list(&[pod("a", 3), pod("b", 4)], 7, "page two")),
        Answer::whole(list(&[pod("c", 5)], 7, "")),
        Answer::stream(
            [
                event("ADDED", &pod("d", 8)),
                event("MODIFIED", &pod("a", 9)) + &event("DELETED", &pod("b", 10)),
                bookmark(12),
            ],
            End::Whole,
        ),
    ])
    .await;
    let calls = watched.calls(4).await;
    assert_eq!(watched.names(), ["a", "c", "d"]);
    assert!(calls.iter().all(|call| {
        call.path == "/api/v1/pods"
            && call.get("fieldSelector") == Some("spec.nodeName=node-1")
            && call.authorization.is_none()
    }));
    let told = |name: &str| calls.iter().map(|call| call.get(name)).collect::<Vec<_>>();
    assert_eq!(told("limit"), [Some("64"), Some("64"), None, None]);
    assert_eq!(told("continue"), [None, Some("page two"), None, None]);
    assert_eq!(told("resourceVersion"), [Some("0"), None, Some("7"), Some("12")]);
    assert_eq!(told("watch"), [None, None, Some("true"), Some("true")]);
    assert_eq!(told("allowWatchBookmarks"), told("watch"));
    assert_eq!(told("timeoutSeconds"), [None, None, Some("300"), Some("300")]);
    let counts = watched.pods.counts();
    assert_eq!(counts.lists(), 1);
    assert_eq!([0, 1, 2, 3, 4].map(|at| counts.events(at)), [1, 1, 1, 1, 0]);
    assert!(counts.age() < 60.0);
    assert!(Reason::ALL.iter().all(|reason| watched.errors(*reason) == 0));
}

#[tokio::test]
async fn what_is_known_of_a_process_follows_its_pod() {
    let mut begun = pod("a", 3);
    begun["status"] = json!({"phase": "Pending"});
    let watched = Watched::start(vec![
        Answer::whole(list(&[begun], 7, "")),
        Answer::stream([event("MODIFIED", &pod("a", 8))], End::Whole),
        Answer::stream([event("MODIFIED", &pod("a", 9))], End::Whole),
    ])
    .await;
    watched.calls(4).await;
    let found = watched.pods.of_container(&id("a")).expect("known");
    assert_eq!(
        watched.pods.of_uid(&uid("a")).map(|of_uid| of_uid.pod),
        Some(found.pod.clone())
    );
    assert_eq!(found.container().map(|container| &*container.name), Some("web"));
    assert_eq!((&*found.pod.service, &*found.pod.service_namespace), ("shop", "eu"));
    assert_eq!(watched.pods.changes(), 2, "the third tells nothing new");
    assert_eq!(watched.pods.of_container("other"), None);
}

#[tokio::test]
async fn a_pod_that_ended_is_forgotten_and_its_name_stays_with_who_has_it() {
    let mut ended = pod("a", 8);
    ended["status"]["phase"] = "Succeeded".into();
    let watched = Watched::start(vec![
        Answer::whole(list(&[pod("a", 3), pod("b", 4)], 7, "")),
        Answer::stream([event("MODIFIED", &ended)], End::Whole),
    ])
    .await;
    watched.calls(3).await;
    assert_eq!(watched.names(), ["b"]);
    assert_eq!(watched.pods.of_container(&id("a")), None);
    assert_eq!(watched.pods.changes(), 2);
}
