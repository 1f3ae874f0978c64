//! The programs that tests and benchmarks drive: the one table of what `cargo xtask test` and `bench` install.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::apt;
use crate::collector::{self, Distribution};
use crate::shell::{Run, find_program, say, target, tools};
use crate::vm;

/// A command the tests start, and where it comes from.
struct Program {
    command: &'static str,
    from: From,
    used_for: &'static str,
}

/// How a missing program is brought here.
enum From {
    /// Debian packages, installed.
    Packages(&'static [&'static str]),
    /// A file of a Debian package that is unpacked below `target/tools`: installed, it would start a service.
    Unpacked { package: &'static str, file: &'static str },
    /// Likewise, of the newest Debian: a program that needs no library of its release; with the folder of `usr/share` that it reads, if any.
    Newest {
        package: &'static str,
        file: &'static str,
        share: Option<&'static str>,
    },
    /// A Go module, built into `target/tools` by [`build`] where it is asked for: that takes minutes.
    Module(&'static str),
    /// An OpenTelemetry Collector, built into `target/tools`.
    Collector(Distribution),
    /// Likewise, by [`build`] where it is asked for.
    LargeCollector(Distribution),
}

/// One line a program. Whatever is on `PATH` is taken as it is.
const PROGRAMS: &[Program] = &[
    Program {
        command: "nginx",
        from: From::Packages(&["nginx-light"]),
        used_for: "server with sendfile and an access log",
    },
    Program {
        command: "wrk",
        from: From::Packages(&["wrk"]),
        used_for: "load over keep-alive connections",
    },
    Program {
        command: "curl",
        from: From::Packages(&["curl"]),
        used_for: "client of every protocol detail",
    },
    Program {
        command: "python3",
        from: From::Packages(&["python3", "python3-venv"]),
        used_for: "http.server and frameworks",
    },
    Program {
        command: "node",
        from: From::Packages(&["nodejs"]),
        used_for: "http server and client",
    },
    Program {
        command: "go",
        from: From::Packages(&["golang-go"]),
        used_for: "net/http server",
    },
    Program {
        command: "unshare",
        from: From::Packages(&["util-linux"]),
        used_for: "pid namespaces",
    },
    Program {
        command: "ip",
        from: From::Packages(&["iproute2"]),
        used_for: "network namespaces",
    },
    Program {
        command: "dig",
        from: From::Packages(&["bind9-dnsutils"]),
        used_for: "questions of every type",
    },
    Program {
        command: "host",
        from: From::Packages(&["bind9-host"]),
        used_for: "questions for addresses",
    },
    Program {
        command: "bpftool",
        from: From::Packages(&["bpftool"]),
        used_for: "what the kernel holds of us",
    },
    Program {
        command: "bpftrace",
        from: From::Packages(&["bpftrace"]),
        used_for: "a second opinion on TCP and errors of system calls",
    },
    Program {
        command: "containerd",
        from: From::Packages(&["containerd"]),
        used_for: "the container image",
    },
    Program {
        command: "ctr",
        from: From::Packages(&["containerd"]),
        used_for: "the container image",
    },
    Program {
        command: "runc",
        from: From::Packages(&["runc"]),
        used_for: "the container image",
    },
    Program {
        command: "promtool",
        from: From::Unpacked {
            package: "prometheus",
            file: "usr/bin/promtool",
        },
        used_for: "a second opinion on /metrics",
    },
    Program {
        command: "systemd-analyze",
        from: From::Packages(&["systemd"]),
        used_for: "checks of deploy/systemd",
    },
    Program {
        command: "systemd-nspawn",
        from: From::Unpacked {
            package: "systemd-container",
            file: "usr/bin/systemd-nspawn",
        },
        used_for: "the unit of the package",
    },
    Program {
        command: "amtool",
        from: From::Newest {
            package: "prometheus-alertmanager",
            file: "usr/bin/amtool",
            share: None,
        },
        used_for: "checks of deploy/alertmanager",
    },
    Program {
        command: "prometheus-alertmanager",
        from: From::Newest {
            package: "prometheus-alertmanager",
            file: "usr/bin/prometheus-alertmanager",
            share: Some("prometheus/alertmanager"),
        },
        used_for: "alerts on their way to a webhook",
    },
    Program {
        command: "helm",
        from: From::Module("helm.sh/helm/v3/cmd/helm@v3.22.0"),
        used_for: "the chart and its manifests",
    },
    Program {
        command: "otelcol",
        from: From::Collector(collector::JUDGE),
        used_for: "what becomes of what is exported",
    },
    Program {
        command: "otelcol-backends",
        from: From::LargeCollector(collector::BACKENDS),
        used_for: "checks of deploy/collector",
    },
    Program {
        command: "prometheus-node-exporter",
        from: From::Newest {
            package: "prometheus-node-exporter",
            file: "usr/bin/prometheus-node-exporter",
            share: None,
        },
        used_for: "what metrics of the host are held against",
    },
    Program {
        command: "prometheus",
        from: From::Newest {
            package: "prometheus",
            file: "usr/bin/prometheus",
            share: None,
        },
        used_for: "rules on metrics of the host",
    },
    Program {
        command: "jsonnet",
        from: From::Packages(&["jsonnet"]),
        used_for: "what node_exporter's rules are written in",
    },
    Program {
        command: "qemu-system-x86_64",
        from: From::Packages(&["qemu-system-x86"]),
        used_for: "machines with other kernels",
    },
    Program {
        command: "busybox",
        from: From::Unpacked {
            package: "busybox-static",
            file: "bin/busybox",
        },
        used_for: "the first programs of such a machine",
    },
    Program {
        command: "xz",
        from: From::Packages(&["xz-utils"]),
        used_for: "modules of such a kernel",
    },
    Program {
        command: "zstd",
        from: From::Packages(&["zstd"]),
        used_for: "modules of such a kernel",
    },
];

