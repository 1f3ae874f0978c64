//! Load of an exact number of requests.

use crate::http::{Connection, Target, request};
use crate::truth::Counts;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// A load of `GET` requests, each of which is answered. `rawhttp load` runs it as a client of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Connections at the same time, one thread each.
    pub connections: usize,
    /// Requests over all of them.
    pub total: u64,
    /// Taken in turn.
    pub paths: Vec<String>,
    /// A connection for each request, instead of keep-alive.
    pub close: bool,
}

impl Load {
    /// Runs it and counts the answers by status.
    ///
    /// # Errors
    /// A request was not answered.
    pub fn run(&self, target: &Target) -> Result<Counts<u16>> {
        let next = AtomicU64::new(0);
        let mut counts = Counts::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.connections)
                .map(|_| scope.spawn(|| self.worker(target, &next)))
                .collect();
            for worker in workers {
                let answers = worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
                for (status, count) in answers {
                    *counts.entry(status).or_insert(0) += count;
                }
            }
            Ok::<_, anyhow::Error>(())
        })?;
        let done: u64 = counts.values().sum();
        ensure!(done == self.total, "{done} of {} requests answered", self.total);
        Ok(counts)
    }

    fn worker(&self, target: &Target, next: &AtomicU64) -> Result<Counts<u16>> {
        let fields: &[(&str, &str)] = if self.close { &[("Connection", "close")] } else { &[] };
        let requests: Vec<Vec<u8>> = self
            .paths
            .iter()
            .map(|path| request("GET", path, fields, b""))
            .collect();
        let mut counts = Counts::new();
        let mut open = None;
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= self.total {
                return Ok(counts);
            }
            let connection = match &mut open {
                Some(connection) => connection,
                None => open.insert(Connection::open(target)?),
            };
            connection.send(&requests[n as usize % requests.len()])?;
            let answer = connection.response("GET").with_context(|| format!("request {n}"))?;
            *counts.entry(answer.status).or_insert(0) += 1;
            if answer.closes() {
                open = None;
            }
        }
    }
}

/// Sends `total` GET requests over `connections` keep-alive connections and gives the answers by status.
/// The paths are taken in turn.
pub fn get_many(target: &Target, connections: usize, total: u64, paths: &[&str]) -> Result<Counts<u16>> {
    let load = Load {
        connections,
        total,
        paths: paths.iter().map(|path| (*path).into()).collect(),
        close: false,
    };
    load.run(target)
}

/// Sends one GET request for each path over `connections` keep-alive connections, and gives what each took as the client saw it, in
/// seconds: from before its first byte was sent until its last was read.
pub fn get_timed(target: &Target, connections: usize, paths: &[String]) -> Result<BTreeMap<String, f64>> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(String, f64)>> {
        let mut took = Vec::new();
        let mut open = None;
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let connection = match &mut open {
                Some(connection) => connection,
                None => open.insert(Connection::open(target)?),
            };
            let bytes = request("GET", path, &[], b"");
            let start = Instant::now();
            connection.send(&bytes)?;
            let answer = connection.response("GET").with_context(|| path.clone())?;
            took.push((path.clone(), start.elapsed().as_secs_f64()));
            ensure!(answer.status == 200, "{path}: {}", answer.status);
            if answer.closes() {
                open = None;
            }
        }
        Ok(took)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(worker)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??);
        }
        Ok(all)
    })
}

/// The standard mixture of requests over keep-alive connections: methods, statuses, bodies and framings that every server of
/// [`crate::servers::Kind`] knows. Gives the number of requests sent.
pub fn mixture(target: &Target) -> Result<usize> {
    let mut sent = 0;
    let mut connection = Connection::open(target)?;
    let mut exchange = |connection: &mut Connection, bytes: Vec<u8>, method: &str, status: u16| -> Result<()> {
        let what = || String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        connection.send(&bytes).with_context(what)?;
        let answer = connection.response(method).with_context(what)?;
        ensure!(
            answer.status == status,
            "{}: {} instead of {status}",
            what(),
            answer.status
        );
        sent += 1;
        if answer.closes() {
            *connection = Connection::open(target)?;
        }
        Ok(())
    };
    for _ in 0..3 {
        exchange(&mut connection, request("GET", "/ok", &[], b""), "GET", 200)?;
    }
    for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        exchange(&mut connection, request(method, "/ok", &[], b""), method, 200)?;
    }
    for status in [204, 304, 404, 500, 503] {
        let path = format!("/status/{status}");
        exchange(&mut connection, request("GET", &path, &[], b""), "GET", status)?;
    }
    let body = vec![b'p'; 70_000];
    for length in [1, 1000, 70_000] {
        exchange(
            &mut connection,
            request("POST", "/echo", &[], &body[..length]),
            "POST",
            200,
        )?;
    }
    for path in [
        "/ok?token=secret",
        "/bytes/1",
        "/bytes/100000",
        "/bytes/3000000",
        "/chunked",
        "/stream/3/2",
    ] {
        exchange(&mut connection, request("GET", path, &[], b""), "GET", 200)?;
    }
    let upload = b"POST /echo HTTP/1.1\r\nHost: test.local\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    exchange(&mut connection, upload.to_vec(), "POST", 200)?;
    let old = b"GET /ok HTTP/1.0\r\nHost: test.local\r\n\r\n";
    exchange(&mut Connection::open(target)?, old.to_vec(), "GET", 200)?;
    let last = request("GET", "/ok", &[("Connection", "close")], b"");
    exchange(&mut connection, last, "GET", 200)?;
    Ok(sent)
}
