//! The unit of systemd and the example configuration, by the programs that read them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::{Findings, text};
use crate::shell::{Run, find_program, target};

const UNIT: &str = "deploy/systemd/onlooker.service";
const CONFIGURATION: &str = "deploy/onlooker.yaml";

/// `systemd-analyze security` rates from 0 (nothing allowed) to 10; what the unit must not exceed, in tenths.
const EXPOSURE: &str = "30";

/// Checks the unit and the configuration.
pub(super) fn check(findings: &mut Findings) -> Result<()> {
    capabilities(findings)?;
    match find_program("systemd-analyze") {
        Some(analyze) => {
            let rate = [
                "security",
                "--offline=true",
                "--no-pager",
                "--threshold",
                EXPOSURE,
                UNIT,
            ];
            findings.tool(UNIT, Run::new(analyze).args(rate).read().map(drop));
        }
        None => findings.missing.push("systemd-analyze".to_owned()),
    }
    let built = ["release", "debug"].map(|kind| target().join(kind).join("onlooker"));
    match built.iter().find(|program| program.exists()) {
        Some(program) => {
            let outcome = Run::new(program)
                .args(["check-config", "--config.file", CONFIGURATION])
                .read();
            findings.tool(CONFIGURATION, outcome.map(drop));
        }
        None => findings.missing.push("onlooker (cargo xtask build)".to_owned()),
    }
    Ok(())
}

/// The unit, the chart and the agent name the same capabilities.
fn capabilities(findings: &mut Findings) -> Result<()> {
    let needed = named(&text("agent/src/privilege.rs")?, "name: \"CAP_", "\"");
    let unit = text(UNIT)?;
    for key in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)).context(key)?;
        let given: BTreeSet<String> = line
            .split(' ')
            .map(|name| name.trim_start_matches("CAP_").to_owned())
            .collect();
        if given != needed {
            findings.add(UNIT, format!("{key} has {given:?}, the agent needs {needed:?}"));
        }
    }
    Ok(())
}

/// What stands between two texts, each time.
fn named(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    let parts = text.split(before).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(after)?.0.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_has_the_capabilities_of_the_agent() {
        let mut findings = Findings::default();
        capabilities(&mut findings).unwrap();
        assert_eq!(findings.wrong, [] as [String; 0]);
        let needed = named(&text("agent/src/privilege.rs").unwrap(), "name: \"CAP_", "\"");
        assert!(needed.contains("BPF"), "{needed:?}");
    }
}
