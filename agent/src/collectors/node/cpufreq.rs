//! Frequencies of CPUs: `cpuN/cpufreq` (`drivers/cpufreq/cpufreq.c`, `Documentation/admin-guide/pm/cpufreq.rst`).

use super::files::Folder;
use super::flags::Setup;
use super::{Collect, CollectError, Collector, cpus, files};
use crate::metric::{Encoder, Family, Kind};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "cpufreq",
    about: "frequencies of CPUs",
    make: |setup| Ok(Box::new(CpuFreq::new(setup))),
    ..Collector::BASE
};

/// Files with a frequency in kHz, and their families.
static FREQUENCIES: [(&str, Family); COUNT] = [
    (
        "cpuinfo_cur_freq",
        family("node_cpu_frequency_hertz", "Frequency that the hardware has now."),
    ),
    (
        "cpuinfo_avg_freq",
        family(
            "node_cpu_frequency_avg_hertz",
            "Frequency that the hardware had on average of late.",
        ),
    ),
    (
        "cpuinfo_min_freq",
        family("node_cpu_frequency_min_hertz", "Least frequency of the hardware."),
    ),
    (
        "cpuinfo_max_freq",
        family("node_cpu_frequency_max_hertz", "Highest frequency of the hardware."),
    ),
    (
        "scaling_cur_freq",
        family(
            "node_cpu_scaling_frequency_hertz",
            "Frequency that the governor asked for.",
        ),
    ),
    (
        "scaling_min_freq",
        family(
            "node_cpu_scaling_frequency_min_hertz",
            "Least frequency that the governor may set.",
        ),
    ),
    (
        "scaling_max_freq",
        family(
            "node_cpu_scaling_frequency_max_hertz",
            "Highest frequency that the governor may set.",
        ),
    ),
];
const COUNT: usize = 7;
static GOVERNOR: Family = Family::new(
    "node_cpu_scaling_governor",
    "",
    "Governors there are: 1 for the one that sets the frequency.",
    Kind::Gauge,
);

/// CPUs are read side by side when one takes longer: some kernels wait 10 ms to measure one that was idle.
const SLOW: Duration = Duration::from_millis(2);
/// Threads for that.
const THREADS: usize = 16;

const fn family(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "hertz", help, Kind::Gauge)
}

struct CpuFreq {
    folder: Folder,
    slow: bool,
}

/// What is known of a CPU.
#[derive(Default)]
struct Cpu {
    number: String,
    khz: [Option<u64>; COUNT],
    governor: Option<String>,
    governors: String,
    /// The first file that holds something else, or cannot be read though it should.
    error: Option<CollectError>,
}

impl CpuFreq {
    fn new(setup: &Setup<'_>) -> CpuFreq {
        CpuFreq {
            folder: Folder::new(cpus::folder(&setup.host.sys)),
            slow: false,
        }
    }

    /// CPUs that are online.
    fn numbers(&mut self) -> Result<Vec<String>, CollectError> {
        let mut numbers = cpus::numbers(&mut self.folder)?;
        let path = self.folder.path().join("offline");
        let offline = files::text_if_any(&path).unwrap_or_default();
        let offline = cpus::list(&offline).map_err(|what| CollectError::malformed(&path, what))?;
        if !offline.is_empty() {
            numbers.retain(|number| number.parse().map_or(true, |cpu| !offline.contains(&cpu)));
        }
        Ok(numbers)
    }

    fn read_all(&mut self, numbers: &[String]) -> Vec<Cpu> {
        let started = Instant::now();
        let threads = if self.slow { THREADS } else { 1 };
        let share = numbers.len().div_ceil(threads).max(1);
        let folder = self.folder.path();
        let read = |numbers: &[String]| -> Vec<Cpu> {
            let read = numbers.iter().filter_map(|number| Cpu::read(folder, number));
            read.collect()
        };
        let mut shares = numbers.chunks(share);
        let first = shares.next().unwrap_or_default();
        let found = std::thread::scope(|scope| {
            let spawn = |numbers| std::thread::Builder::new().spawn_scoped(scope, move || read(numbers));
            let others: Vec<_> = shares.map(|numbers| (numbers, spawn(numbers))).collect();
            let mut found = read(first);
            for (numbers, thread) in others {
                found.extend(match thread {
                    Ok(thread) => thread.join().unwrap_or_default(),
                    Err(_) => read(numbers),
                });
            }
            found
        });
        self.slow = started.elapsed() > SLOW * share as u32;
        found
    }
}

