//! Capabilities (capabilities(7)) that the agent needs, what for, and which of them it has.

use std::fs;

/// One capability.
#[derive(Debug, PartialEq, Eq)]
pub struct Capability {
    /// Name as in capabilities(7).
    pub name: &'static str,
    /// Bits of `CapEff` of which one is enough: its own first, then those of capabilities that include it
    /// (`include/uapi/linux/capability.h`).
    bits: &'static [u32],
    /// Without it the agent sees nothing.
    pub vital: bool,
    /// What the agent does with it.
    pub purpose: &'static str,
    /// What is not seen without it, in human words.
    pub loses: &'static str,
}

const DAC_OVERRIDE: u32 = 1;
const DAC_READ_SEARCH: u32 = 2;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// All that the agent needs; nothing else is.
pub static NEEDED: &[Capability] = &[
    Capability {
        name: "CAP_BPF",
        bits: &[BPF, SYS_ADMIN],
        vital: true,
        purpose: "makes maps and loads programs",
        loses: "anything: the agent does not start",
    },
    Capability {
        name: "CAP_PERFMON",
        bits: &[PERFMON, SYS_ADMIN],
        vital: true,
        purpose: "attaches programs to tracepoints and lets them read memory",
        loses: "anything: the agent does not start",
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        bits: &[SYS_PTRACE],
        vital: false,
        purpose: "reads executable, working directory and environment of other users' processes",
        loses: "service names of programs that were started before the agent: they are named by what they call themselves",
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        bits: &[DAC_READ_SEARCH, DAC_OVERRIDE],
        vital: false,
        purpose: "opens the environment of other users' processes, and tracefs on Linux 7.0 and later",
        loses: "OTEL_SERVICE_NAME of programs that were started before the agent: they are named by their executable; on Linux 7.0 and \
                later a call now and then",
    },
];

impl Capability {
    /// Is it, or one that includes it, in a set (`CapEff`)?
    pub fn held(&self, set: u64) -> bool {
        self.bits.iter().any(|bit| set >> bit & 1 == 1)
    }
    /// Is it itself in the set?
    pub fn held_alone(&self, set: u64) -> bool {
        self.bits.first().is_some_and(|bit| set >> bit & 1 == 1)
    }
}

/// Those of [`NEEDED`] that this process does not have now.
pub fn missing() -> Vec<&'static Capability> {
    missing_in(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// Does this process have CAP_SYS_ADMIN now?
pub fn administrates() -> bool {
    effective(&fs::read_to_string("/proc/self/status").unwrap_or_default()) >> SYS_ADMIN & 1 == 1
}

/// `CapEff` by the text of `/proc/PID/status`; all of them where that does not tell.
fn effective(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

/// By the text of `/proc/PID/status`; nothing is missing where that does not tell.
fn missing_in(status: &str) -> Vec<&'static Capability> {
    let effective = effective(status);
    NEEDED.iter().filter(|capability| !capability.held(effective)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let missing = |hex: &str| -> Vec<&str> {
            let status = format!("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t{hex}\nCapBnd:\t000001ffffffffff\n");
            missing_in(&status).iter().map(|capability| capability.name).collect()
        };
        assert!(missing("000001ffffffffff").is_empty());
        assert!(missing("000000c000080004").is_empty(), "exactly those");
        assert!(missing("0000000000280002").is_empty(), "those that include them");
        assert_eq!(missing("0000008000080004"), ["CAP_PERFMON"]);
        assert_eq!(missing("000000c000000000"), ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
        assert_eq!(missing("0000000000000000").len(), NEEDED.len());
        assert!(missing_in("no such line").is_empty());
    }
}
