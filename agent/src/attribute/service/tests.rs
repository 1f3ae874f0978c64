use super::super::container::{Cgroup, engine::Named, kubernetes::Pod};
use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const KEY: ProcessKey = ProcessKey { pid: 42, start: 7 };

fn place(cgroup: &str) -> Place {
    Place {
        cgroup: Cgroup::from_path(cgroup),
        ..Place::default()
    }
}

/// Takes away what a rule knows, rule by rule.
#[test]
fn the_first_rule_that_knows_names_the_service() {
    let cgroup = format!("/kubepods/pod12345678-1234-1234-1234-123456789012/{ID}/system.slice/unit.service");
    let mut place = place(&cgroup);
    place.engine.name = Some("container".into());
    place.pod = Some(Pod {
        namespace: "default".into(),
        name: "workload-7d4b9c6f5d-x2x9z".into(),
        container: None,
    });
    let mut facts = Facts {
        comm: Some("comm".into()),
        program: Program {
            script: Some("script".into()),
            exe_name: Some("exe".into()),
            ..Program::default()
        },
        declared: Some(Declared {
            name: Some("declared".into()),
            ..Declared::default()
        }),
        place: None,
    };
    let mut check = |expect: &str, place: &Place, forget: fn(&mut Facts)| {
        facts.place = Some(Arc::new(place.clone()));
        assert_eq!(facts.name(None, None), expect);
        forget(&mut facts);
    };
    check("declared", &place, |facts| facts.declared = None);
    check("workload", &place, |_| {});
    place.pod = None;
    check("container", &place, |_| {});
    place.engine = Named::default();
    check("unit", &place, |_| {});
    place.cgroup.unit = None;
    check("script", &place, |facts| facts.program.script = None);
    check("exe", &place, |facts| facts.program.exe_name = None);
    check("comm", &place, |facts| facts.comm = None);
    check(UNKNOWN, &place, |_| {});
}

#[test]
fn a_unit_inside_of_a_system_container_comes_before_its_name() {
    let mut facts = Facts::default();
    for (path, name) in [
        ("/lxc.payload.web/system.slice/nginx.service", "nginx"),
        ("/lxc.payload.web/init.scope", "web"),
    ] {
        let mut place = place(path);
        place.engine.name = Some("web".into());
        facts.place = Some(Arc::new(place));
        assert_eq!(facts.name(None, None), name);
    }
}

fn attributes(facts: &Facts, host: Option<&str>) -> Vec<String> {
    let service = facts.service(KEY, host.map(Arc::from).as_ref(), None);
    let text = |(name, value): &Attribute| match value {
        AttributeValue::Text(text) => format!("{name}={text}"),
        AttributeValue::Int(value) => format!("{name}={value}"),
        other => panic!("{other:?}"),
    };
    service.resource.attributes.iter().map(text).collect()
}

#[test]
fn a_resource_of_nothing_known() {
    let expect = [
        "service.name=unknown",
        "process.pid=42",
        "os.type=linux",
        "service.instance.id=42:7",
    ];
    assert_eq!(attributes(&Facts::default(), None), expect);
}

#[test]
fn declared_attributes_join_but_cannot_deny_what_the_kernel_knows() {
    let facts = Facts {
        program: Program::new(b"/usr/bin/python3", b"python3\0app.py\0--password=hunter2\0", || None),
        declared: Declared::parse(
            b"OTEL_SERVICE_NAME=shop\0SECRET=hunter2\0OTEL_RESOURCE_ATTRIBUTES=service.namespace=eu,process.pid=1,container.id=x,\
              service.instance.id=one,k8s.pod.name=p,team=a\0",
        ),
        place: Some(Arc::new(place(&format!("/system.slice/docker-{ID}.scope")))),
        ..Facts::default()
    };
    let container = format!("container.id={ID}");
    let expect = [
        "service.name=shop",
        "service.namespace=eu",
        "process.pid=42",
        "process.executable.name=python3",
        "process.executable.path=/usr/bin/python3",
        "process.command=python3",
        "process.runtime.name=cpython",
        "os.type=linux",
        &container,
        "container.runtime.name=docker",
        "service.instance.id=one",
        "k8s.pod.name=p",
        "team=a",
        "host.name=h",
    ];
    assert_eq!(attributes(&facts, Some("h")), expect);
}

#[test]
fn a_pods_namespace_is_the_services_unless_the_process_says_otherwise() {
    let mut facts = Facts::default();
    let mut place = place("/system.slice/unit.service");
    place.pod = Some(Pod {
        namespace: "eu".into(),
        name: "shop-0".into(),
        container: None,
    });
    facts.place = Some(Arc::new(place));
    let namespace = |facts: &Facts| facts.service(KEY, None, None).namespace;
    assert_eq!(namespace(&facts).as_deref(), Some("eu"));
    facts.declared = Declared::parse(b"OTEL_RESOURCE_ATTRIBUTES=service.namespace=own");
    assert_eq!(namespace(&facts).as_deref(), Some("own"));
}
