//! Counters of the processors and of the kernel (`perf_event_open(2)`): one each for an event on a processor, of all processes.
//!
//! A processor has few counters: when more are asked for, the kernel lets them take turns, and each counts a part of the time alone.
//! As node_exporter does, what they counted is told as it is.

mod event;

use super::files;
use super::flags::{Flag, Form, Setup};
use super::rows::Rows;
use super::{Collect, CollectError, Collector};
use crate::host::Host;
use crate::metric::{Encoder, Family, Kind};
use event::{CACHE, Counter, Event, HARDWARE, SOFTWARE, Type};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "perf",
    about: "counters of processors and kernel: cycles, instructions, caches, faults, tracepoints",
    default: false,
    flags: &[
        &CPUS,
        &TRACEPOINT,
        &NO_HARDWARE,
        &ONLY_HARDWARE,
        &NO_SOFTWARE,
        &ONLY_SOFTWARE,
        &NO_CACHE,
        &ONLY_CACHE,
    ],
    make: |setup| Ok(Box::new(Perf::new(setup)?)),
};

static CPUS: Flag = Flag {
    name: "collector.perf.cpus",
    help: "Processors that are counted on, such as 0,2-8:2 (every second one from 2 to 8); all when it is empty.",
    ..Flag::BASE
};
static TRACEPOINT: Flag = Flag {
    name: "collector.perf.tracepoint",
    help: "A tracepoint of the kernel that is counted, such as sched:sched_process_exec.",
    repeatable: true,
    ..Flag::BASE
};
static NO_HARDWARE: Flag = Flag {
    name: "collector.perf.disable-hardware-profilers",
    form: Form::Switch,
    help: "Leaves out what processors count.",
    default: &["false"],
    ..Flag::BASE
};
static ONLY_HARDWARE: Flag = Flag {
    name: "collector.perf.hardware-profilers",
    help: "One of those that processors count, such as CpuCycles; all when there is none.",
    repeatable: true,
    ..Flag::BASE
};
static NO_SOFTWARE: Flag = Flag {
    name: "collector.perf.disable-software-profilers",
    form: Form::Switch,
    help: "Leaves out what the kernel counts.",
    default: &["false"],
    ..Flag::BASE
};
static ONLY_SOFTWARE: Flag = Flag {
    name: "collector.perf.software-profilers",
    help: "One of those that the kernel counts, such as PageFault; all when there is none.",
    repeatable: true,
    ..Flag::BASE
};
static NO_CACHE: Flag = Flag {
    name: "collector.perf.disable-cache-profilers",
    form: Form::Switch,
    help: "Leaves out what processors count of their caches.",
    default: &["false"],
    ..Flag::BASE
};
static ONLY_CACHE: Flag = Flag {
    name: "collector.perf.cache-profilers",
    help: "One of those that processors count of their caches, such as LLReadMiss; all when there is none.",
    repeatable: true,
    ..Flag::BASE
};

/// Processors at most: those that Linux can be made for.
const MOST: u32 = 8192;
/// What perf events need, when it is not there.
const NEEDS: &str = "it takes CAP_PERFMON, or kernel.perf_event_paranoid of 0 or less";

struct Perf {
    /// Processors that were named; `None`: those that are online.
    cpus: Option<Vec<u32>>,
    /// The file that says which are online.
    online: std::path::PathBuf,
    events: Vec<(Family, Event)>,
    tracepoints: Vec<Tracepoint>,
    /// By processor: the counters, in the order of the families (`None`: it has no such).
    counters: BTreeMap<u32, Vec<Option<Counter>>>,
}

/// A tracepoint whose number must be looked up.
struct Tracepoint {
    family: Family,
    /// Files that may have its number.
    files: [std::path::PathBuf; 2],
}

impl Perf {
    fn new(setup: &Setup<'_>) -> Result<Perf, String> {
        let mut events = Vec::new();
        for (known, off, only) in [
            (&HARDWARE[..], &NO_HARDWARE, &ONLY_HARDWARE),
            (&SOFTWARE[..], &NO_SOFTWARE, &ONLY_SOFTWARE),
            (&CACHE[..], &NO_CACHE, &ONLY_CACHE),
        ] {
            if setup.is_on(off) {
                continue;
            }
            let only = setup.texts(only);
            let wanted = known
                .iter()
                .filter(|row| only.is_empty() || only.iter().any(|name| name == row.name));
            events.extend(wanted.map(|row| (Family::new(row.family, "", row.help, Kind::Counter), row.event)));
        }
        let text = setup.text(&CPUS);
        let cpus = match text.as_str() {
            "" => None,
            text => Some(cpus(text).map_err(|what| format!("--{}: {text:?} {what}", CPUS.name))?),
        };
        let mut tracepoints: Vec<Tracepoint> = Vec::new();
        for name in setup.texts(&TRACEPOINT) {
            let made = tracepoint(setup.host, &name);
            let made =
                made.ok_or_else(|| format!("--{}: {name:?} is none such as sched:sched_switch", TRACEPOINT.name))?;
            if tracepoints.iter().all(|known| known.family.name != made.family.name) {
                tracepoints.push(made);
            }
        }
        Ok(Perf {
            cpus,
            online: setup.host.sys.join("devices/system/cpu/online"),
            events,
            tracepoints,
            counters: BTreeMap::new(),
        })
    }

