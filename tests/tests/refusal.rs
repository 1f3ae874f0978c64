//! Machines that the agent cannot work on: it must say so, and why, at once.

use onlooker_tests::need;
use onlooker_tests::process::Program;
use onlooker_tests::require::{Need, agent_program};
use onlooker_tests::wait;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Starts the agent, which must end by itself, and gives what it said.
fn refused(args: &[String]) -> String {
    let mut command = Command::new(agent_program().unwrap());
    command
        .args(["run", "--web.listen-address=127.0.0.1:0", "--summary=never"])
        .args(args);
    let mut program = Program::start("onlooker", command).unwrap();
    let status = program.wait(wait::SOON * 3).unwrap();
    assert_eq!(status.code(), Some(1), "{}", program.stderr());
    program.stderr()
}

/// Without the kernel's description of its types: it ends, names the file, and says how to get a kernel that has it. Where the
/// kernel has one, another root of sysfs takes it away.
#[test]
fn without_types() {
    need!(Need::AgentProgram);
    let empty = TempDir::new().unwrap();
    let args = if Path::new("/sys/kernel/btf/vmlinux").exists() {
        vec![format!("--path.sysfs={}", empty.path().display())]
    } else {
        vec![]
    };
    let said = refused(&args);
    assert!(
        said.contains("kernel/btf/vmlinux") && said.contains("CONFIG_DEBUG_INFO_BTF=y"),
        "{said}"
    );
}
