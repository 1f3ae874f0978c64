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

/// A histogram, summed over its series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Observations at or below a bound, by ascending bound; the last bound is infinite.
    pub buckets: Vec<(f64, f64)>,
    /// `_count`.
    pub count: f64,
    /// `_sum`.
    pub sum: f64,
}

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// All lines in order.
    pub samples: Vec<Sample>,
    /// Type by family.
    pub types: BTreeMap<String, String>,
    /// Help by family, as it is written.
    pub help: BTreeMap<String, String>,
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
            } else if let Some((family, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                scrape.help.insert(family.into(), help.into());
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
        self.select(name, labels).fold(0.0, |sum, s| sum + s.value)
    }

    /// Sum of the histograms of a family whose labels contain these; empty when there is none.
    ///
    /// # Errors
    /// A series contradicts itself: buckets that fall, or whose last is not the count.
    pub fn histogram(&self, family: &str, labels: &[(&str, &str)]) -> Result<Histogram> {
        let [buckets, counts, sums] = ["bucket", "count", "sum"].map(|suffix| format!("{family}_{suffix}"));
        let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for sample in self.select(&buckets, labels) {
            let mut labels = sample.labels.clone();
            let le = labels.remove("le").context("bucket without le")?;
            series.entry(labels).or_default().push((number(&le)?, sample.value));
        }
        let mut sum = Histogram {
            count: self.sum(&counts, labels),
            sum: self.sum(&sums, labels),
            ..Histogram::default()
        };
        for (labels, mut buckets) in series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let all: Vec<(&str, &str)> = labels
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let exactly = self.select(&counts, &all).find(|sample| sample.labels == labels);
            let count = exactly.map(|sample| sample.value);
            if !buckets.is_sorted_by(|a, b| a.1 <= b.1) || buckets.last() != count.map(|n| (f64::INFINITY, n)).as_ref()
            {
                bail!("{family}{labels:?}: count {count:?}, buckets {buckets:?}");
            }
            if sum.buckets.is_empty() {
                sum.buckets = buckets.iter().map(|(le, _)| (*le, 0.0)).collect();
            }
            for ((bound, total), (le, value)) in sum.buckets.iter_mut().zip(&buckets) {
                if bound != le {
                    bail!("{family}: buckets of other bounds");
                }
                *total += value;
            }
        }
        if sum.buckets.last().map_or(0.0, |(_, all)| *all) != sum.count {
            bail!("{family}: a count without buckets");
        }
        Ok(sum)
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
    Ok(Sample {
        name: name.into(),
        labels,
        value: number(rest.split_whitespace().next().context("no value")?)?,
        exemplar,
    })
}

fn number(text: &str) -> Result<f64> {
    Ok(match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse()?,
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

    /// Histograms of several series add up, and one that contradicts itself is an error.
    #[test]
    fn adds_histograms() {
        let one = |service: &str, low: u32, all: u32, count: u32| {
            format!(
                "d_bucket{{s=\"{service}\",le=\"0.5\"}} {low}\nd_bucket{{s=\"{service}\",le=\"+Inf\"}} {all}\n\
                 d_count{{s=\"{service}\"}} {count}\nd_sum{{s=\"{service}\"}} 1.5\n"
            )
        };
        let of = |text: String| Scrape::parse(&text).unwrap().histogram("d", &[]);
        let sum = of(one("a", 1, 3, 3) + &one("b", 2, 2, 2)).unwrap();
        assert_eq!(sum.buckets, [(0.5, 3.0), (f64::INFINITY, 5.0)]);
        assert_eq!((sum.count, sum.sum), (5.0, 3.0));
        assert!(of(one("a", 1, 3, 4)).is_err(), "count beside +Inf");
        assert!(of(one("a", 4, 3, 3)).is_err(), "falling buckets");
        assert_eq!(of(String::new()).unwrap(), Histogram::default());
    }
}
