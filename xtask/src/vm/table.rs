//! `docs/kernels.md`: which probe attaches how on which kernel, as the test binary `kernel` found it in the machines. Written by
//! `cargo xtask vm all`; the short run of the test command compares what it finds with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Outcome;
use crate::shell::{Run, root, say};

/// What the tests wrote down of one machine.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Facts {
    /// By `--capture.hooks`.
    pub(super) hooks: BTreeMap<String, Attached>,
    /// Verified instructions allowed, by program.
    pub(super) limits: BTreeMap<String, u64>,
}

/// What an agent said of itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Attached {
    /// Alternative by probe.
    probes: BTreeMap<String, String>,
    /// Verified instructions by program; nothing for a program of which the kernel does not tell.
    verified: BTreeMap<String, Option<u64>>,
}

/// Hooks, probe and alternative.
type Way = (String, String, String);

impl Facts {
    /// Those of a machine; `None` when its tests wrote none.
    pub(super) fn read(file: &Path) -> Option<Facts> {
        serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
    }

    fn ways(&self) -> BTreeSet<Way> {
        let mut ways = BTreeSet::new();
        for (hooks, attached) in &self.hooks {
            for (probe, alternative) in &attached.probes {
                ways.insert((hooks.clone(), probe.clone(), alternative.clone()));
            }
        }
        ways
    }
}

fn document() -> PathBuf {
    root().join("docs/kernels.md")
}

/// Writes the document anew.
pub(super) fn write(outcomes: &[Outcome], fast: bool) -> Result<()> {
    let day = Run::new("date").args(["-u", "+%F"]).read()?;
    let file = document();
    fs::write(&file, render(outcomes, fast, day.trim())).with_context(|| format!("cannot write {}", file.display()))?;
    say("docs/kernels.md is written");
    Ok(())
}

/// An error when the document says something else of a machine than its tests found.
pub(super) fn compare(outcomes: &[Outcome]) -> Result<()> {
    let text = fs::read_to_string(document()).context("docs/kernels.md is missing: `cargo xtask vm all` writes it")?;
    let found: Vec<(&str, &Facts)> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.entry.name, outcome.facts.as_ref()?)))
        .collect();
    let stale = differences(&text, &found);
    if !stale.is_empty() {
        bail!(
            "docs/kernels.md is stale, `cargo xtask vm all` writes it anew: {}",
            stale.join("; ")
        );
    }
    Ok(())
}

const WAYS: &str = "| Hooks | Probe | Alternative |";
const YES: &str = "yes";
const NO: &str = "·";

fn render(outcomes: &[Outcome], fast: bool, day: &str) -> String {
    let command = if fast {
        "`cargo xtask vm all --fast` (the short tests alone)"
    } else {
        "`cargo xtask vm all`"
    };
    let mut text = format!(
        "# Kernels\n\nWritten by {command} on {day}; what stands here is what the tests found in machines under qemu.\n\
         The test command runs a part of them on the four series and compares.\n\n\
         | Machine | Kernel | Package | CPUs | What for | Result |\n|---|---|---|---|---|---|\n"
    );
    for outcome in outcomes {
        let result = match (outcome.absence(), outcome.failure(), &outcome.results) {
            (Some(_), ..) => "not available".to_owned(),
            (_, Some(failure), _) => format!("FAILED: {failure}"),
            (_, _, Ok(results)) => format!("{} in {:.0} s", results.summary(), outcome.took.as_secs_f64()),
            _ => String::new(),
        };
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            outcome.entry.name,
            outcome.release,
            outcome.kernel.as_deref().unwrap_or(""),
            outcome.entry.cpus,
            outcome.entry.about,
            result.replace('|', "/"),
        );
    }
    let columns: Vec<(&str, &Facts)> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.entry.name, outcome.facts.as_ref()?)))
        .collect();
    text + &ways(&columns) + &verified(&columns)
}

fn ways(columns: &[(&str, &Facts)]) -> String {
    let mut text = format!(
        "\n## How each probe is attached\n\nBy `--capture.hooks`; `socket` needs Linux 6.3.\n\n{WAYS}{}\n|---|---|---|{}\n",
        heads(columns),
        "---|".repeat(columns.len())
    );
    let all: BTreeSet<Way> = columns.iter().flat_map(|(_, facts)| facts.ways()).collect();
    for way in all {
        text += &format!("| {} | {} | {} |", way.0, way.1, way.2);
        for (_, facts) in columns {
            text += &format!(" {} |", if facts.ways().contains(&way) { YES } else { NO });
        }
        text.push('\n');
    }
    text
}

