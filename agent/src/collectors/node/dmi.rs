//! What the firmware says of the machine: `sys/class/dmi/id` (`drivers/firmware/dmi-id.c`).

use super::flags::Setup;
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "dmi",
    about: "what the firmware says of the machine",
    make: |setup| Ok(Box::new(Dmi::new(setup))),
    ..Collector::BASE
};

static INFO: Family = Family::new(
    "node_dmi_info",
    "",
    "What the firmware says of the machine, in labels: of those that there are and that this user may read.",
    Kind::Gauge,
);

/// Files, which are labels too, but for one.
const FILES: [&str; 20] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    VENDOR,
];
const VENDOR: &str = "sys_vendor";

struct Dmi {
    folder: PathBuf,
    /// Nothing of it changes before the next boot.
    labels: Vec<(&'static str, String)>,
}

impl Dmi {
    fn new(setup: &Setup<'_>) -> Dmi {
        Dmi {
            folder: setup.host.sys.join("class/dmi/id"),
            labels: Vec::new(),
        }
    }
}

impl Collect for Dmi {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        if self.labels.is_empty() && self.folder.is_dir() {
            let read = |file| {
                let label = if file == VENDOR { "system_vendor" } else { file };
                Some((label, tidy(files::text_if_any(&self.folder.join(file))?)))
            };
            self.labels = FILES.into_iter().filter_map(read).collect();
        }
        if self.labels.is_empty() {
            return Err(CollectError::NoData(format!("no {}", self.folder.display())));
        }
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(label, text)| (*label, text.as_str()))
            .collect();
        out.family(&INFO);
        out.number(&labels, 1.0);
        Ok(())
    }
}

/// Firmware writes bytes that are no UTF-8. A run of them becomes one U+FFFD, as with node_exporter.
fn tidy(mut text: String) -> String {
    while text.contains("\u{fffd}\u{fffd}") {
        text = text.replace("\u{fffd}\u{fffd}", "\u{fffd}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn what_there_is_becomes_labels() {
        let fixture = Fixture::new(&[
            ("sys/class/dmi/id/sys_vendor", "Dell Inc.\n"),
            ("sys/class/dmi/id/chassis_asset_tag", " \n"),
            ("sys/class/dmi/id/chassis_type", "23\n"),
            ("sys/class/dmi/id/product_uuid/", ""),
        ]);
        let folder = fixture.host().sys.join("class/dmi/id");
        std::fs::write(folder.join("product_name"), b"a\xff\xfe\xff\xfe\xffb\xffc\n").unwrap();
        let expect = "node_dmi_info{chassis_asset_tag=\"\",product_name=\"a\u{fffd}b\u{fffd}c\",system_vendor=\"Dell Inc.\"} 1\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
    }

    #[test]
    fn a_machine_without_has_none() {
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
