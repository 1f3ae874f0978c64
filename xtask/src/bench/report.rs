//! The report of a run: JSON with everything, and Markdown tables with ratios first.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::exact::Exact;
use super::machine::Machine;
use super::row::{Row, Style};
use super::stats::Spread;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The command, as it can be typed again.
    pub(crate) command: String,
    /// Everything was small: the figures mean nothing.
    pub(crate) quick: bool,
    /// Rounds of a comparison.
    pub(crate) rounds: usize,
    /// Seconds of a measurement.
    pub(crate) seconds: u64,
    /// Seconds that the measurements took, without the build.
    pub(crate) took_seconds: f64,
    /// Where.
    pub(crate) machine: Machine,
    /// What was found.
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// The page.
    pub(crate) fn markdown(&self) -> String {
        let mut text = self.head();
        let of = |style: Style| -> Vec<&Row> { self.rows.iter().filter(|row| row.style == style).collect() };
        let wanted: Vec<&Row> = self.rows.iter().filter(|row| row.target.is_some()).collect();
        table(
            &mut text,
            "Targets",
            &["Benchmark", "Found", "Target", ""],
            wanted
                .iter()
                .map(|row| vec![named(row), found(row), target(row), met(row)]),
        );
        table(
            &mut text,
            "Throughput kept",
            &[
                "Benchmark",
                "onlooker / nothing",
                "no-op / nothing",
                "onlooker / no-op",
                "Target",
                "",
                "nothing",
                "no-op",
                "onlooker",
            ],
            of(Style::Throughput).iter().map(|row| {
                let mut cells = vec![named(row)];
                cells.extend([row.ratio, row.floor_ratio, row.over_floor_ratio].map(spread));
                cells.extend([target(row), met(row)]);
                cells.extend([row.nothing, row.no_op, row.onlooker].map(|value| with_unit(value, &row.unit)));
                cells
            }),
        );
        table(
            &mut text,
            "Time added",
            &[
                "Benchmark",
                "onlooker / nothing",
                "no-op / nothing",
                "onlooker adds",
                "no-op adds",
                "onlooker adds to no-op",
                "Target",
                "",
                "nothing",
                "no-op",
                "onlooker",
            ],
            of(Style::Time).iter().map(|row| {
                let mut cells = vec![named(row)];
                cells.extend([row.ratio, row.floor_ratio].map(spread));
                let added = [row.added, row.floor_added, row.over_floor_added];
                cells.extend(added.map(|value| with_unit(value, &row.unit)));
                cells.extend([target(row), met(row)]);
                cells.extend([row.nothing, row.no_op, row.onlooker].map(|value| with_unit(value, &row.unit)));
                cells
            }),
        );
        table(
            &mut text,
            "onlooker itself",
            &["Benchmark", "Value", "Target", ""],
            of(Style::Value)
                .iter()
                .map(|row| vec![named(row), with_unit(row.onlooker, &row.unit), target(row), met(row)]),
        );
        self.counts(&mut text);
        self.notes(&mut text);
        text
    }

    fn head(&self) -> String {
        let machine = &self.machine;
        let programs: Vec<String> = machine
            .programs
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        let quick = if self.quick {
            "**A quick run, which only shows that every benchmark runs: its figures mean nothing.**\n\n"
        } else {
            ""
        };
        format!(
            "# Benchmarks\n\nWritten by `{command}` on {day}; commit {commit}. The command can be run from a clean clone.\n\n\
             {quick}\
             Measured on {processors} processors ({processor}{virtually}), {memory} GiB, {system}, Linux {kernel}; load \
             average before the run {load}. {programs}.\n\n\
             Nothing attached, no-op programs on the hooks that onlooker uses, and onlooker take turns, {rounds} {word} of \
             {seconds} s each (some benchmarks fewer), each beginning with another one. A ratio is that of a round to \
             itself; told are the median and, in parentheses, least and most of the rounds. The measurements took {took:.1} \
             minutes. Server and driver share the processors with the agent, which is in a session of its own. wrk drives \
             what is saturated; fixed rates come from an open loop that counts latency from the moment a request was due. \
             CPU of the agent is that of its process: the hooks run in the programs that are watched, and show in their \
             figures.\n",
            command = self.command,
            day = machine.day,
            commit = machine.commit,
            processors = machine.processors,
            processor = machine.processor,
            virtually = if machine.virtual_machine { ", virtual" } else { "" },
            memory = machine.memory_gib,
            system = machine.system,
            kernel = machine.kernel,
            load = machine.load_before,
            programs = programs.join(", "),
            rounds = self.rounds,
            word = if self.rounds == 1 { "round" } else { "rounds" },
            seconds = self.seconds,
            took = self.took_seconds / 60.0,
        )
    }

    fn counts(&self, text: &mut String) {
        let each = self
            .rows
            .iter()
            .flat_map(|row| row.exact.iter().map(move |exact| (row, exact)));
        table(
            text,
            "Exactness",
            &[
                "Benchmark",
                "End",
                "Difference",
                "Lost events",
                "seen = delivered + lost",
                "In truth",
                "Counted by onlooker",
            ],
            each.map(|(row, exact)| {
                let balance = match exact.unaccounted {
                    0 => "yes".to_owned(),
                    missing => format!("{} missing", number(missing as f64)),
                };
                vec![
                    format!("{}, {}", row.benchmark, exact.condition),
                    exact.role.clone(),
                    number(exact.difference as f64),
                    lost(exact),
                    balance,
                    format!("{} ({})", number(exact.truth as f64), exact.by),
                    number(exact.onlooker as f64),
                ]
            }),
        );
    }

    fn notes(&self, text: &mut String) {
        let mut notes: Vec<(&str, Vec<String>)> = Vec::new();
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            match notes.iter_mut().find(|(note, _)| *note == row.note) {
                Some((_, rows)) => rows.push(named(row)),
                None => notes.push((&row.note, vec![named(row)])),
            }
        }
        if notes.is_empty() {
            return;
        }
        text.push_str("\n## Notes\n\n");
        for (note, rows) in notes {
            let _ = writeln!(text, "- {}: {note}", rows.join(", "));
        }
    }
}

