//! An agent for each way that a kernel has to see the same.

use crate::agent::{Agent, Options};
use crate::probes;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Agents, each with the alternative that it has.
type Ways = &'static [(String, Agent)];

/// One agent for each alternative of the probe `dns` that this kernel has, with that alternative.
pub fn of_dns() -> Ways {
    of("dns", &[])
}

/// The same of the probe `tcp`. The probe `tcp_accept` is enabled.
pub fn of_tcp() -> Ways {
    of("tcp", &["--probes.enable=tcp_accept"])
}

/// The same of the probe `offcpu`.
pub fn of_offcpu() -> Ways {
    of("offcpu", &["--probes.enable=offcpu"])
}

/// The same of any probe, but for ways that miss calls on this kernel ([`probes::misses_calls`]), with further arguments, which must be the same each time. They live as long as the test process.
///
/// # Panics
/// When an agent does not start, or has no alternative.
pub fn of(probe: &'static str, args: &[&str]) -> Ways {
    static ALL: Mutex<BTreeMap<&str, Ways>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(probe).or_insert_with(|| start(probe, args).leak())
}

fn start(probe: &str, args: &[&str]) -> Vec<(String, Agent)> {
    let mut agents: Vec<(String, Agent)> = Vec::new();
    for refused in 0..probes::alternatives(probe).len() {
        let options = Options {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("ONLOOKER_TEST_REFUSE".into(), probes::refusing(&[probe], refused))],
            ..Options::default()
        };
        let agent = Agent::start(&options).unwrap();
        let scrape = agent.scrape().unwrap();
        let of = [("probe", probe)];
        let attached = scrape.select("onlooker_probe_attached", &of).next();
        let way = attached.map_or("", |sample| sample.label("alternative")).to_owned();
        assert!(!way.is_empty(), "not attached");
        if probes::misses_calls(probe, &way) {
            continue;
        }
        if agents.iter().all(|(known, _)| *known != way) {
            agents.push((way, agent));
        }
    }
    assert!(!agents.is_empty(), "{probe} is no probe");
    agents
}
