//! The agent itself: its start, its size, its memory, and the CPU that it uses with little and with much to do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::bed::{Bed, Condition};
use super::exact::{self, Driver, Exact};
use super::onlooker::Agent;
use super::rate;
use super::row::{Row, Target};
use super::saturated::told;
use super::server::Server;

const MB: f64 = 1e6;

/// Between two scrapes.
const PACE: Duration = Duration::from_millis(100);

/// Time after which no further scrape begins.
const LONGEST: Duration = Duration::from_secs(5);

/// Seconds in which it reads every process once, and a bit: shorter looks would have more or less of that than there is.
const ROUND: usize = 16;

/// Limits that let 10,000 routes of one service, seen from both ends, be series of their own.
const ROOM_FOR_ROUTES: &[&str] = &["--limits.routes-per-service=10000", "--limits.series=100000"];

/// `median < limit`.
macro_rules! below {
    ($text:literal, $limit:literal) => {
        Some(Target {
            text: $text,
            holds: |row| row.onlooker.map(|value| value.median < $limit),
        })
    };
}

/// What an agent costs that has nothing to do but to be asked.
#[derive(Default)]
struct Quiet {
    /// CPU of one core without scrapes, percent.
    idle: Vec<f64>,
    /// CPU of a scrape beyond that, microseconds.
    scrape: Vec<f64>,
    /// CPU of one core with a scrape every 100 ms, percent.
    every_100_ms: Vec<f64>,
    /// The same every 15 s: of one such time with the scrape at its end.
    every_15_s: Vec<f64>,
    /// Bytes of a scrape.
    bytes: Vec<f64>,
    memory: Memory,
}

/// Memory, bytes.
#[derive(Default)]
struct Memory {
    resident: Vec<f64>,
    maps: Vec<f64>,
}

impl Memory {
    fn look(&mut self, agent: &Agent) -> Result<()> {
        let maps = agent.scrape()?.sum("onlooker_map_bytes", &[]);
        self.maps.push(maps / MB);
        self.resident.push(agent.resident()? / MB);
        Ok(())
    }

    fn rows(&self, benchmark: &str, told: &str, [resident, maps]: [Option<Target>; 2]) -> Vec<Row> {
        vec![
            Row::value(benchmark, format!("resident memory, {told}"), "MB", &self.resident).wanting(resident),
            Row::value(benchmark, format!("kernel memory of maps, {told}"), "MB", &self.maps).wanting(maps),
        ]
    }
}

impl Quiet {
    /// Leaves it alone for a while, then scrapes it at [`PACE`].
    fn look(&mut self, bed: &Bed, agent: &Agent) -> Result<()> {
        // Its first look at the processes that there are is no part of it.
        agent.acquainted()?;
        let time = (2 * bed.time()).max(Duration::from_secs(bed.scaled(ROUND, 2) as u64));
        let start = agent.cpu()?;
        std::thread::sleep(time); // what is measured is an agent that is left alone
        let idle = agent.cpu()?.since(&start) / time.as_secs_f64();
        let (before, started) = (agent.cpu()?, Instant::now());
        let (mut bytes, mut scrapes) = (0, 0);
        // Large ones may take longer than the pace: fewer of them do.
        for n in 1..=bed.scaled(20, 5) {
            if started.elapsed() > LONGEST {
                break;
            }
            bytes = agent.scrape()?.bytes();
            scrapes = n;
            let next = started + PACE * n as u32;
            std::thread::sleep(next.saturating_duration_since(Instant::now())); // the pace
        }
        let (wall, cpu) = (started.elapsed().as_secs_f64(), agent.cpu()?.since(&before));
        let scrape = (cpu - idle * wall).max(0.0) / scrapes as f64;
        self.idle.push(idle * 100.0);
        self.scrape.push(scrape * 1e6);
        self.every_100_ms.push(cpu / wall * 100.0);
        let (before, started) = (agent.cpu()?, Instant::now());
        std::thread::sleep(Duration::from_secs(bed.scaled(15, 2) as u64)); // the pace
        agent.scrape()?;
        let cpu = agent.cpu()?.since(&before);
        self.every_15_s.push(cpu / started.elapsed().as_secs_f64() * 100.0);
        self.bytes.push(bytes as f64 / 1e3);
        self.memory.look(agent)
    }