fn table(text: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let lines: Vec<String> = rows.map(|cells| format!("| {} |\n", cells.join(" | "))).collect();
    if lines.is_empty() {
        return;
    }
    let rule = "---|".repeat(heads.len());
    let _ = write!(
        text,
        "\n## {title}\n\n| {} |\n|{rule}\n{}",
        heads.join(" | "),
        lines.concat()
    );
}

fn named(row: &Row) -> String {
    format!("`{}` {}", row.benchmark, row.figure)
}

fn target(row: &Row) -> String {
    row.target.clone().unwrap_or_default()
}

fn met(row: &Row) -> String {
    match (&row.target, row.met) {
        (None, _) => "",
        (_, Some(true)) => "met",
        (_, Some(false)) => "not met",
        (_, None) => "not measured",
    }
    .to_owned()
}

/// What the target of a row is about.
fn found(row: &Row) -> String {
    match row.style {
        Style::Throughput => spread(row.ratio),
        Style::Time => {
            let unit = &row.unit;
            format!(
                "{} of nothing; adds {} to nothing, {} to no-op",
                spread(row.ratio),
                with_unit(row.added, unit),
                with_unit(row.over_floor_added, unit)
            )
        }
        Style::Value | Style::Skipped => with_unit(row.onlooker, &row.unit),
    }
}

/// Events lost, with their reasons.
fn lost(exact: &Exact) -> String {
    let reasons: Vec<String> = exact
        .lost
        .iter()
        .map(|(reason, lost)| format!("{} {reason}", number(*lost as f64)))
        .collect();
    match reasons.is_empty() {
        true => "0".to_owned(),
        false => reasons.join(", "),
    }
}

/// A ratio with its spread.
fn spread(value: Option<Spread>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    match value.rounds {
        1 => format!("{:.3}", value.median),
        _ => format!("{:.3} ({:.3}..{:.3})", value.median, value.least, value.most),
    }
}

/// A value with its spread and unit.
fn with_unit(value: Option<Spread>, unit: &str) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let gap = if unit.is_empty() { "" } else { " " };
    let median = number(value.median);
    if value.rounds == 1 || value.least == value.most {
        return format!("{median}{gap}{unit}");
    }
    format!("{median}{gap}{unit} ({}..{})", number(value.least), number(value.most))
}

