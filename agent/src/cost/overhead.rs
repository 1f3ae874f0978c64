//! What the agent and its programs take of the host, over a sliding window.

use super::process_seconds;
use crate::collectors::own::{Own, Reading};
use crate::host::Host;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Overhead is taken over at least this long, and at most [`EVERY`] more.
const WINDOW: Duration = Duration::from_secs(15);
/// Within this long nothing is measured twice: one scrape asks for several numbers.
const FRESH: Duration = Duration::from_millis(500);
/// Time between samples.
const EVERY: Duration = Duration::from_secs(5);

/// Reads the run time of all eBPF programs of the agent so far, seconds.
pub type ProgramSeconds = Box<dyn Fn() -> f64 + Send + Sync>;

/// See the module.
pub struct Overhead {
    host: Host,
    cpus: usize,
    programs: ProgramSeconds,
    samples: Mutex<VecDeque<Sample>>,
    /// The last sample that was taken for a reader.
    latest: Mutex<Option<Sample>>,
}

/// Takes a number out of what was measured; `None`: not known.
type Part = fn(&Overhead, Use) -> Option<f64>;

/// CPU seconds at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: Instant,
    agent: f64,
    /// `None`: the kernel does not time programs. They are not asked then, which is the most of what a sample costs.
    programs: Option<f64>,
}

/// CPU use over a window, in cores.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Use {
    agent: f64,
    programs: Option<f64>,
}

impl Overhead {
    /// Begins to measure.
    pub fn new(host: Host, programs: ProgramSeconds) -> Overhead {
        let overhead = Overhead {
            cpus: online_cpus(&host),
            host,
            programs,
            samples: Mutex::default(),
            latest: Mutex::default(),
        };
        overhead.tick(Instant::now());
        overhead
    }

    /// To be called about once a second: takes a sample when it is time for one.
    pub fn tick(&self, now: Instant) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let due = samples
            .back()
            .is_none_or(|last| now.saturating_duration_since(last.at) >= EVERY);
        if due {
            samples.push_back(self.sample(now));
            while samples
                .get(1)
                .is_some_and(|next| now.saturating_duration_since(next.at) >= WINDOW)
            {
                samples.pop_front();
            }
        }
    }

    /// Registers what is measured.
    pub fn register(self: &Arc<Overhead>, own: &Own) {
        let read = |value: Part| {
            let overhead = self.clone();
            move || {
                let used = overhead.used(Instant::now());
                used.and_then(|used| value(&overhead, used)).unwrap_or(f64::NAN)
            }
        };
        own.register(Reading::gauge(
            "onlooker_overhead_ratio",
            "ratio",
            "CPU time of the agent (its process CPU clock) and of its eBPF programs (run_time_ns of their descriptors, known \
             only while kernel.bpf_stats_enabled is 1, else left out) over that of all online CPUs, in the last 15 to 20 s.",
            read(|overhead, used| Some((used.agent + used.programs.unwrap_or(0.0)) / overhead.cpus as f64)),
        ));
        let parts: [(&'static str, Part); 2] = [
            ("agent", |_, used| Some(used.agent)),
            ("programs", |_, used| used.programs),
        ];
        for (part, value) in parts {
            let reading = Reading::gauge(
                "onlooker_overhead_cores",
                "cores",
                "The same in cores (0.01: one percent of one core), by part: the agent's process, and its eBPF programs, which \
                 run in the time of the programs that are watched (absent unless kernel.bpf_stats_enabled is 1).",
                read(value),
            );
            own.register(reading.label("part", part));
        }
    }

    fn sample(&self, at: Instant) -> Sample {
        Sample {
            at,
            agent: process_seconds(),
            programs: self.programs_are_timed().then(|| (self.programs)()),
        }
    }

    /// Use from the oldest sample to now; `None` when nothing was measured yet.
    fn used(&self, now: Instant) -> Option<Use> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match *latest {
            Some(sample) if now.saturating_duration_since(sample.at) < FRESH => sample,
            _ => *latest.insert(self.sample(now)),
        };
        drop(latest);
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        // Since programs are timed, if that is shorter.
        let timed = samples.iter().find_map(|sample| Some((sample.at, sample.programs?)));
        between(*samples.front()?, timed, last)
    }

    fn programs_are_timed(&self) -> bool {
        std::fs::read_to_string(self.host.proc.join("sys/kernel/bpf_stats_enabled"))
            .is_ok_and(|text| text.trim() == "1")
    }
}

fn between(first: Sample, timed: Option<(Instant, f64)>, last: Sample) -> Option<Use> {
    let a_second = |since: Instant, before: f64, now: f64| {
        let seconds = last.at.saturating_duration_since(since).as_secs_f64();
        (seconds > 0.0).then(|| (now - before).max(0.0) / seconds)
    };
    Some(Use {
        agent: a_second(first.at, first.agent, last.agent)?,
        programs: timed.and_then(|(since, before)| a_second(since, before, last.programs?)),
    })
}

/// CPUs of the host that are online (`/proc/stat`); those this process may use where that cannot be read.
fn online_cpus(host: &Host) -> usize {
    let stat = std::fs::read_to_string(host.proc.join("stat")).unwrap_or_default();
    let cpus = stat
        .lines()
        .filter_map(|line| line.strip_prefix("cpu"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        .count();
    match cpus {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        cpus => cpus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides() {
        let overhead = Overhead::new(Host::default(), Box::new(|| 0.0));
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        for second in 0..60 {
            overhead.tick(at(second));
            let samples = overhead.samples.lock().expect("not poisoned");
            let (first, last) = (samples[0].at, samples[samples.len() - 1].at);
            assert!(at(second) - first < WINDOW + EVERY, "at {second}");
            assert!(second < 20 || at(second) - first >= WINDOW - EVERY, "at {second}");
            assert!(at(second) - last < EVERY && samples.len() <= 5, "at {second}");
        }
    }

    #[test]
    fn use_is_what_grew_over_the_time() {
        let at = Instant::now();
        let first = Sample {
            at,
            agent: 3.0,
            programs: Some(1.0),
        };
        let last = Sample {
            at: at + Duration::from_secs(20),
            agent: 3.2,
            programs: Some(1.1),
        };
        let near = |value: Option<f64>, expected: f64| value.is_some_and(|value| (value - expected).abs() < 1e-9);
        let used = between(first, Some((at, 1.0)), last).expect("some time passed");
        assert!(near(Some(used.agent), 0.01) && near(used.programs, 0.005), "{used:?}");
        // Programs are timed since half of that.
        let half = at + Duration::from_secs(10);
        let used = between(first, Some((half, 1.0)), last).expect("some time passed");
        assert!(near(Some(used.agent), 0.01) && near(used.programs, 0.01), "{used:?}");
        assert_eq!(between(first, None, last).and_then(|used| used.programs), None);
        assert_eq!(between(first, None, first), None);
    }

    #[test]
    fn cpus_of_the_host_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = Host {
            proc: dir.path().to_owned(),
            ..Host::default()
        };
        assert!(online_cpus(&host) >= 1);
        std::fs::write(
            dir.path().join("stat"),
            "cpu  1 2 3\ncpu0 1 2 3\ncpu3 1 2 3\nintr 1\ncpus 9\n",
        )
        .expect("a file");
        assert_eq!(online_cpus(&host), 2);
    }
}
