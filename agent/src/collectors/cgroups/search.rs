//! Which cgroups there are.

use crate::attribute::container::Cgroup;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are searched.
const SEARCHED: usize = 20_000;

/// Where hierarchies of cgroups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// Version 2: one for all.
    Unified(PathBuf),
    /// Version 1: one for each controller that is mounted.
    Split(Split),
}

/// Hierarchies of version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) cpu: Option<PathBuf>,
    pub(super) cpuacct: Option<PathBuf>,
    pub(super) memory: Option<PathBuf>,
    pub(super) blkio: Option<PathBuf>,
    pub(super) pids: Option<PathBuf>,
}

impl Split {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let all = [&self.cpu, &self.cpuacct, &self.memory, &self.blkio, &self.pids];
        all.into_iter().flatten()
    }
}

impl Roots {
    /// Those below the root of sysfs.
    pub(super) fn of(sys: &Path) -> Option<Roots> {
        let place = sys.join("fs/cgroup");
        if place.join("cgroup.controllers").exists() {
            return Some(Roots::Unified(place));
        }
        let find = |names: &[&str], file: &str| {
            let mut all = names.iter().map(|name| place.join(name));
            all.find(|path| path.join(file).exists())
        };
        let split = Split {
            cpu: find(&["cpu", "cpu,cpuacct"], "cpu.stat"),
            cpuacct: find(&["cpuacct", "cpu,cpuacct"], "cpuacct.stat"),
            memory: find(&["memory"], "memory.stat"),
            blkio: find(&["blkio"], "blkio.throttle.io_service_bytes"),
            // The root of `pids` has no files of its own.
            pids: find(&["pids"], "cgroup.procs"),
        };
        let any = split.all().next().is_some();
        any.then_some(Roots::Split(split))
    }
}

/// A cgroup and what its name tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Below the root, with a slash at its start.
    pub(super) path: String,
    /// It has a CPU quota.
    pub(super) quota: bool,
    unit: String,
    container: String,
    pod: String,
}

impl Group {
    fn new(path: &str, quota: bool) -> Group {
        let told = Cgroup::from_path(path);
        let last = path.rsplit('/').next().unwrap_or_default();
        // A cgroup is that of its unit when it bears its name; one below it is not.
        let units = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];
        let unit = units.iter().any(|ending| last.ends_with(ending));
        Group {
            path: path.to_owned(),
            quota,
            unit: if unit { last.to_owned() } else { String::new() },
            container: told.container.map(|container| container.id).unwrap_or_default(),
            pod: told.pod.map(|pod| pod.uid).unwrap_or_default(),
        }
    }

    /// Its labels. Those without a value are left out.
    pub(super) fn labels(&self) -> Vec<(&str, &str)> {
        self.with(&[])
    }

    /// Its labels and further ones.
    pub(super) fn with<'l>(&'l self, more: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
        let own = [
            ("cgroup", &*self.path),
            ("systemd_unit", &*self.unit),
            ("container_id", &*self.container),
            ("k8s_pod_uid", &*self.pod),
        ];
        let own = own.into_iter().filter(|(_, value)| !value.is_empty());
        own.chain(more.iter().copied()).collect()
    }
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Sorted by path.
    pub(super) groups: Vec<Group>,
    /// Cgroups for which there was no room, and folders that were not searched.
    pub(super) left_out: usize,
}

/// Cgroups below the roots, without the roots. The upper ones come first where there is no room for all.
pub(super) fn search(roots: &Roots, limit: usize) -> Found {
    let mut paths = BTreeSet::new();
    let mut left_out = 0;
    match roots {
        Roots::Unified(root) => walk(root, limit, &mut paths, &mut left_out),
        Roots::Split(split) => {
            let distinct: BTreeSet<&PathBuf> = split.all().collect();
            distinct
                .into_iter()
                .for_each(|root| walk(root, limit, &mut paths, &mut left_out));
        }
    }
    let groups = paths.iter().map(|path| Group::new(path, has_quota(roots, path)));
    Found {
        groups: groups.collect(),
        left_out,
    }
}

/// Level by level.
fn walk(root: &Path, limit: usize, paths: &mut BTreeSet<String>, left_out: &mut usize) {
    let mut level = vec![String::new()];
    let mut seen = 0;
    while !level.is_empty() {
        let mut below = Vec::new();
        for folder in &level {
            seen += 1;
            if seen > SEARCHED {
                *left_out += 1;
                continue;
            }
            // One that is gone by now has no folders.
            let Ok(entries) = fs::read_dir(root.join(folder.trim_start_matches('/'))) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir())
                    && let Some(name) = entry.file_name().to_str()
                {
                    below.push(format!("{folder}/{name}"));
                }
            }
        }
        below.sort_unstable();
        for path in &below {
            if paths.len() < limit {
                paths.insert(path.clone());
            } else if !paths.contains(path) {
                *left_out += 1;
            }
        }
        level = below;
    }
}

fn has_quota(roots: &Roots, path: &str) -> bool {
    let below = path.trim_start_matches('/');
    let file = match roots {
        Roots::Unified(root) => root.join(below).join("cpu.max"),
        Roots::Split(Split { cpu: Some(root), .. }) => root.join(below).join("cpu.cfs_quota_us"),
        Roots::Split(_) => return false,
    };
    fs::read_to_string(file).is_ok_and(|text| {
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        // `max`, -1: none.
        first.parse::<u64>().is_ok_and(|quota| quota > 0)
    })
}
