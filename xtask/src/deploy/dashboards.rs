//! Grafana's dashboards: JSON generated from `deploy/grafana/source/NAME.yaml`, their queries checked.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::known::Known;
use super::panel::Panel;
use super::{Findings, document, files, same, scratch};
use crate::shell::Run;

const SOURCES: &str = "deploy/grafana/source";
const DASHBOARDS: &str = "deploy/grafana/dashboards";

/// Version of the schema of dashboards, that of Grafana 11; later ones read it too.
const SCHEMA: u32 = 39;

/// A dashboard as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dashboard {
    /// Its own name in links; the same on every Grafana.
    uid: String,
    title: String,
    description: String,
    #[serde(default)]
    variables: Vec<Variable>,
    rows: Vec<Row>,
}

/// What can be chosen above it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    label: String,
    /// Series and label whose values can be chosen: `label_values(SERIES, LABEL)`.
    series: String,
    values_of: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    panels: Vec<Panel>,
}

/// Compares each dashboard with its source, or writes it, and checks its queries.
pub(super) fn check(known: &Known, promtool: Option<&Path>, write: bool, findings: &mut Findings) -> Result<()> {
    let mut queries = Vec::new();
    let mut expected = BTreeSet::new();
    for path in files(SOURCES, &[".yaml"])? {
        let made = document(&path)
            .and_then(|source| Ok(serde_json::from_value::<Dashboard>(source)?))
            .and_then(|dashboard| Ok((dashboard.json()?, dashboard)));
        let (made, dashboard) = match made {
            Ok(made) => made,
            Err(error) => {
                findings.add(&path, format!("{error:#}"));
                continue;
            }
        };
        let name = path
            .trim_start_matches(SOURCES)
            .trim_matches('/')
            .trim_end_matches(".yaml")
            .to_owned();
        let target = format!("{DASHBOARDS}/{name}.json");
        same(&target, &(serde_json::to_string_pretty(&made)? + "\n"), write, findings)?;
        expected.insert(target);
        let mut ask = |query: &str| {
            let query = plain(query);
            known.check(&query, &mut |problem| findings.add(&path, problem));
            queries.push((format!("{name}:{}", queries.len()).replace('-', "_"), query));
        };
        for panel in dashboard.rows.iter().flat_map(|row| &row.panels) {
            if panel.asks_prometheus() {
                panel.queries.iter().for_each(|query| ask(&query.expr));
            }
        }
        dashboard.variables.iter().for_each(|variable| ask(&variable.series));
        for variable in &dashboard.variables {
            let labels = known.check(&plain(&variable.series), &mut |_| ());
            if !labels.contains(&variable.values_of) {
                findings.add(
                    &path,
                    format!("{} has no label {}", variable.series, variable.values_of),
                );
            }
        }
    }
    ensure!(!queries.is_empty(), "{SOURCES} holds no queries");
    for path in files(DASHBOARDS, &[".json"])? {
        if !expected.contains(&path) {
            findings.add(&path, "has no source");
        }
    }
    if let Some(promtool) = promtool {
        let rules: Vec<Value> = queries
            .iter()
            .map(|(name, query)| json!({"record": name, "expr": query}))
            .collect();
        let file = scratch("dashboards.yaml")?;
        // JSON is YAML.
        std::fs::write(
            &file,
            json!({"groups": [{"name": "dashboards", "rules": rules}]}).to_string(),
        )?;
        findings.tool(SOURCES, Run::new(promtool).args(["check", "rules"]).arg(&file).run());
    }
    Ok(())
}

/// A query with Grafana's own variables put in.
fn plain(query: &str) -> String {
    query.replace("$__rate_interval", "5m").replace("$__range", "1h")
}

impl Dashboard {
    fn json(&self) -> Result<Value> {
        ensure!(self.uid.starts_with("onlooker-"), "uid does not begin with onlooker-");
        let mut panels = Vec::new();
        let (mut id, mut y) = (0, 0);
        for row in &self.rows {
            id += 1;
            panels.push(json!({
                "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [], "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > 24 {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                id += 1;
                panels.push(panel.json(id, x, y).with_context(|| format!("row {:?}", row.title))?);
                x += panel.width;
                tallest = tallest.max(panel.height);
            }
            y += tallest;
        }
        Ok(json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["onlooker"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "annotations": {"list": []},
            "links": [{
                "title": "onlooker", "type": "dashboards", "tags": ["onlooker"], "asDropdown": true, "includeVars": true, "keepTime": true,
            }],
            "templating": {"list": self.templating()},
            "panels": panels,
        }))
    }

    /// Sources of data first, then what the dashboard itself lets choose.
    fn templating(&self) -> Vec<Value> {
        let source = |name: &str, label: &str, kind: &str| {
            json!({
                "name": name, "label": label, "type": "datasource", "query": kind, "current": {}, "hide": 0, "includeAll": false,
                "multi": false, "refresh": 1, "regex": "",
            })
        };
        let mut all = vec![source("datasource", "Metrics", "prometheus")];
        let asks_others = self
            .rows
            .iter()
            .flat_map(|row| &row.panels)
            .any(|panel| !panel.asks_prometheus());
        if asks_others {
            all.extend([source("logs", "Logs", "loki"), source("traces", "Traces", "tempo")]);
        }
        all.extend(self.variables.iter().map(|variable| {
            let query = format!("label_values({}, {})", variable.series, variable.values_of);
            json!({
                "name": variable.name,
                "label": variable.label,
                "type": "query",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "definition": query,
                "query": {"query": query, "refId": "variable", "qryType": 1},
                "current": {},
                "includeAll": true,
                "allValue": ".*",
                "multi": true,
                "hide": 0,
                "refresh": 2,
                "sort": 1,
                "regex": "",
            })
        }));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dashboard(panel: Value) -> Result<Value> {
        let row = json!({"title": "Row", "panels": [panel, panel, panel, panel]});
        let all = json!({"uid": "onlooker-x", "title": "X", "description": "Y", "rows": [row]});
        serde_json::from_value::<Dashboard>(all)?.json()
    }

    #[test]
    fn panels_flow_into_rows_and_name_no_source_of_data() {
        let panel =
            json!({"title": "P", "description": "D", "unit": "s", "queries": [{"expr": "up", "legend": "{{job}}"}]});
        let made = dashboard(panel).unwrap();
        let places: Vec<(i64, i64)> = made["panels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|panel| {
                (
                    panel["gridPos"]["x"].as_i64().unwrap(),
                    panel["gridPos"]["y"].as_i64().unwrap(),
                )
            })
            .collect();
        assert_eq!(places, [(0, 0), (0, 1), (8, 1), (16, 1), (0, 9)]);
        assert_eq!(made["panels"][1]["datasource"]["uid"], "${datasource}");
    }

    #[test]
    fn panels_without_unit_legend_or_description_are_refused() {
        for (panel, part) in [
            (json!({"title": "P", "description": "D", "queries": []}), "unit"),
            (
                json!({"title": "P", "description": "", "unit": "s", "queries": []}),
                "description",
            ),
            (
                json!({"title": "P", "description": "D", "unit": "s", "queries": []}),
                "0 queries",
            ),
            (
                json!({"title": "P", "description": "D", "unit": "s", "queries": [{"expr": "up", "legend": ""}]}),
                "legend",
            ),
            (
                json!({"title": "P", "description": "D", "unit": "s", "colour": 1, "queries": []}),
                "colour",
            ),
        ] {
            let error = format!("{:#}", dashboard(panel).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
