//! Numbers that probes tell: what each counts, whose it is, how much.

use super::{Nanos, ProcessKey};

/// A family of series that a probe fills: everything but labels and values. A static of the probe's file.
#[derive(Debug, PartialEq)]
pub struct Instrument {
    /// Full name in Prometheus' form, with unit and `_total`.
    pub name: &'static str,
    /// Base unit (`seconds`, `bytes`), empty when none; a suffix of the name when not empty.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What its amounts are.
    pub shape: Shape,
    /// Names of its labels behind those of the service, in the order of [`MeasureSignal::labels`].
    pub labels: &'static [&'static str],
    /// Label sets that are held at a time; further ones are counted under `_OTHER`.
    pub limit: usize,
    /// For `docs/metrics.md`: where the number comes from (hook, kernel field, file), and what is to be known of it.
    pub source: &'static str,
}

/// What the amounts of an instrument are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A counter: amounts are added ([`Amount::Add`]).
    Counter,
    /// A gauge: amounts of one moment are added up ([`Amount::Set`]), those of another moment take their place. What was not
    /// told at the latest moment that its instrument was told of is gone.
    Gauge,
    /// A histogram with these upper bounds, ascending, inclusive, in the instrument's unit ([`Amount::Buckets`],
    /// [`Amount::Observe`]).
    Histogram(&'static [f64]),
}

/// Whose a number or an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The host's: no label of a service.
    Host,
    /// A process' that is not known for lack of room: service `_OTHER`.
    Other,
    /// A process': labelled with the service it speaks for, `unknown` when nothing is known of it.
    Process(ProcessKey),
}

/// Value of a label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label<'a> {
    /// A text; an empty one is no label.
    Text(&'a str),
    /// Name of the service that a process speaks for.
    Service(ProcessKey),
    /// Name of an address, from an answer of DNS that was seen on this host; none: no label.
    Address(std::net::IpAddr),
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount<'a> {
    /// So much more, in the instrument's unit.
    Add(f64),
    /// So much at the time of the signal, in the instrument's unit.
    Set(f64),
    /// Of a gauge whose amounts of one moment are not added up: the largest is kept.
    Most(f64),
    /// Likewise, the smallest.
    Least(f64),
    /// One observation, in the instrument's unit.
    Observe(f64),
    /// Observations by bucket (one more than the instrument has bounds, the last beyond them all) and their sum, in the
    /// instrument's unit.
    Buckets(&'a [u64], f64),
}

/// See [`super::Signal::Measure`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasureSignal<'a> {
    /// When it was read. The same for all gauges of one look.
    pub at: Nanos,
    /// What it is.
    pub instrument: &'static Instrument,
    /// Whose it is.
    pub who: Who,
    /// One value for each label of the instrument.
    pub labels: &'a [Label<'a>],
    /// How much.
    pub amount: Amount<'a>,
}
