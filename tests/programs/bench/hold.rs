//! Things that are there and do nothing: connections and processes.

use anyhow::{Context, Result, ensure};
use onlooker_tests::http::{Connection, Target};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// More processes than this are refused: the machine is not ours alone.
const MOST_PROCESSES: usize = 20_000;

/// Holds keep-alive connections that had one request each.
pub(crate) fn connections(address: SocketAddr, count: usize) -> Result<()> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    let target = Target::Tcp(address);
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::open(&target)?;
        let answer = connection.exchange("GET", "/idle", b"")?;
        ensure!(answer.status == 200, "status {}", answer.status);
        held.push(connection);
    }
    crate::hold(&json!({ "requests": held.len() }))
}

/// Holds processes that wait for the end of a pipe whose other end only this process has: they end with it, however it
/// ends.
pub(crate) fn sleepers(count: usize) -> Result<()> {
    ensure!(count <= MOST_PROCESSES, "more than {MOST_PROCESSES} processes");
    let (theirs, ours) = std::io::pipe()?;
    let mut held = Vec::with_capacity(count);
    for n in 0..count {
        let child = Command::new("cat")
            .stdin(Stdio::from(theirs.try_clone()?))
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("process {n}"))?;
        held.push(child);
    }
    drop(theirs);
    crate::hold(&json!({ "processes": held.len() }))?;
    drop(ours);
    for mut child in held {
        child.wait()?;
    }
    Ok(())
}
