//! Metrics of the host against node_exporter itself, on this machine as it is.

use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::http::{self, Target};
use onlooker_tests::hung::HungMount;
use onlooker_tests::metrics::{Sample, Scrape};
use onlooker_tests::node_exporter::{NODE_EXPORTER, NodeExporter, UPSTREAM};
use onlooker_tests::prometheus::objections;
use onlooker_tests::require::{Need, say};
use onlooker_tests::{need, wait};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Families that are node_exporter's own affairs.
const ITS_OWN: &[&str] = &[
    "go_",
    "process_",
    "promhttp_",
    "node_scrape_collector_",
    "node_exporter_build_info",
];

fn agent(args: &[&str]) -> Agent {
    let options = Options {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        collectors: true,
        about: &["oom"],
        ..Options::default()
    };
    Agent::start(&options).unwrap()
}

/// Families in which node_exporter before 1.12 has faults that show on a plain machine, and which it mended then: `rotational` of disks that
/// udev does not know, and mounts that only their own options make read-only.
const MENDED: &[&str] = &["node_disk_info", "node_filesystem_readonly"];

type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Is a node_exporter older than 1.12?
fn is_old(scrape: &Scrape) -> bool {
    let told = scrape.select("node_exporter_build_info", &[]).next().unwrap();
    let mut numbers = told
        .label("version")
        .split('.')
        .map(|number| number.parse::<u32>().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) < (1, 12)
}

/// Series of the host but for those left out; an empty label is no label.
fn series(scrape: &Scrape, without: &[&str]) -> Series {
    let host = scrape.samples.iter().filter(|sample| {
        !ITS_OWN.iter().any(|own| sample.name.starts_with(own)) && !without.contains(&sample.name.as_str())
    });
    let key = |sample: &Sample| {
        let labels = sample.labels.iter().filter(|(_, value)| !value.is_empty());
        (
            sample.name.clone(),
            labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
        )
    };
    host.map(|sample| (key(sample), sample.value)).collect()
}

/// Every family of node_exporter is here with its type, every series with its labels, and every value lies, in one of many rounds
/// at least, between what node_exporter said just before and just after.
#[test]
fn families_series_and_values_are_node_exporters() {
    need!(Need::Agent, Need::Program(NODE_EXPORTER));
    let mut agent = agent(&[]);
    let node_exporter = NodeExporter::start(UPSTREAM).unwrap();
    let mut open: Option<Series> = None;
    let mut all = 0;
    let mut missing: Vec<String> = Vec::new();
    for _ in 0..60 {
        let before = node_exporter.scrape().unwrap();
        let ours = agent.scrape().unwrap();
        let after = node_exporter.scrape().unwrap();
        let without = if is_old(&before) { MENDED } else { &[] };
        let (first, found, last) = (series(&before, without), series(&ours, &[]), series(&after, without));
        for (family, kind) in &after.types {
            if !ITS_OWN.iter().any(|own| family.starts_with(own)) && before.types.contains_key(family) {
                let same = ours.types.get(family) == Some(kind);
                assert!(same, "{family}: {:?}, not {kind}", ours.types.get(family));
            }
        }
        // What was there in both.
        let both: Series = first
            .iter()
            .filter(|(key, _)| last.contains_key(*key))
            .map(|(key, value)| (key.clone(), *value))
            .collect();
        missing = both
            .keys()
            .filter(|key| !found.contains_key(*key))
            .map(|key| format!("{key:?}"))
            .collect();
        all = both.len();
        let agrees = |key: &(String, BTreeMap<String, String>), before: f64| {
            let (Some(after), Some(value)) = (last.get(key), found.get(key)) else {
                return false;
            };
            let (least, most) = (before.min(*after), before.max(*after));
            let room = 1e-12 * least.abs().max(most.abs());
            (least - room..=most + room).contains(value) || value.is_nan() && before.is_nan()
        };
        let rest = match open.take() {
            None => both,
            Some(open) => open
                .into_keys()
                .filter_map(|key| Some((key.clone(), *first.get(&key)?)))
                .collect(),
        };
        let rest: Series = rest.into_iter().filter(|(key, before)| !agrees(key, *before)).collect();
        if rest.is_empty() && missing.is_empty() {
            say(&format!("{all} series of node_exporter, all here, all values agree"));
            agent.check().unwrap();
            drop(node_exporter.program);
            return;
        }
        open = Some(rest);
    }
    let rest: Vec<String> = open.unwrap_or_default().keys().map(|key| format!("{key:?}")).collect();
    panic!("of {all} series missing: {missing:#?}; never between: {rest:#?}");
}

