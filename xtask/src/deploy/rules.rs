//! Record and alert rules of Prometheus: names, runbooks, tests, and promtool's own checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::known::Known;
use super::{Findings, document, files, text};
use crate::shell::{Run, say};

const RULES: &str = "deploy/prometheus/rules";
const TESTS: &str = "deploy/prometheus/tests";
const RUNBOOKS: &str = "docs/runbooks";
/// Where a reader finds runbooks.
const RUNBOOK_URL: &str = "https://github.com/onlooker-rs/onlooker/blob/main/docs/runbooks";
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];
const CONFIGURATIONS: [&str; 2] = [
    "deploy/prometheus/prometheus.yml",
    "deploy/prometheus/prometheus-otlp.yml",
];

/// Checks rules and their tests. What rules record is known from then on.
pub(super) fn check(known: &mut Known, promtool: Option<&Path>, findings: &mut Findings) -> Result<()> {
    let mut alerts = BTreeMap::new();
    let paths = files(RULES, &[".yaml"])?;
    for path in &paths {
        let rules = rules(&document(path)?)?;
        for rule in &rules {
            if let Some(name) = rule["record"].as_str() {
                let labels = known.check(expression(rule)?, &mut |problem| findings.add(path, problem));
                known.add(name, labels.iter().map(String::as_str), false);
            }
        }
        for rule in &rules {
            if let Some(name) = rule["alert"].as_str() {
                alert(name, rule, path, known, findings)?;
                if alerts.insert(name.to_owned(), path.clone()).is_some() {
                    findings.add(path, format!("{name} is there twice"));
                }
            }
        }
    }
    ensure!(!alerts.is_empty(), "{RULES} holds no alerts");
    tested(&alerts, findings)?;
    for path in files(RUNBOOKS, &[".md"])? {
        let name = path
            .trim_start_matches(RUNBOOKS)
            .trim_matches('/')
            .trim_end_matches(".md");
        if name != "README" && !alerts.contains_key(name) {
            findings.add(&path, "is of no alert");
        }
    }
    if let Some(promtool) = promtool {
        findings.tool(RULES, Run::new(promtool).args(["check", "rules"]).args(&paths).run());
        let tests = files(TESTS, &[".yaml"])?;
        findings.tool(TESTS, Run::new(promtool).args(["test", "rules"]).args(&tests).run());
        let old = Run::new(promtool)
            .arg("--version")
            .read()?
            .starts_with("promtool, version 2.");
        for path in CONFIGURATIONS {
            // Before version 3 it knows no `otlp`.
            match old && path.contains("otlp") {
                true => say(format!("{path}: not checked, promtool is older than 3")),
                false => findings.tool(path, Run::new(promtool).args(["check", "config", path]).run()),
            }
        }
    }
    Ok(())
}

/// All rules of a file.
fn rules(file: &Value) -> Result<Vec<Value>> {
    let groups = file["groups"].as_array().context("a file of rules has groups")?;
    let of = |group: &Value| group["rules"].as_array().cloned().context("a group has rules");
    Ok(groups.iter().map(of).collect::<Result<Vec<_>>>()?.concat())
}

fn expression(rule: &Value) -> Result<&str> {
    rule["expr"]
        .as_str()
        .with_context(|| format!("a rule has no expr: {rule}"))
}

/// One alert: its query, severity, texts and runbook.
fn alert(name: &str, rule: &Value, path: &str, known: &Known, findings: &mut Findings) -> Result<()> {
    let mut problem = |what: String| findings.add(path, format!("{name}: {what}"));
    let labels = known.check(expression(rule)?, &mut problem);
    let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
    if !SEVERITIES.contains(&severity) {
        problem(format!("severity is none of {}", SEVERITIES.join(", ")));
    }
    let annotation = |key: &str| rule["annotations"][key].as_str().unwrap_or_default().to_owned();
    for key in ["summary", "description"] {
        let text = annotation(key);
        if text.is_empty() {
            problem(format!("has no {key}"));
        }
        for label in named(&text).difference(&labels) {
            problem(format!("{key} names the label {label}, which no series has"));
        }
    }
    if annotation("runbook_url") != format!("{RUNBOOK_URL}/{name}.md") {
        problem(format!("runbook_url is not {RUNBOOK_URL}/{name}.md"));
    }
    let runbook = format!("{RUNBOOKS}/{name}.md");
    match text(&runbook) {
        Ok(text) if text.starts_with(&format!("# {name}\n")) => {}
        Ok(_) => problem(format!("{runbook} has another heading")),
        Err(_) => problem(format!("{runbook} is not there")),
    }
    Ok(())
}

/// Labels that a template names (`$labels.NAME`).
fn named(template: &str) -> BTreeSet<String> {
    let after = template.split("$labels.").skip(1);
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    after.map(word).collect()
}

/// Every alert has a test in which it fires and one in which it does not; no test is of an alert that is gone.
fn tested(alerts: &BTreeMap<String, String>, findings: &mut Findings) -> Result<()> {
    let (mut firing, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for path in files(TESTS, &[".yaml"])? {
        let file = document(&path)?;
        for test in file["tests"].as_array().context("a file of tests has tests")? {
            for case in test["alert_rule_test"].as_array().into_iter().flatten() {
                let name = case["alertname"].as_str().unwrap_or_default().to_owned();
                if !alerts.contains_key(&name) {
                    findings.add(&path, format!("tests {name}, which is no alert"));
                }
                match case["exp_alerts"]
                    .as_array()
                    .is_some_and(|expected| !expected.is_empty())
                {
                    true => firing.insert(name),
                    false => quiet.insert(name),
                };
            }
        }
    }
    for (name, path) in alerts {
        for (tests, what) in [(&firing, "fires"), (&quiet, "does not fire")] {
            if !tests.contains(name) {
                findings.add(path, format!("{name}: no test in which it {what}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_of_an_alert_are_found() {
        let known = Known::read().unwrap();
        let rule = json!({
            "expr": "node_load1{cpu=\"0\"} > 1",
            "labels": {"severity": "urgent"},
            "annotations": {"summary": "{{ $labels.device }} of {{ $labels.instance }}", "runbook_url": "https://example.com"},
        });
        let mut findings = Findings::default();
        alert("NoSuchAlert", &rule, "x.yaml", &known, &mut findings).unwrap();
        for part in [
            "no label cpu",
            "severity",
            "label device",
            "has no description",
            "runbook_url",
            "is not there",
        ] {
            assert!(
                findings.wrong.iter().any(|wrong| wrong.contains(part)),
                "{part}: {:?}",
                findings.wrong
            );
        }
        assert_eq!(findings.wrong.len(), 6);
    }

    #[test]
    fn alerts_without_both_tests_are_found() {
        let mut findings = Findings::default();
        let alerts = BTreeMap::from([("NoSuchAlert".to_owned(), "x.yaml".to_owned())]);
        tested(&alerts, &mut findings).unwrap();
        let missing = findings
            .wrong
            .iter()
            .filter(|wrong| wrong.starts_with("x.yaml: NoSuchAlert"))
            .count();
        assert_eq!(missing, 2);
    }
}
