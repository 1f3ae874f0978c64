//! What is kept of a pod.

use super::super::object::{Annotations, PodList, PodObject};
use super::*;
use proptest::prelude::*;

fn kept(object: Value, labels: bool) -> Option<Pod> {
    Pod::new(serde_json::from_value(object).expect("a pod"), labels)
}

#[test]
fn a_pod_of_a_deployment() {
    let found = kept(pod("shop-7d4b9c6f5d-x2x9z", 3), true).expect("kept");
    let expect = Pod {
        namespace: "eu".into(),
        name: "shop-7d4b9c6f5d-x2x9z".into(),
        uid: uid("shop-7d4b9c6f5d-x2x9z"),
        node: Some("node-1".into()),
        mirror: None,
        workload: vec![
            ("k8s.deployment.name", "shop".into()),
            ("k8s.replicaset.name", "shop-7d4b9c6f5d".into()),
        ],
        containers: vec![Container {
            id: id("shop-7d4b9c6f5d-x2x9z"),
            name: "web".into(),
            image: Some("registry.example.com/shop".into()),
            tag: Some("1.2".into()),
            version: Some("1.2".into()),
        }],
        service: "shop".into(),
        service_namespace: "eu".into(),
        version: None,
        declared: vec![],
    };
    assert_eq!(found, expect);
}

/// Takes away what a rule knows, rule by rule.
#[test]
fn the_first_rule_that_knows_names_the_service() {
    let mut object = pod("db-0", 3);
    let prefix = "resource.opentelemetry.io";
    let meta = &mut object["metadata"];
    meta["annotations"] = json!({
        format!("{prefix}/service.name"): "declared", format!("{prefix}/service.namespace"): "ours",
        format!("{prefix}/service.version"): "3", format!("{prefix}/service.instance.id"): "one", format!("{prefix}/team"): "a",
    });
    meta["labels"] = json!({
        "app.kubernetes.io/instance": "release", "app.kubernetes.io/name": "app", "app.kubernetes.io/version": "2",
    });
    meta["ownerReferences"] = json!([
        {"kind": "Other", "name": "other"}, {"kind": "StatefulSet", "name": "database", "controller": true},
    ]);
    let mut check = |labels: bool, name: &str, namespace: &str, version: Option<&str>, forget: fn(&mut Value)| {
        let found = kept(object.clone(), labels).expect("kept");
        let its = (&*found.service, &*found.service_namespace, found.version.as_deref());
        assert_eq!(its, (name, namespace, version));
        forget(&mut object["metadata"]);
        found
    };
    let found = check(false, "declared", "ours", Some("3"), |meta| {
        meta["annotations"] = Value::Null
    });
    assert_eq!(found.declared, [("team".to_owned(), "a".to_owned())]);
    check(false, "database", "eu", None, |_| {});
    check(true, "release", "eu", Some("2"), |meta| {
        meta["labels"] = json!({"app.kubernetes.io/name": "app"});
    });
    check(true, "app", "eu", None, |meta| meta["labels"] = Value::Null);
    check(true, "database", "eu", None, |meta| {
        meta["ownerReferences"] = Value::Null
    });
    check(true, "db", "eu", None, |_| {});
}

