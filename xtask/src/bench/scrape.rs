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

/// After an answer a program closes the connection and tidies up: that is of the scrape too.
const AFTER: Duration = Duration::from_millis(5);
/// Scrapes before those that count: the first ones open files.
const WARM: usize = 5;
/// Collectors of systemd need systemd.
const ARGS: &[&str] = &["--no-collector.systemd", "--collector.textfile.directory="];
/// node_exporter tells nothing of itself: what is compared is what both tell of the host.
const OTHER: &str = "--web.disable-exporter-metrics";

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
}

impl Took {
    fn scrape(&mut self, address: SocketAddr, path: &str, pid: u32) -> Result<()> {
        let (before, started) = (Cpu::of(pid)?, Instant::now());
        get(address, path)?;
        self.latency.push(started.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(AFTER);
        self.cpu += Cpu::of(pid)?.since(&before) * 1e3;
        Ok(())
    }

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
        let mut figures: Vec<Figure> = KINDS.iter().flat_map(|kind| kind.figures()).collect();
        let (mut resident_ratio, mut resident_bytes) = (vec![], vec![]);
        let condition = Condition::Onlooker(bed.own_hooks(), ARGS);
        bed.compare(&[condition], bed.rounds.min(3), |_, attached| {
            let Some(agent) = attached.agent() else {
                return Ok(());
            };
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let mut args = vec![format!("--web.listen-address={address}"), OTHER.to_owned()];
            args.extend(ARGS.iter().map(|arg| (*arg).to_owned()));
            let mut other = bed.start("node_exporter", &program, &args, Ends::BySignal)?;
            listening(&mut other, address)?;
            let chosen = chosen(&get(address, "/metrics")?);
            let mut found = Vec::new();
            for kind in &KINDS {
                let path = if kind.host_alone { chosen.as_str() } else { "/metrics" };
                let scrapes = bed.scaled(kind.scrapes, kind.scrapes.div_ceil(10));
                let pace = if bed.quick { kind.pace.min(SHORT) } else { kind.pace };
                for _ in 0..WARM {
                    get(agent.address(), path)?;
                    get(address, "/metrics")?;
                }
                let (mut ours, mut its) = (Took::default(), Took::default());
                let started = Instant::now();
                for n in 1..=scrapes as u32 {
                    std::thread::sleep((pace * n).saturating_sub(started.elapsed()));
                    ours.scrape(agent.address(), path, agent.pid())?;
                    // Half a pace later: right behind ours it would find warm what of the kernel both read.
                    std::thread::sleep((pace * n + pace / 2).saturating_sub(started.elapsed()));
                    its.scrape(address, "/metrics", other.pid())?;
                }
                ours.cpu /= scrapes as f64;
                its.cpu /= scrapes as f64;
                let (p99, its_p99) = (ours.percentile(0.99), its.percentile(0.99));
                found.extend([
                    ours.cpu,
                    its.cpu,
                    ours.cpu / its.cpu,
                    ours.percentile(0.5),
                    p99,
                    its_p99,
                    p99 / its_p99,
                ]);
            }
            for (figure, found) in figures.iter_mut().zip(found) {
                figure.values.push(found);
            }
            resident_bytes.push(agent.resident()? / 1e6);
            resident_ratio.push(agent.resident()? / resident(other.pid())?);
            Ok(())
        })?;
        let rows = figures.into_iter().map(|figure| {
            Row::value(self.name(), figure.name, figure.unit, &figure.values)
                .wanting(figure.target)
                .noting("both are scraped in turn, half a pace apart; CPU from the request until 5 ms after the answer")
        });
        let resident = [
            Row::value(self.name(), "resident memory", "MB", &resident_bytes),
            Row::value(self.name(), "resident memory by node_exporter's", "", &resident_ratio).wanting(Some(LESS)),
        ];
        Ok(rows.chain(resident).collect())
    }
}

/// What is scraped.
struct Kind {
    name: &'static str,
    /// Only what node_exporter tells too, by `collect[]`.
    host_alone: bool,
    /// Time from one scrape of a program to the next.
    pace: Duration,
    scrapes: usize,
}

/// What a quick run has time for.
const SHORT: Duration = Duration::from_millis(100);

const KINDS: [Kind; 3] = [
    Kind {
        name: "the host's metrics every 100 ms",
        host_alone: true,
        pace: SHORT,
        scrapes: 100,
    },
    Kind {
        name: "the host's metrics every 15 s",
        host_alone: true,
        pace: Duration::from_secs(15),
        scrapes: 3,
    },
    Kind {
        name: "all metrics every 100 ms",
        host_alone: false,
        pace: SHORT,
        scrapes: 100,
    },
];

/// A line of the report.
struct Figure {
    name: String,
    unit: &'static str,
    target: Option<Target>,
    values: Vec<f64>,
}

impl Kind {
    /// In the order in which they are found.
    fn figures(&self) -> [Figure; 7] {
        let of = |what: &str, unit, target: Option<Target>| Figure {
            name: format!("{what}: {}", self.name),
            unit,
            // node_exporter has no probes.
            target: target.filter(|_| self.host_alone),
            values: vec![],
        };
        [
            of("CPU of a scrape", "ms", None),
            of("CPU of a scrape, node_exporter", "ms", None),
            of("CPU of a scrape by node_exporter's", "", Some(FIFTH)),
            of("p50 of a scrape", "ms", None),
            of("p99 of a scrape", "ms", None),
            of("p99 of a scrape, node_exporter", "ms", None),
            // Of a few it would be the slowest.
            of(
                "p99 of a scrape by node_exporter's",
                "",
                (self.scrapes >= 100).then_some(THIRD),
            ),
        ]
    }
}

/// `/metrics` of the collectors that a scrape of node_exporter tells of.
fn chosen(metrics: &str) -> String {
    let told = metrics.lines().filter_map(|line| {
        let (name, _) = line
            .strip_prefix("node_scrape_collector_success{collector=\"")?
            .split_once('"')?;
        Some(format!("collect%5B%5D={name}"))
    });
    format!("/metrics?{}", told.collect::<Vec<_>>().join("&"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_are_those_of_the_other() {
        let metrics = "# TYPE node_scrape_collector_success gauge\n\
            node_scrape_collector_success{collector=\"arp\"} 1\nnode_scrape_collector_success{collector=\"cpu\"} 0\nx 1\n";
        assert_eq!(chosen(metrics), "/metrics?collect%5B%5D=arp&collect%5B%5D=cpu");
    }
}
