//! Where a run was made, and with what.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::bed::Bed;
use crate::shell::{Run, find_program};

/// See the module. Nothing here names the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Model of the processor.
    pub(crate) processor: String,
    /// Processors that may be used.
    pub(crate) processors: usize,
    /// Whether a hypervisor is below.
    pub(crate) virtual_machine: bool,
    /// Memory, GiB.
    pub(crate) memory_gib: f64,
    /// Distribution.
    pub(crate) system: String,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Load average of the minute before the run: what else was at work.
    pub(crate) load_before: String,
    /// Name and version of each program that takes part.
    pub(crate) programs: Vec<(String, String)>,
    /// Commit of the workspace, `+` behind it when files differ from it.
    pub(crate) commit: String,
    /// Day of the run, UTC.
    pub(crate) day: String,
}

/// Programs whose version is told, and how they are asked.
const PROGRAMS: [(&str, &[&str]); 6] = [
    ("nginx", &["-v"]),
    ("wrk", &["-v"]),
    ("go", &["version"]),
    ("node", &["--version"]),
    ("cc", &["--version"]),
    ("rustc", &["--version"]),
];

impl Machine {
    /// This one.
    pub(crate) fn here(bed: &Bed) -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        let kib = field(&memory, "MemTotal").and_then(|text| text.trim_end_matches("kB").trim().parse::<f64>().ok());
        let system = read("/etc/os-release");
        let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let load = read("/proc/loadavg");
        let git = |args: &[&str]| Run::new("git").args(args).read().unwrap_or_default();
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
        let day = Run::new("date").args(["-u", "+%Y-%m-%d"]).read().unwrap_or_default();
        Machine {
            processor: field(&processor, "model name").unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(0, |n| n.get()),
            virtual_machine: field(&processor, "flags")
                .is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
            memory_gib: (kib.unwrap_or(0.0) / 1024.0 / 1024.0).round(),
            system: system.unwrap_or("unknown").trim_matches('"').to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
            programs: versions(bed),
            commit: format!(
                "{}{}",
                git(&["rev-parse", "--short=12", "HEAD"]).trim(),
                if changed.trim().is_empty() { "" } else { "+" }
            ),
            day: day.trim().to_owned(),
        }
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn versions(bed: &Bed) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut ask = |name: &str, command: &mut Command| {
        // nginx and wrk tell it on standard error, and wrk ends with a failure.
        if let Ok(output) = command.output() {
            let text = [output.stdout, output.stderr].concat();
            if let Some(version) = version_in(&String::from_utf8_lossy(&text)) {
                found.push((name.to_owned(), version));
            }
        }
    };
    ask("onlooker", Command::new(&bed.onlooker).arg("--version"));
    for (name, args) in PROGRAMS {
        if let Some(program) = find_program(name) {
            ask(name, Command::new(program).args(args));
        }
    }
    if let Ok(python) = bed.need_python_packages() {
        ask("python", Command::new(&python).arg("--version"));
        let aiohttp = "import aiohttp; print(aiohttp.__version__)";
        ask("aiohttp", Command::new(&python).args(["-c", aiohttp]));
    }
    found
}

/// The first thing of the first line that looks like a version: digits and dots, and what hangs on them.
fn version_in(text: &str) -> Option<String> {
    let line = text.lines().next()?;
    line.split([' ', '/', '(', ')', ','])
        .map(|word| word.trim_start_matches(|c: char| !c.is_ascii_digit()))
        .find(|word| word.contains('.'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_shape() {
        for (text, expect) in [
            ("nginx version: nginx/1.22.1", Some("1.22.1")),
            (
                "wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer",
                Some("4.1.0-3+b2"),
            ),
            ("go version go1.26.8 linux/amd64", Some("1.26.8")),
            ("v22.1.0\n", Some("22.1.0")),
            ("cc (Debian 12.2.0-14) 12.2.0", Some("12.2.0-14")),
            ("Python 3.11.2", Some("3.11.2")),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(version_in(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn fields_of_proc() {
        let text = "processor\t: 0\nmodel name\t: A  B\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(text, "model name"), Some("A  B"));
        assert_eq!(field(text, "model"), None);
    }
}
