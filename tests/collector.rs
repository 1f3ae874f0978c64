//! An OpenTelemetry Collector that writes what it is sent to a file: the judge of what the agent exports. It is a program of others, so what
//! it could not read, or read in another way than it was meant, shows.

use crate::process::{Program, free_port};
use crate::require::which;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The program's name on the `PATH`.
pub const COLLECTOR: &str = "otelcol";

/// Attributes by name, values as text.
pub type Attributes = BTreeMap<String, String>;

/// One that runs.
#[derive(Debug)]
pub struct Collector {
    /// The process.
    pub program: Program,
    /// Where it takes OTLP over HTTP.
    pub http: SocketAddr,
    /// Where it takes OTLP over gRPC.
    pub grpc: SocketAddr,
    file: PathBuf,
    _dir: TempDir,
}

/// A span, a record of a log or a metric, as the Collector's file has it (OTLP in JSON).
#[derive(Clone, Debug)]
pub struct Told {
    /// Of its resource.
    pub resource: Attributes,
    /// `schemaUrl` of its resource.
    pub schema: String,
    /// Name of its scope.
    pub scope: String,
    /// Itself.
    pub item: Value,
}

impl Collector {
    /// Starts one.
    ///
    /// # Errors
    /// It is not there, or does not start.
    pub fn start() -> Result<Collector> {
        let dir = TempDir::new()?;
        let file = dir.path().join("told.json");
        let [http, grpc] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let pipeline = json!({ "receivers": ["otlp"], "exporters": ["file"] });
        let config = json!({
            "receivers": { "otlp": { "protocols": { "http": { "endpoint": http.to_string() }, "grpc": { "endpoint": grpc.to_string() } } } },
            "exporters": { "file": { "path": file, "flush_interval": "100ms" } },
            "service": {
                "pipelines": { "traces": pipeline, "metrics": pipeline, "logs": pipeline },
                "telemetry": { "metrics": { "level": "none" }, "logs": { "level": "warn" } },
            },
        });
        // JSON is YAML.
        let path = dir.path().join("collector.yaml");
        std::fs::write(&path, config.to_string())?;
        let mut command = Command::new(which(COLLECTOR).context("the Collector is not there")?);
        command.arg("--config").arg(&path).stdout(Stdio::null());
        let mut program = Program::start(COLLECTOR, command)?;
        program.wait_listening(http)?;
        program.wait_listening(grpc)?;
        Ok(Collector {
            program,
            http,
            grpc,
            file,
            _dir: dir,
        })
    }

    /// All spans so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spans(&self) -> Result<Vec<Told>> {
        self.told(["resourceSpans", "scopeSpans", "spans"])
    }

    /// All records of logs so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn records(&self) -> Result<Vec<Told>> {
        self.told(["resourceLogs", "scopeLogs", "logRecords"])
    }

    /// All metrics so far, those of each push.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn metrics(&self) -> Result<Vec<Told>> {
        self.told(["resourceMetrics", "scopeMetrics", "metrics"])
    }

    fn told(&self, [resources, scopes, items]: [&str; 3]) -> Result<Vec<Told>> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut all = Vec::new();
        // A line is of one signal; those of others need not be read. The last one may be under way.
        let begin = format!("{{\"{resources}\"");
        let whole = |line: &&str| line.starts_with(&begin) && line.ends_with('\n');
        for line in text.split_inclusive('\n').filter(whole) {
            let request: Value = serde_json::from_str(line).context("a line of the Collector's file")?;
            for resource in list(&request, resources) {
                let attributes = attributes(&resource["resource"])?;
                for scope in list(resource, scopes) {
                    all.extend(list(scope, items).iter().map(|item| Told {
                        resource: attributes.clone(),
                        schema: text_of(&resource["schemaUrl"]),
                        scope: text_of(&scope["scope"]["name"]),
                        item: item.clone(),
                    }));
                }
            }
        }
        Ok(all)
    }
}

impl Told {
    /// `service.name` of its resource.
    pub fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }

    /// Its own attribute.
    pub fn attribute(&self, name: &str) -> String {
        attributes(&self.item)
            .ok()
            .and_then(|mut all| all.remove(name))
            .unwrap_or_default()
    }

    /// A text of it: `traceId`, `spanId`, `name`.
    pub fn text(&self, name: &str) -> String {
        text_of(&self.item[name])
    }

    /// The text of a record.
    pub fn body(&self) -> String {
        text_of(&self.item["body"]["stringValue"])
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Attributes of something; two of one name are an error.
fn attributes(of: &Value) -> Result<Attributes> {
    let mut all = Attributes::new();
    for pair in list(of, "attributes") {
        let name = text_of(&pair["key"]);
        let value = pair["value"].as_object().and_then(|value| value.values().next());
        let twice = all.insert(name.clone(), value.map(text_of).unwrap_or_default());
        ensure!(twice.is_none(), "{name} is there twice");
    }
    Ok(all)
}
