//! The report: findings by family, the state of each probe, what can be seen of each service.

use super::services::{self, Services};
use super::{Finding, Patient, REGISTRY, Verdict, probes, proc};
use crate::health::ProbeState;
use serde::Serialize;

/// Everything that was found. Serialised, it is the output of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of this program.
    pub version: &'static str,
    /// Release of the running kernel, empty when not known.
    pub kernel: String,
    /// The worst of all verdicts.
    pub verdict: Verdict,
    /// All findings.
    pub checks: Vec<Line>,
    /// Each probe as `/readyz` would show it.
    pub probes: Vec<Probe>,
    /// What listens, and what can be seen of it.
    #[serde(flatten)]
    pub services: Services,
}

/// A finding under its heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The heading.
    pub family: &'static str,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What would become of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Its name.
    pub name: &'static str,
    /// Name of the alternative that would attach; `None`: none would.
    pub alternative: Option<&'static str>,
    /// What is not seen without the probe.
    pub loses: &'static str,
    /// Why it would not attach, or better alternatives would not.
    pub reason: Option<String>,
}

impl From<ProbeState> for Probe {
    fn from(state: ProbeState) -> Probe {
        Probe {
            name: state.probe,
            alternative: state.alternative,
            loses: state.loses,
            reason: state.reason,
        }
    }
}

impl Report {
    /// 0: all checks passed, 1: one warned, 2: one failed.
    pub fn exit_code(&self) -> u8 {
        self.verdict as u8
    }

    /// Findings of a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks
            .iter()
            .filter(|line| line.finding.verdict == verdict)
            .count()
    }
}

/// Runs all checks.
pub(super) fn of(patient: &Patient<'_>) -> Report {
    let mut checks = vec![];
    for check in REGISTRY {
        let findings = (check.run)(patient).into_iter();
        checks.extend(findings.map(|finding| Line {
            family: check.family,
            finding,
        }));
    }
    let worst = checks.iter().map(|line| line.finding.verdict).max();
    Report {
        version: env!("CARGO_PKG_VERSION"),
        kernel: proc::text(patient.host.proc.join("sys/kernel/osrelease")).unwrap_or_default(),
        verdict: worst.unwrap_or(Verdict::Pass),
        checks,
        probes: probes::states(patient).into_iter().map(Probe::from).collect(),
        services: services::look(patient),
    }
}
