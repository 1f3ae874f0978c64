//! The file of `--web.config.file`, in the format of Prometheus' exporter toolkit
//! (<https://prometheus.io/docs/prometheus/latest/configuration/https/>): its keys, checked, without what its paths lead to.

mod tls;

use super::reader::{At, Reader};
use super::yaml::{self, Node};
use crate::config::Problem;
use crate::config::value::{count, duration};
use bcrypt::HashParts;
use hyper::header::{HeaderName, HeaderValue};
use std::path::Path;
use std::time::Duration;
pub(super) use tls::{Client, Pem, Tls};

/// Largest cost of a hash: some seconds a login.
const COST_MAX: u32 = 18;

/// Headers that may be set, as the toolkit has them, with their values where only some make sense.
const HEADERS: &[(&str, &[&str])] = &[
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Keys of the file.
const SECTIONS: &[&str] = &[
    "tls_server_config",
    "http_server_config",
    "basic_auth_users",
    "rate_limit",
];

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct WebFile {
    pub(super) tls: Option<Tls>,
    /// Added to every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: Vec<User>,
    pub(super) rate: Option<Rate>,
    /// What is taken and does not do what somebody may expect.
    pub(super) notes: Vec<String>,
}

/// Somebody who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    /// bcrypt, checked.
    pub(super) hash: String,
}

/// `rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// One more request is let in after this time.
    pub(super) interval: Duration,
    /// So many at once.
    pub(super) burst: u32,
}

/// Checks the text of a file; `path` is for messages, and paths in it are relative to its folder.
///
/// # Errors
/// All mistakes, each with its line.
pub(super) fn parse(path: &Path, text: &str) -> Result<WebFile, Vec<Problem>> {
    let mut reader = Reader {
        path,
        problems: Vec::new(),
    };
    let mut file = WebFile::default();
    match yaml::parse(text) {
        Ok(Some(root)) => reader.section("", SECTIONS, &root, &mut |reader, at, node| match at.key() {
            "tls_server_config" => file.tls = tls::read(reader, at, node, &mut file.notes),
            "http_server_config" => http(reader, at, node, &mut file.headers),
            "basic_auth_users" => file.users = users(reader, at, node),
            _ => file.rate = rate(reader, at, node),
        }),
        Ok(None) => {}
        Err(mistake) => reader.problem(mistake.line, "", &mistake.what),
    }
    match reader.problems.is_empty() {
        true => Ok(file),
        false => Err(reader.problems),
    }
}

fn http(reader: &mut Reader<'_>, at: At<'_>, node: &Node, headers: &mut Vec<(HeaderName, HeaderValue)>) {
    reader.section(
        at.key(),
        &["headers", "http2"],
        node,
        &mut |reader, at, node| match at.key() {
            // HTTP/1.1 is what is served, whatever it says.
            "http2" => drop(reader.boolean(at, node)),
            _ => reader.section("http_server_config.headers", &[], node, &mut |reader, at, node| {
                let text = reader.text(at, node);
                headers.extend(text.and_then(|text| header(reader, at, &text)));
            }),
        },
    );
}

fn header(reader: &mut Reader<'_>, at: At<'_>, text: &str) -> Option<(HeaderName, HeaderValue)> {
    let Some((_, allowed)) = HEADERS.iter().find(|(name, _)| *name == at.key()) else {
        let names: Vec<&str> = HEADERS.iter().map(|(name, _)| *name).collect();
        reader.wrong(at, &format!("cannot be set: use one of {}", names.join(", ")));
        return None;
    };
    if !allowed.is_empty() && !allowed.contains(&text) {
        reader.wrong(at, &format!("{text:?} is no value of it: use {}", allowed.join(" or ")));
    }
    match (HeaderName::from_bytes(at.key().as_bytes()), HeaderValue::from_str(text)) {
        (Ok(name), Ok(value)) => Some((name, value)),
        _ => {
            reader.wrong(at, "holds what a header cannot");
            None
        }
    }
}

fn users(reader: &mut Reader<'_>, at: At<'_>, node: &Node) -> Vec<User> {
    let mut users = Vec::new();
    reader.section(at.key(), &[], node, &mut |reader, at, node| {
        let name = at.key().to_owned();
        match reader.text(at, node).map(|hash| (hash.parse::<HashParts>(), hash)) {
            Some((Ok(parts), _)) if !(4..=COST_MAX).contains(&parts.get_cost()) => {
                let what = format!("has a hash of cost {}: use one from 4 to {COST_MAX}", parts.get_cost());
                reader.wrong(at, &what);
            }
            Some((Ok(_), hash)) => users.push(User { name, hash }),
            // What was written may be a password: it is not repeated.
            _ => reader.wrong(at, "is no hash of bcrypt: make one, e.g. with htpasswd -nBC 10 NAME"),
        }
    });
    users
}

fn rate(reader: &mut Reader<'_>, at: At<'_>, node: &Node) -> Option<Rate> {
    let (mut interval, mut burst) = (Duration::ZERO, 0);
    let mistakes = reader.problems.len();
    reader.section(at.key(), &["burst", "interval"], node, &mut |reader, at, node| {
        let Some(text) = reader.text(at, node) else { return };
        let read = match (at.key(), text.as_str()) {
            ("interval", "0") => Ok(()),
            ("interval", text) => duration(text, Duration::ZERO).map(|found| interval = found),
            (_, text) => count(text, 0, 1_000_000).map(|found| burst = found),
        };
        if let Err(what) = read {
            reader.wrong(at, &format!("{text:?} {what}"));
        }
    });
    if interval.is_zero() {
        return None;
    }
    if burst == 0 && reader.problems.len() == mistakes {
        let what = "has an interval and no burst: nobody would be let in; use burst: 1 or more";
        reader.wrong(at, what);
    }
    Some(Rate { interval, burst })
}

#[cfg(test)]
mod tests;
