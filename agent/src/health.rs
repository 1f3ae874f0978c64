//! The agent's state of health, kept by who knows and read by `/readyz`, `/metrics`, the live summary and `doctor`.

use std::sync::Mutex;

/// What became of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeState {
    /// Name of the probe, e.g. `socket`.
    pub probe: &'static str,
    /// Name of the alternative that is attached, e.g. `tp_btf/sock_send_length`; `None`: not attached.
    pub alternative: Option<&'static str>,
    /// What is not seen without it, in human words.
    pub loses: &'static str,
    /// Why it (or the better alternatives before it) did not attach, and how to mend it.
    pub reason: Option<String>,
}

/// Shared state of health.
#[derive(Debug, Default)]
pub struct Health {
    probes: Mutex<Vec<ProbeState>>,
    shedding: Mutex<Option<String>>,
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
    /// Ready: the probes were tried and at least one is attached.
    pub fn ready(&self) -> bool {
        self.probes().iter().any(|probe| probe.alternative.is_some())
    }
}
