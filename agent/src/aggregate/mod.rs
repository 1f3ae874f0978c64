//! Aggregation: reads exchanges and folds them into series of durations, times to first byte, body sizes and open exchanges,
//! by service, role and the labels of the protocol's schema.
//!
//! Every table is bounded. What a full table cannot tell apart it still counts, under `_OTHER`: for a service and role the sum
//! over all series is the number of exchanges that ended (see [`series`]).

mod active;
mod collect;
mod histogram;
mod measures;
mod names;
mod routes;
mod rows;
mod series;
mod services;
mod targets;
mod template;

#[cfg(test)]
mod tests;

pub use collect::SharedAggregate;
pub use measures::{Measures, MeasuresConfig, SharedMeasures};
pub use rows::{ROW_BUCKETS, ServiceRow, row_bounds};

use crate::attribute::service::Service;
use crate::budget::Shedding;
use crate::metric::Exemplar;
use crate::protocol::exchange::{Begin, Counted, ErrorType, Exchange, ExchangeId, Schema};
use crate::signal::{Nanos, Role};
use active::{ActiveKey, ActiveLimits, ActiveTable};
use collect::LabelNames;
use names::Names;
use routes::{NO_ROUTE, OTHER, OTHER_ROUTE, RouteLimits, Routed};
use series::{Fault, Fold, Key, Labels, SeriesTable, Status};
use services::{OTHER_SERVICE, Services};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use targets::TargetCache;

/// Versions that have a number of their own.
const VERSIONS: usize = 200;

/// Limits of an [`Aggregate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateConfig {
    /// Label sets of ended exchanges. Up to half of it comes on top for series that had to give up labels.
    pub series_limit: usize,
    /// Routes per service and role; the others are `_OTHER`.
    pub routes_per_service: usize,
    /// Different words at one place of a path before all further ones are values (three times as many at the first place).
    pub words_per_place: usize,
    /// Services; the others are `_OTHER`.
    pub service_limit: usize,
    /// Exchanges open at a time that are counted as active.
    pub open_limit: usize,
    /// Gauges of open exchanges.
    pub active_limit: usize,
    /// Targets whose route is remembered; about 300 bytes each.
    pub target_cap: usize,
    /// A series that was not used for this long is removed.
    pub ttl: Duration,
}

impl Default for AggregateConfig {
    fn default() -> AggregateConfig {
        AggregateConfig {
            series_limit: 10_000,
            routes_per_service: 200,
            words_per_place: 30,
            service_limit: 1_000,
            open_limit: 65_536,
            active_limit: 2_000,
            target_cap: 4_096,
            ttl: Duration::from_secs(300),
        }
    }
}

/// How often labels were given up, by the limit that bit. Counted per exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// `routes_per_service`: the route became `_OTHER`.
    pub routes: u64,
    /// `series_limit`: route, operation, status or service became coarser.
    pub series: u64,
    /// `service_limit`: the service became `_OTHER`.
    pub services: u64,
    /// `active_limit`: an open exchange was counted without its operation or service.
    pub active: u64,
    /// `open_limit`: an open exchange was not counted as active.
    pub open: u64,
}

/// Series of exchanges. One thread writes (see [`SharedAggregate`] for readers).
#[derive(Debug)]
pub struct Aggregate {
    config: AggregateConfig,
    /// The latest time that any exchange told.
    now: Nanos,
    schemas: Vec<(&'static Schema, Arc<LabelNames>)>,
    operations: Names<Arc<str>>,
    versions: Vec<&'static str>,
    services: Services,
    targets: TargetCache,
    series: SeriesTable,
    active: ActiveTable,
    folded: Folded,
    shedding: Shedding,
    /// Changes whenever a [`Handle`] may lead elsewhere.
    epoch: u32,
    last: Option<Handle>,
    /// When [`Aggregate::tidy`] expires series next.
    due: Nanos,
}

/// Where an exchange was counted: the next one with the same labels may be counted there at once, until a label may be another
/// or [`Aggregate::expire`] is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handle {
    series: u32,
    service: u32,
    epoch: u32,
}