    /// Processors that are counted on now.
    fn now(&self) -> Result<Vec<u32>, CollectError> {
        if let Some(cpus) = &self.cpus {
            return Ok(cpus.clone());
        }
        let text = files::text(&self.online)?;
        cpus(&text).map_err(|what| CollectError::malformed(&self.online, format!("{text:?} {what}")))
    }

    /// Counters of a processor, in the order of the families.
    fn open(&self, cpu: u32, tracepoints: &[Result<Event, CollectError>]) -> io::Result<Vec<Option<Counter>>> {
        let traced = tracepoints.iter().map(|event| event.as_ref().ok().copied());
        let all = self.events.iter().map(|(_, event)| Some(*event)).chain(traced);
        all.map(|event| match event.map(|event| Counter::open(event, cpu)) {
            Some(Ok(counter)) => Ok(Some(counter)),
            Some(Err(error)) if !is_unknown(&error) => Err(error),
            _ => Ok(None),
        })
        .collect()
    }
}

/// What a processor, a kernel or a virtual machine does not count, or a processor that is not there.
fn is_unknown(error: &io::Error) -> bool {
    const UNKNOWN: [i32; 5] = [libc::ENOENT, libc::ENODEV, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOSYS];
    error.raw_os_error().is_some_and(|code| UNKNOWN.contains(&code))
}

impl Collect for Perf {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let cpus = self.now()?;
        self.counters.retain(|cpu, _| cpus.contains(cpu));
        let mut result = Ok(());
        let new: Vec<u32> = cpus
            .into_iter()
            .filter(|cpu| !self.counters.contains_key(cpu))
            .collect();
        if !new.is_empty() {
            let tracepoints: Vec<_> = self.tracepoints.iter().map(Tracepoint::event).collect();
            for cpu in new {
                match self.open(cpu, &tracepoints) {
                    Ok(counters) => drop(self.counters.insert(cpu, counters)),
                    Err(error) => {
                        let needs = if error.kind() == io::ErrorKind::PermissionDenied {
                            NEEDS
                        } else {
                            ""
                        };
                        let what = format!("no counters on processor {cpu}: {error} {needs}");
                        result = Err(CollectError::Other(what.trim_end().to_owned()));
                    }
                }
            }
            // One without its number: nothing of it is told, until the collector is made anew.
            if let Some(error) = tracepoints.into_iter().find_map(Result::err) {
                result = result.and(Err(error));
            }
        }
        let families = self.events.iter().map(|(family, _)| family);
        let families = families.chain(self.tracepoints.iter().map(|tracepoint| &tracepoint.family));
        let mut some = false;
        for (index, family) in families.enumerate() {
            let mut rows = Rows::new(out, family);
            for (cpu, counters) in &self.counters {
                // A processor that went offline meanwhile has none.
                if let Some(Some(Ok(count))) = counters.get(index).map(|counter| counter.as_ref().map(Counter::read)) {
                    rows.number(&[("cpu", &cpu.to_string())], count as f64);
                    some = true;
                }
            }
        }
        if !some && result.is_ok() {
            return Err(CollectError::NoData("none of the events can be counted".to_owned()));
        }
        result
    }
}

impl Tracepoint {
    /// Its event, by the number that the kernel gave it.
    fn event(&self) -> Result<Event, CollectError> {
        let [first, second] = &self.files;
        let number = files::number(first).or_else(|error| match error {
            CollectError::NoData(_) => files::number(second),
            other => Err(other),
        })?;
        Ok(Event(Type::Tracepoint, number))
    }
}

/// The tracepoint of that name; `None`: it cannot be one.
fn tracepoint(host: &Host, name: &str) -> Option<Tracepoint> {
    let (system, event) = name.split_once(':')?;
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name(system) || !is_name(event) {
        return None;
    }
    let file = Path::new("tracing/events").join(system).join(event).join("id");
    Some(Tracepoint {
        family: Family {
            name: format!("node_perf_{system}_{event}").into(),
            unit: "".into(),
            help: format!("How often the kernel passed the tracepoint {name}.").into(),
            kind: Kind::Counter,
        },
        files: [
            host.sys.join("kernel").join(&file),
            host.sys.join("kernel/debug").join(&file),
        ],
    })
}

/// Numbers of processors: `0`, `0-3`, `0-8:2` and lists of these.
fn cpus(text: &str) -> Result<Vec<u32>, String> {
    let mut all = Vec::new();
    for part in text.trim().split(',') {
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number) if number < MOST => Ok(number),
            _ => Err(format!("names a processor {text:?}, which is no number below {MOST}")),
        };
        let Some((first, last)) = part.split_once('-') else {
            all.push(number(part)?);
            continue;
        };
        let (last, step) = match last.split_once(':') {
            Some((last, step)) => (last, number(step)?),
            None => (last, 1),
        };
        if step == 0 {
            return Err("has a step of 0".to_owned());
        }
        all.extend((number(first)?..=number(last)?).step_by(step as usize));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests;
