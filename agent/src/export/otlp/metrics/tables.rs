//! All tables together, and where a family is in them.

use super::devices::DEVICES;
use super::host::HOST;
use super::own::OWN;
use super::table::{Metric, Term};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// All metrics that a table names.
pub(super) static ALL: LazyLock<Vec<&'static Metric>> =
    LazyLock::new(|| HOST.iter().chain(DEVICES).chain(OWN).collect());

/// Places of a metric and of one of its terms.
pub(super) type Place = (usize, usize);

/// What is made of a family.
pub(super) fn places(family: &str) -> &'static [Place] {
    static PLACES: LazyLock<HashMap<&'static str, Vec<Place>>> = LazyLock::new(|| {
        let mut places: HashMap<&'static str, Vec<Place>> = HashMap::new();
        for (metric, of) in ALL.iter().enumerate() {
            for (term, of) in of.of.terms().iter().enumerate() {
                places.entry(of.family).or_default().push((metric, term));
            }
        }
        places
    });
    PLACES.get(family).map_or(&[], |places| places)
}

/// A metric and one of its terms.
pub(super) fn at((metric, term): Place) -> Option<(&'static Metric, &'static Term)> {
    let metric = ALL.get(metric)?;
    Some((metric, metric.of.terms().get(term)?))
}

/// Does a table name a metric so?
pub(super) fn names(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| ALL.iter().map(|metric| metric.name).collect());
    NAMES.contains(name)
}

/// The family in whose place this one is, in one of the tables.
pub(super) fn replacing(family: &str) -> Option<&'static str> {
    static REPLACING: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let terms = ALL.iter().flat_map(|metric| metric.of.terms());
        terms.filter_map(|term| term.unless).collect()
    });
    REPLACING.get(family).copied()
}
