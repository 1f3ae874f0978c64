//! CPUs: the time they spent in each mode (`proc/stat`, `fs/proc/stat.c`), what they are (`proc/cpuinfo`), and which are throttled,
//! isolated and online (`sys/devices/system/cpu`, `Documentation/ABI/testing/sysfs-devices-system-cpu`).

mod info;
mod throttle;

use super::files::{Folder, Kept};
use super::filter::Pattern;
use super::flags::{Flag, Form, Setup};
use super::pool::Pool;
use super::{Collect, CollectError, Collector, cpus};
use crate::metric::{Encoder, Family, Kind};
use throttle::Throttles;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "cpu",
    about: "time of CPUs by mode, and what CPUs are",
    flags: &[&GUEST_FLAG, &INFO_FLAG, &FLAGS_INCLUDE, &BUGS_INCLUDE],
    make: |setup| Ok(Box::new(Cpu::new(setup)?)),
    ..Collector::BASE
};

static GUEST_FLAG: Flag = Flag {
    name: "collector.cpu.guest",
    form: Form::Switch,
    help: "Tell the time that CPUs spent in virtual machines.",
    default: &["true"],
    ..Flag::BASE
};
static INFO_FLAG: Flag = Flag {
    name: "collector.cpu.info",
    form: Form::Switch,
    help: "Tell vendor, model and frequency of each CPU.",
    ..Flag::BASE
};
static FLAGS_INCLUDE: Flag = Flag {
    name: "collector.cpu.info.flags-include",
    form: Form::Regex,
    help: "Features of CPUs to tell; switches collector.cpu.info on.",
    ..Flag::BASE
};
static BUGS_INCLUDE: Flag = Flag {
    name: "collector.cpu.info.bugs-include",
    form: Form::Regex,
    help: "Bugs of CPUs to tell; switches collector.cpu.info on.",
    ..Flag::BASE
};

static SECONDS: Family = Family::new(
    "node_cpu_seconds_total",
    "seconds",
    "Time that a CPU spent in a mode.",
    Kind::Counter,
);
static GUEST: Family = Family::new(
    "node_cpu_guest_seconds_total",
    "seconds",
    "Time that a CPU spent in virtual machines; it is part of the user and nice time too.",
    Kind::Counter,
);
static INFO: Family = Family::new("node_cpu_info", "", "What a CPU is, in its labels.", Kind::Gauge);
static FREQUENCY: Family = Family::new(
    "node_cpu_frequency_hertz",
    "hertz",
    "Frequency of a CPU now.",
    Kind::Gauge,
);
static FEATURE: Family = Family::new("node_cpu_flag_info", "", "A feature of the first CPU.", Kind::Gauge);
static BUG: Family = Family::new("node_cpu_bug_info", "", "A bug of the first CPU.", Kind::Gauge);
static ISOLATED: Family = Family::new(
    "node_cpu_isolated",
    "",
    "CPUs that the scheduler leaves alone.",
    Kind::Gauge,
);
static ONLINE: Family = Family::new("node_cpu_online", "", "Whether a CPU is in use.", Kind::Gauge);

/// Columns of a CPU in `proc/stat` that are modes, in order.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// Those behind them: modes of guests.
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const COLUMNS: usize = MODES.len() + GUEST_MODES.len();
const IDLE: usize = 3;
/// The kernel counts in these units whatever its tick.
const TICKS_PER_SECOND: u64 = 100;
/// An idle time that falls by so much is that of a CPU that was away: its counters begin anew.
const AWAY: u64 = 3 * TICKS_PER_SECOND;

/// Small files that stay open.
const FILES: usize = 256;

struct Cpu {
    stat: Kept,
    cpuinfo: Kept,
    folder: Folder,
    /// In that folder.
    files: Pool,
    throttles: Throttles,
    guest: bool,
    info: bool,
    frequency: bool,
    features: Option<Pattern>,
    bugs: Option<Pattern>,
    /// What was told last.
    told: Vec<Times>,
}

impl Cpu {
    fn new(setup: &Setup<'_>) -> Result<Cpu, String> {
        let (features, bugs) = (setup.pattern(&FLAGS_INCLUDE)?, setup.pattern(&BUGS_INCLUDE)?);
        let folder = cpus::folder(&setup.host.sys);
        let settings = setup.settings;
        Ok(Cpu {
            stat: Kept::whole(setup.host.proc.join("stat")),
            cpuinfo: Kept::new(setup.host.proc.join("cpuinfo")),
            throttles: Throttles::new(folder.clone()),
            folder: Folder::new(folder),
            files: Pool::within_limits(FILES),
            guest: setup.is_on(&GUEST_FLAG),
            info: setup.is_on(&INFO_FLAG) || features.is_some() || bugs.is_some(),
            // node_exporter tells it along with cpufreq alone.
            frequency: settings
                .switched
                .get("cpufreq")
                .copied()
                .unwrap_or(!settings.disable_defaults),
            features,
            bugs,
            told: Vec::new(),
        })
    }

