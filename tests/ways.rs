//! An agent for each way that a kernel has to see the same.

use crate::agent::{Agent, Options};
use crate::probes;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Agents, each with the alternative that it has.
type Ways = &'static [(String, Agent)];

/// One agent for each alternative of the probe `dns` that this kernel has, with that alternative.
pub fn of_dns() -> Ways {
    of("dns", &["dns", "udp_drops"], &[])
}

/// The same of the probe `tcp`. The probe `tcp_accept` is enabled; answers of name servers give peers their names.
pub fn of_tcp() -> Ways {
    of(
        "tcp",
        &["tcp", "tcp_open", "tcp_accept", "dns"],
        &["--probes.enable=tcp_accept"],
    )
}

/// The same of the probe `offcpu`.
pub fn of_offcpu() -> Ways {
    of("offcpu", &["offcpu"], &["--probes.enable=offcpu"])
}

/// The same of any probe, but for ways that miss calls on this kernel ([`probes::misses_calls`]), with further arguments; both must be
/// the same each time. `about`: [`Options::about`]. They live as long as the test process.
///
/// # Panics
/// When an agent does not start, or has no alternative.
pub fn of(probe: &'static str, about: &'static [&'static str], args: &[&str]) -> Ways {
    static ALL: Mutex<BTreeMap<&str, Ways>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(probe).or_insert_with(|| start(probe, about, args).leak())
}

fn start(probe: &str, about: &'static [&'static str], args: &[&str]) -> Vec<(String, Agent)> {
    let mut agents: Vec<(String, Agent)> = Vec::new();
    let ways = probes::alternatives(probe);
    let mut refused = 0;
    while refused < ways.len() {
        if probes::misses_calls(probe, ways[refused]) {
            refused += 1;
            continue;
        }
        let options = Options {
            about,
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
        // Those between are not of this kernel; the last is never refused.
        let place = ways.iter().position(|known| *known == way);
        refused = refused.max(place.unwrap_or_else(|| panic!("{way} is not known of {probe}"))) + 1;
        if probes::misses_calls(probe, &way) || agents.iter().any(|(known, _)| *known == way) {
            continue;
        }
        agents.push((way, agent));
    }
    assert!(!agents.is_empty(), "{probe} is no probe");
    agents
}
