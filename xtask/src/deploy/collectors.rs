//! The Collector's own check of its configurations, of those whose parts the Collector that is built here has.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::{Findings, document, files};
use crate::shell::Run;

/// Kinds of parts: as a configuration names them.
const KINDS: [&str; 5] = ["receivers", "processors", "exporters", "extensions", "connectors"];

/// Names since 0.144, and those before, which are valid too and known by every version.
const FORMER: [(&str, &str); 2] = [
    ("exporters/otlp_grpc", "exporters/otlp"),
    ("exporters/otlp_http", "exporters/otlphttp"),
];

pub(super) fn check(findings: &mut Findings) -> Result<()> {
    let Some(collector) = findings.find("otelcol-backends") else {
        return Ok(());
    };
    let known = super::yaml::documents(&Run::new(&collector).arg("components").read()?)?;
    let known = parts_known(known.first().unwrap_or(&Value::Null));
    for path in files("deploy/collector", &[".yaml"])? {
        let lacking: Vec<String> = parts(&document(&path)?).difference(&known).cloned().collect();
        if !lacking.is_empty() {
            findings
                .missing
                .push(format!("a Collector with {} ({path})", lacking.join(", ")));
            continue;
        }
        let check = Run::new(&collector).args(["validate", "--config", &path]).run();
        findings.tool(&path, check);
    }
    Ok(())
}

/// `KIND/TYPE` of all that is configured; behind a slash of its name is only which one of several it is.
fn parts(configuration: &Value) -> BTreeSet<String> {
    let of = |kind: &'static str| {
        let all = configuration[kind].as_object().into_iter().flatten();
        all.map(move |(name, _)| format!("{kind}/{}", name.split('/').next().unwrap_or_default()))
    };
    KINDS.into_iter().flat_map(of).collect()
}

/// The same of what `components` prints, and former names.
fn parts_known(components: &Value) -> BTreeSet<String> {
    let of = |kind: &'static str| {
        let all = components[kind].as_array().into_iter().flatten();
        all.filter_map(move |part| Some(format!("{kind}/{}", part["name"].as_str()?)))
    };
    let mut known: BTreeSet<String> = KINDS.into_iter().flat_map(of).collect();
    for (name, former) in FORMER {
        if known.contains(name) {
            known.insert(former.to_owned());
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_are_known_by_their_type() {
        let configuration =
            json!({ "receivers": {"otlp": {}}, "exporters": {"otlp/jaeger": {}, "file": null}, "service": {} });
        let known = json!({ "receivers": [{"name": "otlp"}], "exporters": [{"name": "otlp_grpc"}] });
        let lacking: Vec<String> = parts(&configuration)
            .difference(&parts_known(&known))
            .cloned()
            .collect();
        assert_eq!(lacking, ["exporters/file"]);
    }
}
