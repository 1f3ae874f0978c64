//! `docs/kernels.md`: which probe attaches how on which kernel, as the test binary `kernel` found it in the machines. Written by
//! `cargo xtask vm all`; the short run of the test command compares what it finds with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Outcome;
use crate::shell::{Run, root, say};

/// What the tests wrote down of one machine.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Facts {
    /// Every alternative of every probe, in the order in which they are tried.
    ways: Vec<Way>,
    /// Verified instructions by program; nothing for a program of which the kernel does not tell.
    verified: BTreeMap<String, Option<u64>>,
    /// Verified instructions allowed, by program.
    limits: BTreeMap<String, u64>,
}

/// An alternative of a probe on one machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Way {
    probe: String,
    alternative: String,
    state: State,
}

/// What became of an alternative.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is attached where nothing is asked for.
    First,
    /// It attaches when those before it are refused.
    Works,
    /// It does not attach.
    Absent,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::First => "first",
            State::Works => "works",
            State::Absent => NONE,
        }
    }
}

impl Facts {
    /// Those of a machine; `None` when its tests wrote none.
    pub(super) fn read(file: &Path) -> Option<Facts> {
        serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
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

const WAYS: &str = "| Probe | Alternative |";
const VERIFIED: &str = "| Program | Limit |";
/// What does not exist on a machine.
const NONE: &str = "·";

fn render(outcomes: &[Outcome], fast: bool, day: &str) -> String {
    let command = if fast {
        "`cargo xtask vm all --fast` (the short tests alone)"
    } else {
        "`cargo xtask vm all`"
    };
    let mut text = format!(
        "# Kernels\n\nWritten by {command} on {day}; what stands here is what the tests found in machines under qemu.\n\
         The test command runs a part of them on three of the series and compares.\n\n\
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
    text + &binaries(outcomes) + &ways(&columns) + &verified(&columns)
}

/// Tests by machine: how many passed of each binary, and which did not.
fn binaries(outcomes: &[Outcome]) -> String {
    let all: Vec<(&str, BTreeMap<&str, String>)> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.entry.name, outcome.results.as_ref().ok()?.binaries().collect())))
        .collect();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "\n## Tests that passed\n\nBy test binary (`tests/tests/`); {NONE}: not run there.\n\n| Binary |{}\n|---|{}\n",
        heads(names.iter().copied()),
        "---|".repeat(names.len())
    );
    for binary in super::entries::BINARIES {
        let cells: Vec<&str> = all
            .iter()
            .map(|(_, binaries)| binaries.get(binary).map_or(NONE, String::as_str))
            .collect();
        if cells.iter().any(|cell| *cell != NONE) {
            text += &format!("| {binary} | {} |\n", cells.join(" | "));
        }
    }
    text
}

fn ways(columns: &[(&str, &Facts)]) -> String {
    let mut text = format!(
        "\n## How each probe is attached\n\n`first`: attached where nothing is asked for; `works`: attached when those before it are \
         refused; {NONE}: this kernel does not have it. `socket` and `syscall` replace each other.\n\n{WAYS}{}\n|---|---|{}\n",
        heads(columns.iter().map(|(name, _)| *name)),
        "---|".repeat(columns.len())
    );
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for way in columns.iter().flat_map(|(_, facts)| &facts.ways) {
        let row = (way.probe.as_str(), way.alternative.as_str());
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    for (probe, alternative) in rows {
        text += &format!("| {probe} | {alternative} |");
        for (_, facts) in columns {
            let mut ways = facts.ways.iter();
            let way = ways.find(|way| way.probe == probe && way.alternative == alternative);
            text += &format!(" {} |", way.map_or(NONE, |way| way.state.word()));
        }
        text.push('\n');
    }
    text
}

fn verified(columns: &[(&str, &Facts)]) -> String {
    let mut text = format!(
        "\n## Verified instructions\n\nWhat the verifier walked for each program, which must stay below the limit (the kernel's own is \
         1,000,000). Kernels before 5.16 do not tell.\n\n{VERIFIED}{}\n|---|---|{}\n",
        heads(columns.iter().map(|(name, _)| *name)),
        "---|".repeat(columns.len())
    );
    let limits: BTreeMap<&String, u64> = columns
        .iter()
        .flat_map(|(_, facts)| facts.limits.iter().map(|(name, limit)| (name, *limit)))
        .collect();
    for (name, limit) in limits {
        text += &format!("| {name} | {} |", thousands(limit));
        for (_, facts) in columns {
            let told = match facts.verified.get(name) {
                Some(Some(count)) => thousands(*count),
                Some(None) => "not told".to_owned(),
                None => NONE.to_owned(),
            };
            text += &format!(" {told} |");
        }
        text.push('\n');
    }
    text
}

fn heads<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!(" {name} |")).collect()
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

