//! Scrapes of the host's metrics, in turn with node_exporter's: CPU, latency and memory of both.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::bed::{Bed, Condition};
use super::metrics::get;
use super::onlooker::{Cpu, free_port, resident};
use super::process::{Ends, Process};
use super::row::{Row, Target};

/// See the module.
pub(crate) struct HostScrape;

/// Time from one pair of scrapes to the next.
const PACE: Duration = Duration::from_millis(100);
/// Scrapes before those that count: the first ones open files.
const WARM: usize = 5;
/// Collectors of systemd need systemd.
const ARGS: &[&str] = &["--no-collector.systemd", "--collector.textfile.directory="];

const FIFTH: Target = Target {
    text: "<= 0.2",
    holds: |row| Some(row.onlooker?.median <= 0.2),
};
const THIRD: Target = Target {
    text: "<= 0.33",
    holds: |row| Some(row.onlooker?.median <= 0.334),
};
const LESS: Target = Target {
    text: "< 1",
    holds: |row| Some(row.onlooker?.median < 1.0),
};

/// What a program took.
#[derive(Default)]
struct Took {
    /// Milliseconds of CPU a scrape.
    cpu: f64,
    /// Milliseconds of each scrape.
    latency: Vec<f64>,
    /// Bytes.
    resident: f64,
}

impl Took {
    fn percentile(&mut self, share: f64) -> f64 {
        self.latency.sort_by(f64::total_cmp);
        let last = self.latency.len().saturating_sub(1);
        self.latency
            .get((last as f64 * share).round() as usize)
            .copied()
            .unwrap_or_default()
    }
}

impl Bench for HostScrape {
    fn name(&self) -> &'static str {
        "scrape"
    }

    fn about(&self) -> &'static str {
        "scrapes of the host's metrics, in turn with node_exporter's"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let program = bed.need("prometheus-node-exporter")?;
        let scrapes = bed.scaled(100, 10);
        let mut figures: [(&str, &str, Option<Target>, Vec<f64>); 9] = [
            ("CPU of a scrape", "ms", None, vec![]),
            ("CPU of a scrape, node_exporter", "ms", None, vec![]),
            ("CPU of a scrape by node_exporter's", "", Some(FIFTH), vec![]),
            ("p50 of a scrape", "ms", None, vec![]),
            ("p99 of a scrape", "ms", None, vec![]),
            ("p99 of a scrape, node_exporter", "ms", None, vec![]),
            ("p99 of a scrape by node_exporter's", "", Some(THIRD), vec![]),
            ("resident memory", "MB", None, vec![]),
            ("resident memory by node_exporter's", "", Some(LESS), vec![]),
        ];
        // The host's metrics alone: probes have rows of their own.
        let condition = Condition::Onlooker(bed.own_hooks(), ARGS);
        bed.compare(&[condition], bed.rounds.min(5), |_, attached| {
            let Some(agent) = attached.agent() else {
                return Ok(());
            };
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let mut args = vec![format!("--web.listen-address={address}")];
            args.extend(ARGS.iter().map(|arg| (*arg).to_owned()));
            let mut other = bed.start("node_exporter", &program, &args, Ends::BySignal)?;
            let (mut ours, mut its) = (Took::default(), Took::default());
            listening(&mut other, address)?;
            for _ in 0..WARM {
                timed(agent.address())?;
                timed(address)?;
            }
            // What the agent does beside scrapes is no part of them: it is measured in as many pauses without.
            let (idle, started) = (agent.cpu()?, Instant::now());
            std::thread::sleep(Duration::from_secs(1));
            let idle = agent.cpu()?.since(&idle) / started.elapsed().as_secs_f64();
            let (cpu, its_cpu, started) = (agent.cpu()?, Cpu::of(other.pid())?, Instant::now());
            for n in 1..=scrapes as u32 {
                ours.latency.push(timed(agent.address())?);
                its.latency.push(timed(address)?);
                std::thread::sleep((PACE * n).saturating_sub(started.elapsed()));
            }
            let wall = started.elapsed().as_secs_f64();
            ours.cpu = (agent.cpu()?.since(&cpu) - idle * wall) * 1e3 / scrapes as f64;
            its.cpu = Cpu::of(other.pid())?.since(&its_cpu) * 1e3 / scrapes as f64;
            ours.resident = agent.resident()? / 1e6;
            its.resident = resident(other.pid())? / 1e6;
            let (p99, its_p99) = (ours.percentile(0.99), its.percentile(0.99));
            let found = [
                ours.cpu,
                its.cpu,
                ours.cpu / its.cpu,
                ours.percentile(0.5),
                p99,
                its_p99,
                p99 / its_p99,
                ours.resident,
                ours.resident / its.resident,
            ];
            for (figure, found) in figures.iter_mut().zip(found) {
                figure.3.push(found);
            }
            Ok(())
        })?;
        let rows = figures.into_iter().map(|(figure, unit, target, values)| {
            Row::value(self.name(), figure, unit, &values)
                .wanting(target)
                .noting("all of /metrics with every probe attached; both are scraped in turn every 100 ms; what the agent does beside scrapes is taken off")
        });
        Ok(rows.collect())
    }
}

/// Milliseconds of a scrape.
fn timed(address: SocketAddr) -> Result<f64> {
    let started = Instant::now();
    get(address, "/metrics")?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

fn listening(process: &mut Process, address: SocketAddr) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        process.check().context("node_exporter")?;
        match get(address, "/metrics") {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error.context("node_exporter does not answer")),
            Err(_) => std::thread::sleep(Duration::from_millis(5)), // until the next look
        }
    }
}
