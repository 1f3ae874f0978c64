//! Names of addresses, from the answers of DNS that programs on this host received. Bounded; a name goes some time after the time that
//! its answer gave it: connections live longer than answers.

use crate::collectors::own::{Own, Reading};
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Addresses that have a name at a time.
pub const LIMIT: usize = 4096;
/// A name is kept so long at least, and at most.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Names by address. Clones share one table.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: RwLock<FxHashMap<IpAddr, (Arc<str>, Instant)>>,
    refused: AtomicU64,
}

impl Names {
    /// An address has a name, and will for `ttl`. The latest counts.
    pub fn insert(&self, address: IpAddr, name: &str, ttl: Duration) {
        self.insert_at(Instant::now(), address, name, ttl);
    }

    /// The name of an address.
    pub fn name(&self, address: IpAddr) -> Option<Arc<str>> {
        self.name_at(Instant::now(), address)
    }

    /// Addresses that have a name, names whose time is over but that were not removed included.
    pub fn len(&self) -> usize {
        self.0.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells how full the table is, and what it refused.
    pub fn register(&self, own: &Own) {
        let (held, refused) = (self.clone(), self.clone());
        own.register(Reading::gauge(
            "onlooker_names",
            "",
            "Addresses that have a name from an answer of DNS seen on this host.",
            move || held.len() as f64,
        ));
        own.register(Reading::counter(
            "onlooker_names_refused_total",
            "",
            "Names of addresses that were not kept because the table was full.",
            move || refused.0.refused.load(Ordering::Relaxed) as f64,
        ));
    }

    fn name_at(&self, now: Instant, address: IpAddr) -> Option<Arc<str>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let (name, until) = table.get(&address)?;
        (*until > now).then(|| name.clone())
    }

    fn insert_at(&self, now: Instant, address: IpAddr, name: &str, ttl: Duration) {
        // Addresses that everybody has name nobody.
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
            return;
        }
        let until = now + ttl.clamp(SHORTEST, LONGEST);
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, known_until)) = table.get_mut(&address) {
            if **known != *name {
                *known = name.into();
            }
            *known_until = until;
            return;
        }
        if table.len() >= LIMIT {
            table.retain(|_, (_, until)| *until > now);
        }
        if table.len() >= LIMIT {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        table.insert(address, (name.into(), until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4((0xc000_0000 + n).into())
    }

    #[test]
    fn the_latest_name_counts_until_its_time_is_over() {
        let (names, now) = (Names::default(), Instant::now());
        let (short, long) = (Duration::from_secs(1), Duration::MAX);
        names.insert_at(now, address(1), "a.example.com", short);
        names.insert_at(now, address(1), "b.example.com", short);
        names.insert_at(now, address(2), "c.example.com", long);
        names.insert_at(now, [127, 0, 0, 1].into(), "localhost", long);
        let name = |after, n| names.name_at(now + after, address(n));
        assert_eq!(name(Duration::ZERO, 1).as_deref(), Some("b.example.com"));
        assert_eq!(name(SHORTEST, 1), None);
        assert_eq!(name(SHORTEST, 2).as_deref(), Some("c.example.com"));
        assert_eq!(name(LONGEST, 2), None);
        assert_eq!(names.len(), 2);
        assert!(names.name([127, 0, 0, 1].into()).is_none());
    }

    #[test]
    fn a_full_table_takes_the_place_of_what_is_over_alone() {
        let (names, now) = (Names::default(), Instant::now());
        for n in 0..LIMIT as u32 + 3 {
            names.insert_at(now, address(n), "a", SHORTEST);
        }
        assert_eq!((names.len(), names.0.refused.load(Ordering::Relaxed)), (LIMIT, 3));
        let later = now + SHORTEST;
        names.insert_at(later, address(1 << 20), "b", SHORTEST);
        assert_eq!(names.len(), 1);
        assert!(names.name_at(later, address(1 << 20)).is_some());
    }
}