/// Three digits at least, with commas between thousands.
fn number(value: f64) -> String {
    let size = value.abs();
    if value == value.trunc() && size < 1000.0 {
        return format!("{value:.0}");
    }
    if size < 1000.0 {
        let places = match size {
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            _ => 3,
        };
        return format!("{value:.places$}");
    }
    let digits = format!("{size:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::{Sides, Target};

    fn report() -> Report {
        let sides = |unit: f64| Sides {
            nothing: vec![100.0 * unit, 200.0 * unit],
            no_op: vec![99.0 * unit, 200.0 * unit],
            onlooker: vec![70.0 * unit, 150.0 * unit],
        };
        let target = Target {
            text: ">= 0.85",
            holds: |row| row.ratio.map(|ratio| ratio.median >= 0.85),
        };
        let mut nginx = Row::compared("nginx", "requests a second", "1/s", Style::Throughput, &sides(1000.0));
        nginx = nginx.wanting(Some(target)).noting("one worker");
        nginx.exact = vec![Exact {
            condition: "socket hooks".into(),
            role: "server".into(),
            by: "nginx's own count".into(),
            truth: 300_000,
            onlooker: 299_998,
            difference: 2,
            lost: [("payload ring_full".to_owned(), 5)].into(),
            unaccounted: 0,
        }];
        Report {
            command: "cargo xtask bench nginx".into(),
            quick: false,
            rounds: 2,
            seconds: 2,
            took_seconds: 90.0,
            machine: Machine {
                processor: "P".into(),
                processors: 2,
                virtual_machine: true,
                memory_gib: 24.0,
                system: "Debian".into(),
                kernel: "6.18".into(),
                load_before: "0.10".into(),
                programs: vec![("nginx".into(), "1.22.1".into())],
                commit: "abc".into(),
                day: "2026-11-21".into(),
            },
            rows: vec![
                nginx,
                Row::compared("rate-1k", "p50", "us", Style::Time, &sides(1.0)),
                Row::value("start", "size", "MB", &[7.5]),
                Row::skipped("node", "node is not installed"),
            ],
        }
    }

    #[test]
    fn the_page_has_ratios_first_and_every_row() {
        let page = report().markdown();
        for expect in [
            "Written by `cargo xtask bench nginx` on 2026-11-21; commit abc.",
            "2 processors (P, virtual), 24 GiB, Debian, Linux 6.18",
            "| `nginx` requests a second | 0.725 (0.700..0.750) | >= 0.85 | not met |",
            "| `nginx` requests a second | 0.725 (0.700..0.750) | 0.995 (0.990..1.000) | 0.729 (0.707..0.750) | >= 0.85 \
             | not met | 150,000 1/s (100,000..200,000) |",
            "| `rate-1k` p50 | 0.725 (0.700..0.750) | 0.995 (0.990..1.000) | -40 us (-50..-30) | -0.500 us (-1..0) |",
            "| `start` size | 7.50 MB |  |  |",
            "| nginx, socket hooks | server | 2 | 5 payload ring_full | yes | 300,000 (nginx's own count) | 299,998 |",
            "- `nginx` requests a second: one worker\n- `node` skipped: node is not installed\n",
        ] {
            assert!(page.contains(expect), "{expect}\nis not in\n{page}");
        }
        assert!(!page.contains("quick run"));
    }

    #[test]
    fn json_keeps_everything() {
        let report = report();
        let text = serde_json::to_string(&report).unwrap();
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(back.markdown(), report.markdown());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["rows"][0]["ratio"]["median"], 0.725);
        assert_eq!(value["rows"][0]["met"], false);
        assert_eq!(value["rows"][3]["style"], "skipped");
    }

    #[test]
    fn numbers_can_be_read() {
        let one = Spread::of(&[0.85]);
        assert_eq!(
            (spread(one), with_unit(one, "us")),
            ("0.850".to_owned(), "0.850 us".to_owned())
        );
        for (value, expect) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (1.5, "1.50"),
            (12.34, "12.3"),
            (-3.0, "-3"),
            (999.4, "999"),
            (1234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), expect);
        }
    }
}