impl Aggregate {
    /// An empty one.
    pub fn new(config: AggregateConfig) -> Aggregate {
        let routes = RouteLimits {
            routes: config.routes_per_service,
            words: config.words_per_place,
        };
        let active = ActiveLimits {
            open: config.open_limit,
            gauges: config.active_limit,
        };
        Aggregate {
            now: 0,
            schemas: Vec::new(),
            operations: Names::new(OTHER.into()),
            versions: vec![""],
            services: Services::new(config.service_limit, routes),
            targets: TargetCache::new(config.target_cap),
            series: SeriesTable::new(config.series_limit),
            active: ActiveTable::new(active),
            folded: Folded::default(),
            shedding: Shedding::default(),
            epoch: 0,
            last: None,
            due: 0,
            config,
        }
    }

    /// Gives up routes of new targets when that says so.
    pub fn shed_by(&mut self, shedding: Shedding) {
        self.shedding = shedding;
    }

    /// An exchange began: one more is active.
    pub fn begin(&mut self, service: &Service, begin: &Begin) {
        self.now = self.now.max(begin.started);
        let key = ActiveKey {
            service: self.services.intern(service, self.now),
            operation: self.operations.intern(&begin.operation),
            schema: self.schema(begin.schema),
            role: begin.role,
        };
        let (services, operations) = (&self.services, &self.operations);
        let counted = self.active.begin(begin.id, key, self.now, |key| {
            let name = services.get(key.service).or(services.get(OTHER_SERVICE));
            (
                name.map_or_else(services::other_name, |entry| entry.name.clone()),
                operations.name(key.operation).clone(),
            )
        });
        if counted {
            self.change_active(key.service, key.role, 1);
        }
    }

    /// An exchange ended. Returns the route it belongs to, empty when its protocol has none, `_OTHER` beyond the cap.
    /// `trace` is asked once, with that route: trace and span id of its span, when that is sampled.
    pub fn end(
        &mut self,
        service: &Service,
        exchange: &Exchange,
        trace: impl FnOnce(&str) -> Option<([u8; 16], [u8; 8])>,
    ) -> &Arc<str> {
        self.now = self.now.max(exchange.ended);
        self.close(exchange.id);
        let role = exchange.role;
        let number = self.services.intern(service, self.now);
        self.folded.services += u64::from(number == OTHER_SERVICE);
        let route = self.route(number, exchange);
        let error = exchange.error_type();
        let key = Key {
            service: number,
            route,
            status: exchange.status.map_or(Status::Unknown, Status::Code),
            operation: self.operations.intern(&exchange.operation),
            schema: self.schema(exchange.schema),
            version: self.version(exchange.version),
            error: match (exchange.error, error) {
                (Some(error), _) => Fault::Error(error),
                (None, Some(_)) => Fault::Status,
                (None, None) => Fault::No,
            },
            role,
        };
        let (services, operations, versions) = (&self.services, &self.operations, &self.versions);
        let (index, fold) = self
            .series
            .index(key, self.now, |key| labels(services, operations, versions, key, error));
        self.folded.series += u64::from(fold != Fold::Nothing);
        let plain = fold == Fold::Nothing && route != OTHER_ROUTE && number != OTHER_SERVICE;
        self.last = plain.then_some(Handle {
            series: index,
            service: number,
            epoch: self.epoch,
        });
        let series = self.series.at(index);
        let bucket = series.record(exchange, self.now);
        if let Some((trace_id, span_id)) = trace(self.services.route_name(number, role, route)) {
            let exemplars = series.exemplars.get_or_insert_with(|| Box::new([None; 15]));
            exemplars[bucket] = Some(Exemplar {
                value: exchange.duration(),
                trace_id,
                span_id,
                timestamp: unix_seconds(),
            });
        }
        if let Some(entry) = self.services.role(number, role) {
            // An answer that we failed to capture is no error of the program.
            let fault = error.is_some() && exchange.error != Some(ErrorType::NotCaptured);
            entry
                .live
                .record(exchange.ended.saturating_sub(exchange.started), fault);
        }
        self.services.route_name(number, role, route)
    }

