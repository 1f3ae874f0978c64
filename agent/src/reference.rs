//! What protocols and probes measure, as a reference for people: `onlooker metrics`, and a part of `docs/metrics.md`.

use crate::metric::{Family, Kind};
use crate::probes::{Hook, Probe, REGISTRY};
use crate::protocol::dns;
use crate::protocol::exchange::Schema;
use crate::protocol::http1::HTTP;
use crate::signal::Role;
use crate::signal::{Instrument, Shape};
use std::fmt::Write as _;

/// Schemas of all protocols.
const SCHEMAS: [&Schema; 1] = [&HTTP];

/// All of it, in Markdown.
pub fn markdown() -> String {
    exchanges() + &lookups() + &probes()
}

/// The families of exchanges. `service_name` and `service_namespace` are labels of all.
fn exchanges() -> String {
    let mut text = String::new();
    for schema in SCHEMAS {
        let _ = writeln!(
            text,
            "### Exchanges of `{}`\n\n| Name | Type | Unit | Labels | What it is |\n|---|---|---|---|---|",
            schema.protocol
        );
        let names = [
            schema.operation,
            schema.status,
            schema.route,
            schema.version,
            schema.scheme.0,
            "error.type",
        ];
        for role in [Role::Server, Role::Client] {
            let families = schema.role(role);
            for family in [
                &families.duration,
                &families.first_byte,
                &families.request_body,
                &families.response_body,
            ] {
                exchange_row(&mut text, family, &names);
            }
            exchange_row(&mut text, &families.active, &[schema.operation, schema.scheme.0]);
        }
        text.push('\n');
    }
    text
}

fn exchange_row(text: &mut String, family: &Family, labels: &[&str]) {
    let kind = match family.kind {
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
        Kind::Counter | Kind::Info | Kind::Unknown => "counter",
    };
    let labels = labels.iter().filter(|name| !name.is_empty());
    let labels = labels.map(|name| format!("`{}`", name.replace('.', "_")));
    let _ = writeln!(
        text,
        "| `{}` | {kind} | {} | {} | {} |",
        family.name,
        family.unit,
        labels.collect::<Vec<_>>().join(", "),
        cell(&family.help),
    );
}

/// The families of lookups.
fn lookups() -> String {
    let mut text = String::from("### Lookups of `dns`\n\n");
    text.push_str(HEAD);
    for instrument in dns::instruments::ALL {
        row(&mut text, instrument);
    }
    text.push('\n');
    text
}

/// Every probe that measures something, in Markdown: what it is attached to, what it costs, and its families.
fn probes() -> String {
    let mut text = String::new();
    for probe in REGISTRY.iter().filter(|probe| !probe.instruments.is_empty()) {
        section(&mut text, probe);
    }
    text
}

fn section(text: &mut String, probe: &Probe) {
    let switch = match (probe.group, probe.default) {
        (Some(_), _) => "always".to_owned(),
        (None, true) => format!("on, `--probes.disable={}` switches it off", probe.name),
        (None, false) => format!("off, `--probes.enable={}` switches it on", probe.name),
    };
    let mut hooks: Vec<String> = Vec::new();
    for program in probe.alternatives.iter().flat_map(|way| way.programs) {
        let hook = match program.hook {
            Hook::Tracepoint(group, name) => format!("`{group}:{name}`"),
            hook => format!("`{}`", hook.point()),
        };
        // One tracepoint in several ways is one hook.
        let point = program.hook.point();
        if !hooks
            .iter()
            .any(|known| known.trim_matches('`').rsplit(':').next() == Some(point))
        {
            hooks.push(hook);
        }
    }
    let _ = writeln!(text, "### Probe `{}`\n", probe.name);
    let _ = writeln!(text, "- By default: {switch}.");
    let _ = writeln!(text, "- Hooks: {}.", hooks.join(", "));
    if !probe.since.is_empty() {
        let _ = writeln!(text, "- Kernels: {}.", probe.since);
    }
    if !probe.cost.is_empty() {
        let _ = writeln!(text, "- Cost: {}.", probe.cost);
    }
    text.push('\n');
    text.push_str(HEAD);
    for instrument in probe.instruments {
        row(text, instrument);
    }
    text.push('\n');
}

const HEAD: &str = "| Name | Type | Unit | Labels | At most | What it is | From |\n|---|---|---|---|---|---|---|\n";

fn row(text: &mut String, instrument: &Instrument) {
    let kind = match instrument.shape {
        Shape::Counter => "counter",
        Shape::Gauge => "gauge",
        Shape::Histogram(_) => "histogram",
    };
    let labels = instrument.labels.iter().map(|name| format!("`{name}`"));
    let _ = writeln!(
        text,
        "| `{}` | {kind} | {} | {} | {} | {} | {} |",
        instrument.name,
        instrument.unit,
        labels.collect::<Vec<_>>().join(", "),
        instrument.limit,
        cell(instrument.help),
        cell(instrument.source),
    );
}

/// A text that may stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What dashboards and readers rely on.
    #[test]
    fn instruments_are_well_formed() {
        let mut names = BTreeSet::new();
        for probe in REGISTRY {
            for instrument in probe.instruments {
                let Instrument { name, unit, help, .. } = instrument;
                assert!(names.insert(name), "{name} twice");
                assert!(help.ends_with('.') && !instrument.source.is_empty(), "{name}");
                assert!(instrument.limit > 0, "{name}");
                let base = name.strip_suffix("_total").unwrap_or(name);
                let counter = instrument.shape == Shape::Counter;
                // Names of other projects are kept as they are.
                if name.starts_with("onlooker_") {
                    assert_eq!(counter, name.ends_with("_total"), "{name}");
                    assert!(unit.is_empty() || base.ends_with(unit), "{name} has unit {unit}");
                }
                if let Shape::Histogram(bounds) = instrument.shape {
                    assert!(bounds.is_sorted_by(|a, b| a < b), "{name}");
                }
            }
            let measures = !probe.instruments.is_empty();
            assert_eq!(
                measures,
                !probe.cost.is_empty() && !probe.since.is_empty(),
                "{}",
                probe.name
            );
        }
    }

    #[test]
    fn every_instrument_has_its_row() {
        let text = markdown();
        for instrument in REGISTRY.iter().flat_map(|probe| probe.instruments) {
            assert!(text.contains(&format!("| `{}` |", instrument.name)), "{text}");
        }
    }
}
