//! One scrape of the agent, as far as benchmarks read it, and the little HTTP that it takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Nothing waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Body of a `GET` that is answered with 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // In HTTP/1.0 no answer is chunked, and its end is that of the connection.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).unwrap_or("");
    if status != "200" {
        bail!("{path} is answered with {status}: {}", body.trim());
    }
    Ok(body.to_owned())
}

/// Lines of Prometheus' text format.
pub(crate) struct Scrape {
    text: String,
}

impl Scrape {
    /// The text as served.
    pub(crate) fn new(text: String) -> Scrape {
        Scrape { text }
    }

    /// Bytes of the text.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Every sample of the name: its labels as written, and its value.
    pub(crate) fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.split(' ').next()?.parse().ok()?))
        })
    }

    /// Sum of the samples that have these labels, each given as `name="value"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.samples(name)
            .filter(|(all, _)| labels.iter().all(|label| has_label(all, label)))
            .map(|(_, value)| value)
            .sum()
    }
}

/// Value of a label; empty when it is absent.
pub(crate) fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    labels
        .split("\",")
        .find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""))
        .map_or("", |value| value.trim_end_matches('"'))
}

fn has_label(all: &str, wanted: &str) -> bool {
    // As a whole: `a="1"` is no part of `ba="1"`.
    all.match_indices(wanted)
        .any(|(at, _)| at == 0 || all[..at].ends_with(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_whole_labels() {
        let scrape = Scrape::new(
            "# TYPE a_total counter\na_total{kind=\"x\",reason=\"full\"} 3\na_total{kind=\"y\",reason=\"full\"} 4\n\
             a_total_more{kind=\"x\"} 100\na 2\nb{subkind=\"x\"} 1.5e+01 # {trace=\"1\"} 2\n"
                .to_owned(),
        );
        for (name, labels, expect) in [
            ("a_total", &[][..], 7.0),
            ("a_total", &["kind=\"x\""], 3.0),
            ("a_total", &["reason=\"full\"", "kind=\"y\""], 4.0),
            ("a_total", &["kind=\"z\""], 0.0),
            ("a", &[], 2.0),
            ("b", &["kind=\"x\""], 0.0),
            ("none", &[], 0.0),
        ] {
            assert_eq!(scrape.sum(name, labels), expect, "{name} {labels:?}");
        }
        let (labels, _) = scrape.samples("a_total").next().unwrap();
        assert_eq!(
            (label(labels, "reason"), label(labels, "kind"), label(labels, "x")),
            ("full", "x", "")
        );
    }
}