/// A table of the document: cells of its first line, cells of each other line.
fn table(document: &str, start: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = document.lines().skip_while(|line| !line.starts_with(start));
    let heads = lines.next().map(cells).unwrap_or_default();
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    (heads, rows.collect())
}

/// Where document and facts differ in how probes are attached, or in what the verifier may walk. What it did walk is not
/// compared: it changes with every change of a program.
fn differences(document: &str, found: &[(&str, &Facts)]) -> Vec<String> {
    let (heads, ways) = table(document, WAYS);
    let (_, limits) = table(document, VERIFIED);
    let mut stale = Vec::new();
    for (name, facts) in found {
        let column = heads.iter().position(|head| head == name);
        for way in &facts.ways {
            let row = ways
                .iter()
                .find(|row| row[0] == way.probe && row.get(1) == Some(&way.alternative));
            let written = row.and_then(|row| row.get(column?)).map_or("nothing", String::as_str);
            if written != way.state.word() {
                stale.push(format!(
                    "{name}: {} by {}: {} was found, {written} is written",
                    way.probe,
                    way.alternative,
                    way.state.word()
                ));
            }
        }
        for (program, limit) in &facts.limits {
            let row = limits.iter().find(|row| row[0] == *program);
            let written = row.and_then(|row| row.get(1)).map_or("none", String::as_str);
            if written != thousands(*limit) {
                stale.push(format!(
                    "{program}: the limit is {}, {written} is written",
                    thousands(*limit)
                ));
            }
        }
    }
    stale.sort();
    stale.dedup();
    stale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(state: State, count: Option<u64>) -> Facts {
        Facts {
            ways: vec![Way {
                probe: "socket".to_owned(),
                alternative: "raw_tp/x".to_owned(),
                state,
            }],
            verified: BTreeMap::from([("send".to_owned(), count)]),
            limits: BTreeMap::from([("send".to_owned(), 500_000)]),
        }
    }

    #[test]
    fn what_was_written_is_found_again() {
        let (old, new) = (facts(State::First, None), facts(State::Absent, Some(123_456)));
        let columns = [("5.10", &old), ("7", &new)];
        let text = format!("# Kernels\n{}{}", ways(&columns), verified(&columns));
        assert_eq!(differences(&text, &columns), [] as [String; 0]);
        assert!(text.contains("| send | 500,000 | not told | 123,456 |"), "{text}");
        assert!(text.contains("| socket | raw_tp/x | first | · |"), "{text}");
        assert_eq!(
            differences(&text, &[("5.10", &new)]),
            ["5.10: socket by raw_tp/x: · was found, first is written"]
        );
        let mut other = new.clone();
        other.limits.insert("send".to_owned(), 5);
        assert_eq!(
            differences(&text, &[("7", &other)]),
            ["send: the limit is 5, 500,000 is written"]
        );
        assert_eq!(differences("", &columns).len(), 3);
    }

    #[test]
    fn numbers_are_told_in_groups() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000_001), "1,000,001");
    }
}