    fn rows(&self, benchmark: &str, told: &str, every_15_s: Option<Target>) -> Vec<Row> {
        let row =
            |what: &str, unit: &str, values: &[f64]| Row::value(benchmark, format!("{what}, {told}"), unit, values);
        let mut rows = vec![
            row("CPU of a core, not scraped", "%", &self.idle),
            row("CPU of a scrape", "us", &self.scrape),
            row("CPU of a core, scraped every 100 ms", "%", &self.every_100_ms),
            row("CPU of a core, scraped every 15 s", "%", &self.every_15_s).wanting(every_15_s),
            row("a scrape", "kB", &self.bytes),
        ];
        rows.extend(self.memory.rows(benchmark, told, [None, None]));
        rows
    }
}

/// Program and start.
pub(crate) struct Start;

impl Bench for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn about(&self) -> &'static str {
        "time from start to attached, size of the program"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let size = std::fs::metadata(&bed.onlooker)?.len() as f64 / MB;
        let mut rows =
            vec![Row::value(self.name(), "size of the program", "MB", &[size]).wanting(below!("< 15 MB", 15.0))];
        for hooks in &bed.hooks {
            let mut times = Vec::new();
            for _ in 0..bed.scaled(2 * bed.rounds, 1) {
                let agent = Agent::start(bed, *hooks, &[])?;
                times.push(agent.ready_after.as_secs_f64() * 1e3);
            }
            let figure = format!("start to attached, {}", hooks.told());
            rows.push(Row::value(self.name(), figure, "ms", &times).wanting(below!("< 500 ms", 500.0)));
        }
        Ok(rows)
    }
}

/// Nothing happens.
pub(crate) struct Idle;

impl Bench for Idle {
    fn name(&self) -> &'static str {
        "agent-idle"
    }

    fn about(&self) -> &'static str {
        "the agent with 100 processes more than there are, and no exchange"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let sleepers = bed.helper(&["sleepers", "100"])?;
        let mut quiet = Quiet::default();
        let condition = Condition::Onlooker(bed.own_hooks(), &[]);
        bed.compare(&[condition], bed.rounds.min(3), |_, attached| {
            attached.agent().map_or(Ok(()), |agent| quiet.look(bed, agent))
        })?;
        drop(sleepers);
        Ok(quiet.rows(self.name(), "100 processes", below!("< 0.1 %", 0.1)))
    }
}

/// Exchanges at two rates.
pub(crate) struct Load;

/// Exchanges a second and routes. A request is two exchanges: its server's and its client's.
const LOADS: [(u32, usize); 3] = [(1_000, 10), (20_000, 10), (20_000, 1_000)];

impl Bench for Load {
    fn name(&self) -> &'static str {
        "agent-load"
    }

    fn about(&self) -> &'static str {
        "the agent at 1,000 and 20,000 exchanges a second"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let server = Server::start(bed, "nginx")?;
        let mut rows = Vec::new();
        for (exchanges, routes) in LOADS {
            rows.extend(self.at(bed, &server, exchanges, routes)?);
        }
        Ok(rows)
    }
}

