//! Events that probes tell, on their way to the exporters of records.

use super::Core;
use crate::attribute::service::Service;
use crate::export::ItemSink;
use crate::logs::LogRecord;
use crate::logs::events::Events;
use crate::signal::{EventSignal, Nanos, Who};
use std::sync::Arc;

/// Events and those who take their records. Without any, events are not looked at.
pub(super) struct Teller {
    events: Events,
    sinks: Vec<Arc<dyn ItemSink<LogRecord>>>,
}

impl Teller {
    pub(super) fn new(events: Events, sinks: Vec<Arc<dyn ItemSink<LogRecord>>>) -> Teller {
        Teller { events, sinks }
    }

    /// Whether anybody takes records.
    pub(super) fn sends(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// At a look.
    pub(super) fn tidy(&mut self, now: Nanos) {
        let sinks = &self.sinks;
        self.events.tidy(now, &mut |record| hand_over(record, sinks));
    }

    /// The agent ends.
    pub(super) fn end(&mut self, now: Nanos) {
        let sinks = &self.sinks;
        self.events.end(now, &mut |record| hand_over(record, sinks));
    }
}

impl Core {
    /// Takes an event.
    pub(super) fn event(&mut self, event: &EventSignal<'_>) {
        tracing::trace!(?event);
        if self.teller.sinks.is_empty() {
            return;
        }
        let service = match event.who {
            Who::Host => None,
            Who::Other => Some(Service::other()),
            Who::Process(key) => Some(self.processes.service(key)),
        };
        let Teller { events, sinks } = &mut self.teller;
        events.tell(event, service.as_ref(), &mut |record| hand_over(record, sinks));
    }
}

/// To every sink, without a copy for the last.
pub(super) fn hand_over<T: Clone>(item: T, sinks: &[Arc<dyn ItemSink<T>>]) {
    if let Some((last, others)) = sinks.split_last() {
        for sink in others {
            sink.accept(item.clone());
        }
        last.accept(item);
    }
}
