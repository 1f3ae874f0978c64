//! `docs/otlp-metrics.md` is made of the tables.

use super::super::table::{By, Metric, Of, Shape, Term};
use super::super::tables::ALL;
use std::fmt::Write as _;

const HEAD: &str = "| Metric | Kind | Unit | Attributes | Of | What it is |";

fn kind(shape: Shape) -> &'static str {
    match shape {
        Shape::Counter => "counter",
        Shape::UpDown => "up-down counter",
        Shape::Gauge => "gauge",
    }
}

fn attributes(terms: &[Term]) -> String {
    let mut names: Vec<String> = Vec::new();
    for term in terms {
        let id = (!term.id.is_empty()).then_some("hw.id");
        let fixed = term.fixed.iter().map(|(name, _)| *name);
        for name in fixed.chain(term.labels.iter().map(|(_, name)| *name)).chain(id) {
            let name = format!("`{name}`");
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(", ")
}

/// A term as it is written: family, and what is taken of it.
fn of(term: &Term) -> String {
    let mut text = format!("`{}", term.family);
    if let Some((label, words)) = term.words.filter(|(_, words)| words.len() == 1) {
        let _ = write!(text, "{{{label}=\"{}\"}}", words[0].0);
    }
    text.push('`');
    text
}

fn made(metric: &Metric) -> String {
    let terms = metric.of.terms();
    match metric.of {
        Of::Ratio { part, whole, .. } => match ALL.iter().find(|metric| metric.name == whole) {
            Some(whole) if matches!(whole.of, Of::Hidden(_)) => {
                let all: Vec<String> = whole.of.terms().iter().map(of).collect();
                format!("`{part}` / ({})", all.join(" or "))
            }
            _ => format!("`{part}` / `{whole}`"),
        },
        Of::Samples(_) => {
            let mut all: Vec<String> = terms.iter().map(of).collect();
            all.dedup();
            all.join(", ")
        }
        Of::Sums(_) | Of::Hidden(_) => {
            // Terms of one point stand together: `a` - `b`.
            let mut points: Vec<(u32, String)> = Vec::new();
            for (index, term) in terms.iter().enumerate() {
                let (needed, less) = (metric.needed(index), term.factor < 0.0);
                let text = if term.ones {
                    format!("count of {}", of(term))
                } else {
                    of(term)
                };
                match points.iter_mut().find(|(known, _)| *known == needed) {
                    Some((_, known)) => {
                        let _ = write!(known, " {} {text}", if less { "-" } else { "+" });
                    }
                    None => points.push((needed, text)),
                }
            }
            points.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
        }
    }
}

#[test]
fn the_document_is_the_tables() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/otlp-metrics.md");
    let mut rows = format!("{HEAD}\n|---|---|---|---|---|---|\n");
    for metric in ALL.iter().filter(|metric| !matches!(metric.of, Of::Hidden(_))) {
        let terms = match metric.of {
            Of::Ratio { part, .. } => ALL
                .iter()
                .find(|metric| metric.name == part)
                .map_or(&[][..], |part| part.of.terms()),
            _ => metric.of.terms(),
        };
        let mark = match metric.by {
            By::Semconv => "",
            By::Collector => " (1)",
            By::Own => " (2)",
        };
        let _ = writeln!(
            rows,
            "| `{}`{mark} | {} | `{}` | {} | {} | {} |",
            metric.name,
            kind(metric.shape),
            metric.unit,
            attributes(terms),
            made(metric),
            metric.help
        );
    }
    let document = std::fs::read_to_string(file).unwrap_or_default();
    if std::env::var_os("ONLOOKER_WRITE_DOCS").is_some() {
        let before = document.split_once(HEAD).map_or(&*document, |(before, _)| before);
        std::fs::write(file, format!("{before}{rows}")).expect("written");
    } else {
        assert!(
            document.ends_with(&rows),
            "docs/otlp-metrics.md is stale: ONLOOKER_WRITE_DOCS=1 writes it anew"
        );
    }
}