impl Load {
    fn at(&self, bed: &Bed, server: &Server, exchanges: u32, routes: usize) -> Result<Vec<Row>> {
        let (mut each, mut share, mut rate) = (Vec::new(), Vec::new(), Vec::new());
        let mut memory = Memory::default();
        let condition = Condition::Onlooker(bed.own_hooks(), ROOM_FOR_ROUTES);
        let at = format!("{exchanges} exchanges/s of {routes} routes");
        let counted = format!("{at}, {}", told(condition));
        let found = bed.compare(&[condition], bed.rounds.min(3), |_, attached| {
            let Some(agent) = attached.agent() else {
                return Ok(Vec::new());
            };
            let served = server.served()?;
            let done = |agent: &Agent| -> Result<f64> {
                let labels = ["kind=\"exchange\""];
                Ok(agent.scrape()?.sum("onlooker_events_delivered_total", &labels))
            };
            let (before, cpu, started) = (done(agent)?, agent.cpu()?, Instant::now());
            let said = rate::drive(bed, server, exchanges / 2, 2.0 * bed.seconds as f64, routes)?;
            // A look at memory while there is work, before a scrape adds to it; CPU before a scrape, too, which has rows of its
            // own.
            memory.resident.push(agent.resident()? / MB);
            agent.rest()?;
            let (used, wall) = (agent.cpu()?.since(&cpu), started.elapsed().as_secs_f64());
            agent.settle()?;
            let exchanged = done(agent)? - before;
            each.push(used * 1e6 / exchanged);
            rate.push(exchanged / wall);
            share.push(used / wall * 100.0);
            memory.maps.push(agent.scrape()?.sum("onlooker_map_bytes", &[]) / MB);
            let driver = Driver {
                name: "the driver",
                answered: said["requests"].as_u64().context("requests")?,
            };
            exact::check(agent, &counted, server, served, Some(driver))
        })?;
        let per_exchange = format!("CPU of an exchange, {at}");
        let mut first = Row::value(self.name(), per_exchange, "us", &each).wanting(below!("<= 1.5 us", 1.5000001));
        first.note = format!("with {}, not scraped meanwhile", ROOM_FOR_ROUTES.join(" "));
        first.exact = exact::summed(found.into_iter().flatten().flatten().collect::<Vec<Exact>>());
        let mut rows = vec![
            first,
            Row::value(self.name(), format!("CPU of a core, {at}"), "%", &share),
            // More than asked for: something else on this host speaks HTTP too.
            Row::value(self.name(), format!("exchanges of the whole host, {at}"), "1/s", &rate),
        ];
        let wanted = (exchanges, routes) == (20_000, 1_000);
        let targets = [below!("< 40 MB", 40.0), below!("< 16 MB", 16.0)].map(|target| target.filter(|_| wanted));
        rows.extend(memory.rows(self.name(), &at, targets));
        Ok(rows)
    }
}

/// Few and many routes.
pub(crate) struct Routes;

impl Bench for Routes {
    fn name(&self) -> &'static str {
        "agent-routes"
    }

    fn about(&self) -> &'static str {
        "the agent with 10 and 10,000 routes of one service, both ends"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let server = Server::start(bed, "nginx")?;
        let mut rows = Vec::new();
        for routes in [10, bed.scaled(10_000, 1_000)] {
            let mut quiet = Quiet::default();
            let condition = Condition::Onlooker(bed.own_hooks(), ROOM_FOR_ROUTES);
            bed.compare(&[condition], bed.rounds.min(2), |_, attached| {
                let Some(agent) = attached.agent() else {
                    return Ok(());
                };
                // Each route once at least.
                rate::drive(bed, &server, 10_000, 1.1, routes)?;
                agent.settle()?;
                quiet.look(bed, agent)
            })?;
            rows.extend(quiet.rows(self.name(), &format!("{routes} routes"), None));
        }
        Ok(rows)
    }
}

/// Few and many processes.
pub(crate) struct Processes;

impl Bench for Processes {
    fn name(&self) -> &'static str {
        "agent-processes"
    }

    fn about(&self) -> &'static str {
        "the agent that saw 10 and 5,000 processes begin, which sleep"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for processes in [10, bed.scaled(5_000, 300)] {
            let (mut quiet, mut each) = (Quiet::default(), Vec::new());
            let condition = Condition::Onlooker(bed.own_hooks(), &[]);
            bed.compare(&[condition], bed.rounds.min(2), |_, attached| {
                let Some(agent) = attached.agent() else {
                    return Ok(());
                };
                let cpu = agent.cpu()?;
                let sleepers = bed.helper(&["sleepers", &processes.to_string()])?;
                agent.settle()?;
                each.push(agent.cpu()?.since(&cpu) * 1e6 / processes as f64);
                quiet.look(bed, agent)?;
                drop(sleepers);
                Ok(())
            })?;
            let told = format!("{processes} processes");
            // Of ten, what is done in the same time anyway would be more than they are.
            if processes > 10 {
                rows.push(Row::value(self.name(), format!("CPU of a start, {told}"), "us", &each));
            }
            rows.extend(quiet.rows(self.name(), &told, None));
        }
        Ok(rows)
    }
}
