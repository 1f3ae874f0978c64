//! `docs/metrics.md` against what the agent says: what it measures by its own reference (`onlooker metrics`), and every family of a
//! scrape. `ONLOOKER_WRITE_DOCS=1` writes the document anew.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::load::get_many;
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::otlp::Receiver;
use onlooker_tests::require::{Need, agent_program, say};
use onlooker_tests::servers::{Nginx, NginxOptions};
use onlooker_tests::{probes, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const HEAD: &str = "# Metrics

Every family that `/metrics` serves. Written by a test (`ONLOOKER_WRITE_DOCS=1 cargo test -p onlooker-tests --test metrics`) and
held against a scrape by it.

Labels `service_name` and, where it is known, `service_namespace` come first wherever a number belongs to a service; they are not
repeated below. A label without a value is left out. \"At most\" is how many label sets a family holds: what comes beyond is
counted under `_OTHER`, and `onlooker_measures_folded_total` says how often. Series to which nothing came for `--series.ttl` go.

## What is measured

";

const OWN: &str = "## The agent itself

| Name | Type | Labels | What it is |
|---|---|---|---|
";

/// Families that are there only while something happens, or is set up, that this test does not bring about.
const SELDOM: &[&str] = &[];

/// The reference that the agent prints.
fn reference() -> String {
    let output = Command::new(agent_program().unwrap()).arg("metrics").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Names in the first cells of tables.
fn names(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

/// The families of a scrape that are not in the reference, a row each.
fn own(scrape: &Scrape, reference: &BTreeSet<&str>) -> String {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for sample in &scrape.samples {
        let names = sample.labels.keys().map(String::as_str);
        labels.entry(family(scrape, &sample.name)).or_default().extend(names);
    }
    let mut text = String::new();
    for (family, kind) in &scrape.types {
        if reference.contains(family.as_str()) {
            continue;
        }
        let of = labels.get(family.as_str()).into_iter().flatten();
        let of = of.filter(|name| **name != "le").map(|name| format!("`{name}`"));
        let help = scrape.help.get(family).map_or("", String::as_str).replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{family}` | {kind} | {} | {help} |",
            of.collect::<Vec<_>>().join(", ")
        );
    }
    text
}

/// The family that a sample belongs to.
fn family<'a>(scrape: &'a Scrape, name: &'a str) -> &'a str {
    let base = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix));
    let found = base.and_then(|base| scrape.types.get_key_value(base));
    found.map_or(name, |(family, _)| family)
}

#[test]
fn the_document_is_what_the_agent_serves() {
    need!(Need::Agent, Need::Program("nginx"));
    // Of the queues on the disk and of logs too.
    let state = tempfile::tempdir().unwrap();
    let place = |name: &str| state.path().join(name).display().to_string();
    let mut args = probes::enabling();
    args.extend([
        format!("--otlp.queue.path={}", place("queue")),
        format!("--logs.state-path={}", place("logs.json")),
        format!("--logs.include={}", place("*.log")),
        "--logs.observe=observed-*".to_owned(),
    ]);
    let receiver = Receiver::start(&[]).unwrap();
    let options = Options {
        spans: true,
        events: true,
        env: vec![("OTEL_EXPORTER_OTLP_ENDPOINT".into(), receiver.endpoint.clone())],
        // What collectors tell depends on the host: docs/collectors.md.
        args,
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let nginx = Nginx::start("document", &NginxOptions::default()).unwrap();
    get_many(&nginx.server.target, 1, 20, &["/"]).unwrap();
    let reference = reference();
    let told = names(&reference);
    let scrape = wait::until("exchanges", wait::SOON, || {
        let scrape = agent.scrape()?;
        ensure!(
            scrape.types.contains_key("http_server_request_duration_seconds"),
            "none yet"
        );
        Ok(scrape)
    });
    let scrape = scrape.unwrap();
    let own = own(&scrape, &told);
    let document = format!("{HEAD}{reference}{OWN}{own}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    if std::env::var_os("ONLOOKER_WRITE_DOCS").is_some() {
        std::fs::write(&path, &document).unwrap();
        say(&format!("{} written", path.display()));
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let again = "docs/metrics.md is stale: ONLOOKER_WRITE_DOCS=1 writes it anew";
    assert!(written.contains(&reference), "{again}: what is measured");
    let (now, before) = (names(&own), names(written.split_once(OWN).map_or("", |(_, own)| own)));
    let seldom: BTreeSet<&str> = SELDOM.iter().copied().collect();
    assert_eq!(&now - &before, BTreeSet::new(), "{again}: the agent itself");
    assert_eq!(
        &(&before - &now) - &seldom,
        BTreeSet::new(),
        "{again}: no longer served"
    );
}
