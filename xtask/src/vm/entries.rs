//! The machines that tests run in: a kernel, what is special about the machine, and what is run there. One entry a machine.

use super::packages::{Flavour, Series};

/// One machine.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name on the command line and in `docs/kernels.md`.
    pub(crate) name: &'static str,
    /// Where its kernel comes from.
    pub(crate) series: &'static Series,
    pub(crate) flavour: Flavour,
    pub(crate) cpus: u8,
    /// Added to the kernel's command line.
    pub(crate) command_line: &'static str,
    pub(crate) cgroups: Cgroups,
    /// Whether the kernel's description of its types is taken away.
    pub(crate) types: bool,
    pub(crate) tests: Tests,
    /// What it is there for.
    pub(crate) about: &'static str,
}

/// What lies at `/sys/fs/cgroup`. Without systemd no option of the command line decides: we mount it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// The unified hierarchy.
    V2,
    /// A hierarchy for each controller.
    V1,
}

/// What is run in a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tests {
    /// Every test binary of [`BINARIES`].
    All,
    /// These tests of these binaries (libtest's filters; none: all of the binary), and nothing else.
    These(&'static [Binary]),
}

/// A test binary and libtest's arguments for it: parts of tests' names; none: all of the binary.
pub(crate) type Binary = (&'static str, &'static [&'static str]);

/// Test binaries of `--fast`.
const FAST: [&str; 2] = ["kernel", "refusal"];

impl Tests {
    /// Test binaries to run, with `fast` the short ones alone.
    pub(crate) fn of(self, fast: bool) -> Vec<Binary> {
        let mut all: Vec<Binary> = match self {
            Tests::All => BINARIES.iter().map(|name| (*name, &[] as &[&str])).collect(),
            Tests::These(these) => these.to_vec(),
        };
        all.retain(|(name, _)| !fast || FAST.contains(name));
        all
    }
}

/// Test binaries that make sense under software emulation. Not here: those that measure throughput or time alone (`aging`,
/// `budget`, `ground_truth`, `load`, `overload`), where a tenth of the speed says nothing.
pub(crate) const BINARIES: &[&str] = &[
    "kernel",
    "refusal",
    "syscalls",
    "wire",
    "nginx",
    "servers",
    "clients",
    "spans",
    "events",
    "attribution",
    "broken",
    "hostile",
    "lifecycle",
    "doctor",
    "degraded",
    "privileges",
    "processes",
    "tcp",
    "tcp_listen",
    "tcp_wire",
    "tcp_corners",
    "tcp_full",
    "udp",
    "dns",
    "syscall_errors",
    "stalls",
    "stall_limits",
    "offcpu",
    "second_opinion",
    "metrics",
    "node",
];

/// What `onlooker doctor` says of a machine, against what then attaches.
const DOCTOR: Binary = ("doctor", &["verdicts_come_true"]);

const PLAIN: Entry = Entry {
    name: "",
    series: &super::packages::V6_12,
    flavour: Flavour::Generic,
    cpus: 2,
    command_line: "",
    cgroups: Cgroups::V2,
    types: true,
    tests: Tests::All,
    about: "",
};

/// All machines.
pub(crate) static REGISTRY: &[Entry] = &[
    Entry {
        name: "5.10",
        series: &super::packages::V5_10,
        about: "oldest long-term series of Debian with BTF",
        ..PLAIN
    },
    Entry {
        name: "6.1",
        series: &super::packages::V6_1,
        about: "before the socket tracepoints",
        ..PLAIN
    },
    Entry {
        name: "6.12",
        series: &super::packages::V6_12,
        about: "with the socket tracepoints",
        ..PLAIN
    },
    Entry {
        name: "7",
        series: &super::packages::V7,
        about: "the newest",
        ..PLAIN
    },
    Entry {
        name: "6.12-cloud",
        flavour: Flavour::Cloud,
        tests: Tests::These(&[("kernel", &[]), ("syscalls", &[]), ("nginx", &[]), DOCTOR]),
        about: "the build for large providers' virtual machines",
        ..PLAIN
    },
    Entry {
        name: "1-cpu",
        cpus: 1,
        tests: Tests::These(&[("kernel", &[]), ("syscalls", &[]), ("lifecycle", &[]), DOCTOR]),
        about: "one CPU",
        ..PLAIN
    },
    Entry {
        name: "4-cpus",
        cpus: 4,
        tests: Tests::These(&[("kernel", &[]), ("syscalls", &[]), ("nginx", &[]), DOCTOR]),
        about: "four CPUs: tables by CPU, and records out of order",
        ..PLAIN
    },
    Entry {
        name: "cgroup1",
        series: &super::packages::V6_1,
        cgroups: Cgroups::V1,
        tests: Tests::These(&[("kernel", &[]), ("attribution", &[]), DOCTOR]),
        about: "controllers of cgroup v1, as RHEL 8 and older Debian have",
        ..PLAIN
    },
    Entry {
        name: "integrity",
        command_line: "lockdown=integrity",
        tests: Tests::These(&[("kernel", &[]), ("syscalls", &[]), DOCTOR]),
        about: "locked down to integrity, as with Secure Boot",
        ..PLAIN
    },
    Entry {
        name: "confidentiality",
        command_line: "lockdown=confidentiality",
        tests: Tests::These(&[("refusal", &["confidentiality", "--ignored"]), DOCTOR]),
        about: "locked down to confidentiality: BPF may not read memory",
        ..PLAIN
    },
    Entry {
        name: "no-btf",
        types: false,
        tests: Tests::These(&[("refusal", &["without_types"]), DOCTOR]),
        about: "a kernel that does not describe its types",
        ..PLAIN
    },
];

impl Entry {
    /// One of the four that stand for their series.
    pub(crate) fn is_plain(&self) -> bool {
        self.name == self.series.name
    }
}

/// Entries by name; `all` is every one, nothing the four series.
///
/// # Errors
/// The first name that is none.
pub(crate) fn select(names: &[String]) -> Result<Vec<&'static Entry>, String> {
    if names.is_empty() {
        return Ok(REGISTRY.iter().filter(|entry| entry.is_plain()).collect());
    }
    if names.iter().any(|name| name == "all") {
        return Ok(REGISTRY.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            let wanted = name.strip_suffix(".x").unwrap_or(name);
            let entry = REGISTRY.iter().find(|entry| entry.name == wanted);
            entry.ok_or_else(|| format!("there is no machine {name}; `cargo xtask vm --list` shows all"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_each_says_what_for() {
        let mut names: Vec<&str> = REGISTRY.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REGISTRY.len());
        assert!(REGISTRY.iter().all(|entry| !entry.about.is_empty() && entry.cpus > 0));
    }

    #[test]
    fn every_machine_runs_short_tests() {
        for entry in REGISTRY {
            let short = entry.tests.of(true);
            assert!(
                !short.is_empty() && short.len() <= entry.tests.of(false).len(),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn entries_are_selected_by_name() {
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            select(&words).map(|entries| entries.iter().map(|entry| entry.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["5.10", "6.1", "6.12", "7"]);
        assert_eq!(names(&["7.x", "no-btf"]).unwrap(), ["7", "no-btf"]);
        assert_eq!(names(&["all"]).unwrap().len(), REGISTRY.len());
        assert!(names(&["2.6"]).unwrap_err().contains("no machine 2.6"));
    }
}
