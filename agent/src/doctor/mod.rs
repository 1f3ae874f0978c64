//! `onlooker doctor`: what the agent would see on this host, what it would not, and what to change. Looks and tries, and
//! changes nothing: programs are verified and dropped, addresses are bound and given back, nothing is attached or mounted.
//!
//! A family of checks is a file here and its checks are lines of [`REGISTRY`]. A check reads what it needs of the
//! [`Patient`] and nothing else, so that tests show it hosts that they made up.

mod cgroups;
mod clock;
mod kernel;
mod kubernetes;
mod listen;
mod otlp;
mod probes;
mod proc;
mod report;
mod rights;
mod ring;
mod services;
mod settings;
mod sockets;
mod spaces;
mod text;
mod tls;

#[cfg(test)]
mod tests;

pub use report::Report;

use crate::agent;
use crate::config::{Config, Problem};
use crate::health::ProbeState;
use crate::host::Host;
use crate::kernel::dry;
use serde::Serialize;

/// All checks, in the order of the report.
static REGISTRY: &[Check] = &[
    Check::new("settings", settings::configuration),
    Check::new("kernel", kernel::version),
    Check::new("kernel", kernel::architecture),
    Check::new("kernel", kernel::types),
    Check::new("kernel", kernel::lockdown),
    Check::new("kernel", kernel::tracefs),
    Check::new("rights", rights::capabilities),
    Check::new("rights", rights::unprivileged_bpf),
    Check::new("rights", rights::perf_event_paranoid),
    Check::new("rights", rights::memlock),
    Check::new("rights", rights::proc_files),
    Check::new("place", spaces::pid),
    Check::new("place", spaces::user),
    Check::new("place", spaces::time),
    Check::new("place", cgroups::version),
    Check::new("place", ring::memory),
    Check::new("probes", probes::verdicts),
    Check::new("network", listen::addresses),
    Check::new("network", otlp::endpoint),
    Check::new("network", kubernetes::api),
    Check::new("clock", clock::set),
    Check::new("clock", clock::synchronised),
];

/// One check.
struct Check {
    /// Heading that it stands under.
    family: &'static str,
    /// Looks; a finding for each thing that was looked at.
    run: fn(&Patient<'_>) -> Vec<Finding>,
}

impl Check {
    const fn new(family: &'static str, run: fn(&Patient<'_>) -> Vec<Finding>) -> Check {
        Check { family, run }
    }
}

/// What a check came to. The worst one of a report is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Nothing is lost.
    Pass = 0,
    /// Something is lost, or may be, and the agent works.
    Warn = 1,
    /// The agent does not start, or does not see requests.
    Fail = 2,
}

/// What was found in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, e.g. `CAP_BPF`; unique in its family.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What there is, in one sentence.
    pub found: String,
    /// What is lost by it, in human words.
    pub loses: Option<String>,
    /// A command, a flag, or a line of the configuration file that mends it.
    pub fix: Option<String>,
}

impl Finding {
    fn pass(name: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding {
            name: name.into(),
            verdict: Verdict::Pass,
            found: found.into(),
            loses: None,
            fix: None,
        }
    }
    fn worse(
        verdict: Verdict,
        name: impl Into<String>,
        found: impl Into<String>,
        loses: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding {
            verdict,
            loses: Some(loses.into()),
            fix: Some(fix.into()),
            ..Finding::pass(name, found)
        }
    }
    fn warn(
        name: impl Into<String>,
        found: impl Into<String>,
        loses: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding::worse(Verdict::Warn, name, found, loses, fix)
    }
    fn fail(
        name: impl Into<String>,
        found: impl Into<String>,
        loses: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding::worse(Verdict::Fail, name, found, loses, fix)
    }
}

/// What checks look at.
struct Patient<'a> {
    host: &'a Host,
    /// The settings; where one was refused, its default.
    config: &'a Config,
    /// Settings that were refused.
    problems: &'a [Problem],
    env: &'a dyn Fn(&str) -> Option<String>,
    /// What became of each probe when its programs were loaded without attaching, or why none could be tried.
    trial: Result<Vec<ProbeState>, String>,
}

impl Patient<'_> {
    /// A probe that sees requests would attach.
    fn captures(&self) -> bool {
        let captures = |state: &ProbeState| state.alternative.is_some() && state.group.is_some();
        self.trial.as_ref().is_ok_and(|states| states.iter().any(captures))
    }
}

/// Examines the host as the agent with these settings would find it. `problems` are those that the settings have.
pub fn examine(config: &Config, problems: &[Problem], env: &dyn Fn(&str) -> Option<String>) -> Report {
    let options = agent::loader_options(config, agent::exports_spans(config, env));
    let patient = Patient {
        host: &config.host,
        config,
        problems,
        env,
        trial: dry::probes(&config.host, &options).map_err(|error| error.to_string()),
    };
    report::of(&patient)
}
