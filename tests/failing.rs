//! The driver whose system calls fail (`programs/failing.rs`), and what it counted.

use crate::agent::Agent;
use crate::require::own_program;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::process::{Command, Output};

/// Counts by call and name of the error.
pub type Counts = BTreeMap<(String, String), u64>;

/// Names of the errors that the driver makes, by number (`include/uapi/asm-generic/errno*.h`).
const NAMES: &[(i32, &str)] = &[
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EBADF, "EBADF"),
    (libc::ECHILD, "ECHILD"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EFAULT, "EFAULT"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EISDIR, "EISDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENOTTY, "ENOTTY"),
    (libc::ESPIPE, "ESPIPE"),
    (libc::EPIPE, "EPIPE"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
];

/// The driver as a service.
pub fn command(service: &str, args: &[&str]) -> Command {
    let mut command = Command::new(own_program("failing"));
    command.args(args).env("OTEL_SERVICE_NAME", service);
    command
}

/// What a driver that has ended said.
///
/// # Errors
/// It failed, or said something else.
pub fn counts(output: &Output) -> Result<Counts> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: BTreeMap<String, u64> = serde_json::from_slice(&output.stdout)?;
    said.into_iter()
        .map(|(what, count)| {
            let (call, errno) = what.split_once(' ').context("no number")?;
            let errno: i32 = errno.parse()?;
            let name = NAMES.iter().find(|(number, _)| *number == errno);
            let name = name.map_or(format!("errno_{errno}"), |(_, name)| (*name).to_string());
            Ok(((call.to_string(), name), count))
        })
        .collect()
}

/// Runs the driver as a service and gives what it counted.
///
/// # Panics
/// It failed.
pub fn run(service: &str, args: &[&str]) -> Counts {
    counts(&command(service, args).output().unwrap()).unwrap()
}

/// Runs the driver while the agent does not read its tables, however long that takes, and gives what it counted.
///
/// # Panics
/// It failed.
pub fn run_unread(agent: &Agent, service: &str, args: &[&str]) -> Counts {
    agent.pause().unwrap();
    let output = command(service, args).output();
    agent.resume();
    counts(&output.unwrap()).unwrap()
}
