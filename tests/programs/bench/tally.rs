//! A receiver of OTLP over HTTP that counts how often each numbered span and line came, and how late those of now come.
//!
//! A span is numbered by its path, `/seq/N`; a line by its attributes `writer` and `seq`. `GET /tally` tells what came so far.

use anyhow::{Context, Result, bail};
use onlooker_tests::http::{Connection, Stream};
use onlooker_tests::otlp::attribute;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A number beyond it is none of ours.
const MOST: u64 = 50_000_000;
/// Ranges of missing numbers that are told of one source.
const RANGES: usize = 10_000;
/// Longest delay that is told exactly, milliseconds.
const LONGEST: usize = 600_000;

/// See the module.
struct Tally {
    /// Nanoseconds since the epoch: what is older waited for this receiver.
    since: u64,
    /// By source, how often each number came.
    came: BTreeMap<String, Vec<u8>>,
    /// Of spans and of lines that are newer than the receiver: how many came after so many milliseconds.
    delays: BTreeMap<&'static str, Vec<u32>>,
    /// Bodies that could not be read.
    spoilt: u64,
}

/// One span or line: its source, number and time.
type Item = (String, u64, u64);

impl Tally {
    fn take(&mut self, what: &'static str, items: Vec<Item>) {
        let now = nanos();
        for (source, number, time) in items {
            if number >= MOST {
                continue;
            }
            let at = number as usize;
            let came = self.came.entry(source).or_default();
            if came.len() <= at {
                came.resize(at + 1, 0);
            }
            came[at] = came[at].saturating_add(1);
            if time >= self.since {
                let delay = (now.saturating_sub(time) / 1_000_000) as usize;
                let delays = self.delays.entry(what).or_insert_with(|| vec![0; LONGEST + 1]);
                delays[delay.min(LONGEST)] += 1;
            }
        }
    }

    fn json(&self) -> Value {
        let sources = self.came.iter().map(|(name, came)| (name.clone(), told(came)));
        let delays = self.delays.iter().map(|(name, delays)| {
            let delays =
                json!({ "p50": quantile(delays, 0.5), "p99": quantile(delays, 0.99), "most": quantile(delays, 1.0) });
            ((*name).to_owned(), delays)
        });
        json!({
            "sources": sources.collect::<serde_json::Map<_, _>>(),
            "delays": delays.collect::<serde_json::Map<_, _>>(),
            "spoilt": self.spoilt,
        })
    }
}

/// Numbers that came, times that they came again, and ranges of those that did not, up to the highest.
fn told(came: &[u8]) -> Value {
    let distinct = came.iter().filter(|times| **times > 0).count();
    let again: u64 = came.iter().map(|times| u64::from(times.saturating_sub(1))).sum();
    let mut missing: Vec<(usize, usize)> = Vec::new();
    for (at, _) in came.iter().enumerate().filter(|(_, times)| **times == 0) {
        match missing.last_mut() {
            Some((_, end)) if *end == at => *end = at + 1,
            _ => missing.push((at, at + 1)),
        }
    }
    let whole = missing.len() <= RANGES;
    missing.truncate(RANGES);
    json!({ "distinct": distinct, "again": again, "next": came.len(), "missing": missing, "missing_is_whole": whole })
}

/// Milliseconds that this share of them had at most.
fn quantile(delays: &[u32], share: f64) -> usize {
    let all: u64 = delays.iter().map(|count| u64::from(*count)).sum();
    let rank = (all as f64 * share).ceil() as u64;
    let mut so_far = 0;
    let found = delays.iter().position(|count| {
        so_far += u64::from(*count);
        so_far >= rank.max(1)
    });
    found.unwrap_or(0)
}

