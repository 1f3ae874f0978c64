//! Btrfs file systems: space by kind and profile, commits and devices, from `sys/fs/btrfs/UUID` (`fs/btrfs/sysfs.c`).

use super::files::{Folder, names, text};
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "btrfs",
    about: "space, commits and devices of Btrfs",
    make: |setup| Ok(Box::new(Btrfs(Folder::new(setup.host.sys.join("fs/btrfs"))))),
    ..Collector::BASE
};

static INFO: Family = gauge("node_btrfs_info", "A file system, with the name that it was given.");
static RESERVED: Family = gauge("node_btrfs_reserved_bytes", "Space that is reserved, by kind of data.");
static DEVICE_SIZE: Family = gauge("node_btrfs_device_size_bytes", "Size of a device of the file system.");

type Value<T> = fn(&T) -> f64;

/// Of a file system.
static WHOLE: [(Family, Value<FileSystem>); 5] = [
    (
        gauge(
            "node_btrfs_global_rsv_size_bytes",
            "Space that is set aside for emergencies.",
        ),
        |fs| fs.global_reserve as f64,
    ),
    (
        Family::new("node_btrfs_commits_total", "", "Commits.", Kind::Counter),
        |fs| fs.commits.count as f64,
    ),
    (
        gauge("node_btrfs_last_commit_seconds", "How long the last commit took."),
        |fs| fs.commits.last_ms as f64 / 1000.0,
    ),
    (
        gauge("node_btrfs_max_commit_seconds", "How long the slowest commit took."),
        |fs| fs.commits.max_ms as f64 / 1000.0,
    ),
    (
        Family::new(
            "node_btrfs_commit_seconds_total",
            "",
            "How long all commits took.",
            Kind::Counter,
        ),
        |fs| fs.commits.total_ms as f64 / 1000.0,
    ),
];

/// Of a profile.
static PROFILES: [(Family, Value<Profile>); 3] = [
    (
        gauge("node_btrfs_used_bytes", "Space in use, by kind of data and profile."),
        |profile| profile.used as f64,
    ),
    (
        gauge(
            "node_btrfs_size_bytes",
            "Space that is allocated, by kind of data and profile.",
        ),
        |profile| profile.total as f64,
    ),
    (
        gauge(
            "node_btrfs_allocation_ratio",
            "Bytes on the disks for a byte of data, by kind of data and profile.",
        ),
        |profile| profile.ratio,
    ),
];

/// Kinds of data.
const KINDS: [&str; 3] = ["data", "metadata", "system"];
/// Bytes of a sector in `size`.
const SECTOR: u64 = 512;

struct FileSystem {
    uuid: String,
    label: String,
    global_reserve: u64,
    commits: Commits,
    /// Name and size.
    devices: Vec<(String, u64)>,
    /// By kind of data.
    reserved: Vec<(&'static str, u64)>,
    profiles: Vec<Profile>,
}

struct Profile {
    kind: &'static str,
    name: String,
    used: u64,
    total: u64,
    ratio: f64,
}

#[derive(Debug, Default, PartialEq)]
struct Commits {
    count: u64,
    last_ms: u64,
    max_ms: u64,
    total_ms: u64,
}

struct Btrfs(Folder);

impl Collect for Btrfs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut systems = Vec::new();
        let mut result = Ok(());
        for name in self.0.names_if_any()?.iter().filter(|name| name.contains('-')) {
            match FileSystem::read(&self.0.path().join(name), name) {
                Ok(system) => systems.push(system),
                // It was just unmounted.
                Err(error) if error.is_no_data() => {}
                Err(error) => result = Err(error),
            }
        }
        if !systems.is_empty() {
            write(&systems, out);
        }
        result
    }
}

/// A number of a file, 0 when there is none.
fn number(path: &Path) -> Result<u64, CollectError> {
    let text = match text(path) {
        Err(CollectError::NoData(_)) => return Ok(0),
        text => text?,
    };
    super::files::parsed(path, &text)
}

impl FileSystem {
    fn read(folder: &Path, name: &str) -> Result<FileSystem, CollectError> {
        let mut devices = Vec::new();
        for device in names(&folder.join("devices"))? {
            let sectors = number(&folder.join("devices").join(&device).join("size"))?;
            devices.push((device, sectors.saturating_mul(SECTOR)));
        }
        let (mut reserved, mut profiles) = (Vec::new(), Vec::new());
        for kind in KINDS {
            let folder = folder.join("allocation").join(kind);
            reserved.push((kind, number(&folder.join("bytes_reserved"))?));
            let entries = names(&folder)?;
            for name in entries.into_iter().filter(|name| folder.join(name).is_dir()) {
                let profile = folder.join(&name);
                profiles.push(Profile {
                    kind,
                    used: number(&profile.join("used_bytes"))?,
                    total: number(&profile.join("total_bytes"))?,
                    ratio: ratio(&name, devices.len() as f64),
                    name,
                });
            }
        }
        // The label of a file system without one is empty.
        let uuid = text(&folder.join("metadata_uuid")).ok().filter(|uuid| !uuid.is_empty());
        Ok(FileSystem {
            uuid: uuid.unwrap_or_else(|| name.to_owned()),
            label: text(&folder.join("label")).unwrap_or_default(),
            global_reserve: number(&folder.join("allocation/global_rsv_size"))?,
            commits: Commits::read(&folder.join("commit_stats"))?,
            devices,
            reserved,
            profiles,
        })
    }
}

