//! Space of file systems: mounts from `proc/1/mountinfo`, and `statfs` of each.
//!
//! `statfs` may hang for ever (a network file system whose server is gone). So it is called on threads of their own
//! ([`asking`]), and a mount that does not answer in a tenth of a second is told as one that does not, or, when it is only slow,
//! with what it said last. One that owes an answer for longer than `mount-timeout` is stuck until it answers.

mod asking;

use super::byline::ByLine;
use super::files::Kept;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::mountinfo::{Line, under, unescaped};
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use asking::{Asking, Space};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "filesystem",
    about: "space of file systems",
    flags: &[
        &MOUNT_POINTS_EXCLUDE,
        &MOUNT_POINTS_INCLUDE,
        &FS_TYPES_EXCLUDE,
        &FS_TYPES_INCLUDE,
        &MOUNT_TIMEOUT,
        &STAT_WORKERS,
    ],
    make: |setup| Ok(Box::new(FileSystem::new(setup)?)),
    ..Collector::BASE
};

static MOUNT_POINTS_EXCLUDE: Flag = Flag {
    name: "collector.filesystem.mount-points-exclude",
    form: Form::Regex,
    help: "Which mount points are not told.",
    default: &["^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"],
    also: &["collector.filesystem.ignored-mount-points"],
    ..Flag::BASE
};
static MOUNT_POINTS_INCLUDE: Flag = Flag {
    name: "collector.filesystem.mount-points-include",
    form: Form::Regex,
    help: "Which mount points are told, and no others.",
    ..Flag::BASE
};
static FS_TYPES_EXCLUDE: Flag = Flag {
    name: "collector.filesystem.fs-types-exclude",
    form: Form::Regex,
    help: "Which types of file systems are not told.",
    default: &[
        "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|\
         proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
    ],
    also: &["collector.filesystem.ignored-fs-types"],
    ..Flag::BASE
};
static FS_TYPES_INCLUDE: Flag = Flag {
    name: "collector.filesystem.fs-types-include",
    form: Form::Regex,
    help: "Which types of file systems are told, and no others.",
    ..Flag::BASE
};
static MOUNT_TIMEOUT: Flag = Flag {
    name: "collector.filesystem.mount-timeout",
    form: Form::Duration,
    help: "A mount that owes an answer for longer is stuck; until then what it said last is told.",
    default: &["5s"],
    ..Flag::BASE
};
static STAT_WORKERS: Flag = Flag {
    name: "collector.filesystem.stat-workers",
    form: Form::Number(0, 10_000),
    help: "How many mounts are asked at the same time when they take their time.",
    default: &["4"],
    ..Flag::BASE
};

/// What a scrape waits for an answer. Mounts of tests never hang, and their threads wait for a CPU.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 10_000 } else { 100 });

static DEVICE_ERROR: Family = gauge(
    "node_filesystem_device_error",
    "Whether the file system cannot tell its space: the label says why.",
);
static READ_ONLY: Family = gauge(
    "node_filesystem_readonly",
    "Whether nothing can be written to the file system.",
);
static MOUNT_INFO: Family = gauge("node_filesystem_mount_info", "Number of the device behind a mount.");

type Value = fn(&Space) -> f64;
static SPACE: [(Family, Value); 6] = [
    (
        gauge("node_filesystem_size_bytes", "Size of the file system."),
        |space| space.size,
    ),
    (gauge("node_filesystem_free_bytes", "Space that is free."), |space| {
        space.free
    }),
    (
        gauge(
            "node_filesystem_avail_bytes",
            "Space that is free for users other than root.",
        ),
        |space| space.available,
    ),
    (
        gauge("node_filesystem_files", "How many files there can be."),
        |space| space.files,
    ),
    (
        gauge("node_filesystem_files_free", "How many more files there can be."),
        |space| space.files_free,
    ),
    (
        gauge(
            "node_filesystem_purgeable_bytes",
            "Space that can be purged: none on Linux.",
        ),
        |_| 0.0,
    ),
];

struct FileSystem {
    /// Mounts as the first process has them, and as this one has them.
    files: [Kept; 2],
    root: PathBuf,
    mount_points: Filter,
    types: Filter,
    /// `None`: no line of a mount.
    mounts: ByLine<Option<Known>>,
    asking: Asking,
    /// Mounts that were said to hang in the log.
    hanging: HashSet<Arc<Path>>,
}

/// A line of a mount.
struct Known {
    place: Box<[u8]>,
    /// Neither asking it nor a way through it waits for a disk, a network or a program.
    answers: bool,
    /// `None`: it is not told.
    told: Option<Mount>,
}

