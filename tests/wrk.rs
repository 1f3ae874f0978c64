//! wrk, which counts its answers by status (`programs/wrk.lua`), as a service of its own.

use crate::http::Target;
use crate::process::{Program, unique};
use crate::require::{source_dir, which};
use crate::truth::Counts;
use crate::wait;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Connections at the same time: as many requests are on their way when it ends, and are given up.
pub const CONNECTIONS: u64 = 64;

/// A running wrk. Dropping it kills it.
#[derive(Debug)]
pub struct Wrk {
    /// The process.
    pub program: Program,
    /// Its service name.
    pub service: String,
    seconds: u64,
}

/// What the script says at the end.
#[derive(Deserialize)]
struct Told {
    statuses: Counts<u16>,
    failed: u64,
}

impl Wrk {
    /// Starts it at full speed for so many seconds on these paths, taken in turn. `close`: a connection for each request.
    pub fn start(target: &Target, seconds: u64, paths: &[&str], close: bool) -> Result<Wrk> {
        let service = unique("wrk");
        let mut command = Command::new(which("wrk").context("wrk")?);
        command
            .args(["-t2", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "-s"])
            .arg(source_dir().join("programs/wrk.lua"))
            .arg(format!("http://{target}"))
            .arg("--")
            .args(close.then_some("close"))
            .args(paths)
            .env("OTEL_SERVICE_NAME", &service)
            .stdout(Stdio::piped());
        Ok(Wrk {
            program: Program::start(&service, command)?,
            service,
            seconds,
        })
    }

    /// Waits for its end and gives the answers it read, by status.
    ///
    /// # Errors
    /// It failed, or a request of it did before the end.
    pub fn finish(&mut self) -> Result<Counts<u16>> {
        let status = self.program.wait(Duration::from_secs(self.seconds) + wait::SOON)?;
        ensure!(status.success(), "wrk: {status}: {}", self.program.stderr());
        let mut said = String::new();
        let mut stdout = self.program.stdout().context("the output of wrk was read before")?;
        stdout.read_to_string(&mut said)?;
        let last = said.lines().last().unwrap_or_default();
        let told: Told = serde_json::from_str(last).with_context(|| format!("wrk said {said}"))?;
        ensure!(told.failed == 0, "{} requests of wrk failed: {said}", told.failed);
        Ok(told.statuses)
    }
}

/// The server must have logged every answer that wrk read, and beyond them no more than were on their way at the end.
///
/// # Panics
/// When one of the two is no truth to compare with.
pub fn expect_logged(read: &Counts<u16>, logged: &Counts<u16>) {
    let all = |counts: &Counts<u16>| counts.values().sum::<u64>();
    for (status, count) in read {
        assert!(
            logged.get(status) >= Some(count),
            "wrk read {read:?}, logged were {logged:?}"
        );
    }
    let unread = all(logged) - all(read);
    assert!(unread <= CONNECTIONS, "wrk read {read:?}, logged were {logged:?}");
}
