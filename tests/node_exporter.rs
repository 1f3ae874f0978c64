//! node_exporter, for what the agent tells of the host to be held against.

use crate::http::{self, Target};
use crate::metrics::Scrape;
use crate::process::{Program, free_port};
use crate::require::which;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// The command, by Debian's name.
pub const NODE_EXPORTER: &str = "prometheus-node-exporter";

/// Arguments that take Debian's own defaults back, and leave out systemd, which does not run on every machine.
pub const UPSTREAM: &[&str] = &[
    "--no-collector.systemd",
    "--collector.textfile.directory=",
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
];

/// One that runs.
#[derive(Debug)]
pub struct NodeExporter {
    /// The process.
    pub program: Program,
    /// Where it serves `/metrics`.
    pub addr: SocketAddr,
}

impl NodeExporter {
    /// Starts one with these arguments beside its address, and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(args: &[&str]) -> Result<NodeExporter> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(which(NODE_EXPORTER).context(NODE_EXPORTER)?);
        command
            .arg(format!("--web.listen-address={addr}"))
            .args(args)
            .stdout(Stdio::null());
        let mut program = Program::start(NODE_EXPORTER, command)?;
        program.wait_listening(addr)?;
        Ok(NodeExporter { program, addr })
    }

    /// What it says now.
    ///
    /// # Errors
    /// It does not answer, or not in Prometheus' text format.
    pub fn scrape(&self) -> Result<Scrape> {
        let response = http::get(&Target::Tcp(self.addr), "/metrics", &[])?;
        ensure!(response.status == 200, "{NODE_EXPORTER}: {}", response.status);
        Scrape::parse(&response.text())
    }
}
