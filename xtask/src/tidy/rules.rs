//! The rules: who may know whom, where `unsafe` may stand, how long a file may be, and what no file may hold.

use super::source::{code_of, words};

/// One thing found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path below the workspace's root.
    pub(crate) path: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is wrong and why.
    pub(crate) what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

/// Files below one of `places` know none of `strangers` (modules or crates).
struct Ignorance {
    places: &'static [&'static str],
    strangers: &'static [&'static str],
    why: &'static str,
}

const IGNORANCE: &[Ignorance] = &[
    Ignorance {
        places: &["agent/src/export/", "agent/src/web/"],
        strangers: &["probes", "protocol", "kernel"],
        why: "exporters know series, spans and records of logs alone",
    },
    Ignorance {
        places: &["agent/src/probes/"],
        strangers: &["export", "web", "protocol", "aggregate"],
        why: "probes make signals and know nothing of what becomes of them",
    },
    Ignorance {
        places: &["agent/src/protocol/"],
        strangers: &["kernel", "probes", "export", "web"],
        why: "protocols turn signals into exchanges, wherever those come from and go to",
    },
    Ignorance {
        places: &["agent/src/logs/"],
        strangers: &["kernel", "probes", "protocol", "export", "web"],
        why: "records of logs are made of signals, wherever those come from and go to",
    },
    Ignorance {
        places: &["agent/src/collectors/"],
        strangers: &["kernel", "probes", "protocol", "export", "web"],
        why: "collectors read /proc and /sys and make series",
    },
];

/// Crates of the aya family, and where they may be used.
const AYA: [&str; 5] = ["aya", "aya_log", "aya_obj", "aya_ebpf", "aya_log_ebpf"];
const AYA_PLACES: [&str; 5] = [
    "agent/src/kernel/",
    "agent/src/probes/",
    "agent-common/",
    "agent-ebpf/",
    "tests/programs/bench/",
];

/// The one file that loads programs into the kernel.
const LOADER: &str = "agent/src/kernel/loader.rs";

/// Where `unsafe` may stand: memory of the kernel and its records; system calls without a wrapper; the tests' harness makes such too.
const UNSAFE_PLACES: [&str; 5] = [
    "agent/src/kernel/",
    "agent/src/host/",
    "agent-common/",
    "agent-ebpf/",
    "tests/",
];

/// Lines of a source file, tests included.
const LONGEST: usize = 500;

/// Longer files, each with the reason why it is not split.
const LONG_FILES: &[(&str, &str)] = &[];

/// Files that a clone must hold.
const PRESENT: [&str; 3] = ["README.md", "CHANGELOG.md", "LICENSE"];

/// Folders of the machines we build on; put together here so that this file does not hold them.
const PRIVATE_FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/wt")];

/// Host names that exist inside one network alone.
const PRIVATE_DOMAINS: [&str; 3] = [".internal", ".corp", ".lan"];

/// The one registry a lock file may name for each kind of package.
const REGISTRIES: [(&str, &str, &str); 2] = [
    (
        "Cargo.lock",
        "source = \"",
        "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
    ),
    (
        "package-lock.json",
        "\"resolved\": \"",
        "\"resolved\": \"https://registry.npmjs.org/",
    ),
];

/// Rules about which files there are.
pub(crate) fn of_the_tree(paths: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for needed in PRESENT {
        if !paths.contains(&needed) {
            findings.push(Finding::new(needed, 1, "is missing"));
        }
    }
    for path in paths {
        if let Some(name) = path.strip_prefix("docs/decisions/")
            && !starts_with_date(name)
        {
            findings.push(Finding::new(
                path,
                1,
                "a decision's file name starts with its date, YYYY-MM-DD-",
            ));
        }
    }
    findings
}

/// Rules for every text file.
pub(crate) fn of_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for folder in PRIVATE_FOLDERS {
            if holds_path(line, folder) {
                findings.push(Finding::new(
                    path,
                    number,
                    format!("names the folder {folder} of one machine"),
                ));
            }
        }
        if let Some(host) = private_host(line) {
            findings.push(Finding::new(
                path,
                number,
                format!("names {host}, a host of one network"),
            ));
        }
        for (file, start, official) in REGISTRIES {
            let entry = line.trim_start();
            if path.ends_with(file) && entry.starts_with(start) && !entry.starts_with(official) {
                findings.push(Finding::new(
                    path,
                    number,
                    "a package from another place than the public registry",
                ));
            }
        }
    }
    findings
}

