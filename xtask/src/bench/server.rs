//! A server under load, which counts its requests itself.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::bed::Bed;
use super::metrics::get;
use super::process::Helper;

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    /// Ends when it is dropped.
    _helper: Helper,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its service name.
    pub(crate) service: String,
    /// Its access log; without one it tells its count by `/served`.
    log: Option<PathBuf>,
}

impl Server {
    /// Starts `nginx`, `go`, `node` or `python`.
    pub(crate) fn start(bed: &Bed, kind: &str) -> Result<Server> {
        match kind {
            "nginx" | "go" | "node" => bed.need(kind)?,
            _ => bed.need_python_packages()?,
        };
        let helper = bed.helper(&["serve", kind])?;
        let log = helper.text("log");
        Ok(Server {
            address: helper.text("address").parse().context("address of the server")?,
            service: helper.text("service"),
            log: (!log.is_empty()).then(|| log.into()),
            _helper: helper,
        })
    }

    /// Who counts.
    pub(crate) fn counts_by(&self) -> &'static str {
        match self.log {
            Some(_) => "its access log",
            None => "nginx's own count",
        }
    }

    /// Requests that it has answered so far. Of nginx, this request is one of them.
    pub(crate) fn served(&self) -> Result<u64> {
        match &self.log {
            Some(log) => {
                let text = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
                Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
            }
            None => requests_of(&get(self.address, "/served")?),
        }
    }

    /// Requests since [`Server::served`] gave a number. When nginx is asked, the request that asked before is one of them
    /// and this one is not: what an agent has seen that was there before the first and is asked before the second.
    pub(crate) fn served_since(&self, before: u64) -> Result<u64> {
        Ok(self.served()?.saturating_sub(before))
    }
}

/// Third number of the line that `stub_status` gives below its heading: accepted, handled, requests.
fn requests_of(status: &str) -> Result<u64> {
    let mut lines = status
        .lines()
        .skip_while(|line| !line.contains("accepts handled requests"));
    let numbers = lines.nth(1).context("stub_status without its counts")?;
    let requests = numbers
        .split_whitespace()
        .nth(2)
        .context("stub_status without requests")?;
    Ok(requests.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_counts() {
        let status =
            "Active connections: 1 \nserver accepts handled requests\n 16 17 31070465 \nReading: 0 Writing: 1\n";
        assert_eq!(requests_of(status).unwrap(), 31_070_465);
        assert!(requests_of("").is_err());
    }
}
