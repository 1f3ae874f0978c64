//! Reading of Prometheus' text format, as far as tests need it.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name with its suffix (`_bucket`, `_sum`, `_count`, `_total`).
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
    /// What stands behind ` # ` in OpenMetrics, verbatim.
    pub exemplar: Option<String>,
}

impl Sample {
    /// Value of a label, empty when absent (the two are the same to Prometheus).
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// All lines in order.
    pub samples: Vec<Sample>,
    /// Type by family.
    pub types: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads text format 0.0.4 or OpenMetrics 1.0.
    pub fn parse(text: &str) -> Result<Scrape> {
        let mut scrape = Scrape::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (family, kind) = rest.split_once(' ').context("TYPE line")?;
                if scrape.types.insert(family.into(), kind.into()).is_some() {
                    bail!("family {family} opened twice");
                }
            } else if !line.starts_with('#') && !line.is_empty() {
                scrape
                    .samples
                    .push(sample(line).with_context(|| format!("line {line:?}"))?);
            }
        }
        Ok(scrape)
    }

    /// Samples of a name whose labels contain these.
    pub fn select<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |s| s.name == name && labels.iter().all(|(name, value)| s.label(name) == *value))
    }

    /// Sum of [`Scrape::select`]; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.select(name, labels).map(|s| s.value).sum()
    }

    /// Whether any such sample is there.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.select(name, labels).next().is_some()
    }
}

fn sample(line: &str) -> Result<Sample> {
    let name_end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = rest.split_once("=\"").context("label")?;
            let (value, after) = quoted(after)?;
            if labels.insert(key.to_string(), value).is_some() {
                bail!("label {key} twice");
            }
            rest = after;
        }
    }
    let (rest, exemplar) = match rest.split_once(" # ") {
        Some((before, exemplar)) => (before, Some(exemplar.to_string())),
        None => (rest, None),
    };
    let number = rest.split_whitespace().next().context("no value")?;
    let value = match number {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse()?,
    };
    Ok(Sample {
        name: name.into(),
        labels,
        value,
        exemplar,
    })
}

/// Text up to the closing quote, unescaped, and what follows.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next().context("escape")?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    bail!("label value without end")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels with every escape, exemplars, and values with a time stamp are read.
    #[test]
    fn reads_samples() {
        let scrape = Scrape::parse(
            "# HELP a_total x\n# TYPE a_total counter\na_total{x=\"1\",y=\"a\\\"b\\\\c\\nd,}\"} 3 1700000000\nb 0.5\n\
             c_bucket{le=\"+Inf\",} 7 # {trace_id=\"ab\"} 0.1 1.5\n# EOF\n",
        )
        .unwrap();
        assert_eq!(scrape.types["a_total"], "counter");
        assert_eq!(scrape.samples[0].label("y"), "a\"b\\c\nd,}");
        assert_eq!(scrape.sum("a_total", &[("x", "1")]), 3.0);
        assert_eq!(scrape.sum("a_total", &[("x", "2")]), 0.0);
        assert_eq!(scrape.sum("b", &[]), 0.5);
        assert_eq!(scrape.samples[2].exemplar.as_deref(), Some("{trace_id=\"ab\"} 0.1 1.5"));
        assert!(Scrape::parse("a{x=\"1} 3").is_err());
    }
}
