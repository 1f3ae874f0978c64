//! Units of systemd, as its manager tells by D-Bus (org.freedesktop.systemd1(5)): states, versions, and what services, sockets and
//! timers count.

use super::dbus::{Address, Bus, Object, PATIENCE, Property};
use super::filter::{Filter, Pattern};
use super::flags::{Flag, Form, Setup};
use super::rows::{Rows, counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use zbus::ObjectPath;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "systemd",
    about: "units of systemd: states, restarts, tasks, sockets, timers",
    default: false,
    flags: &[
        &UNIT_INCLUDE,
        &UNIT_EXCLUDE,
        &PRIVATE,
        &TASK_METRICS,
        &RESTARTS_METRICS,
        &START_TIME_METRICS,
    ],
    make: |setup| Ok(Box::new(Systemd::new(setup)?)),
};

static UNIT_INCLUDE: Flag = Flag {
    name: "collector.systemd.unit-include",
    form: Form::Regex,
    help: "Units that are told of: those whose whole name matches this and not the pattern of those left out.",
    default: &[".+"],
    also: &["collector.systemd.unit-whitelist"],
    ..Flag::BASE
};
static UNIT_EXCLUDE: Flag = Flag {
    name: "collector.systemd.unit-exclude",
    form: Form::Regex,
    help: "Units that are left out, by their whole name.",
    default: &[r".+\.(automount|device|mount|scope|slice)"],
    also: &["collector.systemd.unit-blacklist"],
    ..Flag::BASE
};
static PRIVATE: Flag = Flag {
    name: "collector.systemd.private",
    form: Form::Switch,
    help: "Asks systemd at its own socket instead of the system's bus, which takes root.",
    default: &["false"],
    ..Flag::BASE
};
static TASK_METRICS: Flag = Flag {
    name: "collector.systemd.enable-task-metrics",
    form: Form::Switch,
    help: "Tells how many tasks services have and may have.",
    default: &["false"],
    ..Flag::BASE
};
static RESTARTS_METRICS: Flag = Flag {
    name: "collector.systemd.enable-restarts-metrics",
    form: Form::Switch,
    help: "Tells how often systemd started services again.",
    default: &["false"],
    ..Flag::BASE
};
static START_TIME_METRICS: Flag = Flag {
    name: "collector.systemd.enable-start-time-metrics",
    form: Form::Switch,
    help: "Tells since when units are active.",
    default: &["false"],
    ..Flag::BASE
};

static VERSION: Family = gauge("node_systemd_version", "Version of systemd; the label has all of it.");
static VIRTUALIZATION: Family = gauge("node_systemd_virtualization_info", "What the host is virtualized by.");
static RUNNING: Family = gauge(
    "node_systemd_system_running",
    "Whether the system is up and no unit of it failed.",
);
static UNITS: Family = gauge(
    "node_systemd_units",
    "Units in a state, those that are filtered out too.",
);
static STATE: Family = gauge("node_systemd_unit_state", "Whether a unit is in a state.");
static RESTARTS: Family = counter(
    "node_systemd_service_restart_total",
    "Starts of a service that ended by itself.",
);
static START_TIME: Family = gauge(
    "node_systemd_unit_start_time_seconds",
    "Unix time at which a unit became active; 0 when it is not.",
);
static TASKS: Family = gauge("node_systemd_unit_tasks_current", "Tasks of a service.");
static TASKS_MOST: Family = gauge("node_systemd_unit_tasks_max", "Tasks that a service may have.");
static TIMER: Family = gauge(
    "node_systemd_timer_last_trigger_seconds",
    "Unix time at which a timer last went off.",
);
static ACCEPTED: Family = counter(
    "node_systemd_socket_accepted_connections_total",
    "Connections that a socket accepted.",
);
static CONNECTIONS: Family = gauge("node_systemd_socket_current_connections", "Connections of a socket.");
/// A gauge, as node_exporter has it.
static REFUSED: Family = gauge(
    "node_systemd_socket_refused_connections_total",
    "Connections that a socket refused.",
);

const MANAGER: Object<'static> = Object {
    service: SERVICE,
    path: "/org/freedesktop/systemd1",
};
const SERVICE: &str = "org.freedesktop.systemd1";
const OF_MANAGER: &str = "org.freedesktop.systemd1.Manager";
const OF_UNIT: &str = "org.freedesktop.systemd1.Unit";
const OF_SERVICE: &str = "org.freedesktop.systemd1.Service";
const OF_MOUNT: &str = "org.freedesktop.systemd1.Mount";
const OF_SOCKET: &str = "org.freedesktop.systemd1.Socket";
const OF_TIMER: &str = "org.freedesktop.systemd1.Timer";

