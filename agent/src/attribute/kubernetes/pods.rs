//! The pods that are known, for everybody to ask. One task writes; the pipeline's thread reads when it names a process, and when
//! something changed.

use super::counts::Counts;
use super::pod::{Container, Pod};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What is known of a process' pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Which of its containers, when that is known.
    at: Option<usize>,
}

impl Found {
    /// The container, when it is known.
    pub fn container(&self) -> Option<&Container> {
        self.pod.containers.get(self.at?)
    }

    /// The same pod's container of this name, if it has one: the one that was told last, of those that ended and began anew.
    #[must_use]
    pub fn named(self, container: &str) -> Found {
        let at = self.pod.containers.iter().rposition(|known| known.name == container);
        Found { at, ..self }
    }
}

/// A bounded table of pods by uid and by the ids of their containers. Clones share it.
#[derive(Clone, Debug)]
pub struct Pods(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    changes: AtomicU64,
    table: RwLock<Table>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Table {
    pods: FxHashMap<String, Arc<Pod>>,
    /// By uid, by the other uid of a static pod, and by container id.
    names: FxHashMap<String, Found>,
}

impl Pods {
    /// An empty table of at most `limit` pods.
    pub fn new(limit: usize) -> Pods {
        Pods(Arc::new(Shared {
            limit,
            changes: AtomicU64::new(0),
            table: RwLock::default(),
            counts: Counts::default(),
        }))
    }

    /// The pod of a container, by `container.id`.
    pub fn of_container(&self, id: &str) -> Option<Found> {
        self.named(id)
    }

    /// The pod of this uid, that of its cgroup or that of the API.
    pub fn of_uid(&self, uid: &str) -> Option<Found> {
        self.named(uid)
    }

    /// Changes whenever something else is known of a pod than before. A pod that went is no change: who was named after it keeps its
    /// name to the end.
    pub fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Pods known now.
    pub fn len(&self) -> usize {
        self.read(|table| table.pods.len())
    }

    /// Whether no pod is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of all pods, in order.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<String> {
        let mut names: Vec<String> = self.read(|table| table.pods.values().map(|pod| pod.name.clone()).collect());
        names.sort_unstable();
        names
    }

    pub(super) fn limit(&self) -> usize {
        self.0.limit
    }

    /// Takes a pod in, or what is new of it. Refused and counted when the table is full.
    pub(crate) fn put(&self, pod: Pod) {
        self.write(|table| self.put_in(table, pod));
    }

    /// Forgets a pod.
    pub(in crate::attribute) fn remove(&self, uid: &str) {
        self.write(|table| table.remove(uid));
    }

    /// Takes in what is there now; all others are forgotten.
    pub(super) fn replace(&self, pods: Vec<Pod>) {
        self.write(|table| {
            let gone: Vec<String> = {
                let there: rustc_hash::FxHashSet<&str> = pods.iter().map(|pod| &*pod.uid).collect();
                let known = table.pods.keys();
                known.filter(|uid| !there.contains(uid.as_str())).cloned().collect()
            };
            for uid in gone {
                table.remove(&uid);
            }
            for pod in pods {
                self.put_in(table, pod);
            }
        });
    }

    fn put_in(&self, table: &mut Table, pod: Pod) {
        match table.pods.get(&pod.uid) {
            Some(known) if **known == pod => return,
            Some(_) => table.remove(&pod.uid),
            None if table.pods.len() >= self.0.limit => {
                self.0.counts.refused(1);
                return;
            }
            None => {}
        }
        table.insert(Arc::new(pod));
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    fn named(&self, name: &str) -> Option<Found> {
        self.read(|table| table.names.get(name).cloned())
    }

    fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.0.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, write: impl FnOnce(&mut Table)) {
        write(&mut self.0.table.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Table {
    fn insert(&mut self, pod: Arc<Pod>) {
        for uid in [Some(&pod.uid), pod.mirror.as_ref()].into_iter().flatten() {
            let found = Found {
                pod: pod.clone(),
                at: None,
            };
            self.names.insert(uid.clone(), found);
        }
        for (at, container) in pod.containers.iter().enumerate() {
            let found = Found {
                pod: pod.clone(),
                at: Some(at),
            };
            self.names.insert(container.id.clone(), found);
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    fn remove(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else { return };
        let ids = pod.containers.iter().map(|container| &container.id);
        for name in ids.chain([&pod.uid]).chain(&pod.mirror) {
            // Another pod may have come by the same name since.
            if self.names.get(name).is_some_and(|found| found.pod.uid == pod.uid) {
                self.names.remove(name);
            }
        }
    }
}