fn verified(columns: &[(&str, &Facts)]) -> String {
    let mut text = format!(
        "\n## Verified instructions\n\nWhat the verifier walked for each program, which must stay below the limit (the kernel's own is \
         1,000,000). Kernels before 5.16 do not tell.\n\n| Program | Limit |{}\n|---|---|{}\n",
        heads(columns),
        "---|".repeat(columns.len())
    );
    let mut programs: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, facts) in columns {
        for name in facts.hooks.values().flat_map(|attached| attached.verified.keys()) {
            programs.insert(name, facts.limits.get(name).copied().unwrap_or(0));
        }
    }
    for (name, limit) in programs {
        text += &format!("| {name} | {} |", thousands(limit));
        for (_, facts) in columns {
            let counts: Vec<Option<u64>> = facts
                .hooks
                .values()
                .filter_map(|one| one.verified.get(name).copied())
                .collect();
            let told = match counts.iter().max() {
                Some(Some(count)) => thousands(*count),
                Some(None) => "not told".to_owned(),
                None => NO.to_owned(),
            };
            text += &format!(" {told} |");
        }
        text.push('\n');
    }
    text
}

fn heads(columns: &[(&str, &Facts)]) -> String {
    columns.iter().map(|(name, _)| format!(" {name} |")).collect()
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Where document and facts differ in how probes are attached.
fn differences(document: &str, found: &[(&str, &Facts)]) -> Vec<String> {
    let mut lines = document.lines().skip_while(|line| !line.starts_with(WAYS));
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let heads = lines.next().map(cells).unwrap_or_default();
    let rows: Vec<Vec<String>> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    let mut stale = Vec::new();
    for (name, facts) in found {
        let column = heads
            .iter()
            .skip(3)
            .position(|head| head == name)
            .map(|place| place + 3);
        let written: BTreeSet<Way> = rows
            .iter()
            .filter(|row| {
                column
                    .and_then(|column| row.get(column))
                    .is_some_and(|cell| cell == YES)
            })
            .filter_map(|row| Some((row.first()?.clone(), row.get(1)?.clone(), row.get(2)?.clone())))
            .collect();
        let found = facts.ways();
        for (hooks, probe, alternative) in written.symmetric_difference(&found) {
            let which = if written.contains(&(hooks.clone(), probe.clone(), alternative.clone())) {
                "written, not found"
            } else {
                "found, not written"
            };
            stale.push(format!("{name}, {hooks}: {probe} by {alternative} is {which}"));
        }
    }
    stale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(alternative: &str, count: Option<u64>) -> Facts {
        let attached = Attached {
            probes: BTreeMap::from([("socket".to_owned(), alternative.to_owned())]),
            verified: BTreeMap::from([("send".to_owned(), count)]),
        };
        Facts {
            hooks: BTreeMap::from([("syscall".to_owned(), attached)]),
            limits: BTreeMap::from([("send".to_owned(), 500_000)]),
        }
    }

    #[test]
    fn what_was_written_is_found_again() {
        let (old, new) = (facts("raw_tp/x", None), facts("tp_btf/x", Some(123_456)));
        let columns = [("5.10", &old), ("7", &new)];
        let text = format!("# Kernels\n{}{}", ways(&columns), verified(&columns));
        assert_eq!(differences(&text, &columns), [] as [String; 0]);
        assert!(text.contains("| send | 500,000 | not told | 123,456 |"), "{text}");
        assert!(text.contains("| syscall | socket | raw_tp/x | yes | · |"), "{text}");
        let swapped = [("5.10", &new)];
        assert_eq!(
            differences(&text, &swapped),
            [
                "5.10, syscall: socket by raw_tp/x is written, not found",
                "5.10, syscall: socket by tp_btf/x is found, not written"
            ]
        );
        assert_eq!(differences("", &swapped).len(), 1);
    }

    #[test]
    fn numbers_are_told_in_groups() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000_001), "1,000,001");
    }
}
