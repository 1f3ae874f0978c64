//! What probes measure: who reads it and when, and whose it is.

use super::Core;
use crate::attribute::service::Service;
use crate::probes::{REST, Reader};
use crate::signal::{Label, MeasureSignal, Nanos, ProcessKey, ProcessSignal, Signal, Who};
use std::cell::RefCell;

/// The readers of what the kernel side keeps.
pub(super) struct Readers(Vec<Box<dyn Reader>>);

impl Readers {
    pub(super) fn new(readers: Vec<Box<dyn Reader>>) -> Readers {
        Readers(readers)
    }

    /// Lets them look. The ring was read since the last look.
    pub(super) fn look(&mut self, now: Nanos, core: &mut Core) {
        core.take_strangers();
        for reader in &mut self.0 {
            look(&mut **reader, now, core);
        }
        core.measures.lock().tidy(now);
    }

    /// Longest time until they look again.
    pub(super) fn rest(&self) -> Nanos {
        let rests = self.0.iter().map(|reader| reader.rest());
        rests.min().unwrap_or(REST).as_nanos() as Nanos
    }

    /// Lets them look for the last time. The ring was read to its end.
    pub(super) fn end(&mut self, now: Nanos, core: &mut Core) {
        self.look(now, core);
        core.take_strangers();
    }

    /// Tells all of a process.
    pub(super) fn process(&mut self, signal: &ProcessSignal<'_>, core: &mut Core) {
        for reader in &mut self.0 {
            reader.process(signal, &mut |signal| core.told(&signal));
        }
    }
}

fn look(reader: &mut dyn Reader, now: Nanos, core: &mut Core) {
    // Both closures need the processes, never at the same time.
    let core = RefCell::new(core);
    let mut gone = |key: ProcessKey| core.borrow_mut().processes.gone(key);
    reader.look(now, &mut gone, &mut |signal| core.borrow_mut().told(&signal));
}

impl Core {
    /// What a reader told: readers have numbers and events alone.
    fn told(&mut self, signal: &Signal<'_>) {
        match signal {
            Signal::Measure(measure) => self.measure_of_reader(measure),
            Signal::Event(event) => self.event(event),
            Signal::Process(_) | Signal::Flow(_) | Signal::Payload(_) | Signal::Message(_) | Signal::Write(_) => {
                tracing::debug!(?signal, "a reader told what readers do not tell");
            }
        }
    }

    /// Takes a number.
    pub(super) fn measure(&mut self, measure: &MeasureSignal<'_>) {
        let service = match measure.who {
            Who::Host => None,
            Who::Other => Some(Service::other()),
            Who::Process(key) => Some(self.processes.service(key)),
        };
        // Names of services that are values of labels are kept while the labels are.
        let services: Vec<_> = measure
            .labels
            .iter()
            .map(|label| match label {
                Label::Service(key) => Some(self.processes.service(*key).name.clone()),
                Label::Address(address) => self.names.name(*address),
                Label::Text(_) => None,
            })
            .collect();
        let texts = measure
            .labels
            .iter()
            .zip(&services)
            .map(|(label, service)| match label {
                Label::Text(text) => text,
                Label::Service(_) | Label::Address(_) => service.as_deref().unwrap_or_default(),
            });
        let labels: Vec<&str> = texts.collect();
        let mut measures = self.measures.lock();
        measures.tell(
            measure.at,
            measure.instrument,
            service.as_deref(),
            &labels,
            measure.amount,
        );
    }
}
