//! Caches of block devices: `sys/fs/bcache/<set>` with its backing devices `bdev<n>` and its cache devices `cache<n>`
//! (`Documentation/admin-guide/bcache.rst`, `drivers/md/bcache/sysfs.c`).

use super::files;
use super::flags::{Flag, Form, Setup};
use super::rows::{Grouped, counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "bcache",
    about: "caches of block devices (bcache)",
    flags: &[&PRIORITY_STATS],
    make: |setup| Ok(Box::new(Bcache::new(setup))),
    ..Collector::BASE
};

static PRIORITY_STATS: Flag = Flag {
    name: "collector.bcache.priorityStats",
    form: Form::Switch,
    help: "Tells how full caches are. The kernel reads all buckets for that, which is dear.",
    default: &["false"],
    ..Flag::BASE
};

/// A file, or a line of one, and the family of its number.
type Place = (&'static str, Family);

#[rustfmt::skip]
static SET: [Place; 10] = [
    ("average_key_size", gauge("node_bcache_average_key_size_sectors", "Sectors of data that a key of the tree has on average.")),
    ("btree_cache_size", gauge("node_bcache_btree_cache_size_bytes", "Bytes of memory that the tree takes.")),
    ("cache_available_percent", gauge("node_bcache_cache_available_percent", "How much of the cache has no dirty data.")),
    ("congested", gauge("node_bcache_congested", "How congested the cache is.")),
    ("root_usage_percent", gauge("node_bcache_root_usage_percent", "How much of the root of the tree is in use.")),
    ("tree_depth", gauge("node_bcache_tree_depth", "Depth of the tree.")),
    ("internal/active_journal_entries", gauge("node_bcache_active_journal_entries", "Entries of the journal that are newer than the index.")),
    ("internal/btree_nodes", gauge("node_bcache_btree_nodes", "Nodes of the tree.")),
    (DURATION, gauge("node_bcache_btree_read_average_duration_seconds", "Time that a read of the tree takes on average.")),
    ("internal/cache_read_races", counter("node_bcache_cache_read_races_total", "Reads whose bucket was used anew meanwhile.")),
];

/// The one file that holds a time.
const DURATION: &str = "internal/btree_read_average_duration_us";

static DIRTY_DATA: Family = gauge(
    "node_bcache_dirty_data_bytes",
    "Bytes of a backing device that are dirty in the cache.",
);

/// Lines of `writeback_rate_debug`.
#[rustfmt::skip]
static WRITEBACK: [Place; 5] = [
    ("target:", gauge("node_bcache_dirty_target_bytes", "Bytes that may be dirty before more is written back.")),
    ("rate:", gauge("node_bcache_writeback_rate", "Bytes a second that are written back.")),
    ("proportional:", gauge("node_bcache_writeback_rate_proportional_term", "Proportional term of the rate of writing back.")),
    ("integral:", gauge("node_bcache_writeback_rate_integral_term", "Integral term of the rate of writing back.")),
    ("change:", gauge("node_bcache_writeback_change", "Last change of the rate of writing back.")),
];

/// As in node_exporter, they are told of each backing device and read of the set, which is another number when it has several.
#[rustfmt::skip]
static TOTALS: [Place; 7] = [
    ("stats_total/bypassed", counter("node_bcache_bypassed_bytes_total", "Bytes that went past the cache.")),
    ("stats_total/cache_hits", counter("node_bcache_cache_hits_total", "Requests that the cache answered.")),
    ("stats_total/cache_misses", counter("node_bcache_cache_misses_total", "Requests that the cache could not answer.")),
    ("stats_total/cache_bypass_hits", counter("node_bcache_cache_bypass_hits_total", "Requests past the cache that it could have answered.")),
    ("stats_total/cache_bypass_misses", counter("node_bcache_cache_bypass_misses_total", "Requests past the cache that it could not have answered.")),
    ("stats_total/cache_miss_collisions", counter("node_bcache_cache_miss_collisions_total", "Misses whose data a write brought meanwhile.")),
    ("stats_total/cache_readaheads", counter("node_bcache_cache_readaheads_total", "Times that data was read ahead.")),
];

#[rustfmt::skip]
static CACHE: [Place; 3] = [
    ("io_errors", gauge("node_bcache_io_errors", "Errors of a cache device; old ones count less.")),
    ("metadata_written", counter("node_bcache_metadata_written_bytes_total", "Bytes that were written to a cache device and are no data.")),
    ("written", counter("node_bcache_written_bytes_total", "Bytes of data that were written to a cache device.")),
];

/// Lines of `priority_stats`.
static PRIORITY: [Place; 2] = [
    (
        "Unused:",
        gauge(
            "node_bcache_priority_stats_unused_percent",
            "How much of a cache device holds no data.",
        ),
    ),
    (
        "Metadata:",
        gauge(
            "node_bcache_priority_stats_metadata_percent",
            "How much of a cache device holds metadata.",
        ),
    ),
];

struct Bcache {
    folder: PathBuf,
    priority_stats: bool,
}

impl Bcache {
    fn new(setup: &Setup<'_>) -> Bcache {
        Bcache {
            folder: setup.host.sys.join("fs/bcache"),
            priority_stats: setup.is_on(&PRIORITY_STATS),
        }
    }
}

impl Collect for Bcache {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut found = Found::default();
        // No such folder, no cache. Sets are called by their UUID.
        for set in files::names(&self.folder)
            .unwrap_or_default()
            .iter()
            .filter(|name| name.contains('-'))
        {
            found.set(set, &self.folder.join(set), self.priority_stats);
        }
        found.rows.tell(out);
        found.wrong.map_or(Ok(()), Err)
    }
}

