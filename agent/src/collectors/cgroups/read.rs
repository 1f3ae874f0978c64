//! What the files of a cgroup say (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/).

use super::super::node::pool::Pool;
use super::search::{Group, Roots, Split};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Nanoseconds and microseconds of a second; ticks of `cpuacct.stat` (`USER_HZ`).
const NANOS: f64 = 1e9;
const MICROS: f64 = 1e6;
const TICKS: f64 = 100.0;
/// Version 1 has this or more for no limit: the largest number that is a multiple of the page size.
const UNLIMITED: f64 = 9e18;
/// Devices that are known by name.
const DEVICES: usize = 4096;

/// Kinds of memory that are told, as `memory.stat` names them in version 2, and in version 1.
const KINDS: &[(&str, &str)] = &[
    ("anon", "total_rss"),
    ("file", "total_cache"),
    ("kernel", ""),
    ("kernel_stack", ""),
    ("pagetables", ""),
    ("percpu", ""),
    ("sock", ""),
    ("shmem", "total_shmem"),
    ("file_mapped", "total_mapped_file"),
    ("file_dirty", "total_dirty"),
    ("file_writeback", "total_writeback"),
    ("slab_reclaimable", ""),
    ("slab_unreclaimable", ""),
    ("swapcached", ""),
    ("zswap", ""),
];

/// What a cgroup's files say. What is not there is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// Seconds in user and system mode.
    pub(super) cpu: [Option<f64>; 2],
    /// Of a cgroup with a quota.
    pub(super) throttling: Option<Throttling>,
    pub(super) memory: Option<f64>,
    pub(super) memory_peak: Option<f64>,
    pub(super) memory_limit: Option<f64>,
    pub(super) kinds: Vec<(&'static str, f64)>,
    pub(super) events: Vec<(&'static str, f64)>,
    pub(super) io: Vec<Io>,
    pub(super) tasks: Option<f64>,
    pub(super) tasks_limit: Option<f64>,
    /// Resource, `some` or `full`, seconds.
    pub(super) pressure: Vec<(&'static str, &'static str, f64)>,
}

/// What `cpu.stat` says of throttling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Throttling {
    pub(super) periods: f64,
    pub(super) throttled: f64,
    pub(super) seconds: f64,
}

/// What a cgroup moved to and from a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Io {
    pub(super) device: String,
    /// Bytes, then operations; of reads, then of writes.
    pub(super) numbers: [[Option<f64>; 2]; 2],
}

impl Reading {
    pub(super) fn of(roots: &Roots, group: &Group, devices: &mut Devices, files: &mut Pool) -> Reading {
        let below = group.path.trim_start_matches('/');
        match roots {
            Roots::Unified(root) => Reading::unified(root.join(below), group.quota, devices, files),
            Roots::Split(split) => Reading::split(split, below, group.quota, devices, files),
        }
    }

    fn unified(at: PathBuf, quota: bool, devices: &mut Devices, files: &mut Pool) -> Reading {
        let mut reading = Reading::default();
        let mut at = Folder(at, files);
        if let Some(cpu) = at.text("cpu.stat") {
            let seconds = |name| value(&cpu, name).map(|micros| micros / MICROS);
            reading.cpu = ["user_usec", "system_usec"].map(seconds);
            reading.throttling = quota.then(|| throttling(&cpu)).flatten();
        }
        reading.memory = at.number("memory.current");
        reading.memory_peak = at.number("memory.peak");
        reading.memory_limit = at.number("memory.max");
        if let Some(memory) = at.text("memory.stat") {
            reading.kinds = kinds(&memory, |(name, _)| name);
        }
        if let Some(text) = at.text("memory.events") {
            let told = ["low", "high", "max", "oom", "oom_kill"];
            let found = told.into_iter().filter_map(|name| Some((name, value(&text, name)?)));
            reading.events = found.collect();
        }
        if let Some(text) = at.text("io.stat") {
            reading.io = io(&text, devices);
        }
        reading.tasks = at.number("pids.current");
        reading.tasks_limit = at.number("pids.max");
        for (resource, file) in [
            ("cpu", "cpu.pressure"),
            ("memory", "memory.pressure"),
            ("io", "io.pressure"),
        ] {
            if let Some(text) = at.text(file) {
                let stalls = stalls(&text).map(|(stall, seconds)| (resource, stall, seconds));
                reading.pressure.extend(stalls);
            }
        }
        reading
    }

