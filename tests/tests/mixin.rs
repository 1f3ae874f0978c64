//! The record and alert rules that node_exporter's project publishes, evaluated by a Prometheus that scrapes the agent and
//! node_exporter side by side: they say the same of both.

use anyhow::{Result, ensure};
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::http::Target;
use onlooker_tests::node_exporter::{NODE_EXPORTER, NodeExporter, UPSTREAM};
use onlooker_tests::prometheus::{Labels, Prometheus, Samples, looking_back_for, mixin};
use onlooker_tests::require::{Need, have, say, source_dir};
use onlooker_tests::wait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const THEIRS: &str = "node_exporter";
const OURS: &str = "onlooker";

/// Evaluations (one a second) that are compared at least: a rate needs two scrapes, and a bracket some before and after.
const LEAST: usize = 15;
/// The two are scraped at other moments: what is told of one may have been told of the other by so much earlier or later,
/// milliseconds.
const APART: i64 = 2_500;

/// How far back rules look here. What falls between the first scrapes of the two would differ for as long as they look back.
const WINDOW: &str = "20s";

/// The same rules, looking back for [`WINDOW`] alone.
fn looking_back(rules: &Value) -> Value {
    let mut rules = rules.clone();
    let groups = rules["groups"].as_array_mut().into_iter().flatten();
    for rule in groups.flat_map(|group| group["rules"].as_array_mut().into_iter().flatten()) {
        let expr = looking_back_for(WINDOW, rule["expr"].as_str().unwrap());
        rule["expr"] = expr.into();
    }
    rules
}

#[test]
fn ranges_are_shortened() {
    let expr = "rate(a{b=~\"[cd]\"}[5m]) and predict_linear(e[6h], 3600)";
    let short = "rate(a{b=~\"[cd]\"}[20s]) and predict_linear(e[20s], 3600)";
    assert_eq!(looking_back_for(WINDOW, expr), short);
}

/// Alert rules without their limits, as record rules `open:NUMBER:ALERT`: what they compare is seen on a host where all is well too.
fn without_limits(rules: &Value) -> Value {
    let rules = rules["groups"].as_array().unwrap().iter();
    let rules = rules.flat_map(|group| group["rules"].as_array().unwrap());
    let alerts = rules.filter_map(|rule| Some((rule["alert"].as_str()?, rule["expr"].as_str()?)));
    let open: Vec<Value> = alerts
        .enumerate()
        .map(|(number, (alert, expr))| json!({"record": format!("open:{number}:{alert}"), "expr": unlimited(expr)}))
        .collect();
    json!({"groups": [{"name": "without limits", "rules": open}]})
}

