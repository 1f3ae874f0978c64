//! Block devices: `proc/diskstats` (`Documentation/admin-guide/iostats.rst`), `sys/block/<device>/queue/rotational`, and what udev
//! knows of them: files `b<major>:<minor>` with lines `E:<property>=<value>`.

use super::files::{self, Kept};
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::pool::Pool;
use super::rows::{Rows, counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "diskstats",
    about: "reads, writes and busy time of block devices",
    flags: &[&INCLUDE, &EXCLUDE],
    make: |setup| Ok(Box::new(DiskStats::new(setup)?)),
    ..Collector::BASE
};

static INCLUDE: Flag = Flag {
    name: "collector.diskstats.device-include",
    form: Form::Regex,
    help: "Block devices that are told; all others are left out.",
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.diskstats.device-exclude",
    form: Form::Regex,
    help: "Block devices that are left out.",
    default: &[r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"],
    also: &["collector.diskstats.ignored-devices"],
    ..Flag::BASE
};

/// Numbers of a line at least and at most: discards came with Linux 4.18, flushes with 5.5.
const LEAST: usize = 11;
const MOST: usize = 17;

const SECTOR: f64 = 512.0;
const MILLISECOND: f64 = 0.001;

/// The numbers of a line in their order, and what they are multiplied with.
#[rustfmt::skip]
static COLUMNS: [(f64, Family); MOST] = [
    (1.0, counter("node_disk_reads_completed_total", "Reads that were completed.")),
    (1.0, counter("node_disk_reads_merged_total", "Reads that were merged with one next to them.")),
    (SECTOR, counter("node_disk_read_bytes_total", "Bytes that were read.")),
    (MILLISECOND, counter("node_disk_read_time_seconds_total", "Time that reads took, all added up.")),
    (1.0, counter("node_disk_writes_completed_total", "Writes that were completed.")),
    (1.0, counter("node_disk_writes_merged_total", "Writes that were merged with one next to them.")),
    (SECTOR, counter("node_disk_written_bytes_total", "Bytes that were written.")),
    (MILLISECOND, counter("node_disk_write_time_seconds_total", "Time that writes took, all added up.")),
    (1.0, gauge("node_disk_io_now", "Requests that are under way.")),
    (MILLISECOND, counter("node_disk_io_time_seconds_total", "Time during which any request was under way.")),
    (MILLISECOND, counter("node_disk_io_time_weighted_seconds_total", "Time of requests under way, all added up.")),
    (1.0, counter("node_disk_discards_completed_total", "Discards that were completed.")),
    (1.0, counter("node_disk_discards_merged_total", "Discards that were merged with one next to them.")),
    (1.0, counter("node_disk_discarded_sectors_total", "Sectors of 512 bytes that were discarded.")),
    (MILLISECOND, counter("node_disk_discard_time_seconds_total", "Time that discards took, all added up.")),
    (1.0, counter("node_disk_flush_requests_total", "Flushes that were completed.")),
    (MILLISECOND, counter("node_disk_flush_requests_time_seconds_total", "Time that flushes took, all added up.")),
];

static INFO: Family = gauge("node_disk_info", "What a block device is, by udev and its queue.");
static FILESYSTEM: Family = gauge(
    "node_disk_filesystem_info",
    "Which file system a block device holds, by udev.",
);
static MAPPED: Family = gauge(
    "node_disk_device_mapper_info",
    "What a device of the device mapper is, by udev.",
);

/// Numbers that udev has of ATA disks.
static ATA: [(&str, Family); 3] = [
    (
        "ID_ATA_WRITE_CACHE",
        gauge("node_disk_ata_write_cache", "Whether an ATA disk has a write cache."),
    ),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        gauge(
            "node_disk_ata_write_cache_enabled",
            "Whether the write cache of an ATA disk is on.",
        ),
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        gauge(
            "node_disk_ata_rotation_rate_rpm",
            "Rotations a minute of an ATA disk; 0: it has none.",
        ),
    ),
];

/// Bytes of a line at most: a name of 31 and 19 numbers of 20 bytes.
const LINE: usize = 512;
/// Small files that stay open.
const FILES: usize = 256;

struct DiskStats {
    file: Kept,
    filter: Filter,
    udev: PathBuf,
    block: PathBuf,
    /// In that folder.
    files: Pool,
}

impl DiskStats {
    fn new(setup: &Setup<'_>) -> Result<DiskStats, String> {
        Ok(DiskStats {
            file: Kept::records(setup.host.proc.join("diskstats"), LINE),
            filter: setup.filter(&INCLUDE, &EXCLUDE)?,
            udev: setup.host.udev.clone(),
            block: setup.host.sys.join("block"),
            files: Pool::within_limits(FILES),
        })
    }
}

