//! Errors that memory controllers found: `sys/devices/system/edac/mc/mc<n>` (`Documentation/admin-guide/RAS/main.rst`).

use super::files;
use super::flags::Setup;
use super::rows::{Rows, counter};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "edac",
    about: "errors of memory that its controllers found",
    make: |setup| Ok(Box::new(Edac::new(setup))),
    ..Collector::BASE
};

/// Places where errors are counted, and the families of those that could be corrected and of those that could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Controller,
    Row,
    Channel,
}

#[rustfmt::skip]
static FAMILIES: [(Place, bool, Family); 6] = [
    (Place::Controller, true, counter("node_edac_correctable_errors_total", "Errors of memory that were corrected.")),
    (Place::Controller, false, counter("node_edac_uncorrectable_errors_total", "Errors of memory that could not be corrected.")),
    (Place::Row, true, counter("node_edac_csrow_correctable_errors_total", "Errors of a row of memory that were corrected.")),
    (Place::Row, false, counter("node_edac_csrow_uncorrectable_errors_total", "Errors of a row of memory that could not be corrected.")),
    (Place::Channel, true, counter("node_edac_channel_correctable_errors_total", "Errors of a channel of memory that were corrected.")),
    (Place::Channel, false, counter("node_edac_channel_uncorrectable_errors_total", "Errors of a channel of memory that could not be corrected.")),
];

struct Edac(PathBuf);

impl Edac {
    fn new(setup: &Setup<'_>) -> Edac {
        Edac(setup.host.sys.join("devices/system/edac/mc"))
    }
}

impl Collect for Edac {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut found = Found::default();
        // No such controller: no errors.
        for (number, folder) in numbered(&self.0, "mc", "") {
            found.controller(&number, &folder);
        }
        for (place, correctable, family) in &FAMILIES {
            let mut rows = Rows::new(out, family);
            let counts = found.counts.iter();
            for count in counts.filter(|count| count.place == *place && count.correctable == *correctable) {
                let labels: Vec<(&str, &str)> =
                    count.labels.iter().map(|(name, text)| (*name, text.as_str())).collect();
                rows.number(&labels, count.errors as f64);
            }
        }
        found.wrong.map_or(Ok(()), Err)
    }
}

/// Entries whose names are a number between two texts, with the number.
fn numbered(folder: &Path, begin: &str, end: &str) -> Vec<(String, PathBuf)> {
    let names = files::names(folder).unwrap_or_default();
    let numbered = names.into_iter().filter_map(|name| {
        let number = name.strip_prefix(begin)?.strip_suffix(end)?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| (number.to_owned(), folder.join(&name)))
    });
    numbered.collect()
}

#[derive(Default)]
struct Found {
    counts: Vec<Count>,
    wrong: Option<CollectError>,
}

struct Count {
    place: Place,
    correctable: bool,
    labels: Vec<(&'static str, String)>,
    errors: u64,
}

impl Found {
    fn controller(&mut self, controller: &str, folder: &Path) {
        let label = ("controller", controller);
        let unknown = [label, ("csrow", "unknown")];
        self.count(Place::Controller, true, folder.join("ce_count"), &[label]);
        self.count(Place::Controller, false, folder.join("ue_count"), &[label]);
        self.count(Place::Row, true, folder.join("ce_noinfo_count"), &unknown);
        self.count(Place::Row, false, folder.join("ue_noinfo_count"), &unknown);
        for (row, folder) in numbered(folder, "csrow", "") {
            let labels = [label, ("csrow", &*row)];
            self.count(Place::Row, true, folder.join("ce_count"), &labels);
            self.count(Place::Row, false, folder.join("ue_count"), &labels);
            for (channel, path) in numbered(&folder, "ch", "_ce_count") {
                let name = files::text_if_any(&folder.join(format!("ch{channel}_dimm_label")));
                let name = name.map_or_else(|| "unknown".to_owned(), |name| label_of(&name));
                let labels = [labels[0], labels[1], ("channel", &channel), ("dimm_label", &name)];
                self.count(Place::Channel, true, path, &labels);
                self.count(
                    Place::Channel,
                    false,
                    folder.join(format!("ch{channel}_ue_count")),
                    &labels,
                );
            }
        }
    }

