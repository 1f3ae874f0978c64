//! Load of an exact number of requests.

use crate::http::{Connection, Target, request};
use anyhow::{Context, Result, ensure};
use std::sync::atomic::{AtomicU64, Ordering};

/// Sends `total` GET requests over `connections` keep-alive connections, one thread each, and gives the number of answers.
/// The paths are taken in turn.
pub fn get_many(target: &Target, connections: usize, total: u64, paths: &[&str]) -> Result<u64> {
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut connection = Connection::open(target)?;
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= total {
                            return Ok(());
                        }
                        let path = paths[n as usize % paths.len()];
                        connection.send(&request("GET", path, &[], b""))?;
                        let answer = connection.response("GET").with_context(|| format!("request {n}"))?;
                        done.fetch_add(1, Ordering::Relaxed);
                        if answer.closes() {
                            connection = Connection::open(target)?;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let done = done.load(Ordering::Relaxed);
    ensure!(done == total, "{done} of {total} requests answered");
    Ok(done)
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
