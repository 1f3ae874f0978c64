//! `cargo xtask test`: sets up, then runs every check and every test, and tells the outcome of each stage.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::Starter;
use crate::shell::{Run, root, say, target};
use crate::stage::{Ran, Report};
use crate::toolchain::{self, Toolchain};
use crate::{bench, build, deny, deploy, fmt, fuzz, lint, programs, run, tidy, vm};

/// How many integration tests that fail are run once more; more of them are no accident of the machine.
const ONCE_MORE: usize = 2;

/// Options of the tests.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only tests whose name contains this; leaves out the checks of style, licences and fuzzing
    filter: Option<String>,
    /// Leave out the short tests on other kernels, in machines under qemu
    #[arg(long)]
    no_kernels: bool,
    /// Leave out this stage, by the name it is told by. Repeatable.
    #[arg(long, value_name = "STAGE")]
    except: Vec<String>,
}

/// Runs all stages; an error when one failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut report = Report::new(&options.except);
    let filter = options.filter.as_deref();
    let everything = filter.is_none();
    report.stage("programs", |_| {
        let missing = programs::install();
        Ok(if missing.is_empty() {
            Ran::Done
        } else {
            Ran::Skipped(missing.join("; "))
        })
    });
    if everything {
        report.stage("fmt", |_| fmt::run(&fmt::Options { check: true }).map(|()| Ran::Done));
        report.stage("tidy", |_| tidy::run().map(|()| Ran::Done));
    }
    let mut toolchain = None;
    report.stage("build", |_| {
        let found = toolchain.insert(toolchain::find_or_install()?);
        build::with(found, &build::Options::default()).map(|_| Ran::Done)
    });
    if everything {
        report.stage("clippy", |_| lint::user_side().map(|()| Ran::Done));
        report.stage("clippy, kernel side", |_| lint_kernel_side(toolchain.as_ref()));
        report.stage("deploy", |_| deploy::run(&deploy::Options::without_chart()));
        report.stage("licences and sources", |report| deny::run(report.strict()));
    }
    report.stage("unit tests", |report| {
        let hosts = [
            "--workspace",
            "--exclude",
            "onlooker-ebpf",
            "--exclude",
            "onlooker-tests",
        ];
        cargo_test(report, Run::cargo(), &hosts, filter)
    });
    report.stage("integration tests", |report| integration(report, filter));
    if everything {
        if !options.no_kernels {
            report.stage("other kernels", vm::fast);
        }
        report.stage("benchmarks, quick", |_| bench::smoke());
        report.stage("fuzz", |_| fuzz::run(&fuzz::Options::default()));
    }
    report.finish()
}

fn lint_kernel_side(toolchain: Option<&Toolchain>) -> Result<Ran> {
    match toolchain {
        Some(toolchain) => lint::kernel_side(toolchain),
        None => Ok(Ran::Skipped("there is no eBPF toolchain".to_owned())),
    }
}

/// The tests that start the program on this kernel, as root. A few that fail are run once more, by themselves: see
/// `docs/decisions/2026-11-30-once-more.md`.
fn integration(report: &mut Report, filter: Option<&str>) -> Result<Ran> {
    let program = target().join("release/onlooker");
    if !program.exists() {
        return Ok(Ran::Skipped("target/release/onlooker was not built".to_owned()));
    }
    let starter = match run::starter() {
        Ok(starter) => starter,
        Err(missing) => return Ok(Ran::Skipped(missing.to_string().replace('\n', " "))),
    };
    let packages = ["--package", "onlooker-tests"];
    report.take_failed_tests();
    let Err(error) = cargo_test(report, as_root(&starter, &program), &packages, filter) else {
        return Ok(Ran::Done);
    };
    let failed = report.take_failed_tests();
    if failed.is_empty() || failed.len() > ONCE_MORE {
        return Err(error);
    }
    say(format!("{error:#}; once more: {}", failed.join(", ")));
    let exact = packages.into_iter().chain(["--", "--exact"]);
    let exact: Vec<&str> = exact.chain(failed.iter().map(String::as_str)).collect();
    cargo_test(report, as_root(&starter, &program), &exact, None).context("once more")?;
    Ok(Ran::OnceMore(failed))
}

/// cargo for tests that need privileges and the built program.
pub(crate) fn as_root(starter: &Starter, program: &Path) -> Run {
    let cargo = match starter {
        Starter::Root => Run::cargo(),
        Starter::Sudo => Run::cargo().env(
            &runner_variable(std::env::consts::ARCH),
            sudo_keeping_path(&programs::folders()),
        ),
    };
    cargo
        .env("ONLOOKER_BIN", program)
        .env("ONLOOKER_TEST_VENV", programs::venv())
        // Starts and ends of the agent under load; 200 take over two minutes.
        .env(
            "ONLOOKER_TEST_CYCLES",
            std::env::var("ONLOOKER_TEST_CYCLES").unwrap_or_else(|_| "30".into()),
        )
        .path_first(&programs::folders())
}

fn cargo_test(report: &mut Report, cargo: Run, packages: &[&str], filter: Option<&str>) -> Result<Ran> {
    cargo
        .args(["test", "--no-fail-fast"])
        .args(packages)
        .args(filter)
        .within(&root())
        .run_reading(|line| report.note(line))
        .context("tests failed")?;
    Ok(Ran::Done)
}

/// The variable by which cargo starts test programs through another one.
fn runner_variable(arch: &str) -> String {
    format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", arch.to_uppercase())
}

/// sudo replaces `PATH` even with `-E`; cargo splits the runner at spaces, so a `PATH` with one is given up.
fn sudo_keeping_path(first: &[PathBuf]) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = first.iter().cloned().chain(std::env::split_paths(&path));
    match std::env::join_paths(all).map(OsString::into_string) {
        Ok(Ok(path)) if !path.contains(char::is_whitespace) => format!("sudo -E env PATH={path}"),
        _ => "sudo -E".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_set_for_the_hosts_target() {
        assert_eq!(
            runner_variable("x86_64"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
        );
        assert!(sudo_keeping_path(&["/opt/tools".into()]).starts_with("sudo -E env PATH=/opt/tools:"));
        assert_eq!(sudo_keeping_path(&["/my tools".into()]), "sudo -E");
    }
}