/// Packages from PyPI, at the versions the tests were written against; the tests read the same list.
const PYTHON_PACKAGES: &str = include_str!("../../tests/programs/python/requirements.txt");

/// Where the virtual environment with [`PYTHON_PACKAGES`] is; tests find it by `ONLOOKER_TEST_VENV`.
pub(crate) fn venv() -> PathBuf {
    target().join("test-venv")
}

/// Installs what is missing and can be installed; a sentence for each program that stays missing.
pub(crate) fn install() -> Vec<String> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        if find(program.command).is_some() {
            continue;
        }
        let installed = match &program.from {
            From::Packages(packages) => apt::install(packages),
            From::Unpacked { package, file } => apt::unpack(package, file, &tools().join("bin")),
            From::Newest { package, file, share } => vm::newest_file(package, file, *share, &tools()),
            From::Collector(distribution) => go().and_then(|go| distribution.build(&go, program.command, &tools())),
            From::Module(_) | From::LargeCollector(_) => continue,
        };
        let installed =
            installed.and_then(|()| find(program.command).context("the package is here, its command is not on PATH"));
        let optional = matches!(program.from, From::Collector(_));
        if let (Err(error), true) = (&installed, optional) {
            say(format!(
                "{} ({}) is missing, tests of it are left out: {error:#}",
                program.command, program.used_for
            ));
        } else if let Err(error) = installed {
            missing.push(format!(
                "{} ({}) is missing: {error:#}",
                program.command, program.used_for
            ));
        }
    }
    if find_program("python3").is_some()
        && let Err(error) = python_packages()
    {
        let packages: Vec<&str> = PYTHON_PACKAGES.lines().collect();
        missing.push(format!(
            "Python packages {} are missing: {error:#}",
            packages.join(", ")
        ));
    }
    missing
}

/// Builds a program of the table that takes minutes, unless it is there.
pub(crate) fn build(command: &str) -> Result<()> {
    let program = PROGRAMS.iter().find(|program| program.command == command);
    match program.map(|program| &program.from) {
        Some(From::Module(module)) if find(command).is_none() => go_install(module),
        Some(From::LargeCollector(distribution)) if find(command).is_none() => {
            distribution.build(&go()?, command, &tools())
        }
        _ => Ok(()),
    }
}

fn go() -> Result<PathBuf> {
    find("go").context("there is no go to build it")
}

fn go_install(module: &str) -> Result<()> {
    say(format!("{module}: building (some minutes, once)"));
    Run::new(go()?)
        .env("GOBIN", tools().join("bin"))
        .args(["install", "-trimpath", module])
        .run()
}

/// Where a command of the table is: on `PATH`, or unpacked here.
pub(crate) fn find(command: &str) -> Option<PathBuf> {
    let own = tools().join("bin").join(command);
    find_program(command).or_else(|| Some(own).filter(|own| own.exists()))
}

/// Folders that hold commands of the table but are not on everyone's `PATH`.
pub(crate) fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut folders = Vec::new();
    for program in PROGRAMS {
        let folder = find(program.command).and_then(|file| file.parent().map(PathBuf::from));
        folders.extend(folder.filter(|folder| !known.contains(folder) && !folders.contains(folder)));
    }
    folders
}

/// A virtual environment that holds the packages; a stamp with their versions tells whether it is up to date.
fn python_packages() -> Result<()> {
    // The tests know this stamp too.
    let stamp = venv().join("packages");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == PYTHON_PACKAGES) {
        return Ok(());
    }
    say("Python packages: tests/programs/python/requirements.txt into target/test-venv");
    let make = |python: &str| Run::new(python).args(["-m", "venv", "--clear"]).arg(venv()).run();
    if make("python3").is_err() {
        // Debian's python3 comes without ensurepip.
        apt::install(&["python3-venv"])?;
        make("/usr/bin/python3")?;
    }
    Run::new(venv().join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["-r", "tests/programs/python/requirements.txt"])
        .run()?;
    std::fs::write(&stamp, PYTHON_PACKAGES).with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_command_once_with_packages_and_use() {
        let mut commands: Vec<&str> = PROGRAMS.iter().map(|program| program.command).collect();
        commands.sort_unstable();
        commands.dedup();
        assert_eq!(commands.len(), PROGRAMS.len());
        for program in PROGRAMS {
            let named = match &program.from {
                From::Packages(packages) => !packages.is_empty(),
                From::Unpacked { package, file } | From::Newest { package, file, .. } => {
                    !package.is_empty() && file.ends_with(program.command)
                }
                From::Module(module) => module.contains(&format!("/{}@v", program.command)),
                From::Collector(_) | From::LargeCollector(_) => true,
            };
            assert!(named && !program.used_for.is_empty(), "{}", program.command);
        }
        for needed in [
            "nginx", "wrk", "curl", "python3", "node", "go", "unshare", "bpftool", "promtool",
        ] {
            assert!(commands.contains(&needed), "{needed}");
        }
    }

    #[test]
    fn python_packages_are_pinned() {
        for package in PYTHON_PACKAGES.lines() {
            assert!(
                package
                    .split_once("==")
                    .is_some_and(|(name, version)| !name.is_empty() && !version.is_empty())
            );
        }
    }
}
