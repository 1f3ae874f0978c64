//! The report for people: at most 100 columns, where words allow.

use super::services::{Service, Sight};
use super::{Report, Verdict};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

const WIDTH: usize = 100;
/// Column in which a finding's text begins.
const TEXT: usize = 34;
/// Places of a service that are named.
const PLACES: usize = 8;

impl Report {
    /// The report as lines. `colour`: verdicts in colours of the terminal.
    pub fn text(&self, colour: bool) -> String {
        let mut text = format!("onlooker {} doctor, Linux {}\n", self.version, self.kernel);
        let mut family = "";
        for line in &self.checks {
            if line.family != family {
                family = line.family;
                let _ = writeln!(text, "\n{}", family.to_uppercase());
            }
            let finding = &line.finding;
            let verdict = paint(finding.verdict, colour);
            let mut name = format!("  {verdict}  {:<26}", finding.name);
            if finding.name.width() > 25 {
                let _ = writeln!(text, "{}", name.trim_end());
                name = " ".repeat(TEXT);
            }
            wrap(&mut text, &name, &finding.found, TEXT);
            for (what, value) in [("loses: ", &finding.loses), ("fix: ", &finding.fix)] {
                if let Some(value) = value {
                    let start = format!("{:TEXT$}{what}", "");
                    wrap(&mut text, &start, value, TEXT + 2);
                }
            }
        }
        self.services(&mut text);
        let counts = [Verdict::Fail, Verdict::Warn, Verdict::Pass].map(|verdict| self.count(verdict));
        let [fail, warn, pass] = counts;
        let verdict = paint(self.verdict, colour);
        let _ = writeln!(text, "\n{verdict}: {fail} failed, {warn} warned, {pass} passed");
        text
    }

    fn services(&self, text: &mut String) {
        let _ = writeln!(text, "\nSERVICES that listen, and what can be seen of them");
        let found = &self.services;
        if found.services.is_empty() {
            let _ = writeln!(text, "  none that this user may see");
        }
        for service in &found.services {
            let start = format!("  {:<24}", service.name);
            wrap(text, &start, &place(service), 26);
            for sight in &service.sights {
                wrap(text, &" ".repeat(26), &words(sight), 28);
            }
        }
        if found.hidden_processes > 0 {
            let hidden = format!(
                "Processes that this user may not look into: {}; what of them listens is not named. How to see it: \
                 /proc/PID/environ above.",
                found.hidden_processes
            );
            wrap(text, "  ", &hidden, 2);
        }
        if !found.unnamed_sockets.is_empty() {
            let sockets = format!("Held by processes that are not known: {}", list(&found.unnamed_sockets));
            wrap(text, "  ", &sockets, 2);
        }
    }
}

fn place(service: &Service) -> String {
    let pids: Vec<String> = service.pids.iter().map(u32::to_string).collect();
    let word = if pids.len() == 1 { "pid" } else { "pids" };
    format!("{} ({word} {})", list(&service.listens), list(&pids))
}

fn list(all: &[String]) -> String {
    match all.len().checked_sub(PLACES) {
        Some(more) if more > 0 => format!("{} and {more} more", all[..PLACES].join(", ")),
        _ => all.join(", "),
    }
}

fn words(sight: &Sight) -> String {
    match &sight.path {
        Some(path) => format!("{} at {path}: {}", sight.what, sight.seen),
        None => format!("{}: {}", sight.what, sight.seen),
    }
}

fn paint(verdict: Verdict, colour: bool) -> String {
    let (word, code) = match verdict {
        Verdict::Pass => ("PASS", 32),
        Verdict::Warn => ("WARN", 33),
        Verdict::Fail => ("FAIL", 31),
    };
    match colour {
        true => format!("\x1b[{code}m{word}\x1b[0m"),
        false => word.to_owned(),
    }
}

/// Appends `start` and the words behind it, broken at spaces; further lines begin at column `indent`. A word that is longer
/// than a line (a path) is left whole, so that it can be copied.
fn wrap(to: &mut String, start: &str, words: &str, indent: usize) {
    // Escape sequences have no width; they stand in `start` alone.
    let mut column = strip(start).width();
    to.push_str(start);
    let mut first = true;
    for word in words.split_whitespace() {
        if !first && column + 1 + word.width() > WIDTH {
            to.push('\n');
            to.push_str(&" ".repeat(indent));
            column = indent;
        } else if !first {
            to.push(' ');
            column += 1;
        }
        to.extend(word.chars().filter(|c| !c.is_control()));
        column += word.width();
        first = false;
    }
    to.push('\n');
}

fn strip(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    plain.extend(parts.map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)));
    plain
}
