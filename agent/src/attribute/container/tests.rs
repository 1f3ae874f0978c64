use super::place::Place;
use super::*;
use crate::host::Host;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const POD: &str = "12345678-1234-1234-1234-123456789012";

/// `ID` and `POD` (`POD_`: with underscores) stand for the constants above.
fn check(path: &str, container: Option<(&str, Option<&'static str>)>, pod: Option<&str>, unit: Option<&str>) {
    let fill = |text: &str| {
        text.replace("POD_", &POD.replace('-', "_"))
            .replace("POD", POD)
            .replace("ID", ID)
    };
    let found = Cgroup::from_path(&fill(path));
    let expect = Cgroup {
        container: container.map(|(id, runtime)| Container { id: fill(id), runtime }),
        pod: pod
            .map(|qos| match qos {
                "guaranteed" => (POD, "guaranteed"),
                "burstable" => (POD, "burstable"),
                _ => (POD, "besteffort"),
            })
            .map(|(uid, qos)| PodUid { uid: uid.into(), qos }),
        unit: unit.map(str::to_owned),
    };
    assert_eq!(found, expect, "{path}");
}

#[test]
fn engines() {
    let docker = Some(("ID", Some("docker")));
    let podman = Some(("ID", Some("podman")));
    let containerd = Some(("ID", Some("containerd")));
    check("/docker/ID", docker, None, None);
    check("/system.slice/docker-ID.scope", docker, None, None);
    check("/system.slice/docker.service/docker/ID", docker, None, None);
    check("/../../docker-ID.scope", docker, None, None);
    check("/../ID", Some(("ID", None)), None, None);
    check("/docker/ID/system.slice/nginx.service", docker, None, Some("nginx"));
    check(
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        docker,
        None,
        None,
    );
    check("/machine.slice/libpod-ID.scope", podman, None, None);
    check("/machine.slice/libpod-ID.scope/container", podman, None, None);
    check("/libpod_parent/libpod-ID", podman, None, None);
    check("/machine.slice/libpod-payload-ID", podman, None, None);
    check(
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
        podman,
        None,
        None,
    );
    check("/machine.slice/libpod-conmon-ID.scope", None, None, None);
    check("/default/ID", Some(("ID", None)), None, None);
    check("/k8s.io/ID", containerd, None, None);
    check("/system.slice/nerdctl-ID.scope", containerd, None, None);
    check(
        "/ecs/0123456789abcdef0123456789abcdef/ID",
        Some(("ID", None)),
        None,
        None,
    );
    check(
        "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
        Some(("0123456789abcdef0123456789abcdef-1234567890", None)),
        None,
        None,
    );
    check(
        "/garden/4d6f8a2b-aaaa",
        Some(("4d6f8a2b-aaaa", Some("garden"))),
        None,
        None,
    );
    check(
        "/system.slice/garden.service/garden/abc",
        Some(("abc", Some("garden"))),
        None,
        None,
    );
    check("/lxc/web", Some(("web", Some("lxc"))), None, None);
    check(
        "/lxc/web/system.slice/ssh.service",
        Some(("web", Some("lxc"))),
        None,
        Some("ssh"),
    );
    check("/lxc.payload.web/init.scope", Some(("web", Some("lxc"))), None, None);
    check("/lxc.payload/web", Some(("web", Some("lxc"))), None, None);
    check("/lxc.monitor.web", None, None, None);
    check(
        "/machine.slice/machine-web\\x2done.scope",
        Some(("web-one", Some("systemd-nspawn"))),
        None,
        None,
    );
    check(
        "/machine.slice/systemd-nspawn@web.service/payload",
        Some(("web", Some("systemd-nspawn"))),
        None,
        None,
    );
    check("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", None, None, None);
    check(
        "/machine.slice/machine-lxc\\x2d123\\x2dweb.scope",
        Some(("web", Some("lxc"))),
        None,
        None,
    );
}

#[test]
fn pods() {
    let containerd = Some(("ID", Some("containerd")));
    check("/kubepods/podPOD/ID", Some(("ID", None)), Some("guaranteed"), None);
    check(
        "/kubepods/burstable/podPOD/ID",
        Some(("ID", None)),
        Some("burstable"),
        None,
    );
    check(
        "/kubepods/besteffort/podPOD/ID",
        Some(("ID", None)),
        Some("besteffort"),
        None,
    );
    check(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
        containerd,
        Some("burstable"),
        None,
    );
    check(
        "/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope",
        Some(("ID", Some("cri-o"))),
        Some("guaranteed"),
        None,
    );
    check(
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/docker-ID.scope",
        Some(("ID", Some("docker"))),
        Some("besteffort"),
        None,
    );
    check(
        "/kubepods.slice/kubepods-podPOD_.slice/crio-conmon-ID.scope",
        None,
        None,
        None,
    );
    check(
        "/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID",
        containerd,
        Some("burstable"),
        None,
    );
    check(
        "/docker/fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210/kubelet/kubepods/burstable/podPOD/ID",
        Some(("ID", Some("docker"))),
        Some("burstable"),
        None,
    );
    check("/../../podPOD/ID", Some(("ID", None)), Some("guaranteed"), None);
    check("/kubepods/burstable/podnot-a-uid/x", None, None, None);
}

#[test]
fn units() {
    check("/system.slice/nginx.service", None, None, Some("nginx"));
    check(
        "/system.slice/system-postgresql.slice/postgresql@15-main.service",
        None,
        None,
        Some("postgresql@15-main"),
    );
    check(
        "/system.slice/system-foo.slice/foo@a\\x2db.service",
        None,
        None,
        Some("foo@a-b"),
    );
    check("/system.slice/snap.shop.web.service", None, None, Some("snap.shop.web"));
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service",
        None,
        None,
        Some("shop"),
    );
    check(
        "/user.slice/user-1000.slice/user@1000.service/init.scope",
        None,
        None,
        None,
    );
    check(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-x-12.scope",
        None,
        None,
        None,
    );
    check("/user.slice/user-1000.slice/session-3.scope", None, None, None);
    check("/init.scope", None, None, None);
    check("/system.slice/run-u17.service", None, None, None);
    check("/system.slice/run-r0a1b2c.service", None, None, None);
    check("/system.slice/run-p123-i456.service", None, None, None);
    check("/system.slice/run-shop.service", None, None, Some("run-shop"));
    check("/system.slice/dbus-:1.2-org.x@0.service", None, None, None);
    check("/system.slice/docker.service", None, None, Some("docker"));
    check("/system.slice/nginx.service/inner", None, None, Some("nginx"));
    check("/", None, None, None);
    check("", None, None, None);
    check("/system.slice/.service", None, None, None);
    check("/system.slice/\\xz.service", None, None, Some("\\xz"));
    check("/system.slice/run-é.service", None, None, Some("run-é"));
}

