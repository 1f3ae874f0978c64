//! What the benchmarks of loss stand on: an agent that keeps everything below one folder, whoever counts what arrives, and how that is
//! held against what was sent. Every span and line has a number of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::bed::Bed;
use super::exact::Exact;
use super::metrics::get;
use super::onlooker::Agent;
use super::process::Helper;
use crate::shell::target;

/// Longest time until a condition holds that is waited for.
const PATIENCE: Duration = Duration::from_secs(900);

/// A folder with log files, the agent's places and its queue; and the receiver, which may be away.
pub(crate) struct Place {
    folder: PathBuf,
    address: String,
}

impl Place {
    /// An empty folder of this name.
    pub(crate) fn new(name: &str) -> Result<Place> {
        let folder = target().join("bench").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let place = Place {
            folder,
            address: format!("127.0.0.1:{}", port_for_later()?),
        };
        fs::create_dir_all(place.logs()).with_context(|| place.folder.display().to_string())?;
        Ok(place)
    }

    /// Folder of the log files.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Starts an agent, for the first time or again: what is there is its.
    pub(crate) fn agent(&self, bed: &Bed, more: &[&str]) -> Result<Agent> {
        let below = |name: &str| self.folder.join(name).display().to_string();
        let args = [
            format!("--otlp.endpoint=http://{}", self.address),
            format!("--otlp.queue.path={}", below("queue")),
            format!("--logs.include={}", below("logs/*.log")),
            "--logs.start-at=beginning".to_owned(),
            format!("--logs.state-path={}", below("logs.json")),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Agent::start(bed, bed.own_hooks(), &args)
    }

    /// Starts the receiver.
    pub(crate) fn receiver(&self, bed: &Bed) -> Result<Tally> {
        Ok(Tally {
            helper: bed.helper(&["tally", &self.address])?,
            kept: self.folder.join("arrived.json"),
        })
    }
}

/// A receiver that counts.
pub(crate) struct Tally {
    helper: Helper,
    /// What came in the end is kept there, for who wants to know which numbers are missing.
    kept: PathBuf,
}

impl Tally {
    /// What came so far.
    pub(crate) fn look(&self) -> Result<Value> {
        let text = get(self.helper.text("address").parse()?, "/tally")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until all these numbers came, or nothing new comes any more for so long.
    pub(crate) fn wait(&self, expect: &[Expect], quiet: Duration) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let look = self.look()?;
            fs::write(&self.kept, look.to_string())?;
            if Instant::now() > end || expect.iter().all(|expect| expect.missing(&look) == 0) {
                return Ok(look);
            }
            let distinct = sum(&look, "distinct");
            if distinct != last {
                (last, since) = (distinct, Instant::now());
            }
            if since.elapsed() > quiet {
                return Ok(look);
            }
            std::thread::sleep(Duration::from_millis(200)); // until the next look
        }
    }
}

/// Sum of a number of all sources.
pub(crate) fn sum(look: &Value, what: &str) -> u64 {
    let sources = look["sources"].as_object().into_iter().flatten();
    sources.filter_map(|(_, told)| told[what].as_u64()).sum()
}

/// Sum of a number of the sources whose name begins so.
pub(crate) fn sum_of(look: &Value, source: &str, what: &str) -> u64 {
    let sources = look["sources"].as_object().into_iter().flatten();
    let its = sources.filter(|(name, _)| name.starts_with(source));
    its.filter_map(|(_, told)| told[what].as_u64()).sum()
}

/// Numbers that must arrive of one source: from the first to before the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    /// `server` and `client` for spans of that end, `line N` for lines of that file.
    pub(crate) source: String,
    /// First one.
    pub(crate) from: u64,
    /// After the last one.
    pub(crate) to: u64,
}

impl Expect {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// How many did not come; all, where the receiver does not tell them apart.
    pub(crate) fn missing(&self, look: &Value) -> u64 {
        let told = &look["sources"][&self.source];
        let Some(next) = told["next"].as_u64().filter(|_| told["missing_is_whole"] == true) else {
            return self.count();
        };
        let ranges = told["missing"].as_array().into_iter().flatten();
        let ranges = ranges.filter_map(|range| Some((range[0].as_u64()?, range[1].as_u64()?)));
        let within = |(from, to): (u64, u64)| to.min(self.to).saturating_sub(from.max(self.from));
        ranges.chain([(next, u64::MAX)]).map(within).sum()
    }
}

/// Counts of several sources under one name.
pub(crate) fn exact(condition: &str, role: &str, by: &str, expect: &[Expect], look: &Value) -> Exact {
    let truth: u64 = expect.iter().map(Expect::count).sum();
    let difference: u64 = expect.iter().map(|expect| expect.missing(look)).sum();
    Exact {
        condition: condition.to_owned(),
        role: role.to_owned(),
        by: by.to_owned(),
        truth,
        onlooker: truth - difference,
        difference,
        lost: BTreeMap::new(),
        unaccounted: 0,
    }
}

/// Lines that the writers say they wrote.
pub(crate) fn lines(said: &Value) -> Result<Vec<Expect>> {
    let written = said["lines"].as_array().context("lines")?;
    let expect = written.iter().enumerate().map(|(writer, count)| {
        Ok(Expect {
            source: format!("line {writer}"),
            from: 0,
            to: count.as_u64().context("a count")?,
        })
    });
    expect.collect()
}

/// Waits until this holds.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > end {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(200)); // until the next look
    }
    Ok(())
}

/// A TCP port of loopback on which nobody listens as long as there is no receiver: of a range that [`super::onlooker::free_port`] does not
/// give away meanwhile.
fn port_for_later() -> Result<u16> {
    let first = 18_000 + (std::process::id() % 5_000) as u16;
    (first..first + 1_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no TCP port of loopback is free")
}

/// Nanoseconds since the epoch.
pub(crate) fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_counted_within_what_was_sent() {
        let look = json!({ "sources": {
            "server": { "next": 100, "distinct": 80, "missing": [[10, 20], [40, 50]], "missing_is_whole": true },
            "line 1": { "next": 10, "distinct": 1, "missing": [[0, 9]], "missing_is_whole": false },
        }});
        let missing = |source: &str, from, to| {
            let source = source.to_owned();
            Expect { source, from, to }.missing(&look)
        };
        assert_eq!(missing("server", 0, 100), 20);
        assert_eq!(missing("server", 15, 45), 10);
        assert_eq!(missing("server", 20, 40), 0);
        assert_eq!(missing("server", 90, 130), 30, "30 of them never came");
        assert_eq!(missing("line 1", 0, 9), 9);
        assert_eq!(missing("line 2", 0, 7), 7, "of this source nothing came");
        assert_eq!((sum(&look, "distinct"), sum_of(&look, "line", "distinct")), (81, 1));
    }
}
