//! `cargo xtask bench [NAME…]`: what onlooker costs, and whether its counts are exact. Every comparison is made in rounds that
//! interleave three conditions: nothing attached, programs on the same hooks that do nothing (the floor), and onlooker.
//!
//! A benchmark is a [`Bench`] in the file of its family and a line of [`REGISTRY`].

mod agent;
mod bed;
mod events;
mod exact;
mod kernel;
mod logs;
mod machine;
mod metrics;
mod numbered;
mod onlooker;
mod outage;
mod process;
mod rate;
mod report;
mod rotation;
mod row;
mod saturated;
mod scrape;
mod server;
mod stats;
mod syscalls;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::run::{self, Starter};
use crate::shell::{Run, root, say, target};
use crate::stage::Ran;
use crate::{build, programs, toolchain};
use bed::{Bed, Missing};
use machine::Machine;
use report::Report;
use row::{Row, Style};

/// One benchmark.
pub(crate) trait Bench: Sync {
    /// By which it is asked for.
    fn name(&self) -> &'static str;
    /// What it measures, in a line.
    fn about(&self) -> &'static str;
    /// Measures. [`Missing`] skips it.
    fn run(&self, bed: &Bed) -> Result<Vec<Row>>;
}

/// All benchmarks, in the order in which they run.
static REGISTRY: &[&dyn Bench] = &[
    &saturated::NGINX,
    &saturated::NGINX_SERVER,
    &saturated::NGINX_SYSCALL,
    &saturated::GO,
    &saturated::NODE,
    &saturated::PYTHON,
    &saturated::CONNECTIONS,
    &saturated::LARGE,
    &saturated::IDLE,
    &rate::K1,
    &rate::K5,
    &rate::K20,
    &syscalls::Calls,
    &syscalls::Compile,
    &agent::Start,
    &agent::Idle,
    &agent::Load,
    &agent::Routes,
    &agent::Processes,
    &kernel::Programs,
    &events::Events,
    &scrape::HostScrape,
    &logs::Lines,
];

/// Those that run when they are named alone: they take minutes whatever is asked for.
static NAMED: &[&dyn Bench] = &[&outage::Outage, &rotation::Rotation];

fn all() -> impl Iterator<Item = &'static dyn Bench> {
    REGISTRY.iter().chain(NAMED).copied()
}

/// Options of the benchmarks.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = after_help())]
pub(crate) struct Options {
    /// Benchmarks to run; all but `outage` and `rotation` when none is named
    names: Vec<String>,
    /// Rounds of each comparison
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds that each condition of a round is measured for
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Minutes that the receiver of `outage` is away
    #[arg(long, value_name = "M", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=120))]
    minutes: u16,
    /// One round of a second, with little of everything: shows that all benchmarks run, measures nothing
    #[arg(long)]
    quick: bool,
    /// Where the JSON goes [default: target/benchmarks.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the Markdown goes [default: docs/benchmarks.md for a whole run, else target/benchmarks.md]
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Everything is installed and built already
    #[arg(long, hide = true)]
    built: bool,
}

fn after_help() -> String {
    let lines = all().map(|bench| format!("  {:<16} {}\n", bench.name(), bench.about()));
    format!("Benchmarks:\n{}", lines.collect::<String>())
}

/// Installs and builds what is needed, becomes root, measures, and writes the report.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Before the build, so that nobody waits minutes to be told.
    let chosen = chosen(&options.names)?;
    let starter = run::starter()?;
    if !options.built {
        for missing in programs::install() {
            say(missing);
        }
        let toolchain = toolchain::find_or_install()?;
        build::with(&toolchain, &build::Options::default())?;
        build::no_ops(&toolchain)?;
        say("helper of the benchmarks: compiling bench of onlooker-tests");
        let release = (!options.quick).then_some("--release");
        let package = ["build", "-p", "onlooker-tests", "--bin", "bench"];
        Run::cargo().args(package).args(release).run()?;
    }
    match starter {
        Starter::Root => measure(options, &chosen),
        Starter::Sudo => as_root(options),
    }
}

/// A quick run for the tests: every benchmark must give rows, and no count may differ without a loss that is told.
pub(crate) fn smoke() -> Result<Ran> {
    if let Err(missing) = run::starter() {
        return Ok(Ran::Skipped(missing.to_string().replace('\n', " ")));
    }
    let json = target().join("bench/quick.json");
    run(&Options {
        rounds: 1,
        seconds: 1,
        quick: true,
        json: Some(json.clone()),
        ..Options::default()
    })?;
    let report: Report = serde_json::from_slice(&fs::read(&json)?)?;
    judge(&report)
}

/// What a quick run must show.
fn judge(report: &Report) -> Result<Ran> {
    let mut skipped = Vec::new();
    for bench in REGISTRY {
        let mut rows = report
            .rows
            .iter()
            .filter(|row| row.benchmark == bench.name())
            .peekable();
        if rows.peek().is_none() {
            bail!("the benchmark {} gave no row", bench.name());
        }
        for row in rows {
            if row.style == Style::Skipped {
                skipped.push(format!("{}: {}", row.benchmark, row.note));
            }
            if let Some(wrong) = row
                .exact
                .iter()
                .find(|exact| exact.difference > 0 && exact.all_lost() == 0)
            {
                bail!(
                    "{}: counts differ and nothing is told as lost: {wrong:?}",
                    row.benchmark
                );
            }
            if let Some(wrong) = row.exact.iter().find(|exact| exact.unaccounted > 0) {
                bail!("{}: seen is not delivered + lost: {wrong:?}", row.benchmark);
            }
        }
    }
    Ok(if skipped.is_empty() {
        Ran::Done
    } else {
        Ran::Skipped(skipped.join("; "))
    })
}