    fn split(split: &Split, below: &str, quota: bool, devices: &mut Devices, files: &mut Pool) -> Reading {
        let mut reading = Reading::default();
        let at = |root: &Option<PathBuf>| root.as_ref().map(|root| root.join(below));
        if let Some(at) = at(&split.cpuacct)
            && let Some(text) = Folder(at, files).text("cpuacct.stat")
        {
            reading.cpu = ["user", "system"].map(|name| value(&text, name).map(|ticks| ticks / TICKS));
        }
        if let Some(at) = at(&split.cpu).filter(|_| quota) {
            reading.throttling = Folder(at, files).text("cpu.stat").as_deref().and_then(throttling);
        }
        if let Some(at) = at(&split.memory) {
            let mut at = Folder(at, files);
            if let Some(text) = at.text("memory.stat") {
                reading.kinds = kinds(&text, |(_, old)| old);
            }
            let full = at.number("memory.failcnt");
            let oom = at.text("memory.oom_control").and_then(|oom| value(&oom, "oom_kill"));
            let events = [("max", full), ("oom_kill", oom)];
            let known = events.into_iter().filter_map(|(name, count)| Some((name, count?)));
            reading.events = known.collect();
            reading.memory = at.number("memory.usage_in_bytes");
            reading.memory_peak = at.number("memory.max_usage_in_bytes");
            let limit = at.number("memory.limit_in_bytes");
            reading.memory_limit = limit.filter(|limit| *limit < UNLIMITED);
        }
        if let Some(at) = at(&split.blkio) {
            let mut at = Folder(at, files);
            for (place, file) in ["blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"]
                .into_iter()
                .enumerate()
            {
                if let Some(text) = at.text(file) {
                    old_io(&text, place, &mut reading.io, devices);
                }
            }
        }
        if let Some(at) = at(&split.pids) {
            let mut at = Folder(at, files);
            reading.tasks = at.number("pids.current");
            reading.tasks_limit = at.number("pids.max");
        }
        reading
    }
}

/// A cgroup's folder.
struct Folder<'f>(PathBuf, &'f mut Pool);

impl Folder<'_> {
    fn text(&mut self, file: &str) -> Option<Cow<'_, str>> {
        self.0.push(file);
        let text = self.1.text(&self.0);
        self.0.pop();
        text
    }

    /// A file's only number; `max` is none.
    fn number(&mut self, file: &str) -> Option<f64> {
        self.text(file)?.parse().ok()
    }
}

/// Kinds of memory in one walk of a text. Each has the name that `named` says.
fn kinds(text: &str, named: fn(&(&'static str, &'static str)) -> &'static str) -> Vec<(&'static str, f64)> {
    let mut found = [None; KINDS.len()];
    for (name, number) in text.lines().filter_map(|line| line.split_once(' ')) {
        if let Some(place) = KINDS.iter().position(|kind| named(kind) == name) {
            found[place] = number.trim().parse().ok();
        }
    }
    let known = KINDS.iter().zip(found);
    known.filter_map(|((name, _), number)| Some((*name, number?))).collect()
}

/// The number behind a name, one to a line.
fn value(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

/// `nr_periods`, `nr_throttled`, and `throttled_usec` (version 2) or `throttled_time` (version 1, nanoseconds).
fn throttling(text: &str) -> Option<Throttling> {
    let micros = value(text, "throttled_usec").map(|micros| micros / MICROS);
    Some(Throttling {
        periods: value(text, "nr_periods")?,
        throttled: value(text, "nr_throttled")?,
        seconds: micros.or_else(|| Some(value(text, "throttled_time")? / NANOS))?,
    })
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`, in microseconds.
fn stalls(text: &str) -> impl Iterator<Item = (&'static str, f64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let stall = match words.next()? {
            "some" => "some",
            "full" => "full",
            _ => return None,
        };
        let micros: f64 = words.find_map(|word| word.strip_prefix("total="))?.parse().ok()?;
        Some((stall, micros / MICROS))
    })
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
fn io(text: &str, devices: &mut Devices) -> Vec<Io> {
    let lines = text.lines().filter_map(|line| {
        let (device, rest) = line.split_once(' ')?;
        let of = |name: &str| {
            let mut pairs = rest.split_ascii_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name)?.1.parse::<f64>().ok()
        };
        let numbers = [["rbytes", "wbytes"], ["rios", "wios"]].map(|names| names.map(of));
        // Of a device that was only waited for there are no such numbers.
        numbers.iter().flatten().any(Option::is_some).then(|| Io {
            device: devices.name(device),
            numbers,
        })
    });
    lines.collect()
}

/// `8:0 Read 4096`.
fn old_io(text: &str, place: usize, all: &mut Vec<Io>, devices: &mut Devices) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(what), Some(Ok(number))) =
            (words.next(), words.next(), words.next().map(str::parse::<f64>))
        else {
            continue;
        };
        let direction = match what {
            "Read" => 0,
            "Write" => 1,
            _ => continue,
        };
        let device = devices.name(device);
        let known = all.iter_mut().find(|io| io.device == device);
        let io = match known {
            Some(io) => io,
            None => {
                all.push(Io {
                    device,
                    ..Io::default()
                });
                let Some(io) = all.last_mut() else { return };
                io
            }
        };
        if let Some(cell) = io.numbers.get_mut(place).and_then(|pair| pair.get_mut(direction)) {
            *cell = Some(number);
        }
    }
}

/// Names of block devices by number.
pub(super) struct Devices {
    sys: PathBuf,
    known: HashMap<String, String>,
}

impl Devices {
    pub(super) fn new(sys: &Path) -> Devices {
        Devices {
            sys: sys.to_owned(),
            known: HashMap::new(),
        }
    }

    /// The name of a device (`8:0` is `sda`); its numbers where it has no name.
    fn name(&mut self, number: &str) -> String {
        if let Some(name) = self.known.get(number) {
            return name.clone();
        }
        let link = std::fs::read_link(self.sys.join("dev/block").join(number)).ok();
        let name = link.and_then(|to| Some(to.file_name()?.to_str()?.to_owned()));
        let name = name.unwrap_or_else(|| number.to_owned());
        if self.known.len() >= DEVICES {
            self.known.clear();
        }
        self.known.insert(number.to_owned(), name.clone());
        name
    }
}
