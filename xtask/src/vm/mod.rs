//! `cargo xtask vm`: the integration tests on other kernels, in machines under qemu (software emulation, so it needs nothing of
//! the processor). A machine sees the host's files, read-only below a layer in memory: nginx, Python and the rest run in it as
//! they are, and so do the test binaries that were compiled here.

mod entries;
mod guest;
mod initramfs;
mod machine;
mod packages;
mod results;
mod share;
mod table;

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{find_program, say, target};
use crate::stage::{Ran, Report, is_ci};
use crate::{build, programs};
use entries::Entry;
use guest::Binaries;
use results::Results;
use table::Facts;

pub(crate) use packages::newest_file;

/// Options of the machines.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Machines by name (`--list` shows them), or `all`, which also writes docs/kernels.md; none: the four series of kernels
    machines: Vec<String>,
    /// List the machines and what each is for
    #[arg(long)]
    list: bool,
    /// Run the short tests alone: every probe attaches, one exchange of each kind is captured exactly
    #[arg(long)]
    fast: bool,
    /// Run this test binary alone. Repeatable.
    #[arg(long, value_name = "BINARY")]
    only: Vec<String>,
    /// Run a shell command in the machine, instead of tests
    #[arg(long, value_name = "COMMAND")]
    shell_command: Option<String>,
    /// Machines at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Give up a machine after so many seconds
    #[arg(long, default_value_t = 5400, value_name = "SECONDS")]
    deadline: u64,
    /// Arguments for the test binaries: a part of tests' names
    #[arg(last = true)]
    filter: Vec<String>,
}

/// Runs machines and tells what became of each.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for entry in entries::REGISTRY {
            println!("{:<16} {} CPUs  {}", entry.name, entry.cpus, entry.about);
        }
        return Ok(());
    }
    let chosen = entries::select(&options.machines).map_err(anyhow::Error::msg)?;
    let missing = programs::install();
    if !missing.is_empty() {
        say(format!("some tests will be told as failed: {}", missing.join("; ")));
    }
    build::with(&crate::toolchain::find_or_install()?, &build::Options::default())?;
    let whole = options.machines.iter().any(|name| name == "all")
        && options.filter.is_empty()
        && options.only.is_empty()
        && options.shell_command.is_none();
    let outcomes = machines(&chosen, options)?;
    if whole {
        table::write(&outcomes, options.fast)?;
    }
    judge(&outcomes)
}

/// Machines of the test command: the oldest series, those whose verifiers refuse most, the newest. 6.12 attaches as kernels do that the
/// other tests run on, and takes as long.
const SHORT: [&str; 3] = ["7", "5.10", "6.1"];

/// The stage of the test command: the short tests on three series.
pub(crate) fn fast(report: &mut Report) -> Result<Ran> {
    if find_program(&machine::program()).is_none() {
        return Ok(Ran::Skipped(format!("{} is missing", machine::program())));
    }
    let options = Options {
        fast: true,
        jobs: 2,
        deadline: 600,
        ..Options::default()
    };
    let chosen = entries::select(&SHORT.map(str::to_owned)).map_err(anyhow::Error::msg)?;
    let outcomes = machines(&chosen, &options)?;
    for line in outcomes.iter().filter_map(|outcome| outcome.results.as_ref().ok()) {
        line.totals().iter().for_each(|line| report.note(line));
    }
    judge(&outcomes)?;
    table::compare(&outcomes)?;
    let absent: Vec<String> = outcomes.iter().filter_map(Outcome::absence).collect();
    if absent.is_empty() {
        Ok(Ran::Done)
    } else {
        Ok(Ran::Skipped(absent.join("; ")))
    }
}

/// What became of one machine.
#[derive(Debug)]
struct Outcome {
    entry: &'static Entry,
    /// Package and version; an error when the kernel could not be fetched.
    kernel: Result<String>,
    release: String,
    /// The tests' results; an error when the machine did not run to its end.
    results: Result<Results>,
    /// What the tests say of the probes.
    facts: Option<Facts>,
    took: Duration,
    boot: Duration,
}

impl Outcome {
    fn absence(&self) -> Option<String> {
        let error = self.kernel.as_ref().err()?;
        Some(format!("{} is not available: {error:#}", self.entry.name))
    }

    fn failure(&self) -> Option<String> {
        if self.kernel.is_err() {
            return None;
        }
        let reason = match &self.results {
            Err(error) => format!("{error:#}"),
            Ok(results) => results.failure()?,
        };
        Some(format!("{}: {reason}", self.entry.name))
    }

