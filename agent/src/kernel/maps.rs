//! The kernel side's maps as the user side works with them.

use super::batch;
use crate::signal::{ConnId, Nanos};
use aya::maps::{HashMap, MapData, PerCpuArray};
use onlooker_common::count;
use onlooker_common::fallback::{FallbackCounts, FallbackKey};
use onlooker_common::socket::{Grave, SocketState, verdict};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// The socket table, from the user's side.
pub struct SocketTable {
    pub(super) map: HashMap<MapData, u64, SocketState>,
    pub(super) fd: OwnedFd,
    /// See [`SocketTable::sweep`].
    pub(super) sparing: bool,
    /// Entries that the last sweep found.
    pub(super) last: Cell<usize>,
}

/// Up to so many entries a sparing sweep looks at one by one.
const SPARSE: usize = 2048;

impl SocketTable {
    /// Leave a connection alone from now on. `false`: it is gone already.
    pub fn ignore(&mut self, sock: u64, conn: ConnId) -> bool {
        match self.map.get(&sock, 0) {
            Ok(mut state) if state.conn == conn.0 => {
                state.verdict = verdict::IGNORE;
                // BPF_EXIST: it may close at this moment.
                self.map.insert(sock, state, 2).is_ok()
            }
            _ => false,
        }
    }
    /// What the kernel knows of a connection that it follows.
    pub fn get(&self, sock: u64, conn: ConnId) -> Option<SocketState> {
        self.map.get(&sock, 0).ok().filter(|state| state.conn == conn.0)
    }
    /// Forget a connection: its next request begins a new one. Returns what the kernel knew of it.
    pub fn forget(&mut self, sock: u64, conn: ConnId) -> Option<SocketState> {
        let state = self.get(sock, conn)?;
        let _ = self.map.remove(&sock);
        Some(state)
    }
    /// Shows every entry, many at a call (`BPF_MAP_LOOKUP_BATCH`, kernel 5.6). Entries that come or go meanwhile may be left
    /// out.
    ///
    /// Such a call walks through empty buckets until it has found enough, and in a table with few entries that is all of it. As
    /// long as it does (`bpf_disable_instrumentation`), a kernel that preempts programs may preempt it, and then skips all
    /// programs at what tracepoints record for others on that CPU. So there few entries are looked at one by one, for which a
    /// call takes no time; of many each call finds enough soon.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sweep(&self, mut each: impl FnMut(u64, &SocketState)) -> std::io::Result<()> {
        let mut found = 0;
        if self.sparing && self.last.get() <= SPARSE {
            // The walk begins anew where its place is gone.
            let mut seen = FxHashSet::default();
            for sock in self.map.keys().flatten().take(2 * SPARSE) {
                if seen.insert(sock)
                    && let Ok(state) = self.map.get(&sock, 0)
                {
                    each(sock, &state);
                }
            }
            found = seen.len();
        } else {
            batch::lookup(self.fd.as_fd(), &SocketState::BLANK, self.last.get(), |sock, state| {
                found += 1;
                each(*sock, state);
            })?;
        }
        self.last.set(found);
        Ok(())
    }
}

/// Connections whose end found no room in the ring.
pub struct Graves(pub(super) HashMap<MapData, u64, Grave>);

impl Graves {
    /// Takes those of connections that ended before `before`.
    pub fn take(&mut self, before: Nanos) -> Vec<(ConnId, Grave)> {
        let conns: Vec<u64> = self.0.keys().flatten().collect();
        let mut graves = Vec::with_capacity(conns.len());
        for conn in conns {
            if let Ok(grave) = self.0.get(&conn, 0)
                && grave.at < before
            {
                let _ = self.0.remove(&conn);
                graves.push((ConnId(conn), grave));
            }
        }
        graves
    }
}

/// The table of exchanges that the kernel side counted, from the user's side.
pub struct FallbackTable {
    map: HashMap<MapData, FallbackKey, FallbackCounts>,
    known: FxHashMap<FallbackKey, FallbackCounts>,
    /// What the kernel side had put there at the last look.
    counted: u64,
}

impl FallbackTable {
    /// Nothing seen of it so far.
    pub(super) fn new(map: HashMap<MapData, FallbackKey, FallbackCounts>) -> FallbackTable {
        FallbackTable {
            map,
            known: FxHashMap::default(),
            counted: 0,
        }
    }
    /// Shows what came to each entry since the last time. Entries of processes that are gone (`alive` says no) are removed
    /// once nothing came to them. `counted`: what the kernel side has put there so far, see [`KernelCounters::in_fallback`]; while
    /// the table is empty and that stays, it is not looked at, for even an empty one takes its time.
    pub fn fresh(
        &mut self,
        counted: u64,
        alive: impl Fn(&FallbackKey) -> bool,
        mut each: impl FnMut(&FallbackKey, &FallbackCounts),
    ) {
        if std::mem::replace(&mut self.counted, counted) == counted && self.known.is_empty() {
            return;
        }
        let keys: Vec<FallbackKey> = self.map.keys().flatten().collect();
        for key in keys {
            let Ok(now) = self.map.get(&key, 0) else { continue };
            let before = self.known.entry(key).or_default();
            if *before == now {
                if !alive(&key) {
                    let _ = self.map.remove(&key);
                    self.known.remove(&key);
                }
                continue;
            }
            let mut fresh = now;
            for (now, before) in fresh.buckets.iter_mut().zip(&before.buckets) {
                *now = now.wrapping_sub(*before);
            }
            fresh.sum = fresh.sum.wrapping_sub(before.sum);
            *before = now;
            each(&key, &fresh);
        }
    }
}

/// Counters of the kernel side.
#[derive(Clone)]
pub struct KernelCounters(pub(super) Arc<PerCpuArray<MapData, u64>>);

impl KernelCounters {
    /// Sums over all CPUs, by index of `onlooker_common::count`.
    pub fn read(&self) -> [u64; count::COUNT as usize] {
        let mut sums = [0; count::COUNT as usize];
        for (index, sum) in sums.iter_mut().enumerate() {
            if let Ok(values) = self.0.get(&(index as u32), 0) {
                *sum = values.iter().sum();
            }
        }
        sums
    }

    /// Exchanges that the kernel side has put into its table so far. It tells so after it did: what is there and not told yet is
    /// told by the next time.
    pub fn in_fallback(&self) -> u64 {
        self.one(count::FALLBACK)
    }

    /// Records of a kind that found no room in the ring.
    pub fn without_room(&self, kind: u16) -> u64 {
        self.one(count::lost(kind, count::reason::RING_FULL))
    }

    /// The sum of one counter, by index of `onlooker_common::count`: a call, where [`KernelCounters::read`] makes one for each.
    pub fn one(&self, index: u32) -> u64 {
        self.0.get(&index, 0).map_or(0, |values| values.iter().sum())
    }
}