type Labels<'a> = [(&'static str, &'a str)];

#[derive(Default)]
struct Found {
    rows: Grouped,
    wrong: Option<CollectError>,
}

impl Found {
    fn set(&mut self, uuid: &str, folder: &Path, priority_stats: bool) {
        let labels = [("uuid", uuid)];
        for (file, family) in &SET {
            let factor = if *file == DURATION { 1e-9 } else { 1.0 };
            self.file(&folder.join(file), &labels, factor, family);
        }
        let parts = files::names(folder).unwrap_or_default();
        let are = |kind: &'static str| parts.iter().filter(move |name| is_numbered(name, kind));
        for name in are("bdev") {
            let labels = [labels[0], ("backing_device", name)];
            let part = folder.join(name);
            self.file(&part.join("dirty_data"), &labels, 1.0, &DIRTY_DATA);
            self.lines(&part.join("writeback_rate_debug"), &labels, &WRITEBACK);
            for (file, family) in &TOTALS {
                self.file(&folder.join(file), &labels, 1.0, family);
            }
        }
        for name in are("cache") {
            let labels = [labels[0], ("cache_device", name)];
            let part = folder.join(name);
            for (file, family) in &CACHE {
                self.file(&part.join(file), &labels, 1.0, family);
            }
            if priority_stats {
                self.lines(&part.join("priority_stats"), &labels, &PRIORITY);
            }
        }
    }

    /// The number of a file.
    fn file(&mut self, path: &Path, labels: &Labels<'_>, factor: f64, family: &Family) {
        if let Some(text) = self.text(path) {
            self.amount(path, &text, labels, factor, family);
        }
    }

    /// The numbers of a file's lines.
    fn lines(&mut self, path: &Path, labels: &Labels<'_>, places: &[Place]) {
        let Some(text) = self.text(path) else {
            return;
        };
        for (name, family) in places {
            for value in text.lines().filter_map(|line| line.strip_prefix(name)) {
                let value = value.trim();
                let value = value.strip_suffix("/sec").or(value.strip_suffix('%')).unwrap_or(value);
                self.amount(path, value, labels, 1.0, family);
            }
        }
    }

    fn text(&mut self, path: &Path) -> Option<String> {
        match files::text(path) {
            Ok(text) => Some(text),
            // Not every kernel has every file, and devices go.
            Err(error) if error.is_no_data() => None,
            Err(error) => {
                self.wrong = Some(error);
                None
            }
        }
    }

    fn amount(&mut self, path: &Path, text: &str, labels: &Labels<'_>, factor: f64, family: &Family) {
        match amount(text) {
            Some(number) => self
                .rows
                .number(&family.name, || family.clone(), labels, number * factor),
            None => self.wrong = Some(CollectError::malformed(path, format!("{text:?} is no amount"))),
        }
    }
}

/// Is it called so, with a number behind?
fn is_numbered(name: &str, kind: &str) -> bool {
    let number = name.strip_prefix(kind);
    number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

/// A number as the kernel writes it for people (`bch_hprint`): `1.5k`, `-20.4G`.
fn amount(text: &str) -> Option<f64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let number = match text.strip_suffix(|c: char| c.is_ascii_alphabetic()) {
        Some(number) => fraction(number)? * unit(text)?,
        None => text.parse().ok()?,
    };
    let number = f64::trunc(number) * sign;
    number.is_finite().then_some(number)
}

/// What stands behind the point are 1024ths, of which the last digit was cut off.
fn fraction(text: &str) -> Option<f64> {
    match text.split_once('.') {
        None => text.parse().ok(),
        Some((whole, part)) => {
            let (whole, part): (f64, u32) = (whole.parse().ok()?, part.parse().ok()?);
            Some(whole + f64::from(part) / 10.24)
        }
    }
}

fn unit(text: &str) -> Option<f64> {
    let at = "kMGTPEZY".find(text.chars().last()?)?;
    Some(1024_f64.powi(at as i32 + 1))
}

#[cfg(test)]
mod tests;
