//! Processes of this machine, started by the tests.

use super::*;
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// A child of this test, ended with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    fn key(&self) -> ProcessKey {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("a living child");
        let start = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(19));
        let start: u64 = start.and_then(|start| start.parse().ok()).expect("a start time");
        ProcessKey {
            pid: self.0.id(),
            start: start * TICK + TICK / 2,
        }
    }
    fn runs(&self, program: &str) -> bool {
        std::fs::read(format!("/proc/{}/cmdline", self.0.id())).is_ok_and(|line| line.starts_with(program.as_bytes()))
    }
    fn wait_until(&self, program: &str) {
        while !self.runs(program) {
            std::thread::yield_now();
        }
    }
}

fn name(processes: &mut Processes, key: ProcessKey) -> String {
    processes.facts(key).program.script.as_deref().unwrap_or("-").to_owned()
}

#[test]
fn real_processes_are_known_by_their_start_time() {
    let child = Command::new("sleep")
        .arg("1000")
        .env("OTEL_SERVICE_NAME", "dormouse")
        .spawn();
    let child = Running(child.expect("sleep"));
    child.wait_until("sleep");
    let mut processes = processes(Host::default(), 64);
    let key = child.key();
    let service = processes.service(key);
    assert_eq!(&*service.name, "dormouse");
    assert_eq!(processes.facts(key).comm.as_deref(), Some("sleep"));
    let before = ProcessKey {
        start: key.start - 5 * TICK,
        ..key
    };
    assert_eq!(&*processes.service(before).name, "unknown");
}

#[test]
fn a_real_script_becomes_another_program() {
    let dir = tempfile::tempdir().expect("a folder");
    let script = dir.path().join("billing.sh");
    std::fs::write(&script, "read line\nexec sleep 1000\n").expect("a script");
    let child = Command::new("sh").arg(&script).stdin(Stdio::piped()).spawn();
    let mut child = Running(child.expect("sh"));
    child.wait_until("sh");
    let key = child.key();
    let mut processes = processes(Host::default(), 64);
    assert_eq!(name(&mut processes, key), "billing");
    child
        .0
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"go\n")
        .expect("to be read");
    child.wait_until("sleep");
    processes.signal(&exec(key, "/bin/sleep", "sleep\x001000\0"));
    assert_eq!(name(&mut processes, key), "-");
    assert_eq!(processes.facts(key).program.command.as_deref(), Some("sleep"));
}

#[test]
fn a_real_zombie_keeps_what_its_exec_told() {
    let child = Command::new("true").spawn();
    let child = Running(child.expect("true"));
    let path = format!("/proc/{}/stat", child.0.id());
    while !std::fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") Z ")) {
        std::thread::yield_now();
    }
    let mut told = processes(Host::default(), 64);
    told.signal(&exec(child.key(), "/bin/called", "called\0"));
    assert_eq!(&*told.service(child.key()).name, "called");
    let mut untold = processes(Host::default(), 64);
    assert_eq!(&*untold.service(child.key()).name, "true");
}
