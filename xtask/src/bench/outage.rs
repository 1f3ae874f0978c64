//! The receiver is away, the agent is killed twice meanwhile, the receiver comes back: what of all spans and lines arrives, how often,
//! and how late those of then are while the others catch up.
//!
//! Spans are of real exchanges, one request a number, seen at both ends. Nobody sees exchanges while no agent runs. So at the first kill
//! there is no load and everything has been handed over: what was, must arrive. The second kill comes under load: what was in memory
//! then is counted by itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::bed::Bed;
use super::metrics::Scrape;
use super::numbered::{Expect, Place, exact, lines, nanos, sum_of, wait_for};
use super::onlooker::Agent;
use super::process::Helper;
use super::row::{Row, Target};
use super::server::Server;
use crate::shell::say;

/// Requests a second; each is a span of either end.
const REQUESTS: u64 = 1_000;
/// Lines a second, of all files together.
const LINES: u64 = 5_000;
const FILES: usize = 5;
const CONNECTIONS: usize = 16;
/// After so long without anything new the rest will not come.
const QUIET: Duration = Duration::from_secs(60);
/// So that nothing is beyond it.
const CAP: &str = "--otlp.queue.max-bytes=8GiB";

macro_rules! target {
    ($text:literal, $op:tt, $limit:literal) => {
        Some(Target {
            text: $text,
            holds: |row| row.onlooker.map(|value| value.median $op $limit),
        })
    };
}

/// See the module.
pub(crate) struct Outage;

impl Bench for Outage {
    fn name(&self) -> &'static str {
        "outage"
    }

    fn about(&self) -> &'static str {
        "the receiver is away (--minutes), the agent is killed twice: what arrives of spans and lines"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let down = if bed.quick { Duration::from_secs(3) } else { bed.outage };
        let outage = Run::of(bed, down)?;
        Ok(outage.rows(self.name()))
    }
}

/// Numbers of one driver, and when they were due.
struct Segment {
    from: u64,
    to: u64,
    started: u64,
}

impl Segment {
    /// Ends a driver.
    fn of(driver: Helper, from: u64) -> Result<Segment> {
        let said = driver.finish()?;
        Ok(Segment {
            from,
            to: from + said["requests"].as_u64().context("requests")?,
            started: said["started"].as_u64().context("started")?,
        })
    }

    /// The first number that is due then or later.
    fn due_from(&self, time: u64) -> u64 {
        let after = time.saturating_sub(self.started);
        let number = self.from + (after * REQUESTS).div_ceil(1_000_000_000);
        number.clamp(self.from, self.to)
    }
}

/// What was seen of an agent while it lived.
#[derive(Default)]
struct Most {
    resident: Cell<f64>,
    queue: Cell<f64>,
}

impl Most {
    fn look(&self, agent: &Agent) -> Result<Scrape> {
        let scrape = agent.scrape()?;
        self.resident.set(self.resident.get().max(agent.resident()?));
        self.queue
            .set(self.queue.get().max(scrape.sum("onlooker_otlp_queue_bytes", &[])));
        Ok(scrape)
    }

    /// Lets it work for a while.
    fn watch(&self, agent: &Agent, until: Instant) -> Result<()> {
        while Instant::now() < until {
            self.look(agent)?;
            let pause = Duration::from_secs(1).min(until.saturating_duration_since(Instant::now()));
            std::thread::sleep(pause); // the pace
        }
        Ok(())
    }
}

/// A whole run.
struct Run {
    down: Duration,
    most: Most,
    /// Seconds from the receiver's return until the backlog was gone.
    recovery: f64,
    /// What the receiver had then, and in the end.
    drained: Value,
    last: Value,
    lines: Vec<Expect>,
    spans: Vec<Expect>,
    /// Due before the second kill, which came then; those that did not arrive were in memory.
    at_kill: Segment,
    killed: u64,
    /// What each life of the agent said that it lost.
    lost: Vec<String>,
}

