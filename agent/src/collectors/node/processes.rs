//! How many processes and threads there are in each state: `proc/PID/stat`, `proc/PID/task/TID/stat` (`fs/proc/array.c`).
//!
//! Cost: a file a process, and a file a thread of those that have more than one. That is why it is off by default.

use super::flags::Setup;
use super::rows::gauge;
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "processes",
    about: "how many processes and threads there are in each state",
    default: false,
    make: |setup| Ok(Box::new(Processes::new(setup))),
    ..Collector::BASE
};

static THREADS: Family = gauge("node_processes_threads", "Threads of all processes.");
static STATE: Family = gauge("node_processes_state", "Processes in a state.");
static THREADS_STATE: Family = gauge("node_processes_threads_state", "Threads in a state.");
static PIDS: Family = gauge("node_processes_pids", "Processes.");
/// Limits, and their files below `proc/sys/kernel`.
static LIMITS: [(&str, Family); 2] = [
    (
        "threads-max",
        gauge("node_processes_max_threads", "Threads that there may be."),
    ),
    (
        "pid_max",
        gauge("node_processes_max_processes", "Process ids that there may be."),
    ),
];
/// No such process: what reading a file of one says that is gone.
const GONE: i32 = libc::ESRCH;

struct Processes(PathBuf);

/// What was counted.
#[derive(Debug, Default, PartialEq)]
struct Count {
    pids: u64,
    threads: u64,
    states: BTreeMap<String, u64>,
    thread_states: BTreeMap<String, u64>,
}

impl Processes {
    fn new(setup: &Setup<'_>) -> Processes {
        Processes(setup.host.proc.clone())
    }

    fn count(&self) -> Result<Count, CollectError> {
        let mut count = Count::default();
        for pid in ids(&self.0)? {
            let folder = self.0.join(&pid);
            let Some((state, threads)) = read(&folder)? else {
                continue;
            };
            count.pids += 1;
            count.threads = count.threads.saturating_add(threads);
            let tasks = folder.join("task");
            match threads {
                // A process of one thread has its state.
                1 if tasks.is_dir() => add(&mut count.thread_states, state.clone()),
                1 => {}
                _ => {
                    for tid in ids(&tasks).unwrap_or_default() {
                        let thread = read(&tasks.join(tid))?;
                        thread
                            .into_iter()
                            .for_each(|(state, _)| add(&mut count.thread_states, state));
                    }
                }
            }
            add(&mut count.states, state);
        }
        Ok(count)
    }
}

fn add(counts: &mut BTreeMap<String, u64>, state: String) {
    *counts.entry(state).or_default() += 1;
}

/// Names of folders that are ids.
fn ids(folder: &Path) -> Result<Vec<String>, CollectError> {
    let mut names = files::names(folder)?;
    names.retain(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(names)
}

/// State and number of threads of a process, the state of a thread; `None`: it is gone.
fn read(folder: &Path) -> Result<Option<(String, u64)>, CollectError> {
    let path = folder.join("stat");
    match files::text(&path) {
        Ok(text) => match parse(&text) {
            Some(found) => Ok(Some(found)),
            None => Err(CollectError::malformed(
                &path,
                "it has no state and number of threads behind a name",
            )),
        },
        Err(CollectError::NoData(_)) => Ok(None),
        Err(CollectError::Read { error, .. }) if error.raw_os_error() == Some(GONE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `1 (systemd) S 0 1 …`: the name may hold anything.
fn parse(text: &str) -> Option<(String, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?;
    Some((state.to_owned(), words.nth(16)?.parse().ok()?))
}

impl Collect for Processes {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let count = self.count()?;
        for (family, value) in [(&THREADS, count.threads), (&PIDS, count.pids)] {
            out.family(family);
            out.number(&[], value as f64);
        }
        for (family, label, states) in [
            (&STATE, "state", &count.states),
            (&THREADS_STATE, "thread_state", &count.thread_states),
        ] {
            if !states.is_empty() {
                out.family(family);
            }
            for (state, count) in states {
                out.number(&[(label, state)], *count as f64);
            }
        }
        for (file, family) in &LIMITS {
            let limit: u64 = files::number(&self.0.join("sys/kernel").join(file))?;
            out.family(family);
            out.number(&[], limit as f64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    fn stat(name: &str, state: &str, threads: u32) -> String {
        format!(
            "5 ({name}) {state} 0 1 1 0 -1 4194560 9061 9416027 94 2620 36 98 54406 13885 20 0 {threads} 0 29 109604864\n"
        )
    }

    #[test]
    fn states_of_processes_and_threads() {
        let fixture = Fixture::new(&[
            ("proc/sys/kernel/threads-max", "7801\n"),
            ("proc/sys/kernel/pid_max", "123\n"),
            ("proc/1/stat", &stat("init", "S", 1)),
            ("proc/1/task/1/stat", &stat("init", "S", 1)),
            ("proc/20/stat", &stat("a) R (b", "S", 3)),
            ("proc/20/task/20/stat", &stat("x", "S", 3)),
            ("proc/20/task/21/stat", &stat("x", "R", 3)),
            ("proc/20/task/22/", ""),
            ("proc/30/cmdline", ""),
            ("proc/40/stat", &stat("k", "I", 1)),
            ("proc/self", "-> 20"),
        ]);
        let expect = "threads 5\npids 3\nstate{state=\"I\"} 1\nstate{state=\"S\"} 2\n\
            threads_state{thread_state=\"R\"} 1\nthreads_state{thread_state=\"S\"} 2\nmax_threads 7801\nmax_processes 123\n";
        assert_eq!(fixture.text(&COLLECTOR).replace("node_processes_", ""), expect);
        fixture.put(&[("proc/sys/kernel/pid_max", "many\n")]);
        assert!(fixture.error(&COLLECTOR).contains("pid_max: \"many\""));
        fixture.put(&[("proc/30/stat", "30 (x) S 1\n")]);
        assert!(fixture.error(&COLLECTOR).contains("30/stat: it has no state"));
    }
}
