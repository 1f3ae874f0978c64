//! The driver of the tests of TCP (`programs/tcp`), and how its numbers are compared.

use crate::agent::Agent;
use crate::metrics::{Histogram, Scrape};
use crate::netns::NetNs;
use crate::process::unique;
use crate::require::own_program;
use crate::snmp::counters;
use crate::talk::Talker;
use crate::wait;
use crate::ways::of_tcp;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What is told of open connections is some seconds old.
pub const REFRESHED: Duration = Duration::from_secs(30);

/// A driver, a service of its own.
#[derive(Debug)]
pub struct Driver {
    /// Its name.
    pub service: String,
    /// The program.
    pub talker: Talker,
}

impl Driver {
    /// Starts one in a namespace.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(ns: &NetNs, prefix: &str) -> Driver {
        let service = unique(prefix);
        let mut command = ns.command(own_program("tcp"));
        command.env("OTEL_SERVICE_NAME", &service);
        let talker = Talker::start("tcp", command).unwrap();
        Driver { service, talker }
    }

    /// Tells it to do something, and gives its numbers.
    ///
    /// # Panics
    /// When it cannot.
    pub fn ask(&mut self, order: &str) -> Value {
        self.talker.ask(order).unwrap()
    }

    /// Lets it listen (`serve` or `hold`) on a port of the address; gives address and port, and the port alone.
    pub fn listen(&mut self, host: &str, backlog: u32, how: &str) -> (String, String) {
        let answer = self.ask(&format!("listen {host}:0 {backlog} {how}"));
        let port = number(&answer, "port").to_string();
        (format!("{host}:{port}"), port)
    }

    /// Fills the accept queue of a socket with room for one, sends more until ten at least are dropped in the namespace, and ends.
    ///
    /// # Panics
    /// When it cannot, or they are not.
    pub fn overflow(&mut self, ns: &NetNs, to: &str) {
        self.ask(&format!("connect {to} 2 0 0 keep"));
        self.ask(&format!("pending {to} 10"));
        wait::until("drops", wait::SOON, || {
            ensure!(counters(ns)?["TcpExtListenDrops"] >= 10);
            Ok(())
        })
        .unwrap();
        self.ask("end reset");
    }

    /// Its numbers as a server when all connections are closed that it accepted, so many.
    pub fn served(&mut self, accepted: u64) -> Value {
        wait::until("the server's end", wait::SOON, || {
            let numbers = self.talker.ask("served")?;
            let of = ["accepted", "closed"].map(|name| number(&numbers, name));
            ensure!(of == [accepted; 2], "{numbers}, not {accepted}");
            Ok(numbers)
        })
        .unwrap()
    }
}

/// A number of an answer.
///
/// # Panics
/// When it is none.
pub fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} of {value}"))
}

/// Sum of a number over several answers.
pub fn sum(values: &Value, name: &str) -> u64 {
    values
        .as_array()
        .into_iter()
        .flatten()
        .map(|value| number(value, name))
        .sum()
}

/// A service's number of `onlooker_tcp_NAME`.
pub fn of(scrape: &Scrape, name: &str, service: &str) -> u64 {
    scrape.sum(&format!("onlooker_tcp_{name}"), &[("service_name", service)]) as u64
}

/// A service's histogram of `onlooker_tcp_NAME_seconds`.
pub fn times(scrape: &Scrape, name: &str, service: &str) -> Result<Histogram> {
    scrape.histogram(&format!("onlooker_tcp_{name}_seconds"), &[("service_name", service)])
}

/// Numbers of a service are these.
pub fn exactly(scrape: &Scrape, service: &str, expect: &[(&str, u64)]) -> Result<()> {
    let found: Vec<(&str, u64)> = expect
        .iter()
        .map(|(name, _)| (*name, of(scrape, name, service)))
        .collect();
    ensure!(found == expect, "{service}: {found:?}, not {expect:?}");
    Ok(())
}

/// Counts of failed connects of a service, by `error_type`.
pub fn errors(scrape: &Scrape, service: &str) -> Vec<(String, u64)> {
    let of = [("service_name", service)];
    let samples = scrape.select("onlooker_tcp_connect_errors_total", &of);
    let mut all: Vec<(String, u64)> = samples
        .filter(|sample| sample.value > 0.0)
        .map(|sample| (sample.label("error_type").to_owned(), sample.value as u64))
        .collect();
    all.sort();
    all
}

/// Seconds that are within 5 % or 50 us each of the truth.
pub fn near(what: &str, found: f64, truth: f64, observations: u64) -> Result<()> {
    let allowed = (0.05 * truth).max(50e-6 * observations as f64) * f64::from(wait::slow());
    ensure!(
        (found - truth).abs() <= allowed,
        "{what}: {found} s, not {truth} s ({observations} observations)"
    );
    Ok(())
}

/// Waits until each agent says what is expected.
///
/// # Panics
/// When one does not.
pub fn each(what: &str, mut expect: impl FnMut(&Scrape) -> Result<()>) {
    for (way, agent) in of_tcp() {
        one(agent, &format!("{way}: {what}"), &mut expect);
    }
}

/// The same of one agent.
///
/// # Panics
/// When it does not: with what it said at first after a while, too, for what is idle for long is told no more.
pub fn one<T>(agent: &Agent, what: &str, mut expect: impl FnMut(&Scrape) -> Result<T>) -> T {
    let begin = Instant::now();
    let mut early = String::new();
    let result = wait::until(what, REFRESHED, || {
        let result = expect(&agent.scrape()?);
        if let (Err(error), true) = (&result, begin.elapsed() < REFRESHED) {
            early = error.to_string();
        }
        result
    });
    result.unwrap_or_else(|error| panic!("{error:#}; before: {early}"))
}