impl Run {
    fn of(bed: &Bed, down: Duration) -> Result<Run> {
        let server = Server::start(bed, "nginx")?;
        let place = Place::new("outage")?;
        let agent = place.agent(bed, &[CAP])?;
        agent.acquainted()?;
        let (most, mut lost) = (Most::default(), Vec::new());
        let writer = bed.helper(&[
            "lines",
            &place.logs().display().to_string(),
            &FILES.to_string(),
            &LINES.to_string(),
            "0",
            "1",
        ])?;
        let began = Instant::now();
        let drive = |from: u64| {
            let [rate, connections, from] = [REQUESTS, CONNECTIONS as u64, from].map(|number| number.to_string());
            bed.helper(&["exchanges", &server.address.to_string(), &rate, &connections, &from])
        };
        // The first kill, of an agent that has handed everything over.
        let driver = drive(0)?;
        most.watch(&agent, began + down / 3)?;
        let first = Segment::of(driver, 0)?;
        wait_for("spans are on the disk", || handed_over(&most.look(&agent)?))?;
        lost.push(told_lost(&most.look(&agent)?));
        drop(agent);
        say("killed, everything was on the disk");
        // The second one, under load.
        let agent = place.agent(bed, &[CAP])?;
        let driver = drive(first.to)?;
        most.watch(&agent, began + down * 2 / 3)?;
        lost.push(told_lost(&most.look(&agent)?));
        let killed = nanos();
        drop(agent);
        say("killed under load");
        let agent = place.agent(bed, &[CAP])?;
        let again = nanos();
        most.watch(&agent, began + down)?;
        // The receiver is back.
        let (tally, returned) = (place.receiver(bed)?, Instant::now());
        say(format!(
            "the receiver is back after {:.0} s",
            began.elapsed().as_secs_f64()
        ));
        wait_for("the backlog is gone", || caught_up(&most.look(&agent)?))?;
        let recovery = returned.elapsed().as_secs_f64();
        let drained = tally.look()?;
        say(format!("caught up after {recovery:.0} s"));
        let second = Segment::of(driver, first.to)?;
        let lines = lines(&writer.finish()?)?;
        let mut spans = Vec::new();
        for source in ["server", "client"] {
            let of = |from: u64, to: u64| Expect {
                source: source.to_owned(),
                from,
                to,
            };
            spans.push(of(first.from, first.to));
            spans.push(of(second.due_from(again), second.to));
        }
        let all: Vec<Expect> = lines.iter().chain(&spans).cloned().collect();
        let last = tally.wait(&all, QUIET)?;
        lost.push(told_lost(&most.look(&agent)?));
        ensure!(
            last["spoilt"] == 0,
            "the receiver could not read {} requests",
            last["spoilt"]
        );
        Ok(Run {
            down,
            most,
            recovery,
            drained,
            last,
            lines,
            spans,
            at_kill: second,
            killed,
            lost,
        })
    }

    /// Spans of one end that were due before the second kill and did not arrive, and how long before it the first of them was due.
    fn in_memory(&self, source: &str) -> (u64, f64) {
        let (from, to) = (self.at_kill.from, self.at_kill.due_from(self.killed));
        let missing = |from| {
            let source = source.to_owned();
            Expect { source, from, to }.missing(&self.last)
        };
        let all = missing(from);
        // The first missing one: from the next number on one less is missing.
        let (mut low, mut high) = (from, to);
        while all > 0 && low + 1 < high {
            let middle = low + (high - low) / 2;
            match missing(middle) == all {
                true => low = middle,
                false => high = middle,
            }
        }
        let before = if all > 0 {
            (to - low) as f64 * 1e3 / REQUESTS as f64
        } else {
            0.0
        };
        (all, before)
    }

