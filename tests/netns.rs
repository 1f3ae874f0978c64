//! A network namespace of a test's own, with loopback and its own `/etc/resolv.conf`. Gone when dropped.

use crate::process::{output, unique};
use crate::require::which;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// A namespace.
#[derive(Debug)]
pub struct NetNs {
    /// Its name (`ip netns`).
    pub name: String,
}

impl NetNs {
    /// Makes one whose programs ask this name server.
    pub fn new(prefix: &str, nameserver: &str) -> Result<NetNs> {
        let ns = NetNs { name: unique(prefix) };
        ip(&["netns", "add", &ns.name])?;
        ip(&["-n", &ns.name, "link", "set", "lo", "up"])?;
        std::fs::create_dir_all(ns.folder())?;
        let text = format!("nameserver {nameserver}\n");
        std::fs::write(ns.folder().join("resolv.conf"), text)?;
        Ok(ns)
    }

    /// A command inside of it. The process is the program's: `ip` becomes it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(which("ip").unwrap_or_else(|| "ip".into()));
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Bound over `/etc` of programs inside.
    fn folder(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
        let _ = std::fs::remove_dir_all(self.folder());
        // Only when it was made by us and is empty.
        let _ = std::fs::remove_dir("/etc/netns");
    }
}

/// Runs `ip` with these arguments.
pub fn ip(args: &[&str]) -> Result<()> {
    let mut command = Command::new(which("ip").context("ip is not installed")?);
    command.args(args);
    output(command).map(drop)
}
