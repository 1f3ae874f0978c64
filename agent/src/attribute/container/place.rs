//! Places: what the cgroup tells, with the names that files of the host add. One per cgroup, shared by its processes.

use super::{Cgroup, engine, kubernetes};
use crate::host::Host;
use rustc_hash::FxHashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Where a process runs, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What the path tells.
    pub cgroup: Cgroup,
    /// What the engine tells.
    pub engine: engine::Named,
    /// What the kubelet tells.
    pub pod: Option<kubernetes::Pod>,
}

impl Place {
    /// Looks up the names of what a cgroup tells.
    pub fn look(host: &Host, cgroup: Cgroup) -> Place {
        let container = cgroup.container.as_ref();
        let id = container.map(|container| container.id.as_str());
        Place {
            pod: cgroup.pod.as_ref().and_then(|pod| kubernetes::look(host, &pod.uid, id)),
            // In a pod the engine's names are made up by the kubelet (`k8s_shop_shop-…`).
            engine: match container.filter(|_| cgroup.pod.is_none()) {
                Some(container) if container.is_system() => engine::Named {
                    name: Some(container.id.clone()),
                    image: None,
                },
                Some(container) => engine::look(host, &container.id, container.runtime),
                None => engine::Named::default(),
            },
            cgroup,
        }
    }
}

/// Places by the text of `/proc/PID/cgroup` and by cgroup id, so that a container's files are read once. Bounded: when
/// full, places that no process holds go, and when none can go a place is made anew each time (counted).
#[derive(Debug)]
pub struct Places {
    limit: usize,
    by_text: FxHashMap<Box<str>, Arc<Place>>,
    by_id: FxHashMap<u64, Arc<Place>>,
    refused: u64,
}

impl Places {
    /// An empty cache of at most `limit` places.
    pub fn new(limit: usize) -> Places {
        Places {
            limit,
            by_text: FxHashMap::default(),
            by_id: FxHashMap::default(),
            refused: 0,
        }
    }

    /// The place of a `/proc/PID/cgroup` text. `id`, the cgroup's version 2 id when known (0: not), is remembered for
    /// processes that end before anybody looks.
    pub fn of(&mut self, host: &Host, text: &str, id: u64) -> Arc<Place> {
        let place = match self.by_text.get(text) {
            Some(place) => place.clone(),
            None => {
                let place = Arc::new(Place::look(host, Cgroup::parse(text)));
                self.learn(folder_id(host, text), text, &place);
                if self.room() {
                    self.by_text.insert(text.into(), place.clone());
                } else {
                    self.refused += 1;
                }
                place
            }
        };
        self.learn(id, text, &place);
        place
    }

    /// The place of a cgroup id, when a process of that cgroup was seen before.
    pub fn by_id(&self, id: u64) -> Option<Arc<Place>> {
        self.by_id.get(&id).cloned()
    }

    /// Places that were made without being kept.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn learn(&mut self, id: u64, text: &str, place: &Arc<Place>) {
        // The root of the version 2 hierarchy is everybody's where version 1 does the accounting.
        if id == 0 || Cgroup::v2_path(text).is_none() {
            return;
        }
        if self.by_id.len() >= self.limit && !self.by_id.contains_key(&id) {
            self.by_id.clear();
        }
        self.by_id.insert(id, place.clone());
    }

    fn room(&mut self) -> bool {
        if self.by_text.len() >= self.limit {
            self.by_id.clear();
            self.by_text.retain(|_, place| Arc::strong_count(place) > 1);
        }
        self.by_text.len() < self.limit
    }
}

/// Id of the version 2 cgroup of a `/proc/PID/cgroup` text: the inode number of its folder. 0 when there is none.
fn folder_id(host: &Host, text: &str) -> u64 {
    // `..` leads out of the agent's own cgroup namespace, to where no folder is mounted.
    let Some(path) = Cgroup::v2_path(text).filter(|path| !path.contains("..")) else {
        return 0;
    };
    let mounts = ["fs/cgroup/unified", "fs/cgroup"];
    let folder = mounts
        .iter()
        .map(|mount| host.sys.join(mount).join(path.trim_start_matches('/')));
    folder
        .filter_map(|folder| std::fs::metadata(folder).ok())
        .map(|folder| folder.ino())
        .next()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(root: &std::path::Path) -> Host {
        Host {
            root: root.to_owned(),
            ..Host::default()
        }
    }

    #[test]
    fn a_full_cache_drops_unused_places_first_and_then_refuses() {
        let host = host(std::path::Path::new("/nonexistent"));
        let mut places = Places::new(2);
        let held = [
            places.of(&host, "0::/system.slice/a.service", 0),
            places.of(&host, "0::/system.slice/b.service", 0),
        ];
        let c = places.of(&host, "0::/system.slice/c.service", 0);
        assert_eq!((places.refused(), c.cgroup.unit.as_deref()), (1, Some("c")));
        drop(held);
        drop(c);
        places.of(&host, "0::/system.slice/c.service", 0);
        assert_eq!((places.refused(), places.by_text.len()), (1, 1));
    }

    #[test]
    fn an_id_is_learnt_only_below_the_root() {
        let host = host(std::path::Path::new("/nonexistent"));
        let mut places = Places::new(8);
        places.of(&host, "4:memory:/docker/x\n0::/\n", 1);
        assert_eq!(places.by_id(1), None);
        let place = places.of(&host, "0::/system.slice/a.service\n", 77);
        assert_eq!(places.by_id(77), Some(place));
        for id in 100..200 {
            places.of(&host, "0::/system.slice/a.service\n", id);
        }
        assert!(places.by_id.len() <= 8);
    }
}