#[test]
fn of_several_hierarchies_the_one_that_knows_is_taken() {
    let text = format!("12:memory:/docker/{ID}\n1:name=systemd:/system.slice/x.service\n0::/\n");
    let found = Cgroup::parse(&text);
    assert_eq!(found.container.map(|container| container.id).as_deref(), Some(ID));
    let found = Cgroup::parse("5:cpu:/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n0::/\n");
    assert_eq!(found.unit.as_deref(), Some("b"));
    let found = Cgroup::parse("1:name=systemd:/system.slice/b.service\n0::/system.slice/c.service\n");
    assert_eq!(found.unit.as_deref(), Some("c"));
    assert_eq!(Cgroup::parse("garbage\n\n0:\n"), Cgroup::default());
}

#[test]
fn workloads() {
    for (pod, node, workload) in [
        ("shop-7d4b9c6f5d-x2x9z", None, "shop"),
        ("shop-web-5b8c7d9f4-k8sjz", None, "shop-web"),
        ("backup-28391820-x2x9z", None, "backup"),
        ("kube-proxy-x2x9z", None, "kube-proxy"),
        ("db-0", None, "db"),
        ("db-12", None, "db"),
        ("db-01", None, "db-01"),
        ("shop", None, "shop"),
        ("shop-stats", None, "shop-stats"),
        ("etcd-node-1", Some("node-1"), "etcd"),
        ("x2x9z", None, "x2x9z"),
        ("-x2x9z", None, "-x2x9z"),
        ("", None, ""),
    ] {
        assert_eq!(kubernetes::workload(pod, node), workload, "{pod}");
    }
}

fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = dir.path().join(path.replace("ID", ID).replace("POD", POD));
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, content.replace("ID", ID)).expect("a file");
    }
    let host = Host {
        root: dir.path().to_owned(),
        ..Host::default()
    };
    (dir, host)
}

fn look(host: &Host, path: &str) -> Place {
    Place::look(host, Cgroup::from_path(&path.replace("ID", ID).replace("POD", POD)))
}

#[test]
fn engines_tell_names() {
    let (_dir, host) = root(&[
        (
            "var/lib/docker/containers/ID/config.v2.json",
            r#"{"Name":"/shop","Config":{"Image":"shop:1.2","Env":["SECRET=1"]},"State":{}}"#,
        ),
        (
            "var/lib/containers/storage/overlay-containers/containers.json",
            r#"[{"id":"other"},{"id":"ID","names":["pod-shop"]}]"#,
        ),
    ]);
    let place = look(&host, "/docker/ID");
    assert_eq!(
        (place.engine.name.as_deref(), place.engine.image.as_deref()),
        (Some("shop"), Some("shop:1.2"))
    );
    assert_eq!(
        look(&host, "/libpod_parent/libpod-ID").engine.name.as_deref(),
        Some("pod-shop")
    );
    assert_eq!(look(&host, "/lxc/web").engine.name.as_deref(), Some("web"));
    assert_eq!(look(&host, "/garden/..").engine, engine::Named::default());
    assert_eq!(
        look(&host, "/system.slice/cri-containerd-ID.scope").engine,
        engine::Named::default()
    );
}

#[test]
fn broken_files_of_engines_tell_nothing() {
    let (_dir, host) = root(&[("var/lib/docker/containers/ID/config.v2.json", "{\"Name\":")]);
    assert_eq!(look(&host, "/docker/ID").engine, engine::Named::default());
}

#[test]
fn the_kubelets_log_folders_tell_pods() {
    let (_dir, host) = root(&[
        ("var/log/pods/other_x_00000000/web/0.log", ""),
        ("var/log/pods/default_shop-7d4b9c6f5d-x2x9z_POD/web/0.log", ""),
    ]);
    let place = look(&host, "/kubepods/podPOD/ID");
    let pod = place.pod.expect("a pod");
    assert_eq!(
        (pod.namespace.as_str(), pod.name.as_str(), pod.container),
        ("default", "shop-7d4b9c6f5d-x2x9z", None)
    );
    let (_dir, host) = root(&[("var/log/containers/shop-0_eu_web-app-ID.log", "")]);
    let pod = look(&host, "/kubepods/podPOD/ID").pod.expect("a pod");
    assert_eq!(
        (pod.namespace.as_str(), pod.name.as_str(), pod.container.as_deref()),
        ("eu", "shop-0", Some("web-app"))
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in r"([0-9]{0,2}:[a-z=]{0,9}:)?(/|run-|lxc|pod|-|\\.service|\\.scope|\\.slice:|machine|\\\\x[0-9a-z]{0,2}|\\PC|[0-9a-f]{64}){0,12}\n?") {
        Cgroup::parse(&text);
        Cgroup::from_path(&text);
        kubernetes::workload(&text, Some("node"));
    }
}
