//! `cargo xtask deploy`: checks what lies under `deploy/`, by the tools of those who read it and against what the agent serves.
//!
//! Every query may name only families and labels that the documents tell of; every alert has a runbook and is tested firing and not
//! firing; what is generated (dashboards, manifests) is what its source gives. `--write` writes it anew.

mod chart;
mod collectors;
mod dashboards;
mod known;
mod panel;
mod query;
mod rules;
mod units;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::programs;
use crate::shell::{Run, root, say, target};
use crate::stage::Ran;

/// Options of the checks.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Write dashboards and manifests anew from their sources
    #[arg(long)]
    write: bool,
    /// Leave out the chart, its manifests and the Collector's configurations: helm and the Collector that checks them take minutes to build
    #[arg(long)]
    no_chart: bool,
    /// Add the families of the host's metrics and their labels that a saved scrape holds to deploy/families.txt. Repeatable.
    #[arg(long, value_name = "FILE")]
    learn: Vec<PathBuf>,
}

impl Options {
    /// All but the chart and what else takes minutes.
    pub(crate) fn without_chart() -> Options {
        Options {
            no_chart: true,
            ..Options::default()
        }
    }
}

/// What is wrong, a sentence each, and which tools were not there.
#[derive(Default)]
pub(crate) struct Findings {
    wrong: Vec<String>,
    missing: Vec<String>,
}

impl Findings {
    /// Something is wrong in a file below the root.
    fn add(&mut self, path: &str, what: impl AsRef<str>) {
        self.wrong.push(format!("{path}: {}", what.as_ref()));
    }

    /// Notes what a tool found.
    fn tool(&mut self, path: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.add(path, format!("{error:#}"));
        }
    }

    /// A tool of the table of programs, or a note that it is missing.
    fn find(&mut self, command: &str) -> Option<PathBuf> {
        let found = programs::find(command);
        if found.is_none() {
            self.missing.push(command.to_owned());
        }
        found
    }
}

/// Checks everything; an error after all findings were printed.
pub(crate) fn run(options: &Options) -> Result<Ran> {
    if !options.learn.is_empty() {
        known::learn(&options.learn)?;
    }
    let mut findings = Findings::default();
    let mut known = known::Known::read()?;
    well_formed(&mut findings)?;
    let promtool = findings.find("promtool");
    rules::check(&mut known, promtool.as_deref(), &mut findings)?;
    dashboards::check(&known, promtool.as_deref(), options.write, &mut findings)?;
    alertmanager(&mut findings)?;
    units::check(&mut findings)?;
    if !options.no_chart {
        programs::build("helm")?;
        chart::check(options.write, &mut findings)?;
        programs::build("otelcol-backends")?;
        collectors::check(&mut findings)?;
    }
    for wrong in &findings.wrong {
        println!("{wrong}");
    }
    if !findings.wrong.is_empty() {
        bail!("deploy: {} found", findings.wrong.len());
    }
    Ok(match findings.missing.is_empty() {
        true => Ran::Done,
        false => Ran::Skipped(format!(
            "not here: {}; all else was checked",
            findings.missing.join(", ")
        )),
    })
}

/// Files below a folder of the workspace with one of these endings, in order, as paths below the root.
fn files(folder: &str, endings: &[&str]) -> Result<Vec<String>> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            match path.is_dir() {
                true => walk(&path, found)?,
                false => found.push(path),
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found)?;
    let mut names: Vec<String> = found
        .iter()
        .filter_map(|path| Some(path.strip_prefix(root()).ok()?.to_str()?.to_owned()))
        .filter(|name| endings.iter().any(|ending| name.ends_with(ending)))
        .collect();
    names.sort();
    Ok(names)
}

fn text(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}

/// The only document of a YAML file.
fn document(path: &str) -> Result<Value> {
    let mut all = yaml::documents(&text(path)?).with_context(|| path.to_owned())?;
    if all.len() != 1 {
        bail!("{path} holds {} documents, not one", all.len());
    }
    Ok(all.remove(0))
}

/// Every YAML and JSON file can be read. Templates of the chart are none before they are rendered.
fn well_formed(findings: &mut Findings) -> Result<()> {
    for path in files("deploy", &[".yaml", ".yml", ".json"])? {
        if path.contains("/templates/") {
            continue;
        }
        let text = text(&path)?;
        let problem = match path.ends_with(".json") {
            true => serde_json::from_str::<Value>(&text)
                .err()
                .map(|error| error.to_string()),
            false => yaml::documents(&text).err().map(|error| format!("{error:#}")),
        };
        if let Some(problem) = problem {
            findings.add(&path, problem);
        }
    }
    Ok(())
}

/// Alertmanager's own check of its configuration.
fn alertmanager(findings: &mut Findings) -> Result<()> {
    let Some(amtool) = findings.find("amtool") else {
        return Ok(());
    };
    let path = "deploy/alertmanager/alertmanager.yml";
    findings.tool(path, Run::new(amtool).args(["check-config", path]).run());
    Ok(())
}

/// Where checks leave what they make.
fn scratch(name: &str) -> Result<PathBuf> {
    let folder = target().join("deploy");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join(name))
}

/// Compares what was made with what is there, or writes it.
fn same(path: &str, made: &str, write: bool, findings: &mut Findings) -> Result<()> {
    let there = fs::read_to_string(root().join(path)).unwrap_or_default();
    if there == made {
        return Ok(());
    }
    if write {
        say(format!("written: {path}"));
        return fs::write(root().join(path), made).with_context(|| format!("cannot write {path}"));
    }
    findings.add(path, "is not what its source gives: `cargo xtask deploy --write`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What needs no tool but this one: names, tests, runbooks, generated dashboards.
    #[test]
    fn rules_and_dashboards_name_what_there_is_and_nothing_is_stale() {
        let mut findings = Findings::default();
        let mut known = known::Known::read().unwrap();
        well_formed(&mut findings).unwrap();
        rules::check(&mut known, None, &mut findings).unwrap();
        dashboards::check(&known, None, false, &mut findings).unwrap();
        assert_eq!(findings.wrong, [] as [String; 0]);
    }
}
