use super::*;
use crate::collectors::node::dbus::mock::{Manner, Mock};
use crate::collectors::node::testing::Fixture;
use zbus::Variant;

type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    ObjectPath<'static>,
    u32,
    String,
    ObjectPath<'static>,
);

const UNITS: [(&str, &str, &str); 9] = [
    ("shop.service", "loaded", "active"),
    ("bare.service", "loaded", "failed"),
    ("gone.service", "not-found", "inactive"),
    ("web.socket", "loaded", "active"),
    ("old.socket", "loaded", "inactive"),
    ("daily.timer", "loaded", "active"),
    ("data.mount", "loaded", "active"),
    ("user.slice", "loaded", "active"),
    ("late.path", "loaded", "reloading"),
];

fn path(unit: &str) -> String {
    format!("/org/freedesktop/systemd1/unit/{}", unit.replace('.', "_2e"))
}

/// A systemd of that version.
fn systemd(version: &str, manner: Manner) -> Mock {
    let mut mock = Mock::new(manner);
    mock.property(MANAGER.path, "Manager.Version", version);
    mock.property(MANAGER.path, "Manager.Virtualization", "kvm");
    mock.property(MANAGER.path, "Manager.SystemState", "running");
    let rows = UNITS.map(|(name, loaded, active)| -> Row {
        let text = str::to_owned;
        let at = ObjectPath::try_from(path(name)).unwrap();
        let none = ObjectPath::try_from("/").unwrap();
        (
            text(name),
            text("A unit"),
            text(loaded),
            text(active),
            text("sub"),
            text(""),
            at,
            0,
            text(""),
            none,
        )
    });
    mock.put(MANAGER.path, "ListUnits", rows.to_vec());
    let properties: [(&str, &str, Variant<'_>); 15] = [
        ("shop.service", "Service.Type", "notify".into()),
        ("shop.service", "Service.NRestarts", 3u32.into()),
        ("shop.service", "Service.TasksCurrent", 7u64.into()),
        ("shop.service", "Service.TasksMax", u64::MAX.into()),
        (
            "shop.service",
            "Unit.ActiveEnterTimestamp",
            1_700_000_000_123_456_u64.into(),
        ),
        ("web.socket", "Socket.NAccepted", 5u32.into()),
        ("web.socket", "Socket.NConnections", 2u32.into()),
        ("web.socket", "Socket.NRefused", 1u32.into()),
        ("web.socket", "Unit.ActiveEnterTimestamp", 0u64.into()),
        // Before systemd 239.
        ("old.socket", "Socket.NAccepted", 0u32.into()),
        ("old.socket", "Socket.NConnections", 0u32.into()),
        ("daily.timer", "Timer.LastTriggerUSec", 1_700_000_001_500_000_u64.into()),
        ("data.mount", "Mount.Type", "ext4".into()),
        ("data.mount", "Mount.Where", "/data".into()),
        // Of another type than it should be.
        ("bare.service", "Service.NRestarts", "many".into()),
    ];
    for (unit, name, value) in properties {
        mock.property(&path(unit), name, value);
    }
    mock
}

fn fixture(mock: Mock) -> Fixture {
    let fixture = Fixture::new(&[]);
    mock.serve(&fixture.host().root.join("run/dbus/system_bus_socket"));
    fixture
}

/// The five states of a unit.
fn states(name: &str, active: &str, kind: &str) -> String {
    let line = |state: &str| {
        let value = u8::from(state == active);
        format!("node_systemd_unit_state{{name=\"{name}\",state=\"{state}\",type=\"{kind}\"}} {value}\n")
    };
    STATES.map(line).concat()
}

#[test]
fn units_of_a_system() {
    let expected = [
        "node_systemd_version{version=\"257.9-1~deb13u1\"} 257.9
node_systemd_virtualization_info{virtualization_type=\"kvm\"} 1
node_systemd_system_running 1
node_systemd_units{state=\"activating\"} 0
node_systemd_units{state=\"active\"} 5
node_systemd_units{state=\"deactivating\"} 0
node_systemd_units{state=\"failed\"} 1
node_systemd_units{state=\"inactive\"} 2
node_systemd_units{state=\"reloading\"} 1
",
        &states("shop.service", "active", "notify"),
        &states("bare.service", "failed", ""),
        &states("web.socket", "active", ""),
        &states("old.socket", "inactive", ""),
        &states("daily.timer", "active", ""),
        &states("late.path", "reloading", ""),
        "node_systemd_timer_last_trigger_seconds{name=\"daily.timer\"} 1.7000000015e+09
node_systemd_socket_accepted_connections_total{name=\"web.socket\"} 5
node_systemd_socket_accepted_connections_total{name=\"old.socket\"} 0
node_systemd_socket_current_connections{name=\"web.socket\"} 2
node_systemd_socket_current_connections{name=\"old.socket\"} 0
node_systemd_socket_refused_connections_total{name=\"web.socket\"} 1
",
    ];
    let text = fixture(systemd("257.9-1~deb13u1", Manner::Proper)).text(&COLLECTOR);
    assert_eq!(text, expected.concat());
}

#[test]
fn more_when_it_is_asked_for() {
    let fixture = fixture(systemd("255", Manner::Proper))
        .set("collector.systemd.enable-task-metrics", "true")
        .set("collector.systemd.enable-restarts-metrics", "true")
        .set("collector.systemd.enable-start-time-metrics", "true")
        .set("collector.systemd.unit-include", "(shop|bare|web|data)[.].*|data")
        .set("collector.systemd.unit-exclude", "shop|web|bare.service");
    let text = fixture.text(&COLLECTOR);
    let (before, rest) = text.split_at(text.find("node_systemd_unit_state").unwrap());
    assert!(
        before.starts_with("node_systemd_version{version=\"255\"} 255\n"),
        "{before}"
    );
    let expected = [
        &states("shop.service", "active", "notify"),
        &states("web.socket", "active", ""),
        &states("data.mount", "active", "ext4"),
        // That of the mount cannot be had.
        "node_systemd_service_restart_total{name=\"shop.service\"} 3
node_systemd_unit_start_time_seconds{name=\"shop.service\"} 1.700000000123456e+09
node_systemd_unit_start_time_seconds{name=\"web.socket\"} 0
node_systemd_unit_tasks_current{name=\"shop.service\"} 7
node_systemd_socket_accepted_connections_total{name=\"web.socket\"} 5
node_systemd_socket_current_connections{name=\"web.socket\"} 2
node_systemd_socket_refused_connections_total{name=\"web.socket\"} 1
",
    ];
    assert_eq!(rest, expected.concat());
}

#[test]
fn an_old_one_tells_less() {
    let text = fixture(systemd("208", Manner::Proper)).text(&COLLECTOR);
    assert!(
        text.starts_with("node_systemd_version{version=\"208\"} 208\n"),
        "{text}"
    );
    assert!(
        !text.contains("system_running") && !text.contains("timer_last"),
        "{text}"
    );
    let mut nameless = systemd("unknown", Manner::Proper);
    nameless.property(MANAGER.path, "Manager.Virtualization", "");
    let text = fixture(nameless).text(&COLLECTOR);
    let expected =
        "node_systemd_version{version=\"\"} 0\nnode_systemd_virtualization_info{virtualization_type=\"none\"} 1\n";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn one_that_does_not_answer_is_not_waited_for() {
    let start = Instant::now();
    let error = fixture(systemd("257", Manner::Mute)).error(&COLLECTOR);
    assert!(error.ends_with("no answer in time"), "{error}");
    assert!(
        start.elapsed() < std::time::Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn what_was_found_before_it_hung_up_stays() {
    // Hello, three properties, the list, a type.
    let (text, result) = fixture(systemd("257", Manner::Short(6))).collect(&COLLECTOR);
    assert!(result.is_err());
    assert!(text.contains(&states("shop.service", "active", "notify")), "{text}");
    assert!(text.contains(&states("web.socket", "active", "")), "{text}");
    assert!(
        !text.contains("bare.service"),
        "its type may be another tomorrow: {text}"
    );
}

#[test]
fn its_own_socket() {
    let fixture = Fixture::new(&[]).set("collector.systemd.private", "true");
    systemd("257", Manner::Proper).serve(&fixture.host().root.join("run/systemd/private"));
    assert!(fixture.text(&COLLECTOR).contains("node_systemd_system_running 1\n"));
}

#[test]
fn numbers_of_versions() {
    for (text, expected) in [
        ("257.9-1~deb13u1", Some(257.9)),
        ("systemd 249 (v249.11-0ubuntu3)", Some(249.0)),
        ("239", Some(239.0)),
        ("v260~rc1", Some(260.0)),
        ("255.", Some(255.0)),
        ("12.345", Some(345.0)),
        ("99", None),
        ("", None),
    ] {
        assert_eq!(number(text), expected, "{text}");
    }
}