/// States that are told of each unit.
const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];
/// The first version that tells of the system's state and of timers.
const TELLS_MORE: f64 = 212.0;

/// Name, description, state of loading, of activity, of the type's own, followed unit, path, number, type and path of a job.
type Listed<'a> = (
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    ObjectPath<'a>,
    u32,
    &'a str,
    ObjectPath<'a>,
);

struct Systemd {
    addresses: Vec<Address>,
    /// The socket that is not a bus.
    private: Vec<Address>,
    units: Filter,
    tasks: bool,
    restarts: bool,
    start_times: bool,
}

/// A unit that is told of.
#[derive(Clone, Copy)]
struct Unit<'a> {
    name: &'a str,
    active: &'a str,
    path: &'a str,
}

impl Systemd {
    fn new(setup: &Setup<'_>) -> Result<Systemd, String> {
        let own = Path::new("/run/systemd/private").to_owned();
        let of_host = setup.host.root.join("run/systemd/private");
        let mut private = vec![Address::Path(of_host.clone())];
        if of_host != own {
            private.push(Address::Path(own));
        }
        let only = setup.is_on(&PRIVATE);
        Ok(Systemd {
            addresses: if only { Vec::new() } else { Address::system(setup.host) },
            // Others than root are not let in there.
            private: if only || rustix::process::geteuid().is_root() {
                private
            } else {
                Vec::new()
            },
            units: Filter::new(anchored(setup, &UNIT_INCLUDE)?, anchored(setup, &UNIT_EXCLUDE)?),
            tasks: setup.is_on(&TASK_METRICS),
            restarts: setup.is_on(&RESTARTS_METRICS),
            start_times: setup.is_on(&START_TIME_METRICS),
        })
    }

    fn connect(&self) -> Result<Bus, CollectError> {
        let until = Instant::now() + PATIENCE;
        let error = match Bus::connect(&self.addresses, until) {
            Ok(mut bus) => return bus.hello().map(|()| bus),
            Err(error) => error,
        };
        Bus::connect(&self.private, until).map_err(|private| if self.addresses.is_empty() { private } else { error })
    }
}

/// A pattern of whole names.
fn anchored(setup: &Setup<'_>, flag: &Flag) -> Result<Option<Pattern>, String> {
    let text = setup.text(flag);
    let made = Pattern::anchored(&text).map_err(|error| format!("--{}: {text:?} {error}", flag.name))?;
    Ok(Some(made))
}

impl Collect for Systemd {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut bus = self.connect()?;
        let mut of_manager = Vec::new();
        bus.properties(
            &["Version", "Virtualization", "SystemState"].map(|name| (MANAGER, OF_MANAGER, name)),
            &mut of_manager,
        )?;
        let mut of_manager = of_manager.iter().map(Option::as_ref);
        let mut next = || of_manager.next().flatten().and_then(Property::text);
        let (version, virtualization, state) = (next(), next(), next());

        let (number, version) = version.and_then(|text| Some((number(text)?, text))).unwrap_or_default();
        out.family(&VERSION);
        out.number(&[("version", version)], number);
        let kind = match virtualization {
            None => "unknown",
            Some("") => "none",
            Some(kind) => kind,
        };
        out.family(&VIRTUALIZATION);
        out.number(&[("virtualization_type", kind)], 1.0);
        let tells_more = number >= TELLS_MORE;
        if tells_more && let Some(state) = state {
            out.family(&RUNNING);
            out.number(&[], f64::from(u8::from(state == "running")));
        }

        let answer = bus.call(MANAGER, OF_MANAGER, "ListUnits")?;
        let listed: Vec<Listed<'_>> = answer.read()?;
        summary(&listed, out);
        let chosen = listed
            .iter()
            .filter(|unit| unit.2 == "loaded" && self.units.takes(unit.0));
        let units: Vec<Unit<'_>> = chosen
            .map(|unit| Unit {
                name: unit.0,
                active: unit.3,
                path: unit.6.as_str(),
            })
            .collect();
        let told = self.tell(&units, tells_more, &mut bus, out);
        if tells_more && state.is_none() {
            return told.and(Err(CollectError::Other(
                "systemd does not tell the system's state".to_owned(),
            )));
        }
        told
    }
}