    fn count(&mut self, place: Place, correctable: bool, path: PathBuf, labels: &[(&'static str, &str)]) {
        match files::number(&path) {
            Ok(errors) => self.counts.push(Count {
                place,
                correctable,
                labels: labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect(),
                errors,
            }),
            // Not every driver counts everything.
            Err(error) if error.is_no_data() => {}
            Err(error) => self.wrong = Some(error),
        }
    }
}

/// `mc#0csrow#1channel#0` as it becomes a label: `mc0_csrow1_channel0`.
fn label_of(name: &str) -> String {
    let name = name.replace('#', "");
    name.replace("csrow", "_csrow").replace("channel", "_channel")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::noise::noise;
    use crate::collectors::node::testing::Fixture;
    use proptest::prelude::*;

    const MC: &str = "sys/devices/system/edac/mc/mc1";

    fn host(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture::new(&[("sys/devices/system/edac/mc/power/control", "auto\n")]);
        for (path, text) in files {
            fixture.put(&[(&format!("{MC}/{path}"), text)]);
        }
        fixture
    }

    #[test]
    fn controllers_rows_and_channels() {
        let fixture = host(&[
            ("ce_count", "6\n"),
            ("ue_count", "5\n"),
            ("ce_noinfo_count", "1\n"),
            ("csrow0/ce_count", "4\n"),
            ("csrow0/ue_count", "3\n"),
            ("csrow0/ch0_ce_count", "2\n"),
            ("csrow0/ch0_dimm_label", "mc#1csrow#0channel#0\n"),
            ("csrow0/ch1_ce_count", "0\n"),
            ("csrow0/ch1_ue_count", "7\n"),
            ("csrow0/chx_ce_count", "9\n"),
            ("csrowx/ce_count", "9\n"),
        ]);
        assert_eq!(
            fixture.text(&COLLECTOR).replace("controller=\"1\"", "…"),
            "node_edac_correctable_errors_total{…} 6\n\
             node_edac_uncorrectable_errors_total{…} 5\n\
             node_edac_csrow_correctable_errors_total{…,csrow=\"unknown\"} 1\n\
             node_edac_csrow_correctable_errors_total{…,csrow=\"0\"} 4\n\
             node_edac_csrow_uncorrectable_errors_total{…,csrow=\"0\"} 3\n\
             node_edac_channel_correctable_errors_total{…,csrow=\"0\",channel=\"0\",dimm_label=\"mc1_csrow0_channel0\"} 2\n\
             node_edac_channel_correctable_errors_total{…,csrow=\"0\",channel=\"1\",dimm_label=\"unknown\"} 0\n\
             node_edac_channel_uncorrectable_errors_total{…,csrow=\"0\",channel=\"1\",dimm_label=\"unknown\"} 7\n"
        );
    }

    #[test]
    fn what_is_no_number_is_told_and_the_rest_stays() {
        let (text, result) = host(&[("ce_count", "some\n"), ("ue_count", "5\n")]).collect(&COLLECTOR);
        assert_eq!(text, "node_edac_uncorrectable_errors_total{controller=\"1\"} 5\n");
        let error = result.unwrap_err().to_string();
        assert!(error.contains("mc1/ce_count: \"some\": invalid digit"), "{error}");
        assert_eq!(Fixture::new(&[]).text(&COLLECTOR), "", "no controller is no error");
    }

    proptest! {
        #[test]
        fn labels_of_all_sorts(name in noise(&["mc#", "csrow", "channel", "#", "0"])) {
            prop_assert!(!label_of(&name).contains('#'));
        }
    }
}
