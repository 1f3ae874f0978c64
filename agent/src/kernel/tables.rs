//! Maps in which the kernel side counts, as the readers of `probes` work with them.

use super::batch;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use aya::{Ebpf, Pod};
use rustc_hash::FxHashMap;
use std::hash::Hash;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a map cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is not in the eBPF object: both sides were built from different sources.
    #[error("the eBPF object has no map {0}")]
    Missing(&'static str),
    /// It is of another kind or size than this side expects.
    #[error("map {0} is not as expected: {1}")]
    Wrong(&'static str, MapError),
    /// There is no descriptor left for it.
    #[error("map {0} cannot be opened once more: {1}")]
    Descriptor(&'static str, io::Error),
    /// The kernel does not let a program iterate.
    #[error("program {0} cannot iterate: {1}")]
    Iterator(&'static str, io::Error),
}

/// The kernel side at work, with the maps that nobody took yet. Dropping it detaches all programs.
pub struct Tables {
    pub(super) programs: Ebpf,
    /// See [`super::maps::SocketTable::sweep`].
    pub(super) sparing: bool,
    /// See [`Tables::take_crowded`].
    pub(super) crowded: Arc<AtomicBool>,
}

impl Tables {
    /// Whether a growing table was found half full or more since this was asked last: entries of processes that ended leave it at a
    /// look.
    pub fn take_crowded(&self) -> bool {
        self.crowded.swap(false, Ordering::Relaxed)
    }

    /// Takes a hash map, per CPU or not, whose values are `N` numbers that only grow.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn growing<K, const N: usize>(&mut self, name: &'static str) -> Result<GrowingTable<K, N>, TableError>
    where
        K: Pod + Default + Hash + Eq,
    {
        let map = self.take(name)?;
        let wrong = |error| TableError::Wrong(name, error);
        let (fd, info) = match &map {
            Map::HashMap(data) | Map::LruHashMap(data) | Map::PerCpuHashMap(data) | Map::PerCpuLruHashMap(data) => {
                (data.fd().as_fd().try_clone_to_owned(), data.info())
            }
            _ => return Err(TableError::Missing(name)),
        };
        let fd = fd.map_err(|error| TableError::Descriptor(name, error))?;
        let most = info.map_err(wrong)?.max_entries() as usize;
        let (map, cpus) = match map {
            Map::PerCpuHashMap(_) | Map::PerCpuLruHashMap(_) => {
                let map = PerCpuHashMap::try_from(map).map_err(wrong)?;
                let cpus = aya::util::nr_cpus().map_err(|(_, error)| TableError::Descriptor(name, error))?;
                (Either::PerCpu(map), cpus)
            }
            map => (Either::Shared(HashMap::try_from(map).map_err(wrong)?), 1),
        };
        Ok(GrowingTable {
            map,
            name,
            fd,
            cpus,
            sparing: self.sparing,
            many: most / 2,
            crowded: self.crowded.clone(),
            known: FxHashMap::default(),
        })
    }

    /// Takes a hash map.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn hash<K: Pod, V: Pod>(&mut self, name: &'static str) -> Result<HashMap<MapData, K, V>, TableError> {
        HashMap::try_from(self.take(name)?).map_err(|error| TableError::Wrong(name, error))
    }

    /// Takes an array.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn array<V: Pod>(&mut self, name: &'static str) -> Result<Array<MapData, V>, TableError> {
        Array::try_from(self.take(name)?).map_err(|error| TableError::Wrong(name, error))
    }

    /// Takes an array per CPU.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn per_cpu_array<V: Pod>(&mut self, name: &'static str) -> Result<PerCpuArray<MapData, V>, TableError> {
        PerCpuArray::try_from(self.take(name)?).map_err(|error| TableError::Wrong(name, error))
    }

    fn take(&mut self, name: &'static str) -> Result<Map, TableError> {
        self.programs.take_map(name).ok_or(TableError::Missing(name))
    }
}

enum Either<K: Pod, const N: usize> {
    Shared(HashMap<MapData, K, [u64; N]>),
    PerCpu(PerCpuHashMap<MapData, K, [u64; N]>),
}

/// A hash map whose values are numbers that only grow. It is bounded by the map: what is known of an entry here goes with it.
pub struct GrowingTable<K: Pod, const N: usize> {
    map: Either<K, N>,
    name: &'static str,
    fd: OwnedFd,
    /// Values an entry.
    cpus: usize,
    sparing: bool,
    /// From so many entries on it is crowded.
    many: usize,
    crowded: Arc<AtomicBool>,
    known: FxHashMap<K, [u64; N]>,
}

impl<K: Pod + Default + Hash + Eq, const N: usize> GrowingTable<K, N> {
    /// Shows what came to each entry since the last time, and removes entries that nobody adds to any more (`gone` says so, asked
    /// only of those to which nothing came since the last time).
    ///
    /// # Errors
    /// What the kernel said. What was shown before stays shown.
    pub fn fresh(&mut self, gone: &mut dyn FnMut(&K) -> bool, each: &mut dyn FnMut(&K, &[u64; N])) -> io::Result<()> {
        let mut still = Vec::new();
        let about = self.known.len();
        let known = &mut self.known;
        let mut look = |key: &K, now: [u64; N]| {
            let before = known.entry(*key).or_insert([0; N]);
            if *before == now {
                still.push(*key);
                return;
            }
            let mut fresh = now;
            for (now, before) in fresh.iter_mut().zip(&*before) {
                *now = now.wrapping_sub(*before);
            }
            *before = now;
            each(key, &fresh);
        };
        if self.sparing {
            let keys: Vec<K> = match &self.map {
                Either::Shared(map) => map.keys().flatten().collect(),
                Either::PerCpu(map) => map.keys().flatten().collect(),
            };
            for key in keys {
                let now = match &self.map {
                    Either::Shared(map) => map.get(&key, 0).ok(),
                    Either::PerCpu(map) => map.get(&key, 0).ok().map(|values| sum(&values)),
                };
                if let Some(now) = now {
                    look(&key, now);
                }
            }
        } else {
            batch::lookup_each(self.fd.as_fd(), &[0; N], self.cpus, about, |key, values| {
                look(key, sum(values))
            })?;
        }
        if known.len() > self.many {
            self.crowded.store(true, Ordering::Relaxed);
        }
        for key in still {
            if gone(&key) {
                let _ = match &mut self.map {
                    Either::Shared(map) => map.remove(&key),
                    Either::PerCpu(map) => map.remove(&key),
                };
                self.known.remove(&key);
            }
        }
        Ok(())
    }

    /// Puts in an entry at zero, which the kernel side then finds.
    ///
    /// # Errors
    /// [`TableError::Wrong`]: the kernel refuses it.
    pub fn put_blank(&mut self, key: &K) -> Result<(), TableError> {
        let put = match &mut self.map {
            Either::Shared(map) => map.insert(key, [0; N], 0),
            Either::PerCpu(map) => {
                let blank = vec![[0; N]; self.cpus];
                PerCpuValues::try_from(blank)
                    .map_err(MapError::from)
                    .and_then(|blank| map.insert(key, blank, 0))
            }
        };
        put.map_err(|error| TableError::Wrong(self.name, error))
    }

    /// Entries that were there at the last look.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

fn sum<const N: usize>(values: &[[u64; N]]) -> [u64; N] {
    let mut sum = [0u64; N];
    for value in values {
        for (sum, value) in sum.iter_mut().zip(value) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sum
}