/// How many units are in each state, also in those that are not told of each.
fn summary(listed: &[Listed<'_>], out: &mut dyn Encoder) {
    let mut counts: BTreeMap<&str, u32> = STATES.iter().map(|state| (*state, 0)).collect();
    for unit in listed {
        *counts.entry(unit.3).or_default() += 1;
    }
    out.family(&UNITS);
    for (state, count) in counts {
        out.number(&[("state", state)], count.into());
    }
}

impl Systemd {
    /// What is asked of a unit, in the order of [`Told`].
    fn wanted(&self, unit: &Unit<'_>, tells_more: bool) -> Vec<(&'static str, &'static str)> {
        let mut wanted = Vec::new();
        if self.start_times && unit.active == "active" {
            wanted.push((OF_UNIT, "ActiveEnterTimestamp"));
        }
        match unit.name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("service") => {
                wanted.push((OF_SERVICE, "Type"));
                if self.restarts {
                    wanted.push((OF_SERVICE, "NRestarts"));
                }
                if self.tasks {
                    wanted.extend([(OF_SERVICE, "TasksCurrent"), (OF_SERVICE, "TasksMax")]);
                }
            }
            Some("mount") => wanted.push((OF_MOUNT, "Type")),
            Some("socket") => {
                wanted.extend(["NAccepted", "NConnections", "NRefused"].map(|name| (OF_SOCKET, name)));
            }
            Some("timer") if tells_more => wanted.push((OF_TIMER, "LastTriggerUSec")),
            _ => {}
        }
        wanted
    }

    /// Says what is found of each unit.
    fn tell(
        &self,
        units: &[Unit<'_>],
        tells_more: bool,
        bus: &mut Bus,
        out: &mut dyn Encoder,
    ) -> Result<(), CollectError> {
        let mut wanted = Vec::new();
        let mut of = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            let object = Object {
                service: SERVICE,
                path: unit.path,
            };
            for (interface, name) in self.wanted(unit, tells_more) {
                wanted.push((object, interface, name));
                of.push((index, name));
            }
        }
        let mut values = Vec::new();
        let result = bus.properties(&wanted, &mut values);
        let found: BTreeMap<(usize, &str), &Property> = of
            .iter()
            .zip(&values)
            .filter_map(|(key, value)| Some((*key, value.as_ref()?)))
            .collect();
        let number = |index: usize, name: &str| found.get(&(index, name)).and_then(|value| value.number());
        let seconds = |micros: u64| micros as f64 / 1e6;

        let mut rows = Rows::new(out, &STATE);
        for (index, unit) in units.iter().enumerate() {
            let kind = found.get(&(index, "Type")).and_then(|kind| kind.text());
            // A series of its own, were it told without what was not answered any more.
            if kind.is_none() && result.is_err() && has_type(unit.name) {
                continue;
            }
            let kind = kind.unwrap_or_default();
            for state in STATES {
                let labels = [("name", unit.name), ("state", state), ("type", kind)];
                rows.number(&labels, f64::from(u8::from(unit.active == state)));
            }
        }
        let mut each = |family: &Family, value: &dyn Fn(usize, &Unit<'_>) -> Option<f64>| {
            let mut rows = Rows::new(out, family);
            for (index, unit) in units.iter().enumerate() {
                if let Some(value) = value(index, unit) {
                    rows.number(&[("name", unit.name)], value);
                }
            }
        };
        each(&RESTARTS, &|index, _| Some(number(index, "NRestarts")? as f64));
        if self.start_times {
            each(&START_TIME, &|index, unit| match unit.active {
                "active" => Some(seconds(number(index, "ActiveEnterTimestamp")?)),
                _ => Some(0.0),
            });
        }
        // The highest number there is: not counted, or not limited.
        let limit = |index, name| number(index, name).filter(|n| *n != u64::MAX).map(|n| n as f64);
        each(&TASKS, &|index, _| limit(index, "TasksCurrent"));
        each(&TASKS_MOST, &|index, _| limit(index, "TasksMax"));
        each(&TIMER, &|index, _| Some(seconds(number(index, "LastTriggerUSec")?)));
        let accepted = |index| number(index, "NAccepted");
        let connections = |index| accepted(index).and(number(index, "NConnections"));
        each(&ACCEPTED, &|index, _| Some(accepted(index)? as f64));
        each(&CONNECTIONS, &|index, _| Some(connections(index)? as f64));
        each(&REFUSED, &|index, _| {
            Some(connections(index).and(number(index, "NRefused"))? as f64)
        });
        result
    }
}

/// Services and mounts are of types.
fn has_type(unit: &str) -> bool {
    unit.ends_with(".service") || unit.ends_with(".mount")
}

/// The number of a version (`257.9-1~deb13u1`): the first three digits or more, and what follows a point.
fn number(version: &str) -> Option<f64> {
    let mut rest = version;
    loop {
        let begin = rest.find(|c: char| c.is_ascii_digit())?;
        rest = rest.get(begin..)?;
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let whole = digits(rest);
        if whole >= 3 {
            let part = rest.get(whole..)?.strip_prefix('.').map_or(0, digits);
            let end = if part > 0 { whole + 1 + part } else { whole };
            return rest.get(..end)?.parse().ok();
        }
        rest = rest.get(whole..)?;
    }
}

#[cfg(test)]
mod tests;
