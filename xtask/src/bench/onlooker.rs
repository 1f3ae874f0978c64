//! The agent as a benchmark sees it: started, asked, weighed, ended.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bed::{Bed, Hooks};
use super::metrics::{Scrape, get, label};
use super::process::{Ends, Process};
use crate::shell::Run;

/// Longest time to readiness, and to the end of what is on its way.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nanoseconds of a clock tick in `/proc/PID/stat` (`USER_HZ` is 100 everywhere).
const TICK: u64 = 10_000_000;

/// A running agent. Dropping it ends it.
pub(crate) struct Agent {
    process: Process,
    address: SocketAddr,
    /// From its start to the first `/readyz` that is answered with 200.
    pub(crate) ready_after: Duration,
}

impl Agent {
    /// Starts an agent and waits until its probes are attached.
    pub(crate) fn start(bed: &Bed, hooks: Hooks, more: &[&str]) -> Result<Agent> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut args = vec![
            "run".to_owned(),
            format!("--web.listen-address={address}"),
            format!("--capture.hooks={}", hooks.word()),
            "--summary=never".to_owned(),
        ];
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let started = Instant::now();
        let process = bed.start("onlooker", &bed.onlooker, &args, Ends::BySignal)?;
        let mut agent = Agent {
            process,
            address,
            ready_after: Duration::ZERO,
        };
        loop {
            agent.process.check().context("onlooker")?;
            match get(address, "/readyz") {
                Ok(_) => break,
                Err(error) if started.elapsed() > PATIENCE => return Err(error.context("onlooker is not ready")),
                Err(_) => std::thread::sleep(Duration::from_millis(1)), // until the next look
            }
        }
        agent.ready_after = started.elapsed();
        Ok(agent)
    }

    /// `/metrics`.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        Ok(Scrape::new(
            get(self.address, "/metrics").context("scrape of onlooker")?,
        ))
    }

    /// Waits until every event that it had seen is delivered or counted as lost. How many were neither, when that does not
    /// come.
    pub(crate) fn settle(&self) -> Result<u64> {
        let seen = by_kind(&self.scrape()?, "onlooker_events_seen_total");
        if seen.is_empty() {
            bail!("onlooker has no onlooker_events_seen_total");
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let scrape = self.scrape()?;
            let delivered = by_kind(&scrape, "onlooker_events_delivered_total");
            let lost = by_kind(&scrape, "onlooker_events_lost_total");
            let missing: f64 = seen
                .iter()
                .map(|(kind, seen)| {
                    let done = delivered.get(kind).unwrap_or(&0.0) + lost.get(kind).unwrap_or(&0.0);
                    (seen - done).max(0.0)
                })
                .sum();
            if missing == 0.0 || Instant::now() >= end {
                return Ok(missing as u64);
            }
            std::thread::sleep(Duration::from_millis(5)); // until the next look
        }
    }

    /// Waits until it has looked at the processes that there were at its start, which it does in one go.
    pub(crate) fn acquainted(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.scrape()?.sum("namedprocess_namegroup_num_procs", &[]) == 0.0 {
            if Instant::now() >= end {
                bail!("onlooker tells of no processes");
            }
            std::thread::sleep(Duration::from_millis(5)); // until the next look
        }
        self.rest()
    }

    /// Waits until the pipeline's thread has paused twice, which it does when the ring is empty: what was in the ring before is
    /// handled. Costs the agent nothing, as a scrape would.
    pub(crate) fn rest(&self) -> Result<()> {
        let before = self.pauses()?;
        let end = Instant::now() + PATIENCE;
        while self.pauses()? < before + 2 {
            if Instant::now() >= end {
                bail!("the pipeline of onlooker does not pause");
            }
            std::thread::sleep(Duration::from_millis(5)); // until the next look
        }
        Ok(())
    }

    /// How often the pipeline's thread has waited.
    fn pauses(&self) -> Result<u64> {
        for entry in fs::read_dir(format!("/proc/{}/task", self.process.pid()))? {
            let status = fs::read_to_string(entry?.path().join("status")).unwrap_or_default();
            if !status.starts_with("Name:\tpipeline\n") {
                continue;
            }
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .context("voluntary_ctxt_switches")?;
            return Ok(line.trim().parse()?);
        }
        bail!("onlooker has no thread `pipeline`")
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.process.pid())
    }

    /// Resident memory, bytes.
    pub(crate) fn resident(&self) -> Result<f64> {
        resident(self.process.pid())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it as a service manager does, and waits for its end. (Dropping it is SIGKILL.)
    pub(crate) fn terminate(mut self) -> Result<()> {
        Run::new("kill").arg(self.process.pid().to_string()).run()?;
        self.process.ended(PATIENCE)
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Resident memory of a process, bytes.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}

/// CPU time of a process at one moment.
pub(crate) struct Cpu {
    ticks: u64,
    /// Nanoseconds by thread.
    threads: BTreeMap<u32, u64>,
}

impl Cpu {
    /// Of a process so far, user and system, of all threads that live: from the scheduler where it tells nanoseconds, else in
    /// ticks.
    pub(crate) fn of(pid: u32) -> Result<Cpu> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name in parentheses: utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let field = |n: usize| {
            fields
                .get(n)
                .and_then(|field| field.parse::<u64>().ok())
                .context("stat")
        };
        let ticks = field(11)? + field(12)?;
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let entry = entry?;
            let id = entry.file_name().to_string_lossy().parse().unwrap_or(0);
            let text = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            if let Some(nanos) = text.split(' ').next().and_then(|first| first.parse().ok()) {
                threads.insert(id, nanos);
            }
        }
        Ok(Cpu { ticks, threads })
    }

    /// Seconds since an earlier moment. Threads that ended in between take their nanoseconds along; then the ticks count.
    pub(crate) fn since(&self, before: &Cpu) -> f64 {
        let all_live = !self.threads.is_empty() && before.threads.keys().all(|id| self.threads.contains_key(id));
        let nanos = if all_live {
            self.threads
                .iter()
                .map(|(id, now)| now.saturating_sub(*before.threads.get(id).unwrap_or(&0)))
                .sum()
        } else {
            self.ticks.saturating_sub(before.ticks) * TICK
        };
        nanos as f64 / 1e9
    }
}

fn by_kind(scrape: &Scrape, name: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (labels, value) in scrape.samples(name) {
        *sums.entry(label(labels, "kind").to_owned()).or_insert(0.0) += value;
    }
    sums
}

/// A TCP port of loopback below the range from which outgoing connections take theirs.
pub(crate) fn free_port() -> Result<u16> {
    let first = 11_000 + (std::process::id() % 5_000) as u16;
    (first..first + 1_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no TCP port of loopback is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_count_as_long_as_no_thread_ended() {
        let cpu = |ticks: u64, threads: &[(u32, u64)]| Cpu {
            ticks,
            threads: threads.iter().copied().collect(),
        };
        let before = cpu(100, &[(1, 1_000_000), (2, 5_000_000)]);
        assert_eq!(
            cpu(101, &[(1, 2_000_000), (2, 5_000_000), (3, 3_000_000)]).since(&before),
            0.004
        );
        assert_eq!(cpu(102, &[(1, 2_000_000)]).since(&before), 0.02);
        assert_eq!(cpu(103, &[]).since(&cpu(100, &[])), 0.03);
    }
}
