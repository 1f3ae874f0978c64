use super::*;
use crate::collectors::node::testing::Fixture;

#[test]
fn lists_of_processors() {
    assert_eq!(cpus("0").unwrap(), [0]);
    assert_eq!(cpus("0-3,7\n").unwrap(), [0, 1, 2, 3, 7]);
    assert_eq!(cpus("1-10:5,0,1").unwrap(), [0, 1, 6]);
    assert_eq!(cpus("3-2").unwrap(), [0u32; 0]);
    for (text, what) in [
        ("", "names a processor \"\", which is no number below 8192"),
        ("a", "names a processor \"a\", which is no number below 8192"),
        (
            "0-99999999",
            "names a processor \"99999999\", which is no number below 8192",
        ),
        ("1-", "names a processor \"\", which is no number below 8192"),
        ("0-4:0", "has a step of 0"),
    ] {
        assert_eq!(cpus(text).unwrap_err(), what, "{text}");
    }
}

#[test]
fn names_of_tracepoints() {
    let made = tracepoint(&Host::default(), "sched:sched_switch").unwrap();
    assert_eq!(made.family.name, "node_perf_sched_sched_switch");
    let file = "/sys/kernel/tracing/events/sched/sched_switch/id";
    assert_eq!(made.files[0], Path::new(file));
    for name in ["sched", "sched:", ":x", "a:b:c", "../a:b", "a:b-c"] {
        assert!(tracepoint(&Host::default(), name).is_none(), "{name}");
    }
}

#[test]
fn numbers_of_tracepoints_are_looked_up() {
    let fixture = Fixture::new(&[("sys/kernel/debug/tracing/events/a/b/id", "305\n")]);
    let made = tracepoint(&fixture.host(), "a:b").unwrap();
    assert_eq!(made.event().unwrap(), Event(Type::Tracepoint, 305));
    fixture.put(&[("sys/kernel/tracing/events/a/b/id", "many\n")]);
    let error = made.event().unwrap_err().to_string();
    assert!(error.contains("events/a/b/id: \"many\": invalid digit"), "{error}");
    assert!(
        tracepoint(&fixture.host(), "a:c")
            .unwrap()
            .event()
            .unwrap_err()
            .is_no_data()
    );
}

/// What the kernel of this machine lets one count; nothing where it does not.
fn counted(fixture: Fixture) -> Option<Vec<String>> {
    let (text, result) = fixture.collect(&COLLECTOR);
    match result {
        Ok(()) => Some(
            text.lines()
                .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
                .collect(),
        ),
        Err(error) => {
            let error = error.to_string();
            assert!(
                error.starts_with("no counters on processor 0: ") || error.contains("none of"),
                "{error}"
            );
            None
        }
    }
}

fn online() -> Fixture {
    Fixture::new(&[("sys/devices/system/cpu/online", "0\n")])
        .set("collector.perf.disable-hardware-profilers", "true")
        .set("collector.perf.disable-cache-profilers", "true")
}

#[test]
fn the_kernel_counts() {
    if let Some(series) = counted(online()) {
        let all = SOFTWARE.iter().map(|known| format!("{}{{cpu=\"0\"}}", known.family));
        assert_eq!(series, all.collect::<Vec<String>>());
    }
}

#[test]
fn one_can_choose() {
    let fixture = online()
        .set("collector.perf.software-profilers", "PageFault")
        .set("collector.perf.software-profilers", "MajorFault")
        .set("collector.perf.software-profilers", "Nonsense")
        // One that is not there has nothing.
        .set("collector.perf.cpus", "0,8000");
    if let Some(series) = counted(fixture) {
        let expected = [
            "node_perf_page_faults_total{cpu=\"0\"}",
            "node_perf_major_faults_total{cpu=\"0\"}",
        ];
        assert_eq!(series, expected);
    }
}

#[test]
fn counters_stay_and_processors_come_and_go() {
    let fixture = online();
    let (host, settings) = (fixture.host(), Default::default());
    let setup = Setup {
        host: &host,
        settings: &settings,
    };
    let mut perf = Perf::new(&setup).unwrap();
    let mut tape = crate::metric::Tape::default();
    if perf.collect(&mut tape).is_err() {
        return;
    }
    assert_eq!(perf.counters.keys().collect::<Vec<_>>(), [&0]);
    let page_faults = |perf: &Perf| {
        let at = perf
            .events
            .iter()
            .position(|(family, _)| family.name == SOFTWARE[0].family)
            .unwrap();
        perf.counters[&0][at].as_ref().unwrap().read().unwrap()
    };
    let before = page_faults(&perf);
    perf.collect(&mut tape).unwrap();
    assert!(page_faults(&perf) >= before, "the same counter");
    fixture.put(&[("sys/devices/system/cpu/online", "8000-8001\n")]);
    assert!(perf.collect(&mut tape).unwrap_err().is_no_data());
    assert_eq!(perf.counters.keys().collect::<Vec<_>>(), [&8000, &8001]);
    fixture.put(&[("sys/devices/system/cpu/online", "?\n")]);
    let error = perf.collect(&mut tape).unwrap_err().to_string();
    assert!(error.contains("online: \"?\" names a processor"), "{error}");
}

#[test]
fn wrong_settings_are_told() {
    for (flag, value, what) in [
        (
            "collector.perf.cpus",
            "x",
            "--collector.perf.cpus: \"x\" names a processor",
        ),
        (
            "collector.perf.tracepoint",
            "x",
            "--collector.perf.tracepoint: \"x\" is none such as",
        ),
    ] {
        let fixture = Fixture::new(&[]);
        let mut settings = crate::collectors::node::flags::Settings::default();
        settings.given.insert(flag, vec![value.to_owned()]);
        let host = fixture.host();
        let setup = Setup {
            host: &host,
            settings: &settings,
        };
        let error = Perf::new(&setup).err().unwrap();
        assert!(error.starts_with(what), "{error}");
    }
}
