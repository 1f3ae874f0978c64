//! Merging of equal pages: `sys/kernel/mm/ksm` (`mm/ksm.c`), a number a file.

use super::files::number;
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "ksmd",
    about: "merging of equal pages of memory",
    default: false,
    make: |setup| Ok(Box::new(Ksm(setup.host.sys.join("kernel/mm/ksm")))),
    ..Collector::BASE
};

/// File, what its number is divided by, and family.
static TABLE: [(&str, f64, Family); 9] = [
    (
        "full_scans",
        1.0,
        Family::new(
            "node_ksmd_full_scans_total",
            "",
            "Times that all pages were looked at.",
            Kind::Counter,
        ),
    ),
    (
        "merge_across_nodes",
        1.0,
        gauge(
            "node_ksmd_merge_across_nodes",
            "Whether pages of different nodes are merged.",
        ),
    ),
    (
        "pages_shared",
        1.0,
        gauge("node_ksmd_pages_shared", "Pages that stand for several."),
    ),
    (
        "pages_sharing",
        1.0,
        gauge("node_ksmd_pages_sharing", "Pages that were saved."),
    ),
    (
        "pages_to_scan",
        1.0,
        gauge("node_ksmd_pages_to_scan", "Pages that are looked at before a pause."),
    ),
    (
        "pages_unshared",
        1.0,
        gauge(
            "node_ksmd_pages_unshared",
            "Pages that were looked at and have no equal.",
        ),
    ),
    (
        "pages_volatile",
        1.0,
        gauge("node_ksmd_pages_volatile", "Pages that change too fast to be merged."),
    ),
    (
        "run",
        1.0,
        gauge(
            "node_ksmd_run",
            "Whether pages are merged: 0 no, 1 yes, 2 no more, and those that were are parted.",
        ),
    ),
    (
        "sleep_millisecs",
        1000.0,
        gauge("node_ksmd_sleep_seconds", "How long a pause is."),
    ),
];

struct Ksm(PathBuf);

impl Collect for Ksm {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        for (file, divisor, family) in &TABLE {
            let value: u64 = number(&self.0.join(file))?;
            out.family(family);
            out.number(&[], value as f64 / divisor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn a_number_a_file() {
        let fixture = Fixture::new(&[("sys/kernel/mm/ksm/", "")]);
        for (index, (file, ..)) in TABLE.iter().enumerate() {
            fixture.put(&[(&format!("sys/kernel/mm/ksm/{file}"), &format!("{}\n", 20 + index))]);
        }
        let text = fixture.text(&COLLECTOR);
        assert!(
            text.starts_with("node_ksmd_full_scans_total 20\n") && text.ends_with("node_ksmd_sleep_seconds 0.028\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), TABLE.len());
        fixture.put(&[("sys/kernel/mm/ksm/run", "x")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text.lines().count(), 7);
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("ksm/run: \"x\": invalid digit")
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