/// An expression in which every comparison with a number holds.
fn unlimited(expr: &str) -> String {
    let mut open = String::new();
    let mut rest = expr;
    while let Some(next) = rest.chars().next() {
        let operator = ["<=", ">=", "==", "!=", "<", ">"]
            .into_iter()
            .find(|operator| rest.starts_with(operator));
        let after = operator.map(|operator| &rest[operator.len()..]);
        // Labels are compared with texts.
        let number = after
            .map(str::trim_start)
            .filter(|after| after.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
        if let Some(number) = number {
            open.push_str("> -Inf");
            rest = number.trim_start_matches(|c: char| "-.".contains(c) || c.is_ascii_digit());
        } else {
            let length = operator.map_or(next.len_utf8(), str::len);
            open.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    open
}

#[test]
fn comparisons_are_opened() {
    let expr = "(a{b!=\"\",c=~\"d|e\"} / f * 100 < 5 and predict(a, 24*60) <= -0.5 and g{h=\"i\"} == 0)";
    let open = "(a{b!=\"\",c=~\"d|e\"} / f * 100 > -Inf and predict(a, 24*60) > -Inf and g{h=\"i\"} > -Inf)";
    assert_eq!(unlimited(expr), open);
}

/// What rules made, by labels without the job's: node_exporter's and ours.
type Found = BTreeMap<Labels, [Samples; 2]>;

/// The agent, node_exporter and the Prometheus that scrapes both.
struct SideBySide {
    agent: Agent,
    node_exporter: NodeExporter,
    prometheus: Prometheus,
}

impl SideBySide {
    /// Starts all three; `args` go to both.
    fn start(args: &[&str]) -> SideBySide {
        let options = Options {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            collectors: true,
            ..Options::default()
        };
        let agent = Agent::start(&options).unwrap();
        let Target::Tcp(addr) = agent.web else {
            unreachable!("agents of tests listen on TCP");
        };
        let node_exporter = NodeExporter::start(&[UPSTREAM, args].concat()).unwrap();
        let rules = looking_back(&mixin(&format!("job=~\"{THEIRS}|{OURS}\"")).unwrap());
        let jobs = [(THEIRS, node_exporter.addr), (OURS, addr)];
        let prometheus = Prometheus::start(&jobs, &[without_limits(&rules), rules]).unwrap();
        SideBySide {
            agent,
            node_exporter,
            prometheus,
        }
    }

    /// What rules made so far.
    fn found(&self) -> Result<Found> {
        let mut found = Found::new();
        let selector = "{__name__=~\"instance:.+|instance_device:.+|open:.+|ALERTS\"}[10m]";
        for (mut labels, samples) in self.prometheus.samples(selector)? {
            let place = match labels.remove("job").as_deref() {
                Some(THEIRS) => 0,
                Some(OURS) => 1,
                job => anyhow::bail!("a rule lost its job: {labels:?}, {job:?}"),
            };
            found.entry(labels).or_default()[place] = samples;
        }
        Ok(found)
    }

    /// Waits until rules have said the same of both; what they said then.
    fn agreed(&mut self) -> Found {
        let agreed = wait::until("the same results on both", Duration::from_secs(120), || {
            self.agent.check()?;
            self.node_exporter.program.check_alive()?;
            self.prometheus.program.check_alive()?;
            let found = self.found()?;
            let evaluated = found.values().map(|both| both[0].len().min(both[1].len())).max();
            ensure!(evaluated >= Some(LEAST), "only {evaluated:?} evaluations");
            let other = differences(&found);
            ensure!(other.is_empty(), "{other:#?}");
            Ok(found)
        });
        let agreed = agreed.unwrap();
        for rule in self.prometheus.rules().unwrap() {
            assert_eq!(
                (&rule["health"], &rule["lastError"]),
                (&json!("ok"), &Value::Null),
                "{rule}"
            );
        }
        agreed
    }
}

/// Results that one has now and the other has not, and those of ours that never lay between what was said of node_exporter shortly
/// before and after.
fn differences(found: &Found) -> Vec<String> {
    let last = found
        .values()
        .flatten()
        .flatten()
        .map(|(at, _)| *at)
        .max()
        .unwrap_or_default();
    let now = |samples: &Samples| samples.last().is_some_and(|(at, _)| last - at <= 2 * APART);
    let mut other = Vec::new();
    for (labels, [theirs, ours]) in found {
        if now(theirs) != now(ours) {
            let of = if now(ours) { OURS } else { THEIRS };
            other.push(format!("of {of} alone: {labels:?}"));
        } else if now(ours) && !ours.iter().any(|sample| lies_between(*sample, theirs)) {
            other.push(format!("{labels:?}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
    other
}

/// Does it lie between what was said of node_exporter shortly before and after?
fn lies_between((at, value): (i64, f64), theirs: &Samples) -> bool {
    let near = theirs.iter().filter(|(other, _)| (at - other).abs() <= APART);
    let near: Vec<f64> = near.map(|(_, value)| *value).collect();
    let least = near.iter().copied().fold(f64::INFINITY, f64::min);
    let most = near.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let room = 1e-9 * least.abs().max(most.abs());
    (least - room..=most + room).contains(&value)
}

/// The two on the host that `args` say: names of the rules that said anything, and of the alerts.
fn compare(args: &[&str]) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let needs = [NODE_EXPORTER, "prometheus", "jsonnet", "go"].map(Need::Program);
    if !have(&[Need::Agent]) || !have(&needs) {
        return None;
    }
    let mut both = SideBySide::start(args);
    let found = both.agreed();
    let label = |label| {
        found
            .keys()
            .filter_map(move |labels: &Labels| labels.get(label).cloned())
    };
    let names: BTreeSet<String> = label("__name__").collect();
    let alerts: BTreeSet<String> = label("alertname").collect();
    say(&format!(
        "{} results of {} rules agree, {} alerts",
        found.len(),
        names.len(),
        alerts.len()
    ));
    Some((names, alerts))
}

#[test]
fn the_official_rules_say_the_same_of_this_host() {
    let Some((names, _)) = compare(&[]) else {
        return;
    };
    // What every host has that can run this.
    for rule in [
        "instance:node_num_cpu:sum",
        "instance:node_cpu_utilisation:rate5m",
        "instance:node_load1_per_cpu:ratio",
        "instance:node_memory_utilisation:ratio",
        "instance:node_vmstat_pgmajfault:rate5m",
        "NodeFilesystemAlmostOutOfSpace",
        "NodeTextFileCollectorScrapeError",
        "NodeFileDescriptorLimit",
        "NodeCPUHighUsage",
        "NodeSystemSaturation",
        "NodeMemoryHighUtilization",
    ] {
        assert!(names.iter().any(|name| name.ends_with(rule)), "{rule}: {names:?}");
    }
}

/// Alerts that this host does not cause: on the host of `agent/tests/data/host`, which is on a bad day.
#[test]
fn the_official_alerts_are_the_same_on_a_bad_day() {
    let host = source_dir().join("../agent/tests/data/host");
    let paths = [
        ("procfs", "proc"),
        ("sysfs", "sys"),
        ("rootfs", "root"),
        ("udev.data", "udev"),
    ];
    let paths = paths.map(|(flag, folder)| format!("--path.{flag}={}", host.join(folder).display()));
    let mut args: Vec<&str> = paths.iter().map(String::as_str).collect();
    // The kernel says by netlink what this host has, not that one.
    args.extend(["--no-collector.netdev.netlink", "--no-collector.arp.netlink"]);
    let Some((_, alerts)) = compare(&args) else {
        return;
    };
    let expected = [
        "NodeBondingDegraded",
        "NodeFileDescriptorLimit",
        "NodeHighNumberConntrackEntriesUsed",
        "NodeMemoryHighUtilization",
        "NodeRAIDDegraded",
        "NodeRAIDDiskFailure",
        "NodeSystemSaturation",
    ];
    for alert in expected {
        assert!(alerts.contains(alert), "{alert}: {alerts:?}");
    }
}
