//! Programs that do nothing, attached where onlooker's are: the floor that no capture can go below.

use anyhow::{Context, Result, bail};
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};
use serde_json::json;
use std::path::Path;

/// Hooks of the probes `tcp_state` and `process`, in either way to capture.
const ALWAYS: [&str; 5] = [
    "inet_sock_set_state",
    "tcp_destroy_sock",
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
];

/// Attaches the no-ops of a way to capture and holds them.
pub(crate) fn run(object: &Path, hooks: &str) -> Result<()> {
    let capture: &[&str] = match hooks {
        "socket" => &["sock_send_length", "sock_recv_length", "tcp_rcv_space_adjust"],
        "syscall" => &["sys_exit"],
        other => bail!("no hooks {other}"),
    };
    let mut programs = Ebpf::load_file(object).with_context(|| format!("{}", object.display()))?;
    let types = Btf::from_sys_fs()?;
    for name in capture.iter().chain(&ALWAYS) {
        let program: &mut BtfTracePoint = programs
            .program_mut(name)
            .with_context(|| format!("the object has no program {name}"))?
            .try_into()?;
        program.load(name, &types).with_context(|| format!("load of {name}"))?;
        program.attach().with_context(|| format!("attachment of {name}"))?;
    }
    drop(types);
    crate::hold(&json!({ "attached": capture }))
}

/// Lets the kernel count runs and nanoseconds of every program as long as this process lives; what
/// `kernel.bpf_stats_enabled` says stays as it is.
pub(crate) fn stats() -> Result<()> {
    let _counting = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
    crate::hold(&json!({ "counting": true }))
}
