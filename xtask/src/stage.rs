//! Stages of `cargo xtask test`: each is run and timed, its outcome remembered, all are told at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::shell::say;

/// How a stage that did not fail ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It ran and found nothing wrong.
    Done,
    /// These tests failed at first and passed when they were run once more.
    OnceMore(Vec<String>),
    /// It could not run, for this reason.
    Skipped(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    PassedOnceMore(Vec<String>),
    Failed(String),
    Skipped(String),
}

/// The stages so far.
#[derive(Default)]
pub(crate) struct Report {
    stages: Vec<(&'static str, Outcome, Duration)>,
    /// Under continuous integration everything has to run: a skip is a failure.
    strict: bool,
    /// Names of stages that were not asked for.
    left_out: Vec<String>,
    /// `test result:` lines that cargo's test programs printed.
    test_results: usize,
    /// Tests that failed, by those lines.
    failed_tests: Vec<String>,
}

impl Report {
    /// An empty report without those stages; strict when `CI` is set to something else than nothing, `0` or `false`.
    pub(crate) fn new(left_out: &[String]) -> Report {
        Report {
            strict: is_ci(),
            left_out: left_out.to_vec(),
            ..Report::default()
        }
    }

    /// Whether skips are failures.
    pub(crate) fn strict(&self) -> bool {
        self.strict
    }

    /// Runs one stage.
    pub(crate) fn stage(&mut self, name: &'static str, run: impl FnOnce(&mut Report) -> Result<Ran>) {
        println!();
        if self.left_out.iter().any(|other| other == name) {
            say(format!("== {name}: left out"));
            return;
        }
        say(format!("== {name}"));
        let start = Instant::now();
        let outcome = match run(self) {
            Ok(Ran::Done) => Outcome::Passed,
            Ok(Ran::OnceMore(tests)) => Outcome::PassedOnceMore(tests),
            Ok(Ran::Skipped(reason)) if self.strict => Outcome::Failed(format!("skipped under CI: {reason}")),
            Ok(Ran::Skipped(reason)) => Outcome::Skipped(reason),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        if let Outcome::Failed(reason) | Outcome::Skipped(reason) = &outcome {
            say(format!("{name}: {reason}"));
        }
        self.stages.push((name, outcome, start.elapsed()));
    }

    /// Notes a line of a test program's output.
    pub(crate) fn note(&mut self, line: &str) {
        self.test_results += usize::from(line.starts_with("test result:"));
        if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
            && verdict.starts_with("FAILED")
        {
            self.failed_tests.push(name.to_owned());
        }
    }

    /// Tests that failed since this was asked the last time.
    pub(crate) fn take_failed_tests(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failed_tests)
    }

    /// Prints all outcomes; an error when a stage failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{}", self.summary());
        let failed: Vec<&str> = self
            .stages
            .iter()
            .filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
            .map(|(name, ..)| *name)
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, outcome, took) in &self.stages {
            let told = match outcome {
                Outcome::Passed => {
                    passed += 1;
                    "passed".to_owned()
                }
                Outcome::PassedOnceMore(tests) => {
                    passed += 1;
                    format!("passed; FAILED at first, passed once more: {}", tests.join(", "))
                }
                Outcome::Failed(reason) => {
                    failed += 1;
                    format!("FAILED: {reason}")
                }
                Outcome::Skipped(reason) => {
                    skipped += 1;
                    format!("skipped: {reason}")
                }
            };
            text += &format!("{name:<22} {:>7.1} s  {told}\n", took.as_secs_f64());
        }
        // Where cargo has counted tests, a second line of that form would count the same work twice.
        let prefix = if self.test_results == 0 { "" } else { "stages: " };
        text + &format!("{prefix}{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Whether `CI` is set to something else than nothing, `0` or `false`.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(strict: bool) -> Report {
        let mut report = Report {
            strict,
            ..Report::default()
        };
        report.stage("good", |_| Ok(Ran::Done));
        report.stage("absent", |_| Ok(Ran::Skipped("no such program".to_owned())));
        report
    }

    #[test]
    fn a_skip_fails_under_ci_alone() {
        assert!(report(false).finish().is_ok());
        assert_eq!(report(true).finish().unwrap_err().to_string(), "failed: absent");
    }

    #[test]
    fn a_stage_that_is_left_out_does_not_run() {
        let mut report = Report {
            left_out: vec!["bad".to_owned()],
            ..Report::default()
        };
        report.stage("bad", |_| bail!("it broke"));
        report.stage("good", |_| Ok(Ran::Done));
        assert!(report.summary().contains("1 passed, 0 failed, 0 skipped"));
        assert!(report.finish().is_ok());
    }

    #[test]
    fn one_failure_fails_all_and_is_named() {
        let mut report = report(false);
        report.stage("bad", |_| bail!("it broke"));
        report.stage("after", |_| Ok(Ran::Done));
        let summary = report.summary();
        assert!(summary.ends_with("\n2 passed, 1 failed, 1 skipped"), "{summary}");
        assert!(
            summary.contains("FAILED: it broke") && summary.contains("skipped: no such program"),
            "{summary}"
        );
        assert_eq!(report.finish().unwrap_err().to_string(), "failed: bad");
    }

    #[test]
    fn what_passed_only_once_more_is_named() {
        let mut report = Report::default();
        report.stage("tests", |_| Ok(Ran::OnceMore(vec!["a::b".to_owned()])));
        let summary = report.summary();
        assert!(
            summary.contains("passed; FAILED at first, passed once more: a::b"),
            "{summary}"
        );
        assert!(report.finish().is_ok());
    }

    #[test]
    fn tests_that_failed_are_noted() {
        let mut report = Report::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed",
        ] {
            report.note(line);
        }
        assert_eq!(report.take_failed_tests(), ["a::c"]);
        assert!(report.take_failed_tests().is_empty());
    }

    #[test]
    fn stages_are_not_counted_like_tests_beside_cargos_own_lines() {
        let mut report = report(false);
        report.note("test result: ok. 3 passed; 0 failed");
        report.note("test a::b ... ok");
        assert_eq!(report.test_results, 1);
        assert!(report.summary().ends_with("\nstages: 1 passed, 0 failed, 1 skipped"));
    }
}