/// promtool objects to nothing of ours but what it objects to in node_exporter: names that hold a word of the kernel's as it is. A newer
/// kernel's words node_exporter may not know yet.
#[test]
fn promtool_objects_to_nothing_new() {
    need!(Need::Agent, Need::Program(NODE_EXPORTER), Need::Program("promtool"));
    let agent = agent(&[]);
    let node_exporter = NodeExporter::start(UPSTREAM).unwrap();
    let theirs = http::get(&Target::Tcp(node_exporter.addr), "/metrics", &[]).unwrap();
    let theirs = objections(&theirs.body).unwrap();
    let ours = objections(&agent.get("/metrics", &[]).unwrap().body).unwrap();
    let of_the_kernel = |objection: &str| {
        let words = ["node_memory_", "node_netstat_", "node_vmstat_"];
        words.iter().any(|words| objection.starts_with(words)) && objection.ends_with("not 'camelCase'")
    };
    let new = ours.difference(&theirs).filter(|objection| !of_the_kernel(objection));
    assert_eq!(new.collect::<Vec<_>>(), [""; 0]);
    say(&format!("{} objections, {} to node_exporter", ours.len(), theirs.len()));
}

/// A mount that never answers costs its own series and no time, on the first scrape too; gone, it is no more.
#[test]
fn a_dead_mount_costs_itself() {
    need!(Need::Agent);
    let dir = tempfile::tempdir().unwrap();
    let mount = match HungMount::new(dir.path()) {
        Ok(mount) => mount,
        Err(error) => {
            say(&format!("no FUSE here: {error:#}: not tested"));
            return;
        }
    };
    // Fifty collectors together take an emulated processor longer than the second that each of them has.
    let agent = match wait::slow() {
        1 => agent(&[]),
        _ => agent(&["--collector.disable-defaults", "--collector.filesystem"]),
    };
    let place = dir.path().to_str().unwrap().to_owned();
    let dead = [("mountpoint", place.as_str())];
    for round in 0..3 {
        let start = Instant::now();
        let scrape = agent.scrape().unwrap();
        let took = start.elapsed();
        // The limit is 200 ms; a slow or busy machine has more, and one that waited for the mount has seconds.
        assert!(took < Duration::from_secs(1) * wait::slow(), "round {round}: {took:?}");
        say(&format!("scrape {round}: {took:?}"));
        let error = scrape.sum("node_filesystem_device_error", &dead);
        assert_eq!(error, 1.0, "round {round}");
        assert!(!scrape.has("node_filesystem_size_bytes", &dead));
        assert!(scrape.has("node_filesystem_size_bytes", &[]), "other mounts");
        let success = scrape.sum("node_scrape_collector_success", &[("collector", "filesystem")]);
        assert_eq!(success, 1.0);
    }
    drop(mount);
    wait::until_true("the mount is gone", wait::SOON, || {
        let scrape = agent.scrape().unwrap();
        !scrape.has("node_filesystem_device_error", &dead)
    })
    .unwrap();
}

/// `collect[]` and `exclude[]`.
#[test]
fn collectors_are_chosen_by_the_query() {
    need!(Need::Agent);
    let agent = agent(&[]);
    let get = |query: &str| agent.get(&format!("/metrics?{query}"), &[]).unwrap();
    let only = Scrape::parse(&get("collect[]=loadavg").text()).unwrap();
    assert!(only.has("node_load1", &[]) && !only.has("node_memory_MemTotal_bytes", &[]));
    assert!(!only.has("onlooker_build_info", &[]), "what was asked for alone");
    let without = Scrape::parse(&get("exclude%5B%5D=loadavg").text()).unwrap();
    assert!(!without.has("node_load1", &[]) && without.has("node_memory_MemTotal_bytes", &[]));
    for query in [
        "collect[]=loadavg&exclude[]=stat",
        "collect[]=nothing",
        "collect[]=wifi",
        "exclude[]=wifi",
    ] {
        assert_eq!(get(query).status, 400, "{query}");
    }
}
