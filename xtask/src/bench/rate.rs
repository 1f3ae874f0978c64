//! nginx at a fixed rate, driven in an open loop: what is added to latency.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Bench;
use super::bed::{Bed, Condition};
use super::exact::{self, Driver, Exact};
use super::row::{Row, Sides, Style, Target};
use super::saturated::told;
use super::server::Server;

/// Keep-alive connections.
const CONNECTIONS: usize = 64;

/// One rate.
pub(crate) struct Rate {
    name: &'static str,
    about: &'static str,
    per_second: u32,
    /// Wanted of p99.
    target: Option<Target>,
}

const LITTLE_ADDED: Target = Target {
    text: "< 2 % or < 50 us added",
    holds: |row| {
        let (ratio, added) = (row.ratio?, row.added?);
        Some(ratio.median < 1.02 || added.median < 50.0)
    },
};

/// 1,000 requests a second.
pub(crate) static K1: Rate = Rate {
    name: "rate-1k",
    about: "nginx at 1,000 requests a second",
    per_second: 1_000,
    target: None,
};
/// 5,000 requests a second.
pub(crate) static K5: Rate = Rate {
    name: "rate-5k",
    about: "nginx at 5,000 requests a second",
    per_second: 5_000,
    target: Some(LITTLE_ADDED),
};
/// 20,000 requests a second.
pub(crate) static K20: Rate = Rate {
    name: "rate-20k",
    about: "nginx at 20,000 requests a second",
    per_second: 20_000,
    target: None,
};

/// Name of a quantile in the driver's answer and in the table.
const QUANTILES: [(&str, &str); 3] = [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")];

impl Bench for Rate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let hooks = bed.own_hooks();
        let conditions = [
            Condition::Nothing,
            Condition::NoOp(hooks),
            Condition::Onlooker(hooks, &[]),
        ];
        let server = Server::start(bed, "nginx")?;
        drive(bed, &server, self.per_second, 0.2, 1)?;
        let found = bed.compare(&conditions, bed.rounds, |condition, attached| {
            let before = server.served()?;
            let said = drive(bed, &server, self.per_second, bed.seconds as f64, 1)?;
            let exact: Vec<Exact> = match attached.agent() {
                Some(agent) => {
                    let answered = said["requests"].as_u64().context("requests")?;
                    let driver = Driver {
                        name: "the driver",
                        answered,
                    };
                    exact::check(agent, told(condition), &server, before, Some(driver))?
                }
                None => Vec::new(),
            };
            Ok((said, exact))
        })?;
        let mut rows = Vec::new();
        for (name, shown) in QUANTILES {
            let values = |index: usize| {
                found[index]
                    .iter()
                    .filter_map(|(said, _)| said[name].as_f64())
                    .collect()
            };
            let sides = Sides {
                nothing: values(0),
                no_op: values(1),
                onlooker: values(2),
            };
            let target = self.target.filter(|_| name == "p99");
            rows.push(Row::compared(self.name, shown, "us", Style::Time, &sides).wanting(target));
        }
        if let Some(row) = rows.first_mut() {
            row.exact = exact::summed(found.into_iter().flatten().flat_map(|(_, exact)| exact));
        }
        Ok(rows)
    }
}

/// What the driver says of so many requests a second over so many paths.
pub(crate) fn drive(bed: &Bed, server: &Server, per_second: u32, seconds: f64, paths: usize) -> Result<Value> {
    bed.ask(&[
        "rate",
        &server.address.to_string(),
        &per_second.to_string(),
        &seconds.to_string(),
        &CONNECTIONS.to_string(),
        &paths.to_string(),
    ])
}
