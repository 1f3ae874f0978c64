//! What the agent says of itself.

use super::events::Counts;
use super::*;
use crate::health::ProbeState;
use crate::metric::Value;
use std::collections::HashSet;

/// Keeps series as `name{label="value"} number` and holds sources to the rules of [`Encoder`].
#[derive(Default)]
struct Lines {
    open: String,
    families: HashSet<String>,
    series: HashSet<String>,
    lines: Vec<String>,
}

impl Encoder for Lines {
    fn family(&mut self, family: &Family) {
        assert!(
            self.families.insert(family.name.to_string()),
            "{} is opened twice",
            family.name
        );
        assert!(
            family.unit.is_empty() || family.name.contains(&*family.unit),
            "{} lacks its unit",
            family.name
        );
        assert_eq!(
            family.kind == Kind::Counter,
            family.name.ends_with("_total"),
            "{}",
            family.name
        );
        assert!(!family.help.is_empty(), "{} lacks help", family.name);
        self.open = family.name.to_string();
    }
    fn sample(&mut self, labels: &[(&str, &str)], value: Value<'_>) {
        let Value::Number(number) = value else {
            panic!("numbers only")
        };
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let series = format!("{}{{{}}}", self.open, labels.join(","));
        assert!(self.series.insert(series.clone()), "{series} twice");
        self.lines.push(format!("{series} {number}"));
    }
}

fn collected(own: &Own) -> Lines {
    let mut lines = Lines::default();
    own.collect(&mut lines);
    lines
}

impl Lines {
    fn has(&self, line: &str) {
        assert!(
            self.lines.iter().any(|l| l == line),
            "{line} is not in\n{}",
            self.lines.join("\n")
        );
    }
    fn value(&self, series: &str) -> f64 {
        let found = self
            .lines
            .iter()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found
            .unwrap_or_else(|| panic!("no {series}"))
            .parse()
            .expect("a number")
    }
}

#[test]
fn probes_events_and_readings() {
    let health = Arc::new(Health::default());
    let state = |probe, alternative| ProbeState {
        probe,
        group: None,
        replaced_by: None,
        alternative,
        loses: "it",
        reason: None,
    };
    health.set_probes(vec![
        state("socket", Some("tp_btf/sock_send_length")),
        state("process", None),
    ]);
    let own = Own::new(Host::default(), health);
    for (kind, reasons) in [
        ("exchange", &["gap"][..]),
        ("span", &["full", "refused"]),
        ("span", &["full"]),
    ] {
        let counts = Arc::new(Counts::new(kind, reasons));
        counts.seen(10);
        counts.delivered(5);
        counts.lost(0, 2);
        own.register_events(counts);
    }
    own.register(Reading::map_bytes("SOCKETS", || 4096.0));
    own.register(Reading::gauge(
        "onlooker_connections",
        "",
        "Connections that are followed.",
        || 7.0,
    ));
    own.register(Reading::map_bytes("COUNTS", || 512.0));
    own.register(Reading::counter(
        "onlooker_series_expired_total",
        "",
        "Series dropped.",
        || 3.0,
    ));

    let lines = collected(&own);
    lines.has(r#"onlooker_probe_attached{probe="socket",alternative="tp_btf/sock_send_length"} 1"#);
    lines.has(r#"onlooker_probe_attached{probe="process",alternative=""} 0"#);
    lines.has(r#"onlooker_events_seen_total{kind="span"} 20"#);
    lines.has(r#"onlooker_events_delivered_total{kind="span"} 10"#);
    lines.has(r#"onlooker_events_lost_total{kind="span",reason="full"} 4"#);
    lines.has(r#"onlooker_events_lost_total{kind="span",reason="refused"} 0"#);
    lines.has(r#"onlooker_events_pending{kind="span"} 6"#);
    lines.has(r#"onlooker_events_pending{kind="exchange"} 3"#);
    lines.has(r#"onlooker_map_bytes{map="SOCKETS"} 4096"#);
    lines.has(r#"onlooker_map_bytes{map="COUNTS"} 512"#);
    lines.has("onlooker_connections{} 7");
    lines.has("onlooker_series_expired_total{} 3");
    assert_eq!(own.lost(), 6);
}

#[test]
fn the_process_as_the_kernel_counts_it() {
    let own = Own::new(Host::default(), Arc::default());
    let before = collected(&own);
    let held: Vec<_> = (0..5)
        .map(|_| std::fs::File::open("/dev/null").expect("a file"))
        .collect();
    let after = collected(&own);
    let fds = after.value("process_open_fds{}");
    assert!(fds >= held.len() as f64, "{fds}");
    let memory = before.value("process_resident_memory_bytes{}");
    assert!(
        memory > 1e6 && memory < before.value("process_virtual_memory_bytes{}"),
        "{memory}"
    );
    assert!(before.value("process_max_fds{}") >= fds && before.value("process_virtual_memory_max_bytes{}") > memory);
    assert!(after.value("process_cpu_seconds_total{}") >= before.value("process_cpu_seconds_total{}"));
    let (process, agent) = (
        before.value("process_start_time_seconds{}"),
        before.value("onlooker_start_time_seconds{}"),
    );
    // The boot time is known to the second only.
    assert!(
        process <= agent + 2.0 && process > agent - 86_400.0,
        "{process} {agent}"
    );
}

#[test]
fn a_host_without_proc_costs_the_process_series_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host {
        proc: folder.path().into(),
        ..Host::default()
    };
    let lines = collected(&Own::new(host, Arc::default()));
    assert!(!lines.lines.iter().any(|line| line.starts_with("process_")));
    assert!(lines.families.contains("onlooker_build_info") && lines.families.contains("onlooker_events_lost_total"));
}

#[test]
fn a_number_that_is_not_known_is_left_out() {
    let own = Own::new(Host::default(), Arc::new(Health::default()));
    for (part, value) in [("known", 1.0), ("unknown", f64::NAN)] {
        own.register(Reading::gauge("onlooker_test", "", "A number.", move || value).label("part", part));
    }
    let lines = collected(&own);
    lines.has("onlooker_test{part=\"known\"} 1");
    assert!(!lines.lines.iter().any(|line| line.contains("unknown")));
}
