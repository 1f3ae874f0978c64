use super::*;
use crate::collectors::node::flags::Settings;
use crate::collectors::node::testing::Fixture;
use crate::export::prometheus::{Format, PrometheusEncoder};

const STAT: &str =
    "cpu  30 3 5 100 9 0 1 0 2 1\ncpu0 10 1 2 50 4 0 1 7 2 1\ncpu3 20 2 3 50 5 0 0 0 0 0\nintr 99 1\nctxt 5\n";

fn lines(text: &str, name: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line[name.len()..].to_owned()).collect()
}

#[test]
fn modes_of_each_cpu() {
    let fixture = Fixture::new(&[("proc/stat", STAT)]);
    let text = fixture.text(&COLLECTOR);
    assert!(
        text.contains("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 0.1\n"),
        "{text}"
    );
    assert!(
        text.contains("node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"} 0.07\n"),
        "{text}"
    );
    assert!(
        text.contains("node_cpu_seconds_total{cpu=\"3\",mode=\"idle\"} 0.5\n"),
        "{text}"
    );
    assert!(
        text.contains("node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 0.01\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 20);
    let without = fixture.set(GUEST_FLAG.name, "false").text(&COLLECTOR);
    assert_eq!(without.lines().count(), 16);
}

#[test]
fn columns_that_a_kernel_does_not_have_are_left_out() {
    let text = Fixture::new(&[("proc/stat", "cpu 1 2 3 4\ncpu0 1 2 3 4\n")]).text(&COLLECTOR);
    assert_eq!(text.lines().count(), 4);
    assert_eq!(
        lines(&text, "node_cpu_seconds_total"),
        [
            "{cpu=\"0\",mode=\"user\"} 0.01",
            "{cpu=\"0\",mode=\"nice\"} 0.02",
            "{cpu=\"0\",mode=\"system\"} 0.03",
            "{cpu=\"0\",mode=\"idle\"} 0.04"
        ]
    );
}

#[test]
fn what_is_no_stat_is_told() {
    let error = |text| Fixture::new(&[("proc/stat", text)]).error(&COLLECTOR);
    assert!(error("").ends_with("stat: it does not begin with lines of CPUs"));
    assert!(error("cpu 1\ncpu0 1 many\n").ends_with("stat: line 2: \"cpu0 1 many\" is no CPU with its times"));
    assert!(error("cpux 1\n").contains("line 1"));
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
}

#[test]
fn no_counter_falls_until_a_cpu_was_away() {
    let times = |cpu, idle, iowait| Times {
        cpu,
        ticks: [5, 0, 0, idle, iowait, 0, 0, 0, 0, 0],
        known: COLUMNS,
    };
    let told = [times(0, 1000, 50), times(1, 2000, 60)];
    assert_eq!(times(0, 999, 51).after(&told, 0), times(0, 1000, 51), "a little less");
    assert_eq!(
        times(0, 701, 40).after(&told, 0),
        times(0, 1000, 50),
        "not yet three seconds"
    );
    assert_eq!(
        times(1, 1700, 3).after(&told, 0),
        times(1, 1700, 3),
        "it was away, and its place is another one"
    );
    assert_eq!(times(2, 7, 3).after(&told, 1), times(2, 7, 3), "new");
}

#[test]
fn a_cpu_that_is_gone_is_not_told() {
    let fixture = Fixture::new(&[("proc/stat", STAT)]);
    let settings = Settings::default();
    let host = fixture.host();
    let mut made = (COLLECTOR.make)(&Setup {
        host: &host,
        settings: &settings,
    })
    .unwrap();
    let mut said = || {
        let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
        made.collect(&mut encoder).unwrap();
        String::from_utf8(encoder.finish().unwrap()).unwrap()
    };
    assert!(said().contains("cpu=\"3\""));
    fixture.put(&[("proc/stat", "cpu 1 2\ncpu0 9 9 9 49\n")]);
    let text = said();
    assert!(!text.contains("cpu=\"3\""));
    assert!(
        text.contains("{cpu=\"0\",mode=\"idle\"} 0.5\n") && text.contains("{cpu=\"0\",mode=\"user\"} 0.1\n"),
        "{text}"
    );
}

#[test]
fn info_with_features_and_bugs() {
    let cpuinfo = "processor\t: 0\ncore id\t\t: 1\ncpu MHz\t\t: 799.998\nflags\t\t: fpu aes avx avx2\nbugs\t\t: mds l1tf\n\n\
        processor\t: 1\nflags\t\t: other\n";
    let fixture = Fixture::new(&[("proc/stat", STAT), ("proc/cpuinfo", cpuinfo)]);
    assert!(!fixture.text(&COLLECTOR).contains("_info"));
    let fixture = fixture
        .set(FLAGS_INCLUDE.name, "^(aes|avx.?|other)$")
        .set(BUGS_INCLUDE.name, "1");
    let text = fixture.text(&COLLECTOR);
    assert_eq!(
        lines(&text, "node_cpu_flag_info"),
        ["{flag=\"aes\"} 1", "{flag=\"avx\"} 1", "{flag=\"avx2\"} 1"]
    );
    assert_eq!(lines(&text, "node_cpu_bug_info"), ["{bug=\"l1tf\"} 1"]);
    assert_eq!(lines(&text, "node_cpu_info").len(), 2);
    assert_eq!(
        lines(&text, "node_cpu_frequency_hertz"),
        ["{package=\"\",core=\"1\",cpu=\"0\"} 7.99998e+08"]
    );
    fixture.put(&[("proc/cpuinfo", "")]);
    let (text, error) = fixture.collect(&COLLECTOR);
    assert!(text.contains("node_cpu_seconds_total"), "the rest stays");
    assert!(error.unwrap_err().to_string().contains("cpuinfo: no line"));
}

#[test]
fn isolated_throttled_and_online() {
    const CPU: &str = "sys/devices/system/cpu";
    let files: Vec<(String, &str)> = [
        ("isolated", "1,3-4\n"),
        ("online", "0-1,10\n"),
        ("cpu0/online", "1\n"),
        ("cpu1/online", "0\n"),
        ("cpu10/online", "1\n"),
        ("cpufreq/x", ""),
        ("cpu0/topology/physical_package_id", "0\n"),
        ("cpu0/topology/core_id", "2\n"),
        ("cpu0/thermal_throttle/core_throttle_count", "7\n"),
        ("cpu0/thermal_throttle/package_throttle_count", "8\n"),
        ("cpu10/topology/physical_package_id", "0\n"),
        ("cpu10/topology/core_id", "3\n"),
        ("cpu10/thermal_throttle/core_throttle_count", "9\n"),
        ("cpu10/thermal_throttle/package_throttle_count", "99\n"),
        ("cpu1/topology/physical_package_id", "x\n"),
    ]
    .map(|(path, text)| (format!("{CPU}/{path}"), text))
    .into();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let fixture = Fixture::new(&files);
    fixture.put(&[("proc/stat", STAT)]);
    let text = fixture.text(&COLLECTOR);
    assert_eq!(
        lines(&text, "node_cpu_isolated"),
        ["{cpu=\"1\"} 1", "{cpu=\"3\"} 1", "{cpu=\"4\"} 1"]
    );
    assert_eq!(lines(&text, "node_cpu_package_throttles_total"), ["{package=\"0\"} 8"]);
    assert_eq!(
        lines(&text, "node_cpu_core_throttles_total"),
        ["{package=\"0\",core=\"2\"} 7", "{package=\"0\",core=\"3\"} 9"]
    );
    assert_eq!(
        lines(&text, "node_cpu_online"),
        ["{cpu=\"0\"} 1", "{cpu=\"1\"} 0", "{cpu=\"10\"} 1"]
    );
    fixture.put(&[("sys/devices/system/cpu/isolated", "one\n")]);
    assert!(fixture.error(&COLLECTOR).contains("isolated: \"one\" is neither"));
}

#[test]
fn counters_follow_when_cpus_come() {
    let fixture = Fixture::new(&[
        ("s/online", "0"),
        ("s/cpu0/topology/physical_package_id", "0"),
        ("s/cpu0/topology/core_id", "0"),
        ("s/cpu0/thermal_throttle/core_throttle_count", "1"),
        ("s/cpu1/x", ""),
    ]);
    let folder = fixture.host().sys.parent().unwrap().join("s");
    let mut throttles = Throttles::new(folder.clone());
    let mut said = || {
        let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
        throttles.collect(&cpus::numbers(&mut Folder::new(&folder)).unwrap(), &mut encoder);
        let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
        lines(&text, "node_cpu")
    };
    assert_eq!(said(), ["_core_throttles_total{package=\"0\",core=\"0\"} 1"]);
    fixture.put(&[
        ("s/cpu0/thermal_throttle/core_throttle_count", "2"),
        ("s/cpu1/topology/physical_package_id", "0"),
        ("s/cpu1/topology/core_id", "1"),
        ("s/cpu1/thermal_throttle/core_throttle_count", "5"),
    ]);
    assert_eq!(said(), ["_core_throttles_total{package=\"0\",core=\"0\"} 2"]);
    fixture.put(&[("s/online", "0-1")]);
    assert_eq!(said().len(), 2);
}
