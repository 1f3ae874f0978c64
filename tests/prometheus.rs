//! A Prometheus server that scrapes what a test starts, and evaluates rules on it.

use crate::http::{self, Target};
use crate::process::{Program, free_port, output};
use crate::require::which;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// One that runs: it scrapes and evaluates each second.
#[derive(Debug)]
pub struct Prometheus {
    /// The process.
    pub program: Program,
    web: Target,
    _dir: TempDir,
}

/// Samples of a series: milliseconds since 1970, and values.
pub type Samples = Vec<(i64, f64)>;
/// Labels, the name among them as `__name__`.
pub type Labels = BTreeMap<String, String>;

impl Prometheus {
    /// Starts one on these targets by job (all have the same label `instance`) and these files of rules, each a JSON value in the
    /// shape of <https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/>.
    ///
    /// # Errors
    /// It is not installed, refuses the rules, or does not start.
    pub fn start(jobs: &[(&str, SocketAddr)], rules: &[Value]) -> Result<Prometheus> {
        // JSON is YAML.
        let rules: Vec<String> = rules.iter().map(Value::to_string).collect();
        Prometheus::alerting(jobs, &rules, None)
    }

    /// The same with rules in YAML, and with an Alertmanager that is told of alerts.
    ///
    /// # Errors
    /// As of [`Prometheus::start`].
    pub fn alerting(
        jobs: &[(&str, SocketAddr)],
        rules: &[String],
        alertmanager: Option<SocketAddr>,
    ) -> Result<Prometheus> {
        let dir = TempDir::new()?;
        let mut files = Vec::new();
        for (number, rules) in rules.iter().enumerate() {
            let file = format!("rules{number}.yml");
            std::fs::write(dir.path().join(&file), rules)?;
            files.push(file);
        }
        let told: Vec<String> = alertmanager.iter().map(SocketAddr::to_string).collect();
        let jobs: Vec<Value> = jobs
            .iter()
            .map(|(job, addr)| {
                let target = json!({"targets": [addr.to_string()], "labels": {"instance": "host"}});
                json!({"job_name": job, "static_configs": [target]})
            })
            .collect();
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": files,
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": told}]}]},
            "scrape_configs": jobs,
        });
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string())?;
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(which("prometheus").context("prometheus is not installed")?);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--log.level=warn")
            .stdout(Stdio::null());
        let mut program = Program::start("prometheus", command)?;
        program.wait_listening(addr)?;
        Ok(Prometheus {
            program,
            web: Target::Tcp(addr),
            _dir: dir,
        })
    }

    /// Samples of all series that a selector with a range (`node_load1[1m]`) finds now.
    ///
    /// # Errors
    /// It does not answer, or refuses the query.
    pub fn samples(&self, selector: &str) -> Result<Vec<(Labels, Samples)>> {
        let data = self.data(&format!("query?query={}", encoded(selector)))?;
        let series = data["result"].as_array().context("no result")?.iter().map(|series| {
            let labels = serde_json::from_value(series["metric"].clone())?;
            let samples = series["values"].as_array().context("no values")?.iter().map(sample);
            Ok((labels, samples.collect::<Result<Samples>>()?))
        });
        series.collect()
    }

    /// How many series a query finds now; 1 for a single number.
    ///
    /// # Errors
    /// It does not answer, or refuses the query.
    pub fn count(&self, query: &str) -> Result<usize> {
        let data = self.data(&format!("query?query={}", encoded(query)))?;
        Ok(match data["resultType"].as_str() {
            Some("vector" | "matrix") => data["result"].as_array().context("no result")?.len(),
            _ => 1,
        })
    }

    /// Alerts that are pending or firing, a line each.
    ///
    /// # Errors
    /// It does not answer.
    pub fn alerts(&self) -> Result<Vec<String>> {
        let data = self.data("alerts")?;
        let alerts = data["alerts"].as_array().context("no alerts")?.iter();
        Ok(alerts
            .map(|alert| format!("{} {}", alert["state"], alert["labels"]))
            .collect())
    }

    /// Every rule as the server sees it: `name`, `health`, `lastError` and more.
    ///
    /// # Errors
    /// It does not answer.
    pub fn rules(&self) -> Result<Vec<Value>> {
        let data = self.data("rules")?;
        let groups = data["groups"].as_array().context("no groups")?.iter();
        let rules = groups.filter_map(|group| group["rules"].as_array());
        Ok(rules.flatten().cloned().collect())
    }

    fn data(&self, path: &str) -> Result<Value> {
        let response = http::get(&self.web, &format!("/api/v1/{path}"), &[])?;
        let text = response.text();
        ensure!(response.status == 200, "{path}: {}: {text}", response.status);
        let mut answer: Value = serde_json::from_str(&text)?;
        Ok(answer["data"].take())
    }
}