/// Rules for Rust source.
pub(crate) fn of_source(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST && !LONG_FILES.iter().any(|(long, _)| *long == path) {
        findings.push(Finding::new(
            path,
            LONGEST,
            format!("{lines} lines, more than {LONGEST}: split it by subject"),
        ));
    }
    let is_in = |places: &[&str]| {
        places
            .iter()
            .any(|place| path.starts_with(place) || is_file_of(path, place))
    };
    let code = code_of(text);
    for word in words(&code) {
        if word.text == "unsafe" && !is_in(&UNSAFE_PLACES) {
            findings.push(Finding::new(
                path,
                word.line,
                format!("`unsafe` outside {}", UNSAFE_PLACES.join(", ")),
            ));
        }
        if !word.in_path {
            continue;
        }
        if AYA.contains(&word.text) && !is_in(&AYA_PLACES) {
            findings.push(Finding::new(
                path,
                word.line,
                format!("`{}` outside {}", word.text, AYA_PLACES.join(", ")),
            ));
        }
        if word.text == "EbpfLoader" && path != LOADER {
            findings.push(Finding::new(path, word.line, format!("`EbpfLoader` outside {LOADER}")));
        }
        for rule in IGNORANCE
            .iter()
            .filter(|rule| is_in(rule.places) && rule.strangers.contains(&word.text) && !is_of_tests(path))
        {
            findings.push(Finding::new(
                path,
                word.line,
                format!("mentions `{}`: {}", word.text, rule.why),
            ));
        }
    }
    findings
}

/// Whether a file of the agent holds tests alone, which look at what comes out in the end.
fn is_of_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("/testing.rs")
}

/// Whether `path` is the module file of the folder `place` (`a/b.rs` for `a/b/`).
fn is_file_of(path: &str, place: &str) -> bool {
    path.strip_suffix(".rs")
        .is_some_and(|stem| place.strip_suffix('/') == Some(stem))
}

/// Whether the line holds an absolute path below `folder` (`/proc/1/x/etc` is none below `/x/`).
fn holds_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.}*~>)".contains(c))
    })
}

/// A host name of a private domain in an address of the line.
fn private_host(line: &str) -> Option<&str> {
    line.split("://").skip(1).find_map(|address| {
        let host = address
            .split(|c: char| !(c.is_ascii_alphanumeric() || "-.@".contains(c)))
            .next()?;
        PRIVATE_DOMAINS
            .iter()
            .any(|domain| host.ends_with(domain))
            .then_some(host)
    })
}

