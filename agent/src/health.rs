//! The agent's state of health, kept by who knows and read by `/readyz`, `/metrics`, the live summary and `doctor`.

use crate::privilege::Capability;
use std::sync::Mutex;

/// What became of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeState {
    /// Name of the probe, e.g. `socket`.
    pub probe: &'static str,
    /// Probes of one group replace each other.
    pub group: Option<&'static str>,
    /// Name of the alternative that is attached, e.g. `tp_btf/sock_send_length`; `None`: not attached.
    pub alternative: Option<&'static str>,
    /// The probe of its group that is attached in its place.
    pub replaced_by: Option<&'static str>,
    /// What is not seen without it, or not by this alternative, in human words; empty: nothing.
    pub loses: &'static str,
    /// Why it (or the better alternatives before it) did not attach, and how to mend it.
    pub reason: Option<String>,
}

/// How much of what it could see the agent sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Everything.
    Ready,
    /// Requests, but something of what belongs to them is missing.
    Degraded,
    /// No requests: no probe was tried yet, or of a group of probes that replace each other none is attached.
    NotReady,
}

/// Shared state of health.
#[derive(Debug, Default)]
pub struct Health {
    probes: Mutex<Vec<ProbeState>>,
    shedding: Mutex<Option<String>>,
    missing: Mutex<Vec<&'static Capability>>,
}

impl Health {
    /// Sets the state of all probes, once they were tried.
    pub fn set_probes(&self, probes: Vec<ProbeState>) {
        *self.probes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = probes;
    }
    /// State of all probes; empty until they were tried.
    pub fn probes(&self) -> Vec<ProbeState> {
        self.probes
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
    /// Sets what the agent gives up to keep its CPU budget, in human words; `None`: nothing.
    pub fn set_shedding(&self, what: Option<String>) {
        *self.shedding.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = what;
    }
    /// What the agent gives up to keep its CPU budget.
    pub fn shedding(&self) -> Option<String> {
        self.shedding
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
    /// Sets the capabilities that the agent has not.
    pub fn set_missing(&self, capabilities: Vec<&'static Capability>) {
        *self.missing.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = capabilities;
    }
    /// Capabilities that the agent has not.
    pub fn missing(&self) -> Vec<&'static Capability> {
        self.missing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
    /// How much is seen.
    pub fn readiness(&self) -> Readiness {
        let probes = self.probes();
        // Attached without a loss, or another in its place.
        let whole = |probe: &&ProbeState| probe.replaced_by.is_some() || probe.loses.is_empty();
        let mut away = probes
            .iter()
            .filter(|probe| !whole(probe) && probe.alternative.is_none());
        if probes.is_empty() || away.any(|probe| probe.group.is_some()) {
            Readiness::NotReady
        } else if !probes.iter().all(|probe| whole(&probe)) || !self.missing().is_empty() {
            Readiness::Degraded
        } else {
            Readiness::Ready
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_told_by_what_is_lost() {
        let state = |probe, group, alternative, replaced_by, loses| ProbeState {
            probe,
            group,
            alternative,
            replaced_by,
            loses,
            reason: None,
        };
        let socket = state("socket", Some("capture"), Some("tp_btf"), None, "");
        let no_socket = state("socket", Some("capture"), None, None, "requests");
        let replaced = state("socket", Some("capture"), None, Some("syscall"), "requests");
        let lesser = state("socket", Some("capture"), Some("tp_btf"), None, "reads by splice");
        let syscall = state("syscall", Some("capture"), Some("raw_tp"), None, "");
        let process = state("process", None, Some("raw_tp"), None, "");
        let no_process = state("process", None, None, None, "names");
        for (probes, expect) in [
            (vec![], Readiness::NotReady),
            (vec![&socket, &process], Readiness::Ready),
            (vec![&replaced, &syscall, &process], Readiness::Ready),
            (vec![&socket, &no_process], Readiness::Degraded),
            (vec![&lesser, &process], Readiness::Degraded),
            (vec![&no_socket, &process], Readiness::NotReady),
        ] {
            let health = Health::default();
            health.set_probes(probes.into_iter().cloned().collect());
            assert_eq!(health.readiness(), expect, "{:?}", health.probes());
            if expect == Readiness::Ready {
                health.set_missing(vec![&crate::privilege::NEEDED[2]]);
                assert_eq!(health.readiness(), Readiness::Degraded);
            }
        }
    }
}