fn sample(pair: &Value) -> Result<(i64, f64)> {
    let at = pair[0].as_f64().context("no time")?;
    let value = pair[1].as_str().context("no value")?;
    Ok(((at * 1000.0).round() as i64, value.parse()?))
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let one = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// An expression whose ranges (`[5m]`, `[$__range]`) are all this long; subqueries have steps of a second.
pub fn looking_back_for(window: &str, expr: &str) -> String {
    let mut parts = expr.split('[');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let range = part.split_once(']');
        match range.filter(|(range, _)| range.starts_with(|c: char| c.is_ascii_digit() || c == '$')) {
            Some((range, rest)) => {
                let step = range.split_once(':').map_or("", |_| ":1s");
                short.extend(["[", window, step, "]", rest]);
            }
            None => short.extend(["[", part]),
        }
    }
    short
}

/// What `promtool check metrics` objects to in an exposition, a sentence each.
///
/// # Errors
/// It is not installed, or cannot read the exposition at all.
pub fn objections(exposition: &[u8]) -> Result<BTreeSet<String>> {
    let mut file = tempfile::tempfile()?;
    file.write_all(exposition)?;
    file.rewind()?;
    let mut command = Command::new(which("promtool").context("promtool is not installed")?);
    let result = command.args(["check", "metrics"]).stdin(file).output()?;
    let told = String::from_utf8_lossy(&result.stderr);
    // 3: it read all, and has objections.
    ensure!(matches!(result.status.code(), Some(0 | 3)), "promtool: {told}");
    Ok(told.lines().map(str::to_owned).collect())
}

/// The release of node_exporter whose rules are taken.
const MIXIN: &str = "github.com/prometheus/node_exporter@v1.12.1";
/// What Go's checksum database says of it.
const MIXIN_SUM: &str = "h1:LzcZ6SqJRH2EULBz3Paa1t1uzQaaoo9domuz8FQDkiY=";

/// The record and alert rules that node_exporter's project publishes (`docs/node-mixin`), for the jobs that a matcher of labels
/// selects. Their source comes as Go modules do, whose checksum is known; nothing of it is kept here.
///
/// # Errors
/// It cannot be had, or is not what it was.
pub fn mixin(selector: &str) -> Result<Value> {
    let mut command = Command::new(which("go").context("go is not installed")?);
    let dir = TempDir::new()?;
    command
        .args(["mod", "download", "-json", MIXIN])
        .env("GOFLAGS", "-mod=mod")
        .current_dir(dir.path());
    let module: Value = serde_json::from_str(&output(command)?)?;
    let sum = module["Sum"].as_str().unwrap_or_default();
    ensure!(sum == MIXIN_SUM, "{MIXIN} has the checksum {sum}, not {MIXIN_SUM}");
    let folder: PathBuf = module["Dir"].as_str().context("no folder")?.into();
    // Without its dashboards, which are made with a library of their own.
    let program = "local mixin = (import 'config.libsonnet') + (import 'alerts/alerts.libsonnet')
            + (import 'rules/rules.libsonnet')
            + { _config+:: { nodeExporterSelector: std.extVar('selector') } };
        { groups: mixin.prometheusRules.groups + mixin.prometheusAlerts.groups }";
    let mut command = Command::new(which("jsonnet").context("jsonnet is not installed")?);
    command
        .arg("-J")
        .arg(folder.join("docs/node-mixin"))
        .args(["--ext-str", &format!("selector={selector}")])
        .args(["-e", program]);
    Ok(serde_json::from_str(&output(command)?)?)
}