fn starts_with_date(name: &str) -> bool {
    let shape = b"dddd-dd-dd-";
    name.len() > shape.len()
        && name
            .bytes()
            .zip(shape)
            .all(|(c, &s)| if s == b'd' { c.is_ascii_digit() } else { c == s })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, source: &str, expect: &[&str]) {
        let found: Vec<String> = of_source(path, source)
            .into_iter()
            .map(|finding| finding.what)
            .collect();
        assert_eq!(found.len(), expect.len(), "{path}: {source}: {found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "{found}");
        }
    }

    #[test]
    fn modules_do_not_know_those_they_must_not() {
        check(
            "agent/src/export/otlp.rs",
            "use crate::probes::Probe;",
            &["`probes`: exporters"],
        );
        check(
            "agent/src/export/otlp.rs",
            "use crate::{metric, protocol};",
            &["`protocol`: exporters"],
        );
        check(
            "agent/src/export/mod.rs",
            "fn f() { crate::kernel::load() }",
            &["`kernel`"],
        );
        check("agent/src/web/mod.rs", "use super::kernel::X;", &["`kernel`"]);
        check("agent/src/web.rs", "use super::kernel::X;", &["`kernel`"]);
        check(
            "agent/src/export/otlp.rs",
            "let protocol = options.protocol; // not protocol::x",
            &[],
        );
        check(
            "agent/src/probes/tcp.rs",
            "use crate::export::Sink;\nuse crate::signal::Signal;",
            &["`export`: probes"],
        );
        check(
            "agent/src/protocol/http1/mod.rs",
            "use crate::kernel::Map;",
            &["`kernel`: protocols"],
        );
        check("agent/src/collectors/cpu.rs", "use crate::metric::Series;", &[]);
        check("agent/src/pipeline.rs", "use crate::{probes, protocol, export};", &[]);
    }

    #[test]
    fn aya_and_unsafe_stay_in_their_places() {
        check("agent/src/kernel/loader.rs", "use aya::Ebpf; unsafe { f() }", &[]);
        check("agent/src/kernel/loader.rs", "use aya::{Ebpf, EbpfLoader};", &[]);
        check(
            "agent/src/kernel/maps.rs",
            "use aya::EbpfLoader;",
            &["`EbpfLoader` outside"],
        );
        check("agent/src/probes/tcp.rs", "use aya::programs::BtfTracePoint;", &[]);
        check("agent/src/probes/tcp.rs", "unsafe { f() }", &["`unsafe` outside"]);
        check("agent/src/pipeline.rs", "fn f(e: &aya::Ebpf) {}", &["`aya` outside"]);
        check("agent/src/main.rs", "use aya_log::EbpfLogger;", &["`aya_log` outside"]);
        check("agent-ebpf/src/main.rs", "use aya_ebpf::maps::Array; unsafe {}", &[]);
        check("xtask/src/x.rs", "let aya = \"unsafe\"; // unsafe aya::x", &[]);
    }

    #[test]
    fn files_are_at_most_500_lines() {
        check("agent/src/a.rs", &"//\n".repeat(500), &[]);
        check("agent/src/a.rs", &"//\n".repeat(501), &["501 lines"]);
        assert!(
            LONG_FILES.iter().all(|(_, reason)| reason.len() > 20),
            "each long file has a reason"
        );
    }

    fn text(path: &str, line: &str, expect: usize) {
        assert_eq!(of_text(path, line).len(), expect, "{path}: {line}");
    }

    #[test]
    fn folders_and_hosts_of_one_machine_are_found() {
        let [first, second, third] = PRIVATE_FOLDERS;
        text("README.md", &format!("see {first}main"), 1);
        text("a.toml", &format!("path = \"{second}x\""), 1);
        text("a.rs", &format!("cd {third}/x && ls {first}y"), 2);
        text(
            "a.rs",
            &format!("/proc/1{second}etc and format!(\"{{base}}{second}x\")"),
            0,
        );
        text("a.rs", "/home/me/work/x /network/ /roots/", 0);
        let [internal, corp, lan] = PRIVATE_DOMAINS;
        text("README.md", &format!("get it from https://pypi.mirror{corp}/simple"), 1);
        text(
            "README.md",
            &format!("http://user@host{lan}:80/ and https://example.org/"),
            1,
        );
        text("README.md", &format!("a host named x{internal}, without an address"), 0);
        text("README.md", "http://collector.svc.cluster.local:4318", 0);
    }

    #[test]
    fn lock_files_name_the_public_registries_alone() {
        text(
            "Cargo.lock",
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
            0,
        );
        text("fuzz/Cargo.lock", "source = \"registry+https://example.org/index\"", 1);
        text("Cargo.lock", "source = \"git+https://example.org/x\"", 1);
        text(
            "tests/package-lock.json",
            "  \"resolved\": \"https://registry.npmjs.org/x.tgz\"",
            0,
        );
        text(
            "tests/package-lock.json",
            "  \"resolved\": \"https://example.org/x.tgz\"",
            1,
        );
        text("notes.md", "source = \"git+https://example.org/x\"", 0);
    }

    #[test]
    fn the_tree_holds_what_it_must() {
        let whole = [
            "README.md",
            "CHANGELOG.md",
            "LICENSE",
            "docs/decisions/2026-11-21-capture.md",
        ];
        assert_eq!(of_the_tree(&whole), []);
        assert_eq!(
            of_the_tree(&["README.md", "LICENSE"]),
            [Finding::new("CHANGELOG.md", 1, "is missing")]
        );
        for (name, good) in [
            ("2026-11-21-x.md", true),
            ("2026-11-21-", false),
            ("capture.md", false),
            ("26-11-21-x.md", false),
        ] {
            assert_eq!(starts_with_date(name), good, "{name}");
        }
    }
}
