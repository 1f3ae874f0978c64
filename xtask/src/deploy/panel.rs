//! One panel of a dashboard: from a few lines of YAML to Grafana's JSON.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// A panel as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Panel {
    title: String,
    /// What it shows and what to make of it.
    description: String,
    /// Grafana's name of a unit (`s`, `bytes`, `percentunit`, `reqps`, `short`).
    unit: String,
    #[serde(default)]
    kind: Kind,
    /// Columns of 24.
    #[serde(default = "third")]
    pub(super) width: u32,
    #[serde(default = "eight")]
    pub(super) height: u32,
    #[serde(default)]
    stack: bool,
    /// Value from which it is drawn in red.
    red: Option<f64>,
    pub(super) queries: Vec<Query>,
}

fn third() -> u32 {
    8
}

fn eight() -> u32 {
    8
}

/// What it looks like.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Timeseries,
    Stat,
    Table,
    Logs,
    Traces,
}

/// A query of a panel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    pub(super) expr: String,
    /// Name of its series, or title of its column of a table.
    legend: String,
    /// Unit of its column.
    unit: Option<String>,
}

impl Panel {
    /// Are its queries PromQL?
    pub(super) fn asks_prometheus(&self) -> bool {
        !matches!(self.kind, Kind::Logs | Kind::Traces)
    }

    /// Grafana's JSON of it, at a place.
    pub(super) fn json(&self, id: u32, x: u32, y: u32) -> Result<Value> {
        self.check().with_context(|| format!("panel {:?}", self.title))?;
        let letters = ('A'..='Z').map(String::from);
        let queries: Vec<(String, &Query)> = letters.zip(&self.queries).collect();
        let (source, variable) = match self.kind {
            Kind::Logs => ("loki", "${logs}"),
            Kind::Traces => ("tempo", "${traces}"),
            _ => ("prometheus", "${datasource}"),
        };
        let source = json!({"type": source, "uid": variable});
        let targets: Vec<Value> = queries
            .iter()
            .map(|(letter, query)| self.target(letter, query, &source))
            .collect();
        let mut steps = vec![json!({"color": "green", "value": null})];
        steps.extend(self.red.map(|red| json!({"color": "red", "value": red})));
        let defaults = json!({
            "unit": self.unit,
            "color": {"mode": if self.kind == Kind::Stat { "thresholds" } else { "palette-classic" }},
            "custom": self.custom(),
            "thresholds": {"mode": "absolute", "steps": steps},
        });
        let mut panel = json!({
            "id": id,
            "type": self.kind.plugin(),
            "title": self.title,
            "description": self.description,
            "datasource": source,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": self.overrides(&queries)},
            "options": self.options(),
            "targets": targets,
        });
        if self.kind == Kind::Table {
            panel["transformations"] = self.columns(&queries);
        }
        Ok(panel)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            !self.title.is_empty() && !self.description.is_empty(),
            "has no title or description"
        );
        ensure!(!self.unit.is_empty(), "has no unit");
        ensure!(
            (1..=24).contains(&self.width),
            "is {} columns wide, not 1 to 24",
            self.width
        );
        ensure!(
            (1..=26).contains(&self.queries.len()),
            "has {} queries, not 1 to 26",
            self.queries.len()
        );
        if let Some(query) = self.queries.iter().find(|query| query.legend.is_empty()) {
            bail!("a query has no legend: {}", query.expr);
        }
        Ok(())
    }

    fn target(&self, letter: &str, query: &Query, source: &Value) -> Value {
        match self.kind {
            Kind::Logs => json!({"refId": letter, "datasource": source, "expr": query.expr, "queryType": "range"}),
            Kind::Traces => json!({
                "refId": letter, "datasource": source, "query": query.expr, "queryType": "traceql", "tableType": "traces", "limit": 20,
            }),
            _ => json!({
                "refId": letter,
                "datasource": source,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": self.kind != Kind::Table,
                "instant": self.kind == Kind::Table,
                "format": if self.kind == Kind::Table { "table" } else { "time_series" },
            }),
        }
    }

    fn custom(&self) -> Value {
        match self.kind {
            Kind::Timeseries => json!({
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": if self.stack { 30 } else { 5 },
                "showPoints": "never",
                "spanNulls": false,
                "stacking": {"mode": if self.stack { "normal" } else { "none" }, "group": "A"},
                "thresholdsStyle": {"mode": if self.red.is_some() { "dashed" } else { "off" }},
            }),
            _ => json!({}),
        }
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::Timeseries => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Kind::Stat => json!({
                "colorMode": "value",
                "graphMode": "area",
                "textMode": "auto",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            }),
            Kind::Table | Kind::Traces => json!({"showHeader": true, "cellHeight": "sm"}),
            Kind::Logs => json!({
                "showTime": true, "wrapLogMessage": true, "enableLogDetails": true, "sortOrder": "Descending", "dedupStrategy": "none",
            }),
        }
    }

    /// Titles and units of a table's columns.
    fn overrides(&self, queries: &[(String, &Query)]) -> Vec<Value> {
        if self.kind != Kind::Table {
            return Vec::new();
        }
        let column = |(letter, query): &(String, &Query)| {
            // Grafana calls the only value `Value`, those of several queries `Value #A` and so on.
            let name = if queries.len() == 1 {
                "Value".to_owned()
            } else {
                format!("Value #{letter}")
            };
            let unit = query.unit.as_ref().unwrap_or(&self.unit);
            json!({
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "displayName", "value": query.legend}, {"id": "unit", "value": unit}],
            })
        };
        queries.iter().map(column).collect()
    }

    /// One row for each set of labels, without the time.
    fn columns(&self, queries: &[(String, &Query)]) -> Value {
        let mut steps = Vec::new();
        if queries.len() > 1 {
            steps.push(json!({"id": "merge", "options": {}}));
        }
        steps.push(json!({"id": "organize", "options": {"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": {}}}));
        Value::Array(steps)
    }
}

impl Kind {
    fn plugin(self) -> &'static str {
        match self {
            Kind::Timeseries => "timeseries",
            Kind::Stat => "stat",
            Kind::Table | Kind::Traces => "table",
            Kind::Logs => "logs",
        }
    }
}
