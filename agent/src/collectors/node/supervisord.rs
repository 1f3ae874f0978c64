//! Processes of supervisord, by its XML-RPC (`supervisor.getAllProcessInfo`, supervisord.org/api.html).

mod client;
mod xml;

use super::flags::{Flag, Setup};
use super::rows::{Rows, counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use client::Endpoint;
use std::time::{Duration, Instant};
use xml::Process;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "supervisord",
    about: "processes of supervisord",
    default: false,
    flags: &[&URL],
    make: |setup| Ok(Box::new(Supervisord::new(setup)?)),
};

static URL: Flag = Flag {
    name: "collector.supervisord.url",
    help: "Where supervisord answers: http://HOST:PORT/RPC2, or unix:///PATH of its socket.",
    default: &["http://localhost:9001/RPC2"],
    ..Flag::BASE
};

static STATE: Family = gauge(
    "node_supervisord_state",
    "State of a process, as supervisord numbers them (20: it runs).",
);
static EXIT_STATUS: Family = gauge("node_supervisord_exit_status", "Status that a process last ended with.");
static UP: Family = gauge("node_supervisord_up", "Whether a process starts, runs or stops.");
/// A counter, as node_exporter has it.
static START_TIME: Family = counter(
    "node_supervisord_start_time_seconds",
    "Unix time at which a process began.",
);

/// What the collector may wait in all: less than a scrape waits for it.
const PATIENCE: Duration = Duration::from_millis(800);

struct Supervisord(Endpoint);

impl Supervisord {
    fn new(setup: &Setup<'_>) -> Result<Supervisord, String> {
        let text = setup.text(&URL);
        let endpoint = Endpoint::parse(&text).map_err(|what| format!("--{}: {text:?} {what}", URL.name))?;
        Ok(Supervisord(endpoint))
    }
}

impl Collect for Supervisord {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let failed = |what: String| CollectError::Other(format!("supervisord at {}: {what}", self.0));
        let call = xml::call("supervisor.getAllProcessInfo");
        let answer = self.0.ask(&call, Instant::now() + PATIENCE).map_err(failed)?;
        tell(&xml::processes(&answer).map_err(failed)?, out);
        Ok(())
    }
}

/// Starting, running, stopping: there is a process.
fn is_up(process: &Process) -> bool {
    matches!(process.state, 10 | 20 | 40)
}

fn tell(processes: &[Process], out: &mut dyn Encoder) {
    type Value = fn(&Process) -> Option<f64>;
    let families: [(&Family, Value); 4] = [
        (&STATE, |process| Some(process.state as f64)),
        (&EXIT_STATUS, |process| Some(process.exit_status as f64)),
        (&UP, |process| Some(f64::from(u8::from(is_up(process))))),
        (&START_TIME, |process| is_up(process).then_some(process.start as f64)),
    ];
    for (family, value) in families {
        let mut rows = Rows::new(out, family);
        for process in processes {
            if let Some(value) = value(process) {
                rows.number(&[("group", &process.group), ("name", &process.name)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