/// The benchmarks of these names, or all.
fn chosen(names: &[String]) -> Result<Vec<&'static dyn Bench>> {
    let known = || all().map(|bench| bench.name()).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = names.iter().find(|name| all().all(|bench| bench.name() != *name)) {
        bail!("there is no benchmark {unknown}; there are: {}", known());
    }
    if names.is_empty() {
        return Ok(REGISTRY.to_vec());
    }
    Ok(all()
        .filter(|bench| names.iter().any(|name| name == bench.name()))
        .collect())
}

/// Runs this command again by sudo, without building: what root builds, the user could not replace.
fn as_root(options: &Options) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = programs::folders().into_iter().chain(std::env::split_paths(&path));
    let mut path = OsString::from("PATH=");
    path.push(std::env::join_paths(all)?);
    let numbers = [
        ("--rounds", options.rounds),
        ("--seconds", options.seconds),
        ("--minutes", options.minutes),
    ];
    let files = [("--json", &options.json), ("--markdown", &options.markdown)];
    let mut run = Run::new("sudo")
        .args(["-E", "env"])
        .arg(path)
        .arg(std::env::current_exe()?);
    run = run.arg("bench").args(&options.names).arg("--built");
    for (name, number) in numbers {
        run = run.arg(name).arg(number.to_string());
    }
    for (name, file) in files {
        if let Some(file) = file {
            run = run.arg(name).arg(file);
        }
    }
    let run = if options.quick { run.arg("--quick") } else { run };
    run.within(&std::env::current_dir()?).run()
}

fn measure(options: &Options, chosen: &[&'static dyn Bench]) -> Result<()> {
    let (rounds, seconds) = match options.quick {
        true => (1, 1),
        false => (usize::from(options.rounds), u64::from(options.seconds)),
    };
    let outage = Duration::from_secs(u64::from(options.minutes) * 60);
    let bed = Bed::new(rounds, seconds, outage, options.quick)?;
    let machine = Machine::here(&bed);
    let (started, mut rows, mut failed) = (Instant::now(), Vec::new(), Vec::new());
    for (n, bench) in (1..).zip(chosen) {
        let (name, count, so_far) = (bench.name(), chosen.len(), started.elapsed().as_secs());
        say(format!("{n}/{count} {name}: {} (after {so_far} s)", bench.about()));
        match bench.run(&bed) {
            Ok(found) => rows.extend(found),
            Err(error) if error.is::<Missing>() => rows.push(Row::skipped(name, error.to_string())),
            Err(error) => {
                say(format!("{name}: failed: {error:#}"));
                rows.push(Row::skipped(name, format!("failed: {error:#}")));
                failed.push(name);
            }
        }
    }
    let report = Report {
        command: command(options),
        quick: options.quick,
        rounds,
        seconds,
        took_seconds: started.elapsed().as_secs_f64(),
        machine,
        rows,
    };
    let page = report.markdown();
    println!("\n{page}");
    let whole = options.names.is_empty() && !options.quick && failed.is_empty();
    let places = [
        (
            &options.json,
            "target/benchmarks.json",
            serde_json::to_string_pretty(&report)? + "\n",
        ),
        (
            &options.markdown,
            if whole {
                "docs/benchmarks.md"
            } else {
                "target/benchmarks.md"
            },
            page,
        ),
    ];
    for (given, default, text) in places {
        write(given.as_deref().unwrap_or(&root().join(default)), &text)?;
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The command line without what only says where the results go.
fn command(options: &Options) -> String {
    let mut words = vec!["cargo xtask bench".to_owned()];
    words.extend(options.names.iter().cloned());
    if options.quick {
        words.push("--quick".to_owned());
    } else {
        words.push(format!("--rounds {} --seconds {}", options.rounds, options.seconds));
        if options.names.iter().any(|name| name == outage::Outage.name()) {
            words.push(format!("--minutes {}", options.minutes));
        }
    }
    words.join(" ")
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    say(format!("written: {}", file.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn benchmarks_are_found_by_name() {
        assert_eq!(chosen(&[]).unwrap().len(), REGISTRY.len(), "not those that are long");
        let some = chosen(&["rate-1k".to_owned(), "nginx".to_owned()]).unwrap();
        let names: Vec<&str> = some.iter().map(|bench| bench.name()).collect();
        assert_eq!(names, ["nginx", "rate-1k"], "in the order of the registry");
        let error = chosen(&["nginx".to_owned(), "apache".to_owned()])
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("there is no benchmark apache; there are: nginx, "),
            "{error}"
        );
        assert!(!error.contains('\n'));
    }

    #[test]
    fn names_differ_and_all_are_told_in_the_help() {
        let names: HashSet<&str> = all().map(|bench| bench.name()).collect();
        assert_eq!(names.len(), REGISTRY.len() + NAMED.len());
        let help = after_help();
        assert!(names.iter().all(|name| help.contains(&format!("  {name} "))), "{help}");
    }
}
