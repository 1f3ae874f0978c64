//! Known faults of CPUs, and what the kernel does about them: `sys/devices/system/cpu/vulnerabilities`
//! (`arch/x86/kernel/cpu/bugs.c`, `Documentation/admin-guide/hw-vuln`).

use super::flags::Setup;
use super::{Collect, CollectError, Collector, cpus, files};
use crate::metric::{Encoder, Family, Kind};
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "cpu_vulnerabilities",
    about: "known faults of CPUs, and what the kernel does about them",
    default: false,
    make: |setup| Ok(Box::new(Vulnerabilities::new(setup))),
    ..Collector::BASE
};

static INFO: Family = Family::new(
    "node_cpu_vulnerabilities_info",
    "",
    "A known fault of CPUs, whether these have it, and what the kernel does about it.",
    Kind::Gauge,
);

struct Vulnerabilities(PathBuf);

impl Vulnerabilities {
    fn new(setup: &Setup<'_>) -> Vulnerabilities {
        Vulnerabilities(cpus::folder(&setup.host.sys).join("vulnerabilities"))
    }
}

impl Collect for Vulnerabilities {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let names = files::names(&self.0)?;
        out.family(&INFO);
        for name in &names {
            let Some(text) = files::text_if_any(&self.0.join(name)) else {
                continue;
            };
            let (state, mitigation) = state(&text);
            out.number(&[("codename", name), ("state", state), ("mitigation", mitigation)], 1.0);
        }
        Ok(())
    }
}

/// State and mitigation: `Not affected`, `Vulnerable: no microcode`, `Mitigation: PTI`. There are other words in a few files:
/// `KVM: Mitigation: …`, `Processor vulnerable`, `Unknown: …`.
fn state(text: &str) -> (&'static str, &str) {
    const STATES: [(&str, &str); 5] = [
        ("Not affected", "not affected"),
        ("Vulnerable", "vulnerable"),
        ("Processor vulnerable", "vulnerable"),
        ("Mitigation", "mitigation"),
        ("Unknown", "unknown"),
    ];
    let words = text.strip_prefix("KVM: ").unwrap_or(text);
    let found = STATES
        .iter()
        .find_map(|(begin, state)| Some((*state, words.strip_prefix(begin)?)));
    let (state, rest) = found.unwrap_or(("unknown", text));
    (state, rest.strip_prefix(": ").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn states_in_all_their_words() {
        assert_eq!(state("Not affected"), ("not affected", ""));
        assert_eq!(state("Vulnerable"), ("vulnerable", ""));
        assert_eq!(
            state("Vulnerable: Clear CPU buffers"),
            ("vulnerable", "Clear CPU buffers")
        );
        assert_eq!(state("Mitigation: PTI"), ("mitigation", "PTI"));
        assert_eq!(state("KVM: Mitigation: VMX disabled"), ("mitigation", "VMX disabled"));
        assert_eq!(state("Processor vulnerable"), ("vulnerable", ""));
        assert_eq!(state("Unknown: No mitigations"), ("unknown", "No mitigations"));
        assert_eq!(state("something else"), ("unknown", "something else"));
    }

    #[test]
    fn files_are_faults() {
        let fixture = Fixture::new(&[
            ("sys/devices/system/cpu/vulnerabilities/mds", "Not affected\n"),
            ("sys/devices/system/cpu/vulnerabilities/folder/", ""),
        ]);
        let expect = "node_cpu_vulnerabilities_info{codename=\"mds\",state=\"not affected\",mitigation=\"\"} 1\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
