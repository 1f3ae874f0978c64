//! The services that series are about, under small numbers. Number 0 is everything beyond the limit.

use super::routes::{NO_ROUTE, OTHER, RouteLimits, Routes};
use super::rows::Live;
use crate::attribute::service::Service;
use crate::signal::Role;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The service of what has no place of its own.
pub(crate) const OTHER_SERVICE: u32 = 0;

/// Name and namespace, as labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Option<Arc<str>>,
}

/// The name of [`OTHER_SERVICE`].
pub(crate) fn other_name() -> ServiceName {
    ServiceName {
        name: OTHER.into(),
        namespace: None,
    }
}

/// What is kept of one service.
#[derive(Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) name: ServiceName,
    pub(crate) roles: [Option<Box<RoleEntry>>; 2],
    /// Exchanges open now.
    pub(crate) active: u64,
    seen: u64,
}

/// What is kept of a service in one role.
#[derive(Debug)]
pub(crate) struct RoleEntry {
    pub(crate) routes: Routes,
    /// Changes whenever a target may have another route than before; unique among all tables.
    pub(crate) stamp: u32,
    pub(crate) live: Live,
    pub(crate) active: u64,
}

/// All services.
#[derive(Debug)]
pub(crate) struct Services {
    limit: usize,
    routes: RouteLimits,
    /// By name; services of one name differ in their namespace.
    by_name: FxHashMap<Arc<str>, Vec<u32>>,
    slots: Vec<Option<ServiceEntry>>,
    free: Vec<u32>,
    next_stamp: u32,
    other_route: Arc<str>,
    no_route: Arc<str>,
}

impl Services {
    pub(crate) fn new(limit: usize, routes: RouteLimits) -> Services {
        let other = other_name();
        let by_name = FxHashMap::from_iter([(other.name.clone(), vec![OTHER_SERVICE])]);
        Services {
            limit: limit.max(1),
            routes,
            by_name,
            slots: vec![Some(ServiceEntry::new(other, u64::MAX))],
            free: Vec::new(),
            next_stamp: 1,
            other_route: OTHER.into(),
            no_route: "".into(),
        }
    }

    /// Number of the service; [`OTHER_SERVICE`] when there are too many.
    pub(crate) fn intern(&mut self, service: &Service, now: u64) -> u32 {
        if let Some(same_name) = self.by_name.get(&service.name) {
            for &index in same_name {
                if let Some(Some(entry)) = self.slots.get_mut(index as usize)
                    && entry.name.namespace == service.namespace
                {
                    entry.seen = entry.seen.max(now);
                    return index;
                }
            }
        }
        if self.len() >= self.limit {
            return OTHER_SERVICE;
        }
        let name = ServiceName {
            name: service.name.clone(),
            namespace: service.namespace.clone(),
        };
        let entry = Some(ServiceEntry::new(name, now));
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = entry;
                index
            }
            None => {
                self.slots.push(entry);
                self.slots.len() as u32 - 1
            }
        };
        self.by_name.entry(service.name.clone()).or_default().push(index);
        index
    }

    pub(crate) fn get(&self, service: u32) -> Option<&ServiceEntry> {
        self.slots.get(service as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, service: u32) -> Option<&mut ServiceEntry> {
        self.slots.get_mut(service as usize)?.as_mut()
    }

    /// What is kept of the service in a role; made when it is not there. `None` only for a number that is not in use.
    pub(crate) fn role(&mut self, service: u32, role: Role) -> Option<&mut RoleEntry> {
        let slot = &mut self.slots.get_mut(service as usize)?.as_mut()?.roles[role as usize];
        if slot.is_none() {
            self.next_stamp = self.next_stamp.wrapping_add(1).max(1);
        }
        Some(slot.get_or_insert_with(|| {
            Box::new(RoleEntry {
                routes: Routes::new(self.routes),
                stamp: self.next_stamp,
                live: Live::default(),
                active: 0,
            })
        }))
    }

    /// Notes that a service and its route were used at `now`.
    pub(crate) fn used(&mut self, service: u32, role: Role, route: u32, now: u64) {
        if let Some(entry) = self.get_mut(service) {
            entry.seen = entry.seen.max(now);
            if let Some(kept) = &mut entry.roles[role as usize] {
                kept.routes.touch(route, now);
            }
        }
    }

    /// Name of a route of the service in a role.
    pub(crate) fn route_name(&self, service: u32, role: Role, route: u32) -> &Arc<str> {
        match self.get(service).and_then(|entry| entry.roles[role as usize].as_ref()) {
            Some(entry) => entry.routes.name(route),
            None if route == NO_ROUTE => &self.no_route,
            None => &self.other_route,
        }
    }

    /// Gives the routes of a service a new stamp.
    pub(crate) fn restamp(&mut self, service: u32, role: Role) {
        self.next_stamp = self.next_stamp.wrapping_add(1).max(1);
        let stamp = self.next_stamp;
        if let Some(entry) = self.role(service, role) {
            entry.stamp = stamp;
        }
    }

    /// Services apart from number 0.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len() - 1
    }

    /// All of them with their numbers, number 0 first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &ServiceEntry)> {
        (0u32..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    /// Routes of all services.
    pub(crate) fn routes(&self) -> usize {
        self.iter()
            .flat_map(|(_, entry)| entry.roles.iter().flatten())
            .map(|role| role.routes.len())
            .sum()
    }

    /// Forgets services and routes that were not used since `since`. Series that use them must be gone before.
    pub(crate) fn expire(&mut self, since: u64) {
        let (by_name, free) = (&mut self.by_name, &mut self.free);
        for (index, slot) in (0u32..).zip(self.slots.iter_mut()) {
            if let Some(old) = slot.take_if(|entry| entry.seen < since && entry.active == 0) {
                if let Some(same_name) = by_name.get_mut(&old.name.name) {
                    same_name.retain(|other| *other != index);
                    if same_name.is_empty() {
                        by_name.remove(&old.name.name);
                    }
                }
                free.push(index);
            }
            for role in slot.iter_mut().flat_map(|entry| entry.roles.iter_mut().flatten()) {
                if role.routes.expire(since) {
                    self.next_stamp = self.next_stamp.wrapping_add(1).max(1);
                    role.stamp = self.next_stamp;
                }
            }
        }
    }
}

impl ServiceEntry {
    fn new(name: ServiceName, seen: u64) -> ServiceEntry {
        ServiceEntry {
            name,
            roles: [None, None],
            active: 0,
            seen,
        }
    }
}
