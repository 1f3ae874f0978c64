//! Numbers of processes that nobody has told of yet.
//!
//! While a reader reads a table of the kernel the ring fills on: a process may be in that table, and its fork still in the ring.
//! When it has ended by then, `/proc` does not know it either, and its numbers would be those of the service `unknown`; while it ends, `/proc` has its
//! name alone, and they would be those of a service of that name. They wait until the ring was read once more, those of a process that is
//! older than the agent once.

use super::Core;
use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Who};
use std::net::IpAddr;

/// Numbers that wait at most; others are told at once.
const LIMIT: usize = 4096;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Strangers(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    at: Nanos,
    instrument: &'static Instrument,
    process: ProcessKey,
    labels: Box<[Value]>,
    amount: Quantity,
}

#[derive(Debug)]
enum Value {
    Text(Box<str>),
    Service(ProcessKey),
    Address(IpAddr),
}

#[derive(Debug)]
enum Quantity {
    Add(f64),
    Observe(f64),
    Buckets(Box<[u64]>, f64),
}

impl Strangers {
    /// Keeps a number of a process. `false`: there is no room, or it is a gauge, which is of its moment.
    fn keep(&mut self, process: ProcessKey, measure: &MeasureSignal<'_>) -> bool {
        let amount = match measure.amount {
            Amount::Add(amount) => Quantity::Add(amount),
            Amount::Observe(amount) => Quantity::Observe(amount),
            Amount::Buckets(buckets, sum) => Quantity::Buckets(buckets.into(), sum),
            Amount::Set(_) | Amount::Most(_) | Amount::Least(_) => return false,
        };
        if self.0.len() >= LIMIT {
            return false;
        }
        let labels = measure.labels.iter().map(|label| match label {
            Label::Text(text) => Value::Text((*text).into()),
            Label::Service(key) => Value::Service(*key),
            Label::Address(address) => Value::Address(*address),
        });
        self.0.push(Waiting {
            at: measure.at,
            instrument: measure.instrument,
            process,
            labels: labels.collect(),
            amount,
        });
        true
    }
}

impl Waiting {
    /// The number as it was told.
    fn tell(&self, tell: &mut dyn FnMut(&MeasureSignal<'_>)) {
        let labels: Vec<Label<'_>> = self
            .labels
            .iter()
            .map(|label| match label {
                Value::Text(text) => Label::Text(text),
                Value::Service(key) => Label::Service(*key),
                Value::Address(address) => Label::Address(*address),
            })
            .collect();
        tell(&MeasureSignal {
            at: self.at,
            instrument: self.instrument,
            who: Who::Process(self.process),
            labels: &labels,
            amount: match &self.amount {
                Quantity::Add(amount) => Amount::Add(*amount),
                Quantity::Observe(amount) => Amount::Observe(*amount),
                Quantity::Buckets(buckets, sum) => Amount::Buckets(buckets, *sum),
            },
        });
    }
}

impl Core {
    /// Takes a number of a reader, at once or when the ring was read once more.
    pub(super) fn measure_of_reader(&mut self, measure: &MeasureSignal<'_>) {
        if let Who::Process(key) = measure.who
            && self.processes.is_stranger(key)
            && self.strangers.keep(key, measure)
        {
            return;
        }
        self.measure(measure);
    }

    /// Whether some wait.
    pub(super) fn waits_for_strangers(&self) -> bool {
        !self.strangers.0.is_empty()
    }

    /// The ring was read: what waited for that is taken.
    pub(super) fn take_strangers(&mut self) {
        for waiting in std::mem::take(&mut self.strangers.0) {
            waiting.tell(&mut |measure| self.measure(measure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Shape;

    static COUNTER: Instrument = Instrument {
        name: "c",
        unit: "",
        help: "",
        shape: Shape::Counter,
        labels: &["a", "b"],
        limit: 1,
        source: "",
    };

    #[test]
    fn what_waited_is_told_as_it_came_and_gauges_do_not_wait() {
        let key = ProcessKey { pid: 1, start: 2 };
        let measure = |amount| MeasureSignal {
            at: 3,
            instrument: &COUNTER,
            who: Who::Process(key),
            labels: &[Label::Text("x"), Label::Service(ProcessKey { pid: 4, start: 5 })],
            amount,
        };
        let mut strangers = Strangers::default();
        let given = [Amount::Add(1.0), Amount::Observe(2.0), Amount::Buckets(&[3, 4], 5.0)];
        assert!(given.iter().all(|amount| strangers.keep(key, &measure(*amount))));
        assert!(!strangers.keep(key, &measure(Amount::Set(1.0))));
        let mut told = 0;
        for (waiting, amount) in strangers.0.iter().zip(given) {
            waiting.tell(&mut |signal| {
                assert_eq!(*signal, measure(amount));
                told += 1;
            });
        }
        assert_eq!(told, 3);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let key = ProcessKey { pid: 1, start: 2 };
        let measure = MeasureSignal {
            at: 3,
            instrument: &COUNTER,
            who: Who::Process(key),
            labels: &[],
            amount: Amount::Add(1.0),
        };
        let mut strangers = Strangers::default();
        let kept = (0..LIMIT + 10).filter(|_| strangers.keep(key, &measure)).count();
        assert_eq!(kept, LIMIT);
    }
}
