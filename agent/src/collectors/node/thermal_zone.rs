//! Temperatures of thermal zones, and the devices that cool them: `sys/class/thermal` (`drivers/thermal/thermal_sysfs.c`,
//! `Documentation/driver-api/thermal/sysfs-api.rst`).

use super::flags::Setup;
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family, Kind};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "thermal_zone",
    about: "temperatures of thermal zones, and the devices that cool them",
    make: |setup| Ok(Box::new(ThermalZone::new(setup))),
    ..Collector::BASE
};

static TEMPERATURE: Family = Family::new(
    "node_thermal_zone_temp",
    "",
    "Temperature of a zone in degrees Celsius.",
    Kind::Gauge,
);
static STATE: Family = Family::new(
    "node_cooling_device_cur_state",
    "",
    "How hard a device cools now.",
    Kind::Gauge,
);
static MOST: Family = Family::new(
    "node_cooling_device_max_state",
    "",
    "How hard a device can cool.",
    Kind::Gauge,
);

struct ThermalZone(PathBuf);

/// A zone or a device: its number, its type, and one number of each file.
struct Row<const N: usize> {
    name: String,
    kind: String,
    values: [i64; N],
}

impl ThermalZone {
    fn new(setup: &Setup<'_>) -> ThermalZone {
        ThermalZone(setup.host.sys.join("class/thermal"))
    }
}

impl Collect for ThermalZone {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let folder = &self.0;
        // Many hosts, virtual ones above all, have no such class.
        let names = files::names(folder).unwrap_or_default();
        let (zones, wrong) = rows(folder, &names, "thermal_zone", ["temp"]);
        tell(
            out,
            &TEMPERATURE,
            "zone",
            zones.iter().map(|row| (row, row.values[0] as f64 / 1000.0)),
        );
        let (devices, also_wrong) = rows(folder, &names, "cooling_device", ["cur_state", "max_state"]);
        tell(
            out,
            &STATE,
            "name",
            devices.iter().map(|row| (row, row.values[0] as f64)),
        );
        tell(
            out,
            &MOST,
            "name",
            devices.iter().map(|row| (row, row.values[1] as f64)),
        );
        wrong.or(also_wrong).map_or(Ok(()), Err)
    }
}

/// What there is of a kind, and the first thing that is wrong. One whose files cannot be read is left out: it is gone, or its
/// sensor has nothing to say now.
fn rows<const N: usize>(
    folder: &Path,
    names: &[String],
    kind: &str,
    files: [&str; N],
) -> (Vec<Row<N>>, Option<CollectError>) {
    let (mut rows, mut wrong) = (Vec::new(), None);
    let numbers = names.iter().filter_map(|name| name.strip_prefix(kind));
    for number in numbers.filter(|number| number.starts_with(|c: char| c.is_ascii_digit())) {
        match row(&folder.join(format!("{kind}{number}")), number, files) {
            Ok(row) => rows.extend(row),
            Err(error @ CollectError::Malformed { .. }) => wrong = wrong.or(Some(error)),
            Err(_) => {}
        }
    }
    (rows, wrong)
}

fn row<const N: usize>(folder: &Path, name: &str, files: [&str; N]) -> Result<Option<Row<N>>, CollectError> {
    if files::text_if_any(&folder.join("mode")).is_some_and(|mode| mode == "disabled") {
        return Ok(None);
    }
    let mut row = Row {
        name: name.to_owned(),
        kind: files::text(&folder.join("type"))?,
        values: [0; N],
    };
    for (value, file) in row.values.iter_mut().zip(files) {
        *value = files::number(&folder.join(file))?;
    }
    Ok(Some(row))
}

fn tell<'a, const N: usize>(
    out: &mut dyn Encoder,
    family: &Family,
    label: &str,
    rows: impl Iterator<Item = (&'a Row<N>, f64)>,
) {
    for (index, (row, value)) in rows.enumerate() {
        if index == 0 {
            out.family(family);
        }
        out.number(&[(label, &row.name), ("type", &row.kind)], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn zones_and_devices() {
        let fixture = Fixture::new(&[
            ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
            ("sys/class/thermal/thermal_zone0/temp", "-12376\n"),
            ("sys/class/thermal/thermal_zone1/type", "off\n"),
            ("sys/class/thermal/thermal_zone1/mode", "disabled\n"),
            ("sys/class/thermal/thermal_zone1/temp", "1\n"),
            ("sys/class/thermal/thermal_zone2/type", "no temperature\n"),
            ("sys/class/thermal/cooling_device10/type", "intel_powerclamp\n"),
            ("sys/class/thermal/cooling_device10/cur_state", "-1\n"),
            ("sys/class/thermal/cooling_device10/max_state", "50\n"),
            ("sys/class/thermal/thermal_zones/type", "x\n"),
        ]);
        let expect = "node_thermal_zone_temp{zone=\"0\",type=\"x86_pkg_temp\"} -12.376\n\
            node_cooling_device_cur_state{name=\"10\",type=\"intel_powerclamp\"} -1\n\
            node_cooling_device_max_state{name=\"10\",type=\"intel_powerclamp\"} 50\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
    }

    #[test]
    fn a_host_without_zones_is_fine_and_garbage_is_told() {
        assert_eq!(Fixture::new(&[]).text(&COLLECTOR), "");
        let fixture = Fixture::new(&[
            ("sys/class/thermal/thermal_zone0/type", "a\n"),
            ("sys/class/thermal/thermal_zone0/temp", "hot\n"),
            ("sys/class/thermal/thermal_zone1/type", "b\n"),
            ("sys/class/thermal/thermal_zone1/temp", "1000\n"),
        ]);
        let (text, error) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_thermal_zone_temp{zone=\"1\",type=\"b\"} 1\n");
        assert!(error.unwrap_err().to_string().contains("thermal_zone0/temp: \"hot\""));
    }
}