#[test]
fn a_static_pod_has_the_uid_of_its_cgroup_too() {
    let mut object = pod("etcd-node-1", 3);
    object["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "0123456789abcdef0123456789abcdef"});
    object["metadata"]["ownerReferences"] = json!([{"kind": "Node", "name": "node-1", "controller": true}]);
    let found = kept(object, false).expect("kept");
    assert_eq!((&*found.service, &found.workload[..]), ("etcd", &[][..]));
    let pods = Pods::new(1);
    pods.put(found);
    let known = pods.of_uid("0123456789abcdef0123456789abcdef").expect("known");
    assert_eq!((&*known.pod.uid, known.container()), (&*uid("etcd-node-1"), None));
    pods.remove(&uid("etcd-node-1"));
    assert_eq!(pods.of_uid("0123456789abcdef0123456789abcdef"), None);
}

#[test]
fn pods_without_names_and_ended_ones_are_left_out() {
    for (at, value) in [
        ("/metadata/name", json!("")),
        ("/metadata/uid", Value::Null),
        ("/metadata/namespace", json!("a b")),
        ("/metadata/name", json!("x".repeat(254))),
        ("/status/phase", json!("Failed")),
        ("/status/phase", json!("Succeeded")),
    ] {
        let mut object = pod("a", 3);
        *object.pointer_mut(at).expect("there") = value.clone();
        assert_eq!(kept(object, false), None, "{at} {value}");
    }
}

#[test]
fn what_annotations_and_containers_add_is_bounded() {
    let mut object = pod("a", 3);
    for number in 0..100 {
        let name = format!("resource.opentelemetry.io/k{number:03}");
        object["metadata"]["annotations"][name] = "v\n".repeat(1000).into();
        let statuses = object["status"]["containerStatuses"].as_array_mut().expect("a list");
        statuses.push(
            json!({"name": format!("c{number}"), "containerID": format!("cri-o://{number}"), "image": "sha256:ab"}),
        );
    }
    object["status"]["initContainerStatuses"] =
        json!([{"name": "init", "image": "x".repeat(600), "containerID": "containerd://i"}]);
    let found = kept(object, false).expect("kept");
    assert_eq!((found.declared.len(), found.containers.len()), (32, 65));
    assert!(
        found
            .declared
            .iter()
            .all(|(_, value)| value.len() <= 128 && !value.contains('\n'))
    );
    let init = found.containers.last().expect("some");
    assert_eq!((&*init.id, &init.image, &init.version), ("i", &None, &None));
}

#[test]
fn texts_that_are_none_are_mistakes_only_where_they_are_wanted() {
    let read = |text: &str| {
        serde_json::from_str::<Annotations>(text)
            .ok()
            .map(|kept| kept.attributes.len())
    };
    assert_eq!(read("null"), Some(0));
    assert_eq!(
        read(r#"{"a": [1, {"b": null}], "resource.opentelemetry.io/a": "x"}"#),
        Some(1)
    );
    assert_eq!(
        read(r#"{"resource.opentelemetry.io/a": " ", "resource.opentelemetry.io/": "x"}"#),
        Some(0)
    );
    assert_eq!(read(r#"{"resource.opentelemetry.io/a": 1}"#), None);
    assert_eq!(read("[]"), None);
}

#[test]
fn a_container_that_another_pod_has_now_stays_with_it() {
    let pods = Pods::new(2);
    let mut other = pod("b", 4);
    other["status"]["containerStatuses"][0]["containerID"] = format!("containerd://{}", id("a")).into();
    pods.put(kept(pod("a", 3), false).expect("kept"));
    pods.put(kept(other, false).expect("kept"));
    pods.remove(&uid("a"));
    assert_eq!(
        pods.of_container(&id("a")).map(|found| found.pod.name.clone()),
        Some("b".into())
    );
}

proptest! {
    /// Bytes that are changed or missing never do more than be refused, and what is taken of them is bounded.
    #[test]
    fn broken_lists_are_refused(at in 0usize..3000, byte in any::<u8>(), end in 0usize..3000) {
        let mut text = list(&[pod("a", 3), pod("b", 4)], 7, "x").into_bytes();
        if let Some(place) = text.get_mut(at) {
            *place = byte;
        }
        let whole = serde_json::from_slice::<PodList>(&text);
        for object in whole.into_iter().filter_map(|list| list.items).flatten() {
            if let Some(pod) = Pod::new(object, true) {
                prop_assert!(pod.name.len() <= 253 && pod.containers.len() <= 1);
            }
        }
        text.truncate(end);
        let _ = serde_json::from_slice::<PodList>(&text);
        let _ = serde_json::from_slice::<PodObject>(&text);
    }
}