/// File systems in memory, and those of disks that have the numbers of `statfs` in memory. Not overlays: of what they are made is not
/// known.
const ANSWER: [&[u8]; 26] = [
    b"bpf",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"debugfs",
    b"devpts",
    b"devtmpfs",
    b"efivarfs",
    b"ext2",
    b"ext3",
    b"ext4",
    b"fusectl",
    b"hugetlbfs",
    b"iso9660",
    b"mqueue",
    b"nsfs",
    b"proc",
    b"pstore",
    b"ramfs",
    b"securityfs",
    b"squashfs",
    b"sysfs",
    b"tmpfs",
    b"tracefs",
    b"vfat",
    b"xfs",
];

/// A mount that is told.
struct Mount {
    device: String,
    mount_point: String,
    fs_type: String,
    number: (String, String),
    read_only: bool,
    /// Where it is for this process.
    place: Arc<Path>,
}

impl FileSystem {
    fn new(setup: &Setup<'_>) -> Result<FileSystem, String> {
        let proc = &setup.host.proc;
        let workers = setup.number(&STAT_WORKERS) as usize;
        Ok(FileSystem {
            files: [
                Kept::new(proc.join("1/mountinfo")),
                Kept::new(proc.join("self/mountinfo")),
            ],
            root: setup.host.root.clone(),
            mount_points: setup.filter(&MOUNT_POINTS_INCLUDE, &MOUNT_POINTS_EXCLUDE)?,
            types: setup.filter(&FS_TYPES_INCLUDE, &FS_TYPES_EXCLUDE)?,
            mounts: ByLine::default(),
            asking: Asking::new(workers, PATIENCE, setup.duration(&MOUNT_TIMEOUT), Box::new(space)),
            hanging: HashSet::new(),
        })
    }

    /// Reads the mounts anew; gives the first line that is none.
    fn read(&mut self) -> Result<(), CollectError> {
        let [first, own] = &mut self.files;
        let mut path = first.path().to_owned();
        let text = match first.bytes() {
            Ok(text) => text,
            // With hidepid, another process' mounts cannot be seen.
            Err(_) => {
                path = own.path().to_owned();
                own.bytes()?
            }
        };
        let mut lines = 0;
        let mut bad = None;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let make = || {
                let line = Line::parse(line)?;
                Some(Known {
                    place: unescaped(line.mount_point).into(),
                    answers: ANSWER.contains(&line.fs_type),
                    told: Mount::new(&line, &self.root, &self.mount_points, &self.types),
                })
            };
            if self.mounts.at(lines, line, make).is_none() && bad.is_none() {
                let text = String::from_utf8_lossy(line);
                bad = Some(CollectError::malformed(&path, format!("line {}: {text:?}", lines + 1)));
            }
            lines += 1;
        }
        self.mounts.cut(lines);
        bad.map_or(Ok(()), Err)
    }
}

impl Mount {
    /// `None`: it is not told.
    fn new(line: &Line<'_>, root: &Path, mount_points: &Filter, types: &Filter) -> Option<Mount> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let place = unescaped(line.mount_point);
        let place = under(root, &place);
        let (mount_point, fs_type) = (text(place), text(&unescaped(line.fs_type)));
        if !mount_points.takes(&mount_point) || !types.takes(&fs_type) {
            return None;
        }
        let inside = place.strip_prefix(b"/").unwrap_or(place);
        Some(Mount {
            device: text(&unescaped(line.source)),
            mount_point,
            fs_type,
            number: (line.device.0.to_string(), line.device.1.to_string()),
            read_only: line.is_read_only(),
            place: root.join(OsStr::from_bytes(inside)).into(),
        })
    }

    fn labels<'a>(&'a self, error: &'a str) -> [(&'a str, &'a str); 4] {
        [
            ("device", &self.device),
            ("device_error", error),
            ("fstype", &self.fs_type),
            ("mountpoint", &self.mount_point),
        ]
    }
}

