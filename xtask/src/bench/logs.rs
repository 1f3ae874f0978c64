//! Lines of log files: what it costs to follow a file, parse its lines and export them by OTLP.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::bed::Bed;
use super::onlooker::Agent;
use super::process::Helper;
use super::row::{Row, Target};
use crate::shell::target;

/// See the module.
pub(crate) struct Lines;

/// Bytes of a line, its end included.
const LINE: usize = 200;
/// Lines that are there all at once.
const MANY: usize = 400_000;
/// Lines a second of the steady load.
const RATE: usize = 10_000;
/// How often some of them are written.
const TICK: Duration = Duration::from_millis(10);
/// Longest time until all lines are exported.
const PATIENCE: Duration = Duration::from_secs(60);

const FAST: Target = Target {
    text: ">= 100,000 1/s",
    holds: |row| Some(row.onlooker?.median >= 100_000.0),
};
const TENTH: Target = Target {
    text: "< 10 %",
    holds: |row| Some(row.onlooker?.median < 10.0),
};
const SMALL: Target = Target {
    text: "< 40 MB",
    holds: |row| Some(row.onlooker?.median < 40.0),
};

impl Bench for Lines {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn about(&self) -> &'static str {
        "lines of log files: JSON of 200 bytes, read, parsed and exported"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let (mut per_core, mut per_second, mut share, mut resident) = (vec![], vec![], vec![], vec![]);
        for round in 0..bed.rounds.min(3) {
            let log = Log::new(bed, round)?;
            let many = bed.scaled(MANY, 10_000);
            // All at once: as fast as it goes.
            let (cpu, started) = (log.agent.cpu()?, Instant::now());
            log.write(0, many)?;
            log.exported(many)?;
            let took = log.agent.cpu()?.since(&cpu);
            per_core.push(many as f64 / took);
            per_second.push(many as f64 / started.elapsed().as_secs_f64());
            // Some at a time.
            let seconds = bed.scaled(5, 1);
            let (cpu, started) = (log.agent.cpu()?, Instant::now());
            let each = RATE * TICK.as_millis() as usize / 1000;
            for n in 0..seconds * RATE / each {
                log.write(many + n * each, each)?;
                std::thread::sleep((TICK * (n as u32 + 1)).saturating_sub(started.elapsed())); // the rate
            }
            log.exported(many + seconds * RATE)?;
            share.push(log.agent.cpu()?.since(&cpu) / started.elapsed().as_secs_f64() * 100.0);
            resident.push(log.agent.resident()? / 1e6);
        }
        let rate = |what: &str| format!("{what}, {RATE} lines a second");
        let rows = vec![
            Row::value(self.name(), "lines a second and core, all at once", "1/s", &per_core).wanting(Some(FAST)),
            Row::value(self.name(), "lines a second, all at once", "1/s", &per_second),
            Row::value(self.name(), rate("CPU of a core"), "%", &share).wanting(Some(TENTH)),
            Row::value(self.name(), rate("resident memory"), "MB", &resident).wanting(Some(SMALL)),
        ];
        let note =
            "JSON lines of 200 bytes in one file, by OTLP over HTTP with gzip, queue on disk; every probe attached";
        Ok(rows.into_iter().map(|row| row.noting(note)).collect())
    }
}

/// A file, an agent that reads it, and who takes what it exports.
struct Log {
    agent: Agent,
    _sink: Helper,
    path: PathBuf,
}

impl Log {
    fn new(bed: &Bed, round: usize) -> Result<Log> {
        let folder = target().join(format!("bench/logs-{round}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let path = folder.join("app.log");
        File::create(&path)?;
        let sink = bed.helper(&["sink"])?;
        let endpoint = format!("--otlp.logs.endpoint=http://{}/v1/logs", sink.text("address"));
        let (include, state, queue) = (
            format!("--logs.include={}", path.display()),
            format!("--logs.state-path={}", folder.join("logs.json").display()),
            format!("--otlp.queue.path={}", folder.join("queue").display()),
        );
        let args = [&*endpoint, &*include, "--logs.start-at=beginning", &*state, &*queue];
        let agent = Agent::start(bed, bed.own_hooks(), &args)?;
        agent.acquainted()?;
        Ok(Log {
            agent,
            _sink: sink,
            path,
        })
    }

    /// Adds lines with these numbers.
    fn write(&self, first: usize, count: usize) -> Result<()> {
        let mut text = String::with_capacity(count * LINE);
        for number in first..first + count {
            text.push_str(&line(number));
        }
        let mut file = File::options().append(true).open(&self.path)?;
        file.write_all(text.as_bytes()).context("the log of the benchmark")
    }

    /// Waits until so many lines have left.
    fn exported(&self, count: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let scrape = self.agent.scrape()?;
            let of = |what: &str, kind: &str| scrape.sum(&format!("onlooker_events_{what}_total"), &[kind]);
            let lost = of("lost", "kind=\"log_line\"") + of("lost", "kind=\"log_otlp\"");
            if lost > 0.0 {
                bail!("{lost} lines were lost");
            }
            if of("delivered", "kind=\"log_otlp\"") >= count as f64 {
                return Ok(());
            }
            if Instant::now() > end {
                bail!(
                    "{} of {count} lines were exported",
                    of("delivered", "kind=\"log_otlp\"")
                );
            }
            std::thread::sleep(Duration::from_millis(200)); // until the next look
        }
    }
}

/// As a structured logger writes it.
fn line(number: usize) -> String {
    let mut line = format!(
        "{{\"time\":\"2026-01-02T15:04:05.{:06}Z\",\"level\":\"info\",\"msg\":\"order {number:08} accepted\",\"service\":\"checkout\",\
         \"customer\":\"c-{:06}\",\"amount\":12.5,\"path\":\"/api/orders\",\"status\":201,\"note\":\"",
        number % 1_000_000,
        number * 7919 % 1_000_000,
    );
    while line.len() < LINE - 3 {
        line.push('x');
    }
    line.push_str("\"}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_of_one_length() {
        for number in [0, 7, 399_999, 12_345_678] {
            let line = line(number);
            assert_eq!(line.len(), LINE, "{line}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["msg"], format!("order {number:08} accepted"));
        }
    }
}