impl Collect for DiskStats {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        let text = self.file.text()?;
        let mut result = Ok(());
        let mut disks = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match Disk::parse(line) {
                Ok(Some(disk)) if self.filter.takes(disk.name) => disks.push(disk),
                Ok(_) => {}
                Err(what) => {
                    result = Err(CollectError::malformed(&path, format!("line {}: {what}", index + 1)));
                    break;
                }
            }
        }
        tell_info(&disks, &self.udev, (&self.block, &mut self.files), out);
        self.files.sweep();
        for (column, (factor, family)) in COLUMNS.iter().enumerate() {
            let mut rows = Rows::new(out, family);
            for disk in &disks {
                if let Some(number) = disk.numbers.get(column) {
                    rows.number(&[("device", disk.name)], *number as f64 * factor);
                }
            }
        }
        result
    }
}

/// A line of the file.
struct Disk<'a> {
    major: u32,
    minor: u32,
    name: &'a str,
    /// At most as many as [`COLUMNS`].
    numbers: Vec<u64>,
}

impl<'a> Disk<'a> {
    /// `None`: a short line, as old kernels have of partitions.
    fn parse(line: &'a str) -> Result<Option<Disk<'a>>, String> {
        let mut words = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Ok(None);
        };
        let wrong = |word: &str, error| format!("{word:?}: {error}");
        let mut numbers = Vec::with_capacity(MOST);
        for word in words.take(MOST) {
            numbers.push(word.parse().map_err(|error| wrong(word, error))?);
        }
        let disk = Disk {
            major: major.parse().map_err(|error| wrong(major, error))?,
            minor: minor.parse().map_err(|error| wrong(minor, error))?,
            name,
            numbers,
        };
        Ok(Some(disk).filter(|disk| disk.numbers.len() >= LEAST))
    }

    /// Does the device turn? One that does not say so (a partition) is told not to. The flag is written as a binary number.
    fn rotational(&self, block: &Path, files: &mut Pool) -> String {
        // Names with a slash have another sign in its place.
        let path = block.join(self.name.replace('/', "!")).join("queue/rotational");
        let flag = files.text(&path).and_then(|text| text.parse::<u64>().ok());
        format!("{:b}", flag.unwrap_or(0))
    }
}

/// What udev knows of a device, by the names of properties that are of interest.
struct Properties<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Properties<'a> {
    fn parse(text: &'a str) -> Properties<'a> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
        Properties(lines.collect())
    }

    /// Empty when it is not known.
    fn get(&self, name: &str) -> &'a str {
        let found = self.0.iter().rfind(|(known, _)| *known == name);
        found.map(|(_, value)| *value).unwrap_or_default()
    }

    /// As printed on the disk, or the next best.
    fn serial(&self) -> &'a str {
        let names = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"];
        let mut known = names.iter().map(|name| self.get(name));
        known.find(|value| !value.is_empty()).unwrap_or_default()
    }
}

/// Says what the devices are.
fn tell_info(disks: &[Disk<'_>], udev: &Path, (block, files): (&Path, &mut Pool), out: &mut dyn Encoder) {
    let texts: Vec<String> = disks
        .iter()
        .map(|disk| files::text_if_any(&udev.join(format!("b{}:{}", disk.major, disk.minor))).unwrap_or_default())
        .collect();
    let disks: Vec<_> = disks
        .iter()
        .zip(texts.iter().map(|text| Properties::parse(text)))
        .collect();
    let mut rows = Rows::new(out, &INFO);
    for (disk, udev) in &disks {
        let labels = [
            ("device", disk.name),
            ("major", &disk.major.to_string()),
            ("minor", &disk.minor.to_string()),
            ("path", udev.get("ID_PATH")),
            ("wwn", udev.get("ID_WWN")),
            ("model", udev.get("ID_MODEL")),
            ("serial", udev.serial()),
            ("revision", udev.get("ID_REVISION")),
            ("rotational", &disk.rotational(block, files)),
        ];
        rows.number(&labels, 1.0);
    }
    let mut rows = Rows::new(out, &FILESYSTEM);
    for (disk, udev) in &disks {
        let labels = [
            ("device", disk.name),
            ("type", udev.get("ID_FS_TYPE")),
            ("usage", udev.get("ID_FS_USAGE")),
            ("uuid", udev.get("ID_FS_UUID")),
            ("version", udev.get("ID_FS_VERSION")),
        ];
        if !labels[1].1.is_empty() {
            rows.number(&labels, 1.0);
        }
    }
    let mut rows = Rows::new(out, &MAPPED);
    for (disk, udev) in &disks {
        let labels = [
            ("device", disk.name),
            ("name", udev.get("DM_NAME")),
            ("uuid", udev.get("DM_UUID")),
            ("vg_name", udev.get("DM_VG_NAME")),
            ("lv_name", udev.get("DM_LV_NAME")),
            ("lv_layer", udev.get("DM_LV_LAYER")),
        ];
        if !labels[1].1.is_empty() {
            rows.number(&labels, 1.0);
        }
    }
    for (property, family) in &ATA {
        let mut rows = Rows::new(out, family);
        for (disk, udev) in disks.iter().filter(|(_, udev)| !udev.get("ID_ATA").is_empty()) {
            if let Ok(value) = udev.get(property).parse() {
                rows.number(&[("device", disk.name)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
