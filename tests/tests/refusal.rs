//! Machines that the agent cannot work on: it must say so, and why, at once.

use anyhow::ensure;
use onlooker_tests::http::{Target, get};
use onlooker_tests::need;
use onlooker_tests::process::{Program, free_port};
use onlooker_tests::require::{Need, agent_program, say};
use onlooker_tests::wait;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Starts the agent, which must end by itself, and gives what it said.
fn refused(mut command: Command) -> String {
    command.args(["run", "--web.listen-address=127.0.0.1:0", "--summary=never"]);
    let mut program = Program::start("onlooker", command).unwrap();
    let status = program.wait(wait::SOON * 3).unwrap();
    let said = program.last_words();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

/// Without the kernel's description of its types: it ends, names the file, and says how to get a kernel that has it. Where the
/// kernel has one, an empty folder lies over it.
#[test]
fn without_types() {
    need!(Need::AgentProgram, Need::Program("unshare"));
    let empty = TempDir::new().unwrap();
    let agent = agent_program().unwrap();
    let mut command = Command::new(&agent);
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        command = Command::new("unshare");
        let hide = "mount --bind \"$0\" /sys/kernel/btf && exec \"$@\"";
        command.args(["--mount", "sh", "-c", hide]).arg(empty.path()).arg(agent);
    }
    let said = refused(command);
    assert!(
        said.contains("kernel/btf/vmlinux") && said.contains("CONFIG_DEBUG_INFO_BTF=y"),
        "{said}"
    );
}

/// Where BPF may not read memory no request can be seen: `/readyz` says of the capture that it is not attached, what the kernel said,
/// and what is lost. No probe is called attached that is not.
#[test]
#[ignore = "needs a kernel locked down to confidentiality: cargo xtask vm confidentiality"]
fn confidentiality() {
    need!(Need::AgentProgram);
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap();
    assert!(lockdown.contains("[confidentiality]"), "{lockdown}");
    for (hooks, probe) in [("socket", "socket"), ("syscall", "syscall")] {
        let port = free_port();
        let mut command = Command::new(agent_program().unwrap());
        command.args(["run", "--summary=never", &format!("--capture.hooks={hooks}")]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut program = Program::start("onlooker", command).unwrap();
        let web = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        let said = wait::until("the probes' states", wait::SOON * 3, || {
            program.check_alive()?;
            let text = get(&web, "/readyz", &[])?.text();
            ensure!(text.contains("attached"), "{text}");
            Ok(text)
        })
        .unwrap();
        say(&said);
        assert!(said.starts_with("not ready: no request is seen\n"), "{said}");
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("{probe}: ")))
            .unwrap();
        for part in [
            "not attached",
            "lockdown=confidentiality forbids programs to read the kernel's memory",
            "boot with lockdown=integrity",
            "not seen: requests and responses",
        ] {
            assert!(line.contains(part), "{line}");
        }
        let metrics = get(&web, "/metrics", &[]).unwrap().text();
        let attached = format!("onlooker_probe_attached{{probe=\"{probe}\",alternative=\"\"}} 0");
        assert!(metrics.contains(&attached), "{metrics}");
    }
}
