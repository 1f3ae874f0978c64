//! Reads an exposition back, strictly and independently of the encoder, by the rules that promtool and scrapers enforce.

use super::Format;
use std::collections::{BTreeMap, HashSet};

/// Labels in order of name.
pub(crate) type LabelMap = BTreeMap<String, String>;

/// One sample as read.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: LabelMap,
    pub(crate) value: f64,
    pub(crate) exemplar: Option<String>,
}

/// Reads `text` and panics with the line on anything that breaks a rule.
#[track_caller]
pub(crate) fn read(format: Format, text: &str) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut open: Option<(String, String)> = None;
    let mut helped = String::new();
    let mut ended = false;
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not ended");
    for line in text.lines() {
        assert!(!ended, "after # EOF: {line}");
        if line == "# EOF" {
            assert_eq!(format, Format::OpenMetrics);
            ended = true;
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split(' ').next().expect("a name").to_owned();
            open = None;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and type");
            assert_eq!(helped, name, "HELP and TYPE belong together");
            assert!(
                families.insert(name.to_owned(), kind.to_owned()).is_none(),
                "twice: {line}"
            );
            open = Some((name.to_owned(), kind.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').expect("name and unit");
            assert_eq!(format, Format::OpenMetrics);
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let sample = sample(line);
            let (name, kind) = open.as_ref().unwrap_or_else(|| panic!("outside of a family: {line}"));
            let suffix = sample
                .name
                .strip_prefix(name.as_str())
                .unwrap_or_else(|| panic!("not of {name}: {line}"));
            let allowed: &[&str] = match (kind.as_str(), format) {
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                ("counter", Format::OpenMetrics) => &["_total"],
                ("info", Format::OpenMetrics) => &["_info"],
                ("counter" | "gauge" | "untyped", Format::Text) | ("gauge" | "unknown", Format::OpenMetrics) => &[""],
                other => panic!("type {other:?}"),
            };
            assert!(allowed.contains(&suffix), "suffix of a {kind}: {line}");
            assert!(
                seen.insert(format!("{} {:?}", sample.name, sample.labels)),
                "twice: {line}"
            );
            assert!(sample.exemplar.is_none() || suffix == "_bucket", "{line}");
            samples.push(sample);
        }
    }
    assert_eq!(ended, format == Format::OpenMetrics, "# EOF");
    for (name, kind) in &families {
        if kind == "histogram" {
            histograms(name, &samples);
        }
    }
    samples
}

/// Buckets ascend, never fall, and agree with the count.
fn histograms(name: &str, samples: &[Sample]) {
    let mut series: BTreeMap<LabelMap, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == format!("{name}_bucket")) {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le").expect("le");
        series.entry(labels).or_default().push((number(&bound), sample.value));
    }
    for (labels, buckets) in series {
        assert!(
            buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
            "{name} {labels:?}: {buckets:?}"
        );
        let find = |suffix: &str| {
            let name = format!("{name}{suffix}");
            samples
                .iter()
                .find(|sample| sample.name == name && sample.labels == labels)
                .expect("sum and count")
                .value
        };
        assert_eq!(buckets.last().copied(), Some((f64::INFINITY, find("_count"))));
        assert!(find("_sum") >= 0.0);
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("a number: {text}"))
}

fn sample(line: &str) -> Sample {
    let at = line.find(['{', ' ']).expect("name");
    let (name, mut rest) = line.split_at(at);
    assert!(
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'),
        "{line}"
    );
    let mut labels = LabelMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").expect("label");
            assert!(label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at + 1,
                    (_, '\\') => value.push(match chars.next().expect("an escape").1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        other => panic!("escape {other}: {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            rest = &after[end..];
            assert!(labels.insert(label.to_owned(), value).is_none(), "label twice: {line}");
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let rest = rest.strip_prefix(' ').expect("a space");
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) => (value, Some(exemplar.to_owned())),
        None => (rest, None),
    };
    Sample {
        name: name.to_owned(),
        labels,
        value: number(value),
        exemplar,
    }
}
