//! Throttling: how often and how long groups of processes were kept from a CPU because their quota was used up. Read from
//! `cpu.stat` of every cgroup that has a quota, version 2 or 1, when series are asked for.
//!
//! Cost: a file a cgroup with a quota at every scrape, and once in [`EVERY`] a file a cgroup and a folder for the search of those.

use crate::host::Host;
use crate::metric::{Encoder, Family, Kind, Source};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Cgroups with a quota that are told of.
const LIMIT: usize = 500;
/// Folders that are searched for them.
const SEARCHED: usize = 10_000;
/// Time between two searches.
const EVERY: Duration = Duration::from_secs(15);

/// Cgroups with a quota.
#[derive(Debug)]
pub struct Throttling {
    root: Option<Root>,
    found: Mutex<Option<(Instant, Found)>>,
}

/// Where cgroups are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    path: PathBuf,
    /// Version 2.
    unified: bool,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    /// Their paths below the root, sorted.
    groups: Vec<String>,
    /// Cgroups with a quota for which there was no room, and folders that were not searched.
    left_out: usize,
}

/// What `cpu.stat` says of throttling.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    periods: u64,
    throttled: u64,
    seconds: f64,
}

impl Throttling {
    /// Finds the hierarchy of the CPU controller below the host's `/sys`; without one there are no series.
    pub fn new(host: &Host) -> Throttling {
        let path = host.sys.join("fs/cgroup");
        let root = if path.join("cgroup.controllers").exists() {
            Some(Root { path, unified: true })
        } else {
            let old = ["cpu", "cpu,cpuacct"].map(|name| path.join(name));
            old.into_iter()
                .find(|path| path.join("cpu.stat").exists())
                .map(|path| Root { path, unified: false })
        };
        Throttling {
            root,
            found: Mutex::new(None),
        }
    }

    fn found(&self, root: &Root) -> Found {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match &*found {
            Some((at, found)) if at.elapsed() < EVERY => found.clone(),
            _ => found.insert((Instant::now(), search(root, SEARCHED, LIMIT))).1.clone(),
        }
    }
}

impl Source for Throttling {
    fn collect(&self, out: &mut dyn Encoder) {
        let Some(root) = &self.root else { return };
        let Found { groups, left_out } = self.found(root);
        let stats: Vec<(String, Stat)> = groups
            .into_iter()
            .filter_map(|group| {
                let text = fs::read_to_string(root.path.join(&group).join("cpu.stat")).ok()?;
                Some((format!("/{group}"), stat(&text)?))
            })
            .collect();
        let mut family = |family, value: fn(&Stat) -> f64| {
            out.family(family);
            for (group, stat) in &stats {
                out.number(&[("cgroup", group)], value(stat));
            }
        };
        family(&PERIODS, |stat| stat.periods as f64);
        family(&THROTTLED, |stat| stat.throttled as f64);
        family(&SECONDS, |stat| stat.seconds);
        out.family(&LEFT_OUT);
        out.number(&[], left_out as f64);
    }
}

/// Cgroups below the root that have a quota; the root itself never has one.
fn search(root: &Root, searched: usize, limit: usize) -> Found {
    let mut found = Found::default();
    let mut folders = vec![String::new()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        seen += 1;
        if seen > searched {
            found.left_out += folders.len() + 1;
            break;
        }
        let path = root.path.join(&folder);
        if !folder.is_empty() && has_quota(&path, root.unified) {
            if found.groups.len() < limit {
                found.groups.push(folder.clone());
            } else {
                found.left_out += 1;
            }
        }
        // One that is gone by now has no folders.
        let Ok(entries) = fs::read_dir(&path) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Some(name) = entry.file_name().to_str()
            {
                folders.push(if folder.is_empty() {
                    name.to_owned()
                } else {
                    format!("{folder}/{name}")
                });
            }
        }
    }
    found.groups.sort_unstable();
    found
}

fn has_quota(path: &Path, unified: bool) -> bool {
    let file = if unified { "cpu.max" } else { "cpu.cfs_quota_us" };
    fs::read_to_string(path.join(file)).is_ok_and(|text| {
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        // `max`, -1: none.
        first.parse::<u64>().is_ok_and(|quota| quota > 0)
    })
}

/// `nr_periods`, `nr_throttled`, and `throttled_usec` (version 2) or `throttled_time` (version 1, nanoseconds).
fn stat(text: &str) -> Option<Stat> {
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(key, _)| *key == name)?.1.trim().parse::<u64>().ok()
    };
    let micros = value("throttled_usec").map(|micros| micros as f64 / 1e6);
    Some(Stat {
        periods: value("nr_periods")?,
        throttled: value("nr_throttled")?,
        seconds: micros.or_else(|| Some(value("throttled_time")? as f64 / 1e9))?,
    })
}

static PERIODS: Family = Family::new(
    "onlooker_cgroup_cpu_periods_total",
    "",
    "Periods in which a cgroup with a CPU quota wanted to run (nr_periods of cpu.stat).",
    Kind::Counter,
);
static THROTTLED: Family = Family::new(
    "onlooker_cgroup_cpu_throttled_periods_total",
    "",
    "Periods in which a cgroup used up its CPU quota and was kept from running (nr_throttled of cpu.stat).",
    Kind::Counter,
);
static SECONDS: Family = Family::new(
    "onlooker_cgroup_cpu_throttled_seconds_total",
    "seconds",
    "Time for which a cgroup was kept from running, added up over CPUs (throttled_usec or throttled_time of cpu.stat).",
    Kind::Counter,
);
static LEFT_OUT: Family = Family::new(
    "onlooker_cgroup_cpu_left_out",
    "",
    "Cgroups with a CPU quota that are not told of, and folders of cgroups that were not searched, for lack of room.",
    Kind::Gauge,
);

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, name: &str, file: &str, quota: &str) {
        let path = root.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(file), quota).unwrap();
    }

    #[test]
    fn both_versions_are_read() {
        let two = stat("usage_usec 1\nnr_periods 5\nnr_throttled 3\nthrottled_usec 1500000\n");
        let one = stat("nr_periods 5\nnr_throttled 3\nthrottled_time 1500000000\n");
        let same = Stat {
            periods: 5,
            throttled: 3,
            seconds: 1.5,
        };
        assert_eq!((two, one), (Some(same), Some(same)));
        assert_eq!(stat("usage_usec 1\n"), None);
    }

    #[test]
    fn those_with_a_quota_are_found_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        group(dir.path(), "a", "cpu.max", "max 100000\n");
        group(dir.path(), "a/b", "cpu.max", "50000 100000\n");
        group(dir.path(), "c", "cpu.max", "10000 100000\n");
        let root = Root {
            path: dir.path().to_owned(),
            unified: true,
        };
        let all = search(&root, 100, 100);
        assert_eq!((all.groups, all.left_out), (vec!["a/b".to_owned(), "c".to_owned()], 0));
        let one = search(&root, 100, 1);
        assert_eq!((one.groups.len(), one.left_out), (1, 1));
        // The root and one of two folders are searched; that one may have one more.
        assert!((1..=2).contains(&search(&root, 2, 100).left_out));
        let old = Root { unified: false, ..root };
        group(dir.path(), "d", "cpu.cfs_quota_us", "-1\n");
        group(dir.path(), "e", "cpu.cfs_quota_us", "20000\n");
        assert_eq!(search(&old, 100, 100).groups, ["e"]);
    }
}