impl Collect for CpuFreq {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let numbers = self.numbers()?;
        let mut cpus = self.read_all(&numbers);
        for (place, (_, family)) in FREQUENCIES.iter().enumerate() {
            let known = |cpu: &Cpu| cpu.khz.get(place).copied().flatten();
            if cpus.iter().any(|cpu| known(cpu).is_some()) {
                out.family(family);
            }
            for cpu in &cpus {
                known(cpu)
                    .into_iter()
                    .for_each(|khz| out.number(&[("cpu", &cpu.number)], khz as f64 * 1000.0));
            }
        }
        if cpus.iter().any(|cpu| cpu.governor.is_some()) {
            out.family(&GOVERNOR);
        }
        for cpu in &cpus {
            let Some(set) = &cpu.governor else { continue };
            for governor in cpu.governors.split_ascii_whitespace() {
                let is = f64::from(u8::from(governor == set));
                out.number(&[("cpu", &cpu.number), ("governor", governor)], is);
            }
        }
        match cpus.iter_mut().find_map(|cpu| cpu.error.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Cpu {
    /// Reads a CPU that has a policy.
    fn read(folder: &Path, number: &str) -> Option<Cpu> {
        let folder = folder.join(format!("cpu{number}/cpufreq"));
        if !folder.is_dir() {
            return None;
        }
        let mut cpu = Cpu {
            number: number.to_owned(),
            ..Cpu::default()
        };
        for (place, (name, _)) in cpu.khz.iter_mut().zip(&FREQUENCIES) {
            match frequency(&folder.join(name)) {
                Ok(khz) => *place = khz,
                Err(error) => cpu.error = cpu.error.or(Some(error)),
            }
        }
        let governor = files::text_if_any(&folder.join("scaling_governor"));
        cpu.governor = governor.filter(|governor| !governor.is_empty());
        cpu.governors = files::text_if_any(&folder.join("scaling_available_governors")).unwrap_or_default();
        Some(cpu)
    }
}

/// kHz; `None` when the driver does not have it, does not know it now (`<unknown>`), or keeps it for root.
fn frequency(path: &Path) -> Result<Option<u64>, CollectError> {
    match files::text(path) {
        Ok(text) if text.starts_with('<') => Ok(None),
        Ok(text) => files::parsed(path, &text).map(Some),
        Err(CollectError::Read { path, error }) => match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ResourceBusy | ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Ok(None)
            }
            _ => Err(CollectError::Read { path, error }),
        },
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const CPU: &str = "sys/devices/system/cpu";

    fn host(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture::new(&[("sys/devices/system/cpu/cpufreq/", "")]);
        for (path, text) in files {
            fixture.put(&[(&format!("{CPU}/{path}"), text)]);
        }
        fixture
    }

    #[test]
    fn what_a_driver_knows_is_told_of_cpus_that_are_online() {
        let fixture = host(&[
            ("offline", "2-3\n"),
            ("cpu0/cpufreq/scaling_cur_freq", "1699981\n"),
            ("cpu0/cpufreq/cpuinfo_cur_freq", "<unknown>\n"),
            ("cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("cpu0/cpufreq/scaling_available_governors", "performance powersave \n"),
            ("cpu1/cpufreq/scaling_max_freq", "3700000\n"),
            ("cpu2/cpufreq/scaling_cur_freq", "5\n"),
            ("cpu4/topology/core_id", "1\n"),
        ]);
        let text = "node_cpu_scaling_frequency_hertz{cpu=\"0\"} 1.699981e+09\n\
            node_cpu_scaling_frequency_max_hertz{cpu=\"1\"} 3.7e+09\n\
            node_cpu_scaling_governor{cpu=\"0\",governor=\"performance\"} 0\n\
            node_cpu_scaling_governor{cpu=\"0\",governor=\"powersave\"} 1\n";
        assert_eq!(fixture.text(&COLLECTOR), text);
    }

    #[test]
    fn a_host_without_frequencies_has_none_and_one_without_cpus_is_told() {
        assert_eq!(host(&[("cpu0/online", "1")]).text(&COLLECTOR), "");
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }

    #[test]
    fn garbage_costs_that_value_alone() {
        let fixture = host(&[
            ("cpu0/cpufreq/scaling_cur_freq", "fast\n"),
            ("cpu0/cpufreq/scaling_min_freq", "1\n"),
        ]);
        let (text, error) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_cpu_scaling_frequency_min_hertz{cpu=\"0\"} 1000\n");
        assert!(error.unwrap_err().to_string().contains("scaling_cur_freq: \"fast\""));
        assert!(host(&[("offline", "?")]).error(&COLLECTOR).contains("offline: \"?\""));
    }

    #[test]
    fn slow_cpus_are_read_side_by_side_in_order() {
        let fixture = host(&[]);
        for cpu in 0..40 {
            fixture.put(&[(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_cur_freq"), "1")]);
        }
        let mut folder = Folder::new(cpus::folder(&fixture.host().sys));
        let numbers = cpus::numbers(&mut folder).unwrap();
        let found = CpuFreq { folder, slow: true }.read_all(&numbers);
        assert_eq!(found.into_iter().map(|cpu| cpu.number).collect::<Vec<_>>(), numbers);
    }
}
