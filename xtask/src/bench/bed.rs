//! What all benchmarks stand on: the programs, how long to measure, and the three conditions that are compared.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::exact::DRIVER;
use super::onlooker::Agent;
use super::process::{Ends, Helper, Process};
use crate::programs;
use crate::shell::{say, target};

/// Where onlooker captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hooks {
    /// The socket tracepoints.
    Socket,
    /// The exit of system calls.
    Syscall,
}

impl Hooks {
    /// Value of `--capture.hooks`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Hooks::Socket => "socket",
            Hooks::Syscall => "syscall",
        }
    }

    /// In a table.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Hooks::Socket => "socket hooks",
            Hooks::Syscall => "sys_exit",
        }
    }
}

/// What is attached while something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Nothing,
    /// Programs that do nothing.
    NoOp(Hooks),
    /// onlooker, with these options.
    Onlooker(Hooks, &'static [&'static str]),
}

/// What is attached now. Dropping it detaches it.
pub(crate) enum Attached {
    /// Nothing.
    Nothing,
    /// Programs that do nothing.
    NoOp(Helper),
    /// onlooker.
    Onlooker(Agent),
}

impl Attached {
    /// The agent, when it is one.
    pub(crate) fn agent(&self) -> Option<&Agent> {
        match self {
            Attached::Onlooker(agent) => Some(agent),
            _ => None,
        }
    }

    /// Fails when what was attached is gone.
    fn check(&mut self) -> Result<()> {
        match self {
            Attached::NoOp(helper) => helper.check(),
            _ => Ok(()), // an agent that is gone is not scraped
        }
    }
}

/// A program is not here: the benchmark is skipped.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// See the module.
pub(crate) struct Bed {
    /// Rounds of each comparison.
    pub(crate) rounds: usize,
    /// Seconds that one condition is measured for.
    pub(crate) seconds: u64,
    /// How long the receiver of an outage is away.
    pub(crate) outage: Duration,
    /// Everything small: only to see that it runs.
    pub(crate) quick: bool,
    /// The agent's program.
    pub(crate) onlooker: PathBuf,
    /// Ways to capture that this kernel has, the agent's own choice first.
    pub(crate) hooks: Vec<Hooks>,
    helper: PathBuf,
    no_ops: PathBuf,
    path: String,
}

impl Bed {
    /// With the programs as they were built, and a look at what this kernel has.
    pub(crate) fn new(rounds: usize, seconds: u64, outage: Duration, quick: bool) -> Result<Bed> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = programs::folders().into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(all)?.to_string_lossy().into_owned();
        let mut bed = Bed {
            rounds,
            seconds,
            outage,
            quick,
            onlooker: target().join("release/onlooker"),
            hooks: Vec::new(),
            // The tests built it: optimised, but for what it depends on.
            helper: target().join(if quick { "debug/bench" } else { "release/bench" }),
            no_ops: target().join("ebpf/noop.bpf.o"),
            path,
        };
        for file in [&bed.onlooker, &bed.helper, &bed.no_ops] {
            if !file.exists() {
                bail!("{} was not built", file.display());
            }
        }
        for hooks in [Hooks::Socket, Hooks::Syscall] {
            match bed.attach(Condition::NoOp(hooks)) {
                Ok(_) => bed.hooks.push(hooks),
                Err(error) => say(format!("no-op programs do not attach to {}: {error:#}", hooks.told())),
            }
        }
        if bed.hooks.is_empty() {
            bail!("no-op programs attach to none of onlooker's hooks");
        }
        Ok(bed)
    }

    /// The agent's own choice of hooks.
    pub(crate) fn own_hooks(&self) -> Hooks {
        self.hooks.first().copied().unwrap_or(Hooks::Syscall)
    }

    /// The smaller one in a quick run.
    pub(crate) fn scaled(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }

    /// Starts a long-lived program.
    pub(crate) fn start(&self, name: &str, program: &Path, args: &[String], ends: Ends) -> Result<Process> {
        Process::start(&target().join("bench"), name, program, args, &self.path, ends)
    }

    /// Starts a command of the program `bench` that holds something.
    pub(crate) fn helper(&self, args: &[&str]) -> Result<Helper> {
        let owned: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let name = args.first().copied().unwrap_or("bench");
        Helper::new(self.start(name, &self.helper, &owned, Ends::WithInput)?, name)
    }

    /// Runs a command of the program `bench` to its end; its line. It is the driver: a service of that name.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<Value> {
        let text = self.run(&self.helper, args)?;
        serde_json::from_str(&text).with_context(|| format!("`bench {}` said {text}", args.join(" ")))
    }

    /// Runs a program to its end under the driver's service name; its standard output.
    pub(crate) fn run(&self, program: &Path, args: &[&str]) -> Result<String> {
        let output = Command::new(program)
            .args(args)
            .env("PATH", &self.path)
            .env("OTEL_SERVICE_NAME", DRIVER)
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let out = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            let last = error.trim().lines().last().unwrap_or(out.trim()).to_owned();
            bail!("`{} {}` failed: {last}", program.display(), args.join(" "));
        }
        Ok(out.into_owned())
    }

    /// Attaches, and waits until it is done.
    pub(crate) fn attach(&self, condition: Condition) -> Result<Attached> {
        Ok(match condition {
            Condition::Nothing => Attached::Nothing,
            Condition::NoOp(hooks) => {
                let object = self.no_ops.to_string_lossy();
                Attached::NoOp(self.helper(&["noop", &object, hooks.word()])?)
            }
            Condition::Onlooker(hooks, args) => Attached::Onlooker(Agent::start(self, hooks, args)?),
        })
    }

    /// Measures all conditions in every round, beginning with another one in each; the values by condition and round.
    pub(crate) fn compare<T>(
        &self,
        conditions: &[Condition],
        rounds: usize,
        mut measure: impl FnMut(Condition, &Attached) -> Result<T>,
    ) -> Result<Vec<Vec<T>>> {
        let mut found: Vec<Vec<T>> = conditions.iter().map(|_| Vec::with_capacity(rounds)).collect();
        for round in 0..rounds {
            for step in 0..conditions.len() {
                let index = (round + step) % conditions.len();
                let condition = conditions[index];
                let mut attached = self.attach(condition).with_context(|| format!("{condition:?}"))?;
                let value = measure(condition, &attached).with_context(|| format!("{condition:?}"))?;
                attached.check()?;
                found[index].push(value);
            }
        }
        Ok(found)
    }

    /// Fails with [`Missing`] when a program is not here.
    pub(crate) fn need(&self, program: &str) -> Result<PathBuf> {
        programs::find(program).ok_or_else(|| Missing(format!("{program} is not installed")).into())
    }

    /// Fails with [`Missing`] when the Python environment of the tests is not here.
    pub(crate) fn need_python_packages(&self) -> Result<PathBuf> {
        let python = programs::venv().join("bin/python");
        match python.exists() {
            true => Ok(python),
            false => Err(Missing("the Python packages of the tests are not installed".to_owned()).into()),
        }
    }

    /// Whether the agent has an option.
    pub(crate) fn knows(&self, option: &str) -> bool {
        let help = Command::new(&self.onlooker).args(["run", "--help"]).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(option))
    }

    /// [`Bed::seconds`] as a duration.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
