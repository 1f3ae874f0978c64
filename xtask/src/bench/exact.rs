//! Whether onlooker's counts are the truth, and whether it accounts for every event that it saw.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::metrics::{Scrape, label};
use super::onlooker::Agent;
use super::server::Server;

/// Service name that drivers of load are given.
pub(crate) const DRIVER: &str = "bench-driver";

/// Time for the counts to become those of the truth.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts of one end beside their truth, summed over rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exact {
    /// Condition under which it was counted.
    pub(crate) condition: String,
    /// `server` or `client`.
    pub(crate) role: String,
    /// Who knows the truth.
    pub(crate) by: String,
    /// Requests in truth.
    pub(crate) truth: u64,
    /// Requests as onlooker counts them.
    pub(crate) onlooker: u64,
    /// How far they are apart, in each round by itself.
    pub(crate) difference: u64,
    /// Events that onlooker says it lost, of the whole host, by kind and reason.
    pub(crate) lost: BTreeMap<String, u64>,
    /// Events seen that were neither delivered nor lost when all had settled: 0 when `seen = delivered + lost` holds.
    pub(crate) unaccounted: u64,
}

/// Requests that a driver had answers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver {
    /// Who it is.
    pub(crate) name: &'static str,
    /// Answers that it read.
    pub(crate) answered: u64,
}

/// Compares one round's counts, once nothing is on its way any more. `before`: what the server had counted when the agent was
/// there and the load was not. Without a driver the server's end alone.
pub(crate) fn check(
    agent: &Agent,
    condition: &str,
    server: &Server,
    before: u64,
    driver: Option<Driver>,
) -> Result<Vec<Exact>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let unaccounted = agent.settle()?;
        let scrape = agent.scrape()?;
        let mut lost = BTreeMap::new();
        for (labels, value) in scrape
            .samples("onlooker_events_lost_total")
            .filter(|(_, value)| *value > 0.0)
        {
            lost.insert(
                format!("{} {}", label(labels, "kind"), label(labels, "reason")),
                value as u64,
            );
        }
        let found = |role: &str, by: &str, truth: u64, onlooker: u64| Exact {
            condition: condition.to_owned(),
            role: role.to_owned(),
            by: by.to_owned(),
            truth,
            onlooker,
            difference: truth.abs_diff(onlooker),
            lost: lost.clone(),
            unaccounted,
        };
        let counted = exchanges(&scrape, "server", &server.service, |_| true);
        // Asked after the scrape: a server that is asked by a request counts that too.
        let mut all = vec![found(
            "server",
            server.counts_by(),
            server.served_since(before)?,
            counted,
        )];
        if let Some(driver) = driver {
            // An answer that the driver did not read to its end before it ended is none to the driver.
            let whole = |labels: &str| label(labels, "error_type").is_empty();
            let counted = exchanges(&scrape, "client", DRIVER, whole);
            all.push(found("client", driver.name, driver.answered, counted));
        }
        if all.iter().all(|exact| exact.difference == 0) || Instant::now() >= end {
            return Ok(all);
        }
        std::thread::sleep(Duration::from_millis(20)); // until the next look
    }
}

/// Exchanges of a service whose labels are wanted.
fn exchanges(scrape: &Scrape, role: &str, service: &str, wanted: impl Fn(&str) -> bool) -> u64 {
    let name = format!("http_{role}_request_duration_seconds_count");
    let of_service = scrape
        .samples(&name)
        .filter(|(labels, _)| label(labels, "service_name") == service && wanted(labels));
    of_service.map(|(_, value)| value).sum::<f64>() as u64
}

impl Exact {
    /// Events lost, of all kinds.
    pub(crate) fn all_lost(&self) -> u64 {
        self.lost.values().sum()
    }
}

/// Sums what several rounds found, by condition and role in the order of their first appearance.
pub(crate) fn summed(rounds: impl IntoIterator<Item = Exact>) -> Vec<Exact> {
    let mut sums: Vec<Exact> = Vec::new();
    for one in rounds {
        let same = |sum: &&mut Exact| sum.condition == one.condition && sum.role == one.role;
        match sums.iter_mut().find(same) {
            Some(sum) => {
                sum.truth += one.truth;
                sum.onlooker += one.onlooker;
                sum.difference += one.difference;
                for (reason, lost) in one.lost {
                    *sum.lost.entry(reason).or_insert(0) += lost;
                }
                sum.unaccounted += one.unaccounted;
            }
            None => sums.push(one),
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_rounds_do_not_cancel_out() {
        let one = |role: &str, truth: u64, onlooker: u64| Exact {
            condition: "onlooker".into(),
            role: role.into(),
            by: "a log".into(),
            truth,
            onlooker,
            difference: truth.abs_diff(onlooker),
            lost: BTreeMap::from([("payload ring_full".to_owned(), 1)]),
            unaccounted: 0,
        };
        let sums = summed([one("server", 10, 8), one("client", 10, 10), one("server", 10, 12)]);
        assert_eq!(sums.len(), 2);
        assert_eq!((sums[0].truth, sums[0].onlooker, sums[0].difference), (20, 20, 4));
        assert_eq!(sums[0].lost["payload ring_full"], 2);
        assert_eq!(sums[1].difference, 0);
    }
}
