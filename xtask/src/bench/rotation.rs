//! Files are rotated again and again while the agent is started anew again and again: every line arrives.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::bed::Bed;
use super::numbered::{Expect, Place, exact, lines, sum_of};
use super::row::{Row, Target};

const FILES: usize = 50;
/// Lines a second, of all files together.
const LINES: usize = 5_000;
/// How often each file is rotated, milliseconds.
const ROTATE: usize = 200;
/// Rotated files that are kept of each: 12 s, more than any start takes. A file that is removed while no agent runs is nobody's loss but
/// its writer's.
const KEEP: usize = 60;
/// How long each agent lives.
const LIFE: Duration = Duration::from_secs(3);
/// After so long without anything new the rest will not come.
const QUIET: Duration = Duration::from_secs(20);

/// See the module.
pub(crate) struct Rotation;

impl Bench for Rotation {
    fn name(&self) -> &'static str {
        "rotation"
    }

    fn about(&self) -> &'static str {
        "50 files, rotated every 200 ms by renaming and copytruncate, and an agent that is started anew: what arrives"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let place = Place::new("rotation")?;
        let tally = place.receiver(bed)?;
        let mut agent = place.agent(bed, &[])?;
        let [files, rate, rotate, keep] = [FILES, LINES, ROTATE, KEEP].map(|number| number.to_string());
        let folder = place.logs().display().to_string();
        let writer = bed.helper(&["lines", &folder, &files, &rate, &rotate, &keep])?;
        let began = Instant::now();
        let lives = bed.scaled(10, 2);
        for life in 1..lives {
            std::thread::sleep((LIFE * life as u32).saturating_sub(began.elapsed())); // its life
            match life % 2 {
                0 => agent.terminate()?,
                _ => drop(agent), // by SIGKILL
            }
            agent = place.agent(bed, &[])?;
        }
        std::thread::sleep((LIFE * lives as u32).saturating_sub(began.elapsed())); // the last one's
        let said = writer.finish()?;
        let (expect, rotations) = (lines(&said)?, said["rotations"].as_u64().context("rotations")?);
        let look = tally.wait(&expect, QUIET)?;
        ensure!(
            look["spoilt"] == 0,
            "the receiver could not read {} requests",
            look["spoilt"]
        );
        let of = |what: &str| sum_of(&look, "line", what) as f64;
        let missing: u64 = expect.iter().map(|expect| expect.missing(&look)).sum();
        let zero = Target {
            text: "0",
            holds: |row| row.onlooker.map(|value| value.median == 0.0),
        };
        let mut first = Row::value(self.name(), "lines that did not arrive", "", &[missing as f64]).wanting(Some(zero));
        let condition = format!("{rotations} rotations, {} starts", lives - 1);
        let halves = ["renamed", "copied and truncated"];
        for (remainder, role) in halves.iter().enumerate() {
            let its: Vec<Expect> = expect.iter().skip(remainder).step_by(2).cloned().collect();
            first.exact.push(exact(&condition, role, "the writer", &its, &look));
        }
        first.note = format!("{condition}, half of them by SIGKILL, half by SIGTERM");
        Ok(vec![
            first,
            Row::value(
                self.name(),
                "lines that came again",
                "%",
                &[of("again") / of("distinct") * 100.0],
            ),
            Row::value(self.name(), "resident memory", "MB", &[agent.resident()? / 1e6]),
        ])
    }
}