    fn line(&self) -> String {
        let told = match (self.absence(), self.failure(), &self.results) {
            (Some(absence), ..) => absence,
            (_, Some(failure), _) => format!("FAILED: {failure}"),
            (_, _, Ok(results)) => results.summary(),
            _ => String::new(),
        };
        format!(
            "{:<16} {:<24} {:>6.1} s (boot {:>4.1} s)  {told}",
            self.entry.name,
            self.release,
            self.took.as_secs_f64(),
            self.boot.as_secs_f64()
        )
    }
}

/// Runs machines, some at a time, in the order given.
fn machines(chosen: &[&'static Entry], options: &Options) -> Result<Vec<Outcome>> {
    let binaries = guest::compile()?;
    let folder = target().join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // One after the other: they share package lists.
    let mut waiting: Vec<_> = chosen
        .iter()
        .map(|entry| (*entry, packages::kernel(entry.series, entry.flavour)))
        .collect();
    waiting.reverse();
    let waiting = Mutex::new(waiting);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = lock(&waiting).pop();
                    let Some((entry, kernel)) = next else { return };
                    let outcome = one(entry, kernel, &binaries, options);
                    say(outcome.line());
                    lock(&done).push(outcome);
                }
            });
        }
    });
    let mut outcomes = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let place = |name: &str| chosen.iter().position(|entry| entry.name == name);
    outcomes.sort_by_key(|outcome| place(outcome.entry.name));
    println!();
    outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
    Ok(outcomes)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn one(entry: &'static Entry, kernel: Result<packages::Kernel>, binaries: &Binaries, options: &Options) -> Outcome {
    let start = Instant::now();
    let mut outcome = Outcome {
        entry,
        kernel: kernel
            .as_ref()
            .map(|kernel| kernel.version.clone())
            .map_err(|error| anyhow::anyhow!("{error:#}")),
        release: String::new(),
        results: Ok(Results::default()),
        facts: None,
        took: Duration::ZERO,
        boot: Duration::ZERO,
    };
    if let Ok(kernel) = kernel {
        outcome.results = in_machine(&mut outcome, &kernel, binaries, options);
    }
    outcome.took = start.elapsed();
    outcome
}

fn in_machine(
    outcome: &mut Outcome,
    kernel: &packages::Kernel,
    binaries: &Binaries,
    options: &Options,
) -> Result<Results> {
    let entry = outcome.entry;
    let files = Files::new(entry.name)?;
    let mut tests = entry.tests.of(options.fast);
    if !options.only.is_empty() {
        tests.retain(|(name, _)| options.only.iter().any(|only| only == name));
    }
    let script = match &options.shell_command {
        Some(command) => guest::command(command),
        None => guest::tests(binaries, &tests, &options.filter)?,
    };
    initramfs::write(entry, &kernel.modules, &script, &files.initramfs)?;
    let quiet = options.jobs > 1;
    let mut results = Results::new(!options.filter.is_empty());
    let deadline = Duration::from_secs(options.deadline);
    let ended = machine::run(
        entry,
        kernel,
        &files.initramfs,
        &files.out,
        &files.log,
        deadline,
        |line| {
            results.read(line);
            if !quiet || options.shell_command.is_some() {
                println!("{:<8}| {line}", entry.name);
            }
        },
    );
    let ended = ended.with_context(|| {
        let last = results.unfinished();
        format!("see {}{last}", files.log.display())
    })?;
    outcome.release = ended.release;
    outcome.boot = ended.boot;
    outcome.facts = Facts::read(&files.out.join("facts.json"));
    results.end(ended.status);
    if results.failure().is_some() {
        say(format!("{}: failed, see {}", entry.name, files.log.display()));
    }
    Ok(results)
}

/// Files of a machine below `target/vm`.
struct Files {
    initramfs: PathBuf,
    log: PathBuf,
    /// The folder that the machine may write to.
    out: PathBuf,
}

impl Files {
    fn new(name: &str) -> Result<Files> {
        let folder = target().join("vm");
        let out = folder.join(format!("{name}.out"));
        if out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        Ok(Files {
            initramfs: folder.join(format!("{name}.cpio")),
            log: folder.join(format!("{name}.log")),
            out,
        })
    }
}

/// An error when a machine failed, or, under continuous integration, when a whole series could not be had.
fn judge(outcomes: &[Outcome]) -> Result<()> {
    let mut bad: Vec<String> = outcomes.iter().filter_map(Outcome::failure).collect();
    if is_ci() {
        for outcome in outcomes {
            let series = outcome.entry.series.name;
            let same = |other: &&Outcome| other.entry.series.name == series;
            if outcomes.iter().filter(same).all(|other| other.kernel.is_err()) {
                bad.extend(outcome.absence());
            }
        }
    }
    if !bad.is_empty() {
        bail!("{}", bad.join("; "));
    }
    Ok(())
}