impl Collect for FileSystem {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let read = self.read();
        // The same may be mounted at the same place more than once: the last mount hides the others.
        let mut seen = HashSet::new();
        let known = || self.mounts.all().flatten();
        let slow: Vec<&[u8]> = known()
            .filter(|known| !known.answers)
            .map(|known| &*known.place)
            .collect();
        let may_hang = |place: &[u8]| slow.iter().any(|slow| is_at_or_below(place, slow));
        let mounts: Vec<(&Mount, bool)> = known()
            .filter_map(|known| Some((known.told.as_ref()?, &known.place)))
            .filter(|(mount, _)| seen.insert((&*mount.device, &*mount.mount_point, &*mount.fs_type)))
            .map(|(mount, place)| (mount, may_hang(place)))
            .collect();
        let asked = mounts.iter().filter(|(_, may_hang)| *may_hang);
        let places: Vec<Arc<Path>> = asked.map(|(mount, _)| Arc::clone(&mount.place)).collect();
        let said = self.asking.ask(&places);
        note_hanging(&mut self.hanging, &places, &said);
        let mut said = said.into_iter();
        let rows: Vec<(&Mount, Result<Space, String>)> = mounts
            .into_iter()
            .map(|(mount, may_hang)| {
                // What answers at once need not be handed to another thread.
                let said = match may_hang {
                    true => said.next().flatten(),
                    false => Some(space(&mount.place)),
                };
                (mount, said.unwrap_or_else(|| Err("mountpoint timeout".to_owned())))
            })
            .collect();
        if rows.is_empty() {
            return read;
        }
        for (family, read_only) in [(&DEVICE_ERROR, false), (&READ_ONLY, true)] {
            out.family(family);
            for (mount, said) in &rows {
                let error = said.as_ref().err().map_or("", String::as_str);
                let value = if read_only { mount.read_only } else { said.is_err() };
                out.number(&mount.labels(error), f64::from(u8::from(value)));
            }
        }
        let spaces: Vec<(&Mount, &Space)> = rows
            .iter()
            .filter_map(|(mount, said)| Some((*mount, said.as_ref().ok()?)))
            .collect();
        for (family, value) in &SPACE {
            out.family(family);
            for (mount, space) in &spaces {
                out.number(&mount.labels(""), value(space));
            }
        }
        out.family(&MOUNT_INFO);
        for (mount, _) in &spaces {
            let labels = [
                ("device", mount.device.as_str()),
                ("major", &mount.number.0),
                ("minor", &mount.number.1),
                ("mountpoint", &mount.mount_point),
            ];
            out.number(&labels, 1.0);
        }
        read
    }
}

/// Whether a path is another one or leads through it.
fn is_at_or_below(path: &[u8], other: &[u8]) -> bool {
    let other = other.strip_suffix(b"/").unwrap_or(other);
    path.strip_prefix(other)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Says in the log which mounts hang now, and which do no longer.
fn note_hanging(known: &mut HashSet<Arc<Path>>, places: &[Arc<Path>], said: &[Option<Result<Space, String>>]) {
    known.retain(|place| places.contains(place));
    for (place, said) in places.iter().zip(said) {
        if said.is_none() && known.insert(Arc::clone(place)) {
            tracing::warn!(mount = %place.display(), "a mount does not answer: it is told as a device error until it does");
        } else if said.is_some() && known.remove(place) {
            tracing::info!(mount = %place.display(), "a mount answers again");
        }
    }
}

/// Asks a mount. Hangs as long as it does.
fn space(place: &Path) -> Result<Space, String> {
    let stat = rustix::io::retry_on_intr(|| rustix::fs::statfs(place)).map_err(words)?;
    let block = stat.f_bsize as f64;
    Ok(Space {
        size: stat.f_blocks as f64 * block,
        free: stat.f_bfree as f64 * block,
        available: stat.f_bavail as f64 * block,
        files: stat.f_files as f64,
        files_free: stat.f_ffree as f64,
    })
}

/// An error in the words that Go has for it, which are a label's value.
fn words(error: Errno) -> String {
    let known = match error {
        Errno::ACCESS => "permission denied",
        Errno::PERM => "operation not permitted",
        Errno::NOENT => "no such file or directory",
        Errno::NOTDIR => "not a directory",
        Errno::IO => "input/output error",
        Errno::NXIO => "no such device or address",
        Errno::NODEV => "no such device",
        Errno::LOOP => "too many levels of symbolic links",
        Errno::NOTCONN => "transport endpoint is not connected",
        Errno::CONNABORTED => "software caused connection abort",
        Errno::STALE => "stale file handle",
        Errno::HOSTDOWN => "host is down",
        Errno::TIMEDOUT => "connection timed out",
        Errno::KEYEXPIRED => "key has expired",
        other => return decapitalized(&std::io::Error::from(other).to_string()),
    };
    known.to_owned()
}

/// The system's words without a capital at their start and without the number behind them.
fn decapitalized(words: &str) -> String {
    let words = words.split_once(" (os error").map_or(words, |(words, _)| words);
    let mut letters = words.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests;