pub(crate) fn run(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| address.to_owned())?;
    let address = listener.local_addr()?.to_string();
    let since = nanos();
    let tally = Mutex::new(Tally {
        since,
        came: BTreeMap::new(),
        delays: BTreeMap::new(),
        spoilt: 0,
    });
    let tally: &'static Mutex<Tally> = Box::leak(Box::new(tally));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever goes away in the middle is not missed: what it sent is not taken.
            std::thread::spawn(move || answer(stream, tally));
        }
    });
    crate::hold(&json!({ "address": address, "since": since }))
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(stream: TcpStream, tally: &Mutex<Tally>) -> Result<()> {
    let mut connection = Connection::of(Stream::Tcp(stream));
    loop {
        let head = connection.head()?;
        if head.word(0) == "GET" {
            let text = lock(tally).json().to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            return connection.send((head + &text).as_bytes());
        }
        let body = connection.exactly(head.content_length().context("a request without Content-Length")?)?;
        let gzip = head.field("content-encoding") == Some("gzip");
        match items(head.word(1), gzip, &body) {
            Ok((what, items)) => lock(tally).take(what, items),
            Err(_) => lock(tally).spoilt += 1,
        }
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// Numbered spans or lines of a request.
fn items(path: &str, gzip: bool, body: &[u8]) -> Result<(&'static str, Vec<Item>)> {
    let mut bytes = Vec::new();
    match gzip {
        true => flate2::read::GzDecoder::new(body).read_to_end(&mut bytes)?,
        false => body.take(u64::MAX).read_to_end(&mut bytes)?,
    };
    Ok(match path {
        "/v1/traces" => {
            let resources = ExportTraceServiceRequest::decode(bytes.as_slice())?.resource_spans;
            let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
            let spans = scopes.flat_map(|scope| scope.spans);
            ("spans", spans.filter_map(|span| of_span(&span)).collect())
        }
        "/v1/logs" => {
            let resources = ExportLogsServiceRequest::decode(bytes.as_slice())?.resource_logs;
            let scopes = resources.into_iter().flat_map(|resource| resource.scope_logs);
            let records = scopes.flat_map(|scope| scope.log_records);
            ("lines", records.filter_map(|record| of_line(&record)).collect())
        }
        "/v1/metrics" => ("metrics", Vec::new()),
        other => bail!("unexpected path {other}"),
    })
}

fn of_span(span: &Span) -> Option<Item> {
    // A client has its whole address.
    let names = ["url.path", "url.full"];
    let path = names.iter().find_map(|name| attribute(&span.attributes, name))?;
    let number = path.split_once("/seq/")?.1.parse().ok()?;
    let source = match span.kind() {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        _ => return None,
    };
    Some((source.to_owned(), number, span.end_time_unix_nano))
}

fn of_line(record: &LogRecord) -> Option<Item> {
    let writer = attribute(&record.attributes, "writer")?;
    let number = attribute(&record.attributes, "seq")?.parse().ok()?;
    Some((format!("line {writer}"), number, record.time_unix_nano))
}

fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_twice_and_what_is_missing_is_told() {
        let told = told(&[1, 0, 0, 3, 1, 0, 1]);
        assert_eq!(
            told,
            json!({ "distinct": 4, "again": 2, "next": 7, "missing": [[1, 3], [5, 6]], "missing_is_whole": true })
        );
    }

    #[test]
    fn delays_are_of_what_is_new_alone() {
        let mut tally = Tally {
            since: nanos(),
            came: BTreeMap::new(),
            delays: BTreeMap::new(),
            spoilt: 0,
        };
        let (old, new) = (tally.since - 1, tally.since);
        tally.take(
            "lines",
            vec![
                ("line 0".into(), 0, old),
                ("line 0".into(), 1, new),
                ("line 0".into(), MOST, new),
            ],
        );
        assert_eq!(tally.came["line 0"], [1, 1]);
        assert_eq!(tally.delays["lines"].iter().sum::<u32>(), 1);
        assert_eq!(quantile(&[0, 2, 0, 1], 0.5), 1);
        assert_eq!(quantile(&[0, 2, 0, 1], 1.0), 3);
        assert_eq!(quantile(&[], 0.5), 0);
    }
}
