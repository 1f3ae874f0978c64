//! The settings: what the agent would refuse to start with.

use super::{Finding, Patient};
use crate::export::otlp::{OtlpConfig, OtlpSignal};

const LOSES: &str = "everything: the agent does not start; the checks below use the default instead";

/// Flags, environment and file; and the exporter's variables, which the agent reads when it starts.
pub(super) fn configuration(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = patient
        .problems
        .iter()
        .map(|problem| {
            Finding::fail(
                &problem.place,
                &problem.what,
                LOSES,
                "as it says; `onlooker check-config` checks it",
            )
        })
        .collect();
    let mut errors = Vec::new();
    for signal in OtlpSignal::ALL {
        // What all signals read is told once, and not again what the settings were refused for.
        if let Err(error) = OtlpConfig::from_env(signal, &patient.config.otlp.over(patient.env))
            && !errors.contains(&error)
            && !patient.problems.iter().any(|problem| problem.what == error.what)
        {
            errors.push(error);
        }
    }
    findings.extend(errors.iter().map(|error| {
        let loses = "everything: the agent does not start";
        Finding::fail(
            "environment",
            error.to_string(),
            loses,
            "set or unset the variable as it says",
        )
    }));
    if findings.is_empty() {
        findings.push(Finding::pass("settings", "valid"));
    }
    findings
}