impl Commits {
    /// Kernels before 6.0 count none.
    fn read(path: &Path) -> Result<Commits, CollectError> {
        match text(path) {
            Err(CollectError::NoData(_)) => Ok(Commits::default()),
            text => Commits::parse(&text?).map_err(|what| CollectError::malformed(path, what)),
        }
    }

    fn parse(text: &str) -> Result<Commits, String> {
        let mut commits = Commits::default();
        for (index, line) in text.lines().enumerate() {
            let (name, count) = line.split_once(' ').unwrap_or((line, ""));
            let field = match name {
                "commits" => &mut commits.count,
                "last_commit_ms" => &mut commits.last_ms,
                "max_commit_ms" => &mut commits.max_ms,
                "total_commit_ms" => &mut commits.total_ms,
                _ => continue,
            };
            let parsed = count.trim_ascii().parse();
            *field = parsed.map_err(|error| format!("line {}: {line:?}: {error}", index + 1))?;
        }
        Ok(commits)
    }
}

/// Bytes on the disks for a byte of data; 0 when the profile is not known.
fn ratio(profile: &str, devices: f64) -> f64 {
    match profile {
        "single" | "raid0" => 1.0,
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => devices / (devices - 1.0),
        "raid6" => devices / (devices - 2.0),
        _ => 0.0,
    }
}

fn write(systems: &[FileSystem], out: &mut dyn Encoder) {
    out.family(&INFO);
    for system in systems {
        out.number(&[("label", &system.label), ("uuid", &system.uuid)], 1.0);
    }
    for (family, value) in &WHOLE {
        out.family(family);
        for system in systems {
            out.number(&[("uuid", &system.uuid)], value(system));
        }
    }
    out.family(&RESERVED);
    for system in systems {
        for (kind, bytes) in &system.reserved {
            out.number(&[("block_group_type", kind), ("uuid", &system.uuid)], *bytes as f64);
        }
    }
    for (family, value) in &PROFILES {
        out.family(family);
        for system in systems {
            for profile in &system.profiles {
                let labels = [
                    ("block_group_type", profile.kind),
                    ("mode", &profile.name),
                    ("uuid", &system.uuid),
                ];
                out.number(&labels, value(profile));
            }
        }
    }
    out.family(&DEVICE_SIZE);
    for system in systems {
        for (device, bytes) in &system.devices {
            out.number(&[("device", device), ("uuid", &system.uuid)], *bytes as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const ROOT: &str = "sys/fs/btrfs/0abb-23a9";

    fn fixture() -> Fixture {
        let fixture = Fixture::new(&[("sys/fs/btrfs/features/x", "1")]);
        for (path, text) in [
            ("label", "mine\n"),
            ("metadata_uuid", "0abb-23a9\n"),
            ("allocation/global_rsv_size", "16\n"),
            ("allocation/data/bytes_reserved", "7\n"),
            ("allocation/data/raid5/used_bytes", "5\n"),
            ("allocation/data/raid5/total_bytes", "6\n"),
            ("allocation/metadata/dup/used_bytes", "1\n"),
            ("allocation/system/", ""),
            ("devices/sda/size", "3\n"),
            ("devices/sdb/size", "4\n"),
            ("devices/sdc/size", "4\n"),
            ("commit_stats", "commits 3\nlast_commit_ms 1500\nother 1\n"),
        ] {
            fixture.put(&[(&format!("{ROOT}/{path}"), text)]);
        }
        fixture
    }

    #[test]
    fn a_file_system() {
        let text = fixture().text(&COLLECTOR);
        for line in [
            "node_btrfs_info{label=\"mine\",uuid=\"0abb-23a9\"} 1",
            "node_btrfs_global_rsv_size_bytes{uuid=\"0abb-23a9\"} 16",
            "node_btrfs_commits_total{uuid=\"0abb-23a9\"} 3",
            "node_btrfs_last_commit_seconds{uuid=\"0abb-23a9\"} 1.5",
            "node_btrfs_reserved_bytes{block_group_type=\"data\",uuid=\"0abb-23a9\"} 7",
            "node_btrfs_reserved_bytes{block_group_type=\"system\",uuid=\"0abb-23a9\"} 0",
            "node_btrfs_allocation_ratio{block_group_type=\"data\",mode=\"raid5\",uuid=\"0abb-23a9\"} 1.5",
            "node_btrfs_used_bytes{block_group_type=\"metadata\",mode=\"dup\",uuid=\"0abb-23a9\"} 1",
            "node_btrfs_device_size_bytes{device=\"sdb\",uuid=\"0abb-23a9\"} 2048",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
    }

    #[test]
    fn ratios() {
        let ratios = ["single", "raid1", "raid1c3", "raid1c4", "raid6", "new"].map(|name| ratio(name, 4.0));
        assert_eq!(ratios, [1.0, 2.0, 3.0, 4.0, 2.0, 0.0]);
    }

    #[test]
    fn odd_numbers_are_told() {
        let fixture = fixture();
        fixture.put(&[(&format!("{ROOT}/commit_stats"), "commits 3\nmax_commit_ms\n")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "");
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("commit_stats: line 2: \"max_commit_ms\": cannot parse")
        );
        let fixture = Fixture::new(&[("sys/", "")]);
        assert_eq!(fixture.text(&COLLECTOR), "");
        let gone = Fixture::new(&[(&format!("{ROOT}/label"), "x")]);
        assert_eq!(gone.text(&COLLECTOR), "");
    }
}