    fn times(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.stat.path().to_owned();
        let now = parse(self.stat.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        let told = now
            .into_iter()
            .enumerate()
            .map(|(index, times)| times.after(&self.told, index));
        self.told = told.collect();
        let names: Vec<String> = self.told.iter().map(|times| times.cpu.to_string()).collect();
        let mut tell = |family, modes: &[&str], from: usize| {
            out.family(family);
            for (name, times) in names.iter().zip(&self.told) {
                let ticks = times.ticks.iter().take(times.known).skip(from);
                for (mode, ticks) in modes.iter().zip(ticks) {
                    out.number(
                        &[("cpu", name), ("mode", mode)],
                        *ticks as f64 / TICKS_PER_SECOND as f64,
                    );
                }
            }
        };
        tell(&SECONDS, &MODES, 0);
        if self.guest {
            tell(&GUEST, &GUEST_MODES, MODES.len());
        }
        Ok(())
    }

    fn info(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.cpuinfo.path().to_owned();
        let cpus = info::parse(self.cpuinfo.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        out.family(&INFO);
        for cpu in &cpus {
            let labels = [
                ("package", cpu.package),
                ("core", cpu.core),
                ("cpu", cpu.cpu),
                ("vendor", cpu.vendor),
                ("family", cpu.family),
                ("model", cpu.model),
                ("model_name", cpu.model_name),
                ("microcode", cpu.microcode),
                ("stepping", cpu.stepping),
                ("cachesize", cpu.cache),
            ];
            out.number(&labels, 1.0);
        }
        if self.frequency && cpus.iter().any(|cpu| cpu.mhz.is_some()) {
            out.family(&FREQUENCY);
            for cpu in &cpus {
                let labels = [("package", cpu.package), ("core", cpu.core), ("cpu", cpu.cpu)];
                cpu.mhz.into_iter().for_each(|mhz| out.number(&labels, mhz * 1e6));
            }
        }
        let mut tell = |family, label, pattern: &Option<Pattern>, words: &str| {
            let Some(pattern) = pattern else { return };
            out.family(family);
            let words = words.split_ascii_whitespace().filter(|word| pattern.matches(word));
            words.for_each(|word| out.number(&[(label, word)], 1.0));
        };
        if let Some(first) = cpus.first() {
            tell(&FEATURE, "flag", &self.features, first.flags);
            tell(&BUG, "bug", &self.bugs, first.bugs);
        }
        Ok(())
    }

    fn isolated(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.folder.path().join("isolated");
        let Some(text) = self.files.text(&path) else {
            return Ok(());
        };
        let cpus = cpus::list(&text).map_err(|what| CollectError::malformed(&path, what))?;
        if !cpus.is_empty() {
            out.family(&ISOLATED);
        }
        for cpu in cpus {
            out.number(&[("cpu", &cpu.to_string())], 1.0);
        }
        Ok(())
    }

    /// The kernel says it of each CPU, the first included, or node_exporter says it of none.
    fn online(&mut self, numbers: &[String], out: &mut dyn Encoder) {
        let Cpu { files, folder, .. } = self;
        let mut online = |number: &str| {
            let text = files.text(&folder.path().join(format!("cpu{number}/online")));
            text.map(|text| text == "1")
        };
        if numbers.first().and_then(|first| online(first)).is_none() {
            return;
        }
        out.family(&ONLINE);
        for number in numbers {
            let is = online(number).unwrap_or(false);
            out.number(&[("cpu", number)], f64::from(u8::from(is)));
        }
    }
}

impl Collect for Cpu {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let info = if self.info { self.info(out) } else { Ok(()) };
        let times = self.times(out);
        let isolated = self.isolated(out);
        let numbers = cpus::numbers(&mut self.folder).unwrap_or_default();
        self.throttles.collect(&numbers, out);
        self.online(&numbers, out);
        info.and(times).and(isolated)
    }
}

/// Time of a CPU by mode.
#[derive(Clone, Debug, PartialEq)]
struct Times {
    cpu: u32,
    ticks: [u64; COLUMNS],
    /// Columns that the kernel has.
    known: usize,
}

impl Times {
    /// These times as they are told, so that no counter falls. Idle times and times of waiting are estimates that fall a little;
    /// a CPU that was away comes back with all of them anew.
    fn after(mut self, told: &[Times], index: usize) -> Times {
        let same = |times: &&Times| times.cpu == self.cpu;
        let before = told.get(index).filter(same).or_else(|| told.iter().find(same));
        if let Some(before) = before.filter(|before| before.ticks[IDLE] < self.ticks[IDLE].saturating_add(AWAY)) {
            for (now, before) in self.ticks.iter_mut().zip(before.ticks) {
                *now = before.max(*now);
            }
        }
        self
    }
}

/// The CPUs of `proc/stat`: the lines it begins with, after one that is the sum of all.
fn parse(text: &str) -> Result<Vec<Times>, String> {
    let mut all = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let Some(text) = text.strip_prefix("cpu") else { break };
        if text.starts_with(' ') {
            continue;
        }
        let mut words = text.split_ascii_whitespace().map(|word| word.parse::<u64>());
        let wrong = || format!("line {}: \"cpu{text}\" is no CPU with its times", line + 1);
        let cpu = words
            .next()
            .and_then(Result::ok)
            .and_then(|cpu| cpu.try_into().ok())
            .ok_or_else(wrong)?;
        let mut times = Times {
            cpu,
            ticks: [0; COLUMNS],
            known: 0,
        };
        for (place, word) in times.ticks.iter_mut().zip(words) {
            *place = word.map_err(|_| wrong())?;
            times.known += 1;
        }
        all.push(times);
    }
    if all.is_empty() {
        return Err("it does not begin with lines of CPUs".to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
