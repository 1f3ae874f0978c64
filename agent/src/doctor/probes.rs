//! Each probe, as the kernel judged its programs a moment ago.

use super::{Finding, Patient};
use crate::config::Hooks;
use crate::health::ProbeState;
use crate::kernel::kfuncs;
use crate::probes::{Probe, REGISTRY};

/// The state of each probe that the agent would try; when the kernel side cannot even be made ready, with the reason.
pub(super) fn states(patient: &Patient<'_>) -> Vec<ProbeState> {
    let wanted = |probe: &&&Probe| match (probe.group, patient.config.hooks) {
        (None, _) | (_, Hooks::Auto) => true,
        (Some(_), only) => probe.name == only.as_str(),
    };
    match &patient.trial {
        Ok(states) => states.clone(),
        Err(error) => REGISTRY
            .iter()
            .filter(|probe| patient.config.probes.wants(probe))
            .filter(wanted)
            .map(|probe| ProbeState {
                probe: probe.name,
                group: probe.group,
                alternative: None,
                replaced_by: None,
                loses: probe.loses,
                reason: Some(error.clone()),
            })
            .collect(),
    }
}

/// A verdict for each probe.
pub(super) fn verdicts(patient: &Patient<'_>) -> Vec<Finding> {
    let states = states(patient);
    let mut told = None;
    states
        .iter()
        .map(|state| {
            let reason = state.reason.as_deref().unwrap_or_default();
            if let Some(alternative) = state.alternative {
                let before = if reason.is_empty() {
                    String::new()
                } else {
                    format!("; not by {reason}")
                };
                let found = format!("by {alternative}: its programs pass the verifier{before}");
                return if state.loses.is_empty() {
                    Finding::pass(state.probe, found)
                } else {
                    Finding::warn(state.probe, found, state.loses, fix(patient, state))
                };
            }
            if let Some(rival) = state.replaced_by {
                return Finding::pass(state.probe, format!("{rival} takes its place; not by {reason}"));
            }
            let found = match &patient.trial {
                Ok(_) => format!("would not attach: {reason}"),
                // The same for all: said once.
                Err(_) => {
                    let tries = format!("would try {}", ways(state.probe).join(", then "));
                    match told {
                        None => {
                            told = Some(state.probe);
                            format!("{tries}; fails before: {reason}")
                        }
                        Some(first) => format!("{tries}; fails as {first} does"),
                    }
                }
            };
            let worse = match state.group {
                Some(_) => Finding::fail,
                None if patient.trial.is_err() => Finding::fail,
                None => Finding::warn,
            };
            worse(state.probe, found, state.loses, fix(patient, state))
        })
        .collect()
}

/// Names of the ways to attach a probe, in their order.
fn ways(probe: &str) -> Vec<&'static str> {
    let probe = REGISTRY.iter().find(|known| known.name == probe);
    probe.map_or(vec![], |probe| {
        probe.ways(kfuncs::preemptible()).map(|way| way.name).collect()
    })
}

fn fix(patient: &Patient<'_>, state: &ProbeState) -> String {
    let forced = patient.config.hooks != Hooks::Auto && state.group.is_some();
    match &patient.trial {
        Ok(_) if forced => "--capture.hooks=auto (`capture: {hooks: auto}`)".to_owned(),
        _ => {
            "what failed above under kernel and rights; when nothing did, please report it with this output".to_owned()
        }
    }
}
