//! Disks with several paths to them: `sys/block/dm-*` of the device mapper (`Documentation/ABI/testing/sysfs-block-dm`), as far as
//! their UUID says multipath, and the state of the devices below.

use super::files::{self, Folder};
use super::flags::Setup;
use super::rows::{Rows, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "dmmultipath",
    about: "disks of the device mapper with several paths",
    make: |setup| Ok(Box::new(DmMultipath::new(setup))),
    ..Collector::BASE
};

static INFO: Family = gauge("node_dmmultipath_device_info", "What a multipath device is.");
static PATH_STATE: Family = gauge("node_dmmultipath_path_state", "In which state the device of a path is.");

/// A number of a device.
type Column = (Family, fn(&Device) -> f64);

static COLUMNS: [Column; 5] = [
    (
        gauge(
            "node_dmmultipath_device_active",
            "Whether a multipath device is active, not suspended.",
        ),
        |device| f64::from(device.active),
    ),
    (
        gauge(
            "node_dmmultipath_device_size_bytes",
            "Bytes that a multipath device is large.",
        ),
        |device| device.sectors as f64 * 512.0,
    ),
    (
        gauge("node_dmmultipath_device_paths", "Paths of a multipath device."),
        |device| device.paths.len() as f64,
    ),
    (
        gauge(
            "node_dmmultipath_device_paths_active",
            "Paths of a multipath device whose device works.",
        ),
        |device| device.working() as f64,
    ),
    (
        gauge(
            "node_dmmultipath_device_paths_failed",
            "Paths of a multipath device whose device does not work.",
        ),
        |device| (device.paths.len() - device.working()) as f64,
    ),
];

struct DmMultipath(Folder);

impl DmMultipath {
    fn new(setup: &Setup<'_>) -> DmMultipath {
        DmMultipath(Folder::new(setup.host.sys.join("block")))
    }
}

impl Collect for DmMultipath {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut result = Ok(());
        let mut devices = Vec::new();
        for name in self.0.names()?.into_iter().filter(|name| name.starts_with("dm-")) {
            match Device::read(self.0.path(), name) {
                Ok(device) => devices.extend(device),
                // It was removed meanwhile.
                Err(error) if error.is_no_data() => {}
                Err(error) => result = Err(error),
            }
        }
        let mut rows = Rows::new(out, &INFO);
        for device in &devices {
            let labels = [
                ("device", &*device.name),
                ("sysfs_name", &device.kernel),
                ("uuid", &device.uuid),
            ];
            rows.number(&labels, 1.0);
        }
        for (family, value) in &COLUMNS {
            let mut rows = Rows::new(out, family);
            for device in &devices {
                rows.number(
                    &[("device", &device.name), ("sysfs_name", &device.kernel)],
                    value(device),
                );
            }
        }
        let mut rows = Rows::new(out, &PATH_STATE);
        for device in &devices {
            for (path, state) in &device.paths {
                rows.number(&[("device", &device.name), ("path", path), ("state", state)], 1.0);
            }
        }
        result
    }
}

struct Device {
    kernel: String,
    name: String,
    uuid: String,
    active: bool,
    sectors: u64,
    /// Devices below and their states.
    paths: Vec<(String, String)>,
}

impl Device {
    /// `None`: it is of another kind.
    fn read(block: &Path, kernel: String) -> Result<Option<Device>, CollectError> {
        let folder = block.join(&kernel);
        let uuid = files::text(&folder.join("dm/uuid"))?;
        if !uuid.starts_with("mpath-") {
            return Ok(None);
        }
        let below = files::names(&folder.join("slaves")).unwrap_or_default();
        let paths = below.into_iter().filter_map(|name| {
            // One that is gone is no path any more.
            let state = files::text_if_any(&block.join(&name).join("device/state"))?;
            Some((name, state))
        });
        Ok(Some(Device {
            name: files::text(&folder.join("dm/name"))?,
            uuid,
            active: files::number::<u64>(&folder.join("dm/suspended"))? != 1,
            sectors: files::number(&folder.join("size"))?,
            paths: paths.collect(),
            kernel,
        }))
    }

    /// Paths whose device works, as SCSI (`running`) and NVMe (`live`) have it.
    fn working(&self) -> usize {
        let works = |(_, state): &&(String, String)| state == "running" || state == "live";
        self.paths.iter().filter(works).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn devices_and_paths() {
        let fixture = Fixture::new(&[
            ("sys/block/dm-0/dm/uuid", "LVM-1\n"),
            ("sys/block/dm-1/size", "4\n"),
            ("sys/block/dm-1/dm/name", "disk\n"),
            ("sys/block/dm-1/dm/uuid", "mpath-1\n"),
            ("sys/block/dm-1/dm/suspended", "1\n"),
            ("sys/block/dm-1/slaves/sda/", ""),
            ("sys/block/dm-1/slaves/sdb/", ""),
            ("sys/block/dm-1/slaves/sdc/", ""),
            ("sys/block/sda/device/state", "running\n"),
            ("sys/block/sdb/device/state", "transport-offline\n"),
            ("sys/block/dm-2/dm/uuid", "mpath-2\n"),
        ]);
        assert_eq!(
            fixture.text(&COLLECTOR),
            "node_dmmultipath_device_info{device=\"disk\",sysfs_name=\"dm-1\",uuid=\"mpath-1\"} 1\n\
             node_dmmultipath_device_active{device=\"disk\",sysfs_name=\"dm-1\"} 0\n\
             node_dmmultipath_device_size_bytes{device=\"disk\",sysfs_name=\"dm-1\"} 2048\n\
             node_dmmultipath_device_paths{device=\"disk\",sysfs_name=\"dm-1\"} 2\n\
             node_dmmultipath_device_paths_active{device=\"disk\",sysfs_name=\"dm-1\"} 1\n\
             node_dmmultipath_device_paths_failed{device=\"disk\",sysfs_name=\"dm-1\"} 1\n\
             node_dmmultipath_path_state{device=\"disk\",path=\"sda\",state=\"running\"} 1\n\
             node_dmmultipath_path_state{device=\"disk\",path=\"sdb\",state=\"transport-offline\"} 1\n"
        );
        fixture.put(&[("sys/block/dm-1/size", "big\n")]);
        assert!(fixture.error(&COLLECTOR).contains("dm-1/size: \"big\": invalid digit"));
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
