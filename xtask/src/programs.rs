//! The programs that tests drive: the one table of what `cargo xtask test` installs.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::apt;
use crate::shell::{Run, find_program, say, target};

/// A command the tests start, and the Debian packages that bring it.
struct Program {
    command: &'static str,
    packages: &'static [&'static str],
    used_for: &'static str,
}

/// One line a program. Whatever is on `PATH` is taken as it is.
const PROGRAMS: &[Program] = &[
    Program {
        command: "nginx",
        packages: &["nginx-light"],
        used_for: "server with sendfile and an access log",
    },
    Program {
        command: "wrk",
        packages: &["wrk"],
        used_for: "load over keep-alive connections",
    },
    Program {
        command: "curl",
        packages: &["curl"],
        used_for: "client of every protocol detail",
    },
    Program {
        command: "python3",
        packages: &["python3", "python3-venv"],
        used_for: "http.server and frameworks",
    },
    Program {
        command: "node",
        packages: &["nodejs"],
        used_for: "http server",
    },
    Program {
        command: "go",
        packages: &["golang-go"],
        used_for: "net/http server",
    },
    Program {
        command: "openssl",
        packages: &["openssl"],
        used_for: "certificates",
    },
];

/// Packages from PyPI, at versions the tests were written against.
const PYTHON_PACKAGES: [&str; 3] = ["flask==3.1.3", "gunicorn==27.0.1", "aiohttp==3.14.5"];

/// Where the virtual environment with [`PYTHON_PACKAGES`] is; tests find it by `ONLOOKER_TEST_VENV`.
pub(crate) fn venv() -> PathBuf {
    target().join("test-venv")
}

/// Installs what is missing and can be installed; a sentence for each program that stays missing.
pub(crate) fn install() -> Vec<String> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        if find_program(program.command).is_some() {
            continue;
        }
        let installed = apt::install(program.packages).and_then(|()| {
            find_program(program.command).context("the package is installed, its command is not on PATH")
        });
        if let Err(error) = installed {
            missing.push(format!(
                "{} ({}) is missing: {error:#}",
                program.command, program.used_for
            ));
        }
    }
    if find_program("python3").is_some()
        && let Err(error) = python_packages()
    {
        missing.push(format!(
            "Python packages {} are missing: {error:#}",
            PYTHON_PACKAGES.join(", ")
        ));
    }
    missing
}

/// Folders that hold commands of the table but are not on everyone's `PATH`.
pub(crate) fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut folders = Vec::new();
    for program in PROGRAMS {
        let folder = find_program(program.command).and_then(|file| file.parent().map(PathBuf::from));
        folders.extend(folder.filter(|folder| !known.contains(folder) && !folders.contains(folder)));
    }
    folders
}

/// A virtual environment that holds the packages; a stamp with their versions tells whether it is up to date.
fn python_packages() -> Result<()> {
    let stamp = venv().join("onlooker-packages");
    let wanted = PYTHON_PACKAGES.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    say(format!(
        "Python packages: {} into target/test-venv",
        PYTHON_PACKAGES.join(" ")
    ));
    let make = |python: &str| Run::new(python).args(["-m", "venv", "--clear"]).arg(venv()).run();
    if make("python3").is_err() {
        // Debian's python3 comes without ensurepip.
        apt::install(&["python3-venv"])?;
        make("/usr/bin/python3")?;
    }
    Run::new(venv().join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON_PACKAGES)
        .run()?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
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
            assert!(
                !program.packages.is_empty() && !program.used_for.is_empty(),
                "{}",
                program.command
            );
        }
        for needed in ["nginx", "wrk", "curl", "python3", "node", "go"] {
            assert!(commands.contains(&needed), "{needed}");
        }
    }

    #[test]
    fn python_packages_are_pinned() {
        for package in PYTHON_PACKAGES {
            assert!(
                package
                    .split_once("==")
                    .is_some_and(|(name, version)| !name.is_empty() && !version.is_empty())
            );
        }
    }
}
