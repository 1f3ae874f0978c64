//! The programs in the kernel: nanoseconds a run, and instructions that the verifier walked.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Bench;
use super::bed::{Bed, Condition, Hooks};
use super::metrics::{Scrape, label};
use super::row::Row;
use super::saturated::wrk;
use super::server::Server;

/// See the module.
pub(crate) struct Programs;

/// What onlooker tells of one program.
#[derive(Clone, Copy, Default)]
struct Program {
    runs: f64,
    seconds: f64,
    instructions: f64,
}

impl Bench for Programs {
    fn name(&self) -> &'static str {
        "programs"
    }

    fn about(&self) -> &'static str {
        "eBPF programs at saturation: time a run, instructions verified"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let server = Server::start(bed, "nginx")?;
        let mut rows = Vec::new();
        for hooks in &bed.hooks {
            rows.extend(self.of(bed, &server, *hooks)?);
        }
        Ok(rows)
    }
}

impl Programs {
    fn of(&self, bed: &Bed, server: &Server, hooks: Hooks) -> Result<Vec<Row>> {
        // Counting costs some tens of nanoseconds a run, part of which is in the figure.
        let counting = bed.helper(&["stats"])?;
        let mut nanos: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut runs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut instructions: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut all = Vec::new();
        let rounds = bed.rounds.min(3);
        bed.compare(&[Condition::Onlooker(hooks, &[])], rounds, |_, attached| {
            let Some(agent) = attached.agent() else {
                return Ok(());
            };
            let before = programs(&agent.scrape()?);
            let (requests, _) = wrk(bed, &format!("http://{}/", server.address), 64, bed.seconds, false)?;
            let after = programs(&agent.scrape()?);
            let mut seconds = 0.0;
            for (name, after) in after {
                let before = before.get(&name).copied().unwrap_or_default();
                let more = after.runs - before.runs;
                seconds += after.seconds - before.seconds;
                instructions.entry(name.clone()).or_default().push(after.instructions);
                runs.entry(name.clone()).or_default().push(more / requests as f64);
                nanos
                    .entry(name)
                    .or_default()
                    .push((after.seconds - before.seconds) * 1e9 / more);
            }
            all.push(seconds * 1e9 / requests as f64);
            Ok(())
        })?;
        drop(counting);
        let figure = |name: &str, what: &str| format!("{}: {name}, {what}", hooks.told());
        let mut rows = vec![Row::value(self.name(), figure("all programs", "a request"), "ns", &all)];
        for (name, verified) in &instructions {
            let row = Row::value(self.name(), figure(name, "instructions verified"), "", verified);
            rows.push(row);
            // Without a run there is no time of one.
            let row = Row::value(self.name(), figure(name, "a run"), "ns", &nanos[name]);
            rows.extend(row.onlooker.is_some().then_some(row));
            let row = Row::value(self.name(), figure(name, "runs a request"), "", &runs[name]);
            rows.push(row);
        }
        Ok(rows)
    }
}

fn programs(scrape: &Scrape) -> BTreeMap<String, Program> {
    let mut found: BTreeMap<String, Program> = BTreeMap::new();
    let mut each = |name: &str, put: fn(&mut Program, f64)| {
        for (labels, value) in scrape.samples(name) {
            put(found.entry(label(labels, "program").to_owned()).or_default(), value);
        }
    };
    each("onlooker_program_runs_total", |program, value| program.runs = value);
    each("onlooker_program_run_seconds_total", |program, value| {
        program.seconds = value
    });
    each("onlooker_program_verified_instructions", |program, value| {
        program.instructions = value;
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_the_metrics() {
        let scrape = Scrape::new(
            "onlooker_program_runs_total{program=\"a\"} 10\nonlooker_program_run_seconds_total{program=\"a\"} 2e-06\n\
             onlooker_program_verified_instructions{program=\"a\"} 300\nonlooker_program_runs_total{program=\"b\"} 0\n"
                .to_owned(),
        );
        let programs = programs(&scrape);
        assert_eq!(programs.len(), 2);
        let a = programs["a"];
        assert_eq!((a.runs, a.seconds, a.instructions), (10.0, 2e-6, 300.0));
    }
}