    fn rows(&self, name: &str) -> Vec<Row> {
        let row = |figure: &str, unit: &str, value: f64| Row::value(name, figure, unit, &[value]);
        let again = |source: &str| {
            let of = |what: &str| sum_of(&self.last, source, what) as f64;
            of("again") / of("distinct").max(1.0) * 100.0
        };
        let spans_again = (sum_of(&self.last, "server", "again") + sum_of(&self.last, "client", "again")) as f64
            / (sum_of(&self.last, "server", "distinct") + sum_of(&self.last, "client", "distinct")).max(1) as f64
            * 100.0;
        let delay = |what: &str, which: &str| self.drained["delays"][what][which].as_f64().unwrap_or(f64::NAN) / 1e3;
        let condition = format!("{} s without a receiver, killed twice", self.down.as_secs());
        let missing = |expect: &[Expect]| expect.iter().map(|expect| expect.missing(&self.last)).sum::<u64>() as f64;
        let mut first = row("lines that did not arrive", "", missing(&self.lines)).wanting(target!("0", ==, 0.0));
        first.exact = vec![exact(&condition, "lines", "the writer", &self.lines, &self.last)];
        for source in ["server", "client"] {
            let its: Vec<Expect> = self
                .spans
                .iter()
                .filter(|expect| expect.source == source)
                .cloned()
                .collect();
            first
                .exact
                .push(exact(&condition, source, "the driver", &its, &self.last));
        }
        first.note = format!(
            "lost, as each life of the agent told at its end: {}",
            self.lost.join("; ")
        );
        let mut rows = vec![
            first,
            row(
                "spans that did not arrive, of exchanges that an agent saw to be over before it was killed",
                "",
                missing(&self.spans),
            )
            .wanting(target!("0", ==, 0.0)),
        ];
        for source in ["server", "client"] {
            let (count, before) = self.in_memory(source);
            rows.push(
                row(&format!("{source} spans in memory at a kill under load"), "ms", before)
                    .wanting(target!("< 1,000 ms", <, 1000.0))
                    .noting(format!(
                        "{count} spans did not arrive; the first of them was due so long before the kill"
                    )),
            );
        }
        rows.extend([
            row("lines that came again", "%", again("line")).wanting(target!("< 1 %", <, 1.0)),
            row("spans that came again", "%", spans_again).wanting(target!("< 1 %", <, 1.0)),
            row("resident memory, the most", "MB", self.most.resident.get() / 1e6)
                .wanting(target!("< 192 MiB, as in the unit of systemd", <, 201.3)),
            row("queue on the disk, the most", "MB", self.most.queue.get() / 1e6),
            row("until the backlog was gone", "s", self.recovery),
        ]);
        for what in ["spans", "lines"] {
            let note = "of what was new while the backlog was sent, from its own time to the receiver";
            for (which, shown) in [("p50", "median"), ("p99", "p99"), ("most", "the most")] {
                let row = row(&format!("delay of new {what}, {shown}"), "s", delay(what, which));
                let target = target!("< 35 s: the longest pause between two tries, and a batch", <, 35.0);
                rows.push(row.wanting(target.filter(|_| which == "most")).noting(note));
            }
        }
        rows
    }
}

/// Nothing of a span is in memory alone.
fn handed_over(scrape: &Scrape) -> Result<bool> {
    let of = |what: &str, kind: &str| scrape.sum(&format!("onlooker_events_{what}_total"), &[kind]);
    let settled = |kind: &str| of("seen", kind) == of("delivered", kind) + of("lost", kind);
    // What is on the disk is pending in the ledger of the exporter; what waits before it is in its queue.
    let waiting = scrape.sum("onlooker_export_queue_spans", &["kind=\"span_otlp\""]);
    Ok(waiting == 0.0 && settled("kind=\"exchange\"") && settled("kind=\"span\""))
}

/// What is on the disk is what is under way.
fn caught_up(scrape: &Scrape) -> Result<bool> {
    let oldest = |kind: &str| scrape.sum("onlooker_otlp_queue_oldest_seconds", &[kind]);
    Ok(oldest("kind=\"span_otlp\"") < 2.0 && oldest("kind=\"log_otlp\"") < 2.0)
}

fn told_lost(scrape: &Scrape) -> String {
    let lost = scrape
        .samples("onlooker_events_lost_total")
        .filter(|(_, value)| *value > 0.0);
    let lost: Vec<String> = lost.map(|(labels, value)| format!("{labels} {value}")).collect();
    if lost.is_empty() {
        "nothing".to_owned()
    } else {
        lost.join(", ")
    }
}