    /// Where the last exchange that ended was counted; `None` when it had to give up labels.
    pub fn last(&self) -> Option<Handle> {
        self.last
    }

    /// One more exchange with the labels of an earlier one, in a role, answered at once: its first byte was its last. `false`
    /// when the handle is too old.
    pub fn again(&mut self, handle: Handle, role: Role, times: (Nanos, Nanos), bodies: (u64, u64)) -> bool {
        if handle.epoch != self.epoch {
            return false;
        }
        let (started, ended) = times;
        self.now = self.now.max(ended);
        let duration = ended.saturating_sub(started);
        let series = self.series.at(handle.series);
        series.again(duration, bodies, self.now);
        let error = series.key.error != Fault::No;
        if let Some(entry) = self.services.role(handle.service, role) {
            entry.live.record(duration, error);
        }
        true
    }

    /// A process may speak for another service from now on: no [`Handle`] holds any longer.
    pub fn renew(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Exchanges ended that were counted elsewhere.
    pub fn add(&mut self, service: &Service, counted: &Counted) {
        let role = counted.role;
        let number = self.services.intern(service, self.now);
        let exchanges: u64 = counted.durations.iter().sum();
        if number == OTHER_SERVICE {
            self.folded.services += exchanges;
        }
        let error = (counted.schema.status_error)(role, counted.status);
        let key = Key {
            service: number,
            route: NO_ROUTE,
            status: Status::Code(counted.status),
            operation: self.operations.intern(&counted.operation),
            schema: self.schema(counted.schema),
            version: self.version(counted.version),
            error: error.map_or(Fault::No, |_| Fault::Status),
            role,
        };
        let (services, operations, versions) = (&self.services, &self.operations, &self.versions);
        let (series, fold) = self
            .series
            .find(key, self.now, |key| labels(services, operations, versions, key, error));
        if fold != Fold::Nothing {
            self.folded.series += exchanges;
        }
        series.add(&counted.durations, counted.sum, self.now);
        if let Some(entry) = self.services.role(number, role) {
            entry.live.add(exchanges, if error.is_some() { exchanges } else { 0 });
        }
    }

    /// An exchange began, but its end will not be known: one less is active.
    pub fn lost(&mut self, id: ExchangeId) {
        self.close(id);
    }

    /// To be called about once a second: expires what is old when that is due.
    pub fn tidy(&mut self, now: Nanos) {
        if now >= self.due {
            self.due = now.saturating_add(self.step());
            self.expire(now);
        }
    }

    /// Time between two walks through all series, a sixteenth of their time to live and 1 to 15 s.
    fn step(&self) -> Nanos {
        let step = (self.config.ttl / 16).clamp(Duration::from_secs(1), Duration::from_secs(15));
        step.as_nanos() as Nanos
    }

    /// Removes what was not used for the time to live. Walks all tables.
    pub fn expire(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        self.epoch = self.epoch.wrapping_add(1);
        let ttl = u64::try_from(self.config.ttl.as_nanos()).unwrap_or(u64::MAX);
        let since = self.now.saturating_sub(ttl);
        // In this order: what others point to goes last. What was counted by a `Handle` is not noted there yet.
        let services = &mut self.services;
        self.series
            .expire(since, |key, seen| services.used(key.service, key.role, key.route, seen));
        self.active.expire(since);
        self.services.expire(since);
    }

    /// One row per service and role.
    pub fn rows(&self) -> Vec<ServiceRow> {
        let mut rows = Vec::new();
        for (_, entry) in self.services.iter() {
            for (role, kept) in [Role::Server, Role::Client].into_iter().zip(&entry.roles) {
                if let Some(kept) = kept.as_ref().filter(|kept| kept.live.count > 0 || kept.active > 0) {
                    rows.push(ServiceRow {
                        service: entry.name.name.clone(),
                        namespace: entry.name.namespace.clone(),
                        role,
                        count: kept.live.count,
                        errors: kept.live.errors,
                        active: kept.active,
                        durations: Box::new(*kept.live.durations),
                    });
                }
            }
        }
        rows
    }

    /// How often labels were given up.
    pub fn folded(&self) -> Folded {
        Folded {
            active: self.active.folded,
            open: self.active.untracked,
            ..self.folded
        }
    }

    /// Number of the route of an exchange.
    fn route(&mut self, service: u32, exchange: &Exchange) -> u32 {
        // What was asked for may not be known: its route is not invented.
        if exchange.schema.route.is_empty() || exchange.target.is_empty() {
            return NO_ROUTE;
        }
        let (role, target) = (exchange.role, &*exchange.target);
        let Some(entry) = self.services.role(service, role) else {
            return OTHER_ROUTE;
        };
        if let Some(route) = self.targets.get(entry.stamp, target) {
            entry.routes.touch(route, self.now);
            self.folded.routes += u64::from(route == OTHER_ROUTE);
            return route;
        }
        if self.shedding.sheds_route() {
            return OTHER_ROUTE;
        }
        let (routed, changed) = entry.routes.route(target, self.now);
        if changed {
            self.epoch = self.epoch.wrapping_add(1);
            self.services.restamp(service, role);
        }
        let route = match routed {
            Routed::Known(route) => route,
            Routed::Refused => OTHER_ROUTE,
        };
        self.folded.routes += u64::from(route == OTHER_ROUTE);
        if let Some(entry) = self.services.role(service, role) {
            self.targets.put(entry.stamp, target, route);
        }
        route
    }

    fn close(&mut self, id: ExchangeId) {
        if let Some(open) = self.active.close(id, self.now) {
            self.change_active(open.service, open.role, -1);
        }
    }

    fn change_active(&mut self, service: u32, role: Role, by: i64) {
        if let Some(entry) = self.services.role(service, role) {
            entry.active = entry.active.saturating_add_signed(by);
        }
        if let Some(entry) = self.services.get_mut(service) {
            entry.active = entry.active.saturating_add_signed(by);
        }
    }

    /// Number of the schema. Schemas are statics of the program: far fewer than 255.
    fn schema(&mut self, schema: &'static Schema) -> u8 {
        let known = self.schemas.iter().position(|(known, _)| *known == schema);
        let index = known.unwrap_or_else(|| {
            self.schemas.push((schema, Arc::new(LabelNames::of(schema))));
            self.schemas.len() - 1
        });
        index.min(usize::from(u8::MAX)) as u8
    }

    /// Number of the version, by its text: equal constants may stand at different addresses.
    fn version(&mut self, version: &'static str) -> u8 {
        match self.versions.iter().position(|known| *known == version) {
            Some(index) => index as u8,
            None if self.versions.len() < VERSIONS => {
                self.versions.push(version);
                self.versions.len() as u8 - 1
            }
            None => 0,
        }
    }
}

/// The labels of a key as text.
fn labels(
    services: &Services,
    operations: &Names<Arc<str>>,
    versions: &[&'static str],
    key: Key,
    error: Option<&'static str>,
) -> Labels {
    let entry = services.get(key.service);
    Labels {
        service: entry.map_or_else(services::other_name, |entry| entry.name.clone()),
        operation: operations.name(key.operation).clone(),
        route: services.route_name(key.service, key.role, key.route).clone(),
        status: match key.status {
            Status::Unknown => "".into(),
            Status::Code(code) => code.to_string().into(),
            Status::Class(class) => format!("{class}xx").into(),
        },
        version: versions.get(usize::from(key.version)).copied().unwrap_or_default(),
        error: match (key.error, key.status) {
            (Fault::Status, Status::Class(_)) => OTHER.into(),
            _ => error.unwrap_or_default().into(),
        },
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
