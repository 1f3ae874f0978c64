//! Exchanges that are open now: which ones, and how many per service, operation and role.

use super::services::{OTHER_SERVICE, ServiceName};
use crate::protocol::exchange::ExchangeId;
use crate::signal::Role;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What tells one gauge from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ActiveKey {
    /// Number of the service.
    pub(crate) service: u32,
    /// Number of the operation.
    pub(crate) operation: u16,
    /// Number of the schema.
    pub(crate) schema: u8,
    /// Role.
    pub(crate) role: Role,
}

/// One gauge.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    pub(crate) key: ActiveKey,
    pub(crate) service: ServiceName,
    pub(crate) operation: Arc<str>,
    pub(crate) value: u64,
    seen: u64,
}

/// An open exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    gauge: u32,
    /// The service it began with.
    pub(crate) service: u32,
    /// Its role.
    pub(crate) role: Role,
}

/// Limits of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActiveLimits {
    /// Open exchanges.
    pub(crate) open: usize,
    /// Gauges.
    pub(crate) gauges: usize,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct ActiveTable {
    limits: ActiveLimits,
    open: FxHashMap<ExchangeId, Open>,
    by_key: FxHashMap<ActiveKey, u32>,
    slots: Vec<Option<Gauge>>,
    free: Vec<u32>,
    /// Exchanges that began when the table of open ones was full; no gauge counts them.
    pub(crate) untracked: u64,
    /// Exchanges counted by a gauge without their operation or service.
    pub(crate) folded: u64,
}

impl ActiveTable {
    pub(crate) fn new(limits: ActiveLimits) -> ActiveTable {
        ActiveTable {
            limits,
            open: FxHashMap::default(),
            by_key: FxHashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            untracked: 0,
            folded: 0,
        }
    }

    /// Opens an exchange; false when there are too many. `labels` is asked only for a new gauge.
    pub(crate) fn begin(
        &mut self,
        id: ExchangeId,
        key: ActiveKey,
        now: u64,
        labels: impl FnOnce(ActiveKey) -> (ServiceName, Arc<str>),
    ) -> bool {
        if self.open.len() >= self.limits.open || self.open.contains_key(&id) {
            self.untracked += 1;
            return false;
        }
        let without_operation = ActiveKey { operation: 0, ..key };
        let without_service = ActiveKey {
            service: OTHER_SERVICE,
            ..without_operation
        };
        // Of the last kind there is one for each protocol and role.
        let kinds = [
            (key, self.limits.gauges),
            (without_operation, self.limits.gauges * 5 / 4),
        ];
        let fitting = kinds
            .into_iter()
            .find(|(key, limit)| self.by_key.contains_key(key) || self.by_key.len() < *limit)
            .map_or(without_service, |(key, _)| key);
        self.folded += u64::from(fitting != key);
        let gauge = match self.by_key.get(&fitting) {
            Some(&index) => index,
            None => self.insert(fitting, now, labels(fitting)),
        };
        if let Some(Some(slot)) = self.slots.get_mut(gauge as usize) {
            slot.value += 1;
            slot.seen = slot.seen.max(now);
        }
        let (service, role) = (key.service, key.role);
        self.open.insert(id, Open { gauge, service, role });
        true
    }

    fn insert(&mut self, key: ActiveKey, now: u64, (service, operation): (ServiceName, Arc<str>)) -> u32 {
        let slot = Some(Gauge {
            key,
            service,
            operation,
            value: 0,
            seen: now,
        });
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.by_key.insert(key, index);
        index
    }

    /// Closes an exchange; `None` when it was never opened.
    pub(crate) fn close(&mut self, id: ExchangeId, now: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        if let Some(Some(slot)) = self.slots.get_mut(open.gauge as usize) {
            slot.value = slot.value.saturating_sub(1);
            slot.seen = slot.seen.max(now);
        }
        Some(open)
    }

    /// Open exchanges.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// All gauges.
    pub(crate) fn gauges(&self) -> impl Iterator<Item = &Gauge> {
        self.slots.iter().flatten()
    }

    /// Drops the gauges that are at 0 and were not used since `since`.
    pub(crate) fn expire(&mut self, since: u64) {
        for (index, slot) in (0u32..).zip(self.slots.iter_mut()) {
            if let Some(old) = slot.take_if(|gauge| gauge.value == 0 && gauge.seen < since) {
                self.by_key.remove(&old.key);
                self.free.push(index);
            }
        }
        if self.open.is_empty() {
            // What a burst took.
            self.open.shrink_to(1024);
        }
    }
}
