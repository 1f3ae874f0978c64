//! What really happened, as the programs' own logs say, in the words in which it is compared with the agent's report.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One line of an access log (a JSON object), or one exchange that the driver made.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Request {
    /// Method as sent.
    pub method: String,
    /// Request target as sent; the query is cut off when compared.
    pub path: String,
    /// Status that was sent; `None`: there was no answer.
    pub status: Option<u16>,
    /// Bytes of the request's body without framing.
    #[serde(default)]
    pub request_body: Option<u64>,
    /// Bytes of the response's body without framing.
    #[serde(default)]
    pub response_body: Option<u64>,
    /// Bytes of the response that the connection took, head and body.
    #[serde(default)]
    pub sent: Option<u64>,
    /// Program's own measure, first byte of the request read to last byte of the response written.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// To the first byte of the response written.
    #[serde(default)]
    pub first_byte_seconds: Option<f64>,
    /// Thread that handled it.
    #[serde(default)]
    pub tid: Option<u32>,
}

impl Request {
    /// An exchange that the driver made.
    pub fn new(method: &str, path: &str, status: Option<u16>) -> Request {
        Request {
            method: method.into(),
            path: path.into(),
            status,
            ..Request::default()
        }
    }
    /// What a span says of it.
    pub fn key(&self) -> Key {
        Key {
            method: self.method.clone(),
            path: path_of(&self.path),
            status: self.status,
        }
    }
}

/// What spans are compared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Method as sent.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Status, when there was one.
    pub status: Option<u16>,
}

/// How often each key occurred.
pub type Counts<K> = BTreeMap<K, u64>;

/// Counts keys.
pub fn count<K: Ord>(keys: impl IntoIterator<Item = K>) -> Counts<K> {
    let mut counts = Counts::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

/// Answers by status. What was not answered is left out.
pub fn statuses(requests: &[Request]) -> Counts<u16> {
    count(requests.iter().filter_map(|request| request.status))
}

/// What is different between truth and report, in words; empty when nothing is.
pub fn difference<K: Ord + Clone + std::fmt::Debug>(truth: &Counts<K>, report: &Counts<K>) -> String {
    let mut lines = Vec::new();
    for key in truth.keys().chain(report.keys().filter(|key| !truth.contains_key(key))) {
        let (t, r) = (
            truth.get(key).copied().unwrap_or(0),
            report.get(key).copied().unwrap_or(0),
        );
        if t != r {
            lines.push(format!("{key:?}: truth {t}, reported {r}"));
        }
    }
    if lines.len() > 20 {
        let more = lines.len() - 20;
        lines.truncate(20);
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// `http.request.method` of metrics: the methods of RFC 9110 and RFC 5789, all others as `_OTHER`.
pub fn canonical_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => method,
        _ => "_OTHER",
    }
}

/// Path of a request target: without query, and for the absolute form without scheme and authority.
pub fn path_of(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or("");
    match target.split_once("://") {
        Some((_, rest)) => match rest.find('/') {
            Some(at) => rest[at..].into(),
            None => "/".into(),
        },
        None => target.into(),
    }
}

/// An access log of JSON lines.
#[derive(Clone, Debug)]
pub struct AccessLog {
    path: PathBuf,
}

impl AccessLog {
    /// The log at a path, which need not exist yet.
    pub fn new(path: &Path) -> AccessLog {
        AccessLog { path: path.into() }
    }
    /// All whole lines so far.
    pub fn read(&self) -> Result<Vec<Request>> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                let mut request: Request =
                    serde_json::from_str(line).with_context(|| format!("access log line {line:?}"))?;
                // nginx logs the status it meant to send also when the client was gone and no byte went out.
                if request.sent == Some(0) {
                    request.status = None;
                }
                Ok(request)
            })
            .collect()
    }
    /// Waits for so many lines (a line is written after its response) and gives all.
    pub fn wait(&self, lines: usize) -> Result<Vec<Request>> {
        crate::wait::until("access log", crate::wait::SOON, || {
            let requests = self.read()?;
            anyhow::ensure!(requests.len() >= lines, "{} of {lines} lines", requests.len());
            Ok(requests)
        })
    }
}

/// Median of values; 0 when there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differences name what is missing and what is too much.
    #[test]
    fn differences() {
        let truth = count(["a", "a", "b"]);
        assert_eq!(difference(&truth, &truth), "");
        let text = difference(&truth, &count(["a", "c"]));
        assert_eq!(
            text,
            "\"a\": truth 2, reported 1\n\"b\": truth 1, reported 0\n\"c\": truth 0, reported 1"
        );
    }

    /// Queries and authorities are no part of a path.
    #[test]
    fn paths() {
        for (target, path) in [
            ("/a?b=c", "/a"),
            ("http://h:1/x/y?z", "/x/y"),
            ("http://h", "/"),
            ("*", "*"),
        ] {
            assert_eq!(path_of(target), path);
        }
    }
}
