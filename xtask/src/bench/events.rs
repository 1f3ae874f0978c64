//! What each probe of kernel events costs the programs it watches: onlooker with it beside onlooker without it, in the same rounds.

use std::time::Instant;

use anyhow::{Context, Result};

use super::Bench;
use super::bed::{Bed, Condition};
use super::row::{Row, Sides, Style};
use super::saturated::wrk;
use super::server::Server;

/// What is measured with and without a probe.
#[derive(Clone, Copy)]
enum Work {
    /// Requests a second of nginx, over connections that stay.
    Requests,
    /// Requests a second of nginx, a connection for each.
    Connections,
    /// Nanoseconds of a system call of the program `bench`.
    Call(&'static str),
    /// Milliseconds of so many processes, one after the other.
    Processes(usize),
}

/// A probe, by the options that leave it out and bring it in.
struct Compared {
    probe: &'static str,
    without: &'static [&'static str],
    with: &'static [&'static str],
    work: &'static [Work],
}

const ALL: &[Compared] = &[
    Compared {
        probe: "errors",
        without: &["--probes.disable=errors"],
        with: &[],
        work: &[Work::Requests, Work::Call("getppid"), Work::Call("read-fails")],
    },
    Compared {
        probe: "dns",
        without: &["--probes.disable=dns"],
        with: &[],
        work: &[Work::Requests],
    },
    Compared {
        probe: "usage",
        without: &["--probes.disable=usage"],
        with: &[],
        work: &[Work::Processes(1000)],
    },
    Compared {
        probe: "all",
        without: &[
            "--probes.disable=errors",
            "--probes.disable=dns",
            "--probes.disable=udp_drops",
            "--probes.disable=block",
            "--probes.disable=reclaim",
            "--probes.disable=usage",
            "--probes.disable=oom",
        ],
        with: &[],
        work: &[Work::Requests, Work::Connections],
    },
];

/// All of them.
pub(crate) struct Events;

impl Bench for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn about(&self) -> &'static str {
        "probes of kernel events, each beside onlooker without it"
    }

    fn run(&self, bed: &Bed) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for Compared {
            probe,
            without,
            with,
            work,
        } in ALL
        {
            let hooks = bed.own_hooks();
            let conditions = [Condition::Onlooker(hooks, without), Condition::Onlooker(hooks, with)];
            for work in *work {
                let server = match work {
                    Work::Requests | Work::Connections => Some(Server::start(bed, "nginx")?),
                    Work::Call(_) | Work::Processes(_) => None,
                };
                let found = bed.compare(&conditions, bed.rounds, |_, _| work.measure(bed, server.as_ref()))?;
                let [without, with] = [0, 1].map(|index| found.get(index).cloned().unwrap_or_default());
                let sides = Sides {
                    nothing: without,
                    no_op: Vec::new(),
                    onlooker: with,
                };
                let (figure, unit, style) = work.told();
                let row = Row::compared(self.name(), format!("{probe}: {figure}"), unit, style, &sides);
                rows.push(row.noting("\"nothing\" is onlooker without this probe"));
            }
        }
        Ok(rows)
    }
}

impl Work {
    fn told(self) -> (String, &'static str, Style) {
        match self {
            Work::Requests => ("nginx, keep-alive".to_owned(), "1/s", Style::Throughput),
            Work::Connections => (
                "nginx, a connection for each request".to_owned(),
                "1/s",
                Style::Throughput,
            ),
            Work::Call(name) => (name.to_owned(), "ns", Style::Time),
            Work::Processes(count) => (format!("{count} processes"), "ms", Style::Time),
        }
    }

    fn measure(self, bed: &Bed, server: Option<&Server>) -> Result<f64> {
        match self {
            Work::Requests | Work::Connections => {
                let server = server.context("no server")?;
                let close = matches!(self, Work::Connections);
                let (answered, seconds) = wrk(bed, &format!("http://{}/", server.address), 64, bed.seconds, close)?;
                Ok(answered as f64 / seconds)
            }
            Work::Call(name) => {
                let milliseconds = (bed.seconds * 100).min(300).to_string();
                bed.ask(&["calls", name, &milliseconds])?["nanos"]
                    .as_f64()
                    .context("nanos")
            }
            Work::Processes(count) => {
                let program = bed.need("true")?;
                let started = Instant::now();
                for _ in 0..bed.scaled(count, count / 10) {
                    bed.run(&program, &[])?;
                }
                Ok(started.elapsed().as_secs_f64() * 1e3)
            }
        }
    }
}
