//! Families of collectors, and series that open theirs: a family without any series is not told at all.

use crate::metric::{Encoder, Family, Kind};
use std::collections::BTreeMap;

/// A family of gauges. Its unit is that of its name.
pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family::new(name, unit(name), help, Kind::Gauge)
}

/// A family of counters. Its unit is that of its name.
pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
    Family::new(name, unit(name), help, Kind::Counter)
}

/// The unit that a name ends with, before `_total`; empty: none.
pub(super) const fn unit(name: &str) -> &'static str {
    let units = ["amps", "bytes", "celsius", "joule", "seconds", "volts", "watt"];
    let (name, _) = cut(name.as_bytes(), b"_total");
    let mut units = units.as_slice();
    while let Some((unit, more)) = units.split_first() {
        if let (rest, true) = cut(name, unit.as_bytes())
            && let (_, true) = cut(rest, b"_")
        {
            return unit;
        }
        units = more;
    }
    ""
}

/// A text without that end, and whether it had it.
const fn cut<'a>(text: &'a [u8], end: &[u8]) -> (&'a [u8], bool) {
    let (mut rest, mut left) = (text, end);
    while let Some((wanted, before)) = left.split_last() {
        match rest.split_last() {
            Some((last, more)) if *last == *wanted => rest = more,
            _ => return (text, false),
        }
        left = before;
    }
    (rest, true)
}

/// Series of one family.
pub(super) struct Rows<'a> {
    out: &'a mut dyn Encoder,
    family: &'a Family,
    opened: bool,
}

impl<'a> Rows<'a> {
    /// Says nothing yet.
    pub(super) fn new(out: &'a mut dyn Encoder, family: &'a Family) -> Rows<'a> {
        Rows {
            out,
            family,
            opened: false,
        }
    }

    /// One series.
    pub(super) fn number(&mut self, labels: &[(&str, &str)], value: f64) {
        if !self.opened {
            self.out.family(self.family);
            self.opened = true;
        }
        self.out.number(labels, value);
    }
}

/// Series that are found in another order than that of their families.
#[derive(Default)]
pub(super) struct Grouped(BTreeMap<String, (Family, Vec<Row>)>);

struct Row {
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Grouped {
    /// One series. The family is made when the name is new.
    pub(super) fn number(
        &mut self,
        name: &str,
        family: impl FnOnce() -> Family,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let row = Row {
            labels: labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect(),
            value,
        };
        match self.0.get_mut(name) {
            Some((_, rows)) => rows.push(row),
            None => {
                self.0.insert(name.to_owned(), (family(), vec![row]));
            }
        }
    }

    /// Says all of them, by name of the family.
    pub(super) fn tell(&self, out: &mut dyn Encoder) {
        for (family, rows) in self.0.values() {
            out.family(family);
            for row in rows {
                let labels: Vec<(&str, &str)> = row.labels.iter().map(|(name, text)| (*name, text.as_str())).collect();
                out.number(&labels, row.value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_names() {
        for (name, expected) in [
            ("node_disk_read_bytes_total", "bytes"),
            ("node_hwmon_temp_celsius", "celsius"),
            ("node_disk_io_now", ""),
            ("node_gigabytes", ""),
            ("bytes", ""),
            ("", ""),
        ] {
            assert_eq!(unit(name), expected, "{name}");
        }
    }
}
