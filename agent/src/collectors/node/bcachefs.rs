//! File systems of bcachefs: `sys/fs/bcachefs/<uuid>` (`fs/bcachefs/sysfs.c`): counters that the file system keeps for all its
//! life, whose names are those of their files, and its devices `dev-<n>`.

mod parse;

use super::files;
use super::flags::Setup;
use super::rows::{Grouped, counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use parse::Parsed;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "bcachefs",
    about: "counters and devices of bcachefs file systems",
    make: |setup| Ok(Box::new(BcacheFs::new(setup))),
    ..Collector::BASE
};

static INFO: Family = gauge("node_bcachefs_info", "A file system that is mounted.");
static CACHE_SIZE: Family = gauge(
    "node_bcachefs_btree_cache_size_bytes",
    "Bytes of memory that the trees take.",
);
static COMPRESSED: Family = gauge(
    "node_bcachefs_compression_compressed_bytes",
    "Bytes of data as they are stored.",
);
static UNCOMPRESSED: Family = gauge(
    "node_bcachefs_compression_uncompressed_bytes",
    "Bytes of data before they were compressed.",
);
static ERRORS: Family = counter(
    "node_bcachefs_errors_total",
    "Errors of the file system that were found.",
);
static WRITES: Family = counter(
    "node_bcachefs_btree_writes_total",
    "Writes of the trees, by their reason.",
);
static WRITE_SIZE: Family = gauge(
    "node_bcachefs_btree_write_average_size_bytes",
    "Bytes of a write of the trees on average.",
);
static DEVICE: Family = gauge("node_bcachefs_device_info", "What a device of a file system is.");
static BUCKET_SIZE: Family = gauge(
    "node_bcachefs_device_bucket_size_bytes",
    "Bytes of a bucket of a device.",
);
static BUCKETS: Family = gauge("node_bcachefs_device_buckets", "Buckets of a device.");
static DURABILITY: Family = gauge(
    "node_bcachefs_device_durability",
    "For how many copies one on a device counts.",
);
static IO_DONE: Family = counter(
    "node_bcachefs_device_io_done_bytes_total",
    "Bytes that were read from a device or written to it.",
);
static IO_ERRORS: Family = counter("node_bcachefs_device_io_errors_total", "Errors of a device.");

struct BcacheFs(PathBuf);

impl BcacheFs {
    fn new(setup: &Setup<'_>) -> BcacheFs {
        BcacheFs(setup.host.sys.join("fs/bcachefs"))
    }
}

impl Collect for BcacheFs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut found = Found::default();
        let mut any = false;
        for uuid in files::names(&self.0)? {
            let folder = self.0.join(&uuid);
            if folder.is_dir() {
                any = true;
                found.filesystem(&uuid, &folder);
            }
        }
        if !any {
            return Err(CollectError::NoData("no bcachefs is mounted".to_owned()));
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
    fn filesystem(&mut self, uuid: &str, folder: &Path) {
        let label = ("uuid", uuid);
        self.number(&INFO, &[label], 1.0);
        self.amount(&CACHE_SIZE, &[label], &folder.join("btree_cache_size"));
        let path = folder.join("compression_stats");
        let text = self.text(&path);
        for (algorithm, compressed, uncompressed) in self.good(&path, parse::compression(&text)) {
            let labels = [label, ("algorithm", algorithm)];
            self.number(&COMPRESSED, &labels, compressed);
            self.number(&UNCOMPRESSED, &labels, uncompressed);
        }
        let path = folder.join("errors");
        let text = self.text(&path);
        for (name, times) in self.good(&path, parse::errors(&text)) {
            self.number(&ERRORS, &[label, ("error_type", name)], times);
        }
        let path = folder.join("btree_write_stats");
        let text = self.text(&path);
        for (name, writes, size) in self.good(&path, parse::writes(&text)) {
            let labels = [label, ("type", name)];
            self.number(&WRITES, &labels, writes);
            self.number(&WRITE_SIZE, &labels, size);
        }
        self.counters(label, &folder.join("counters"));
        for name in files::names(folder).unwrap_or_default() {
            if let Some(device) = name.strip_prefix("dev-") {
                self.device([label, ("device", device)], &folder.join(&name));
            }
        }
    }

    fn counters(&mut self, label: (&'static str, &str), folder: &Path) {
        for name in files::names(folder).unwrap_or_default() {
            let path = folder.join(&name);
            let text = self.text(&path);
            if text.is_empty() {
                continue;
            }
            match parse::counter(&text) {
                Ok(value) => {
                    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
                    let family = format!("node_bcachefs_{}_total", name.chars().map(clean).collect::<String>());
                    let make = || Family {
                        name: family.clone().into(),
                        unit: "".into(),
                        help: format!("Counter {name} since the file system was made.").into(),
                        kind: Kind::Counter,
                    };
                    self.rows.number(&family, make, &[label], value);
                }
                Err(what) => self.wrong = Some(CollectError::malformed(&path, what)),
            }
        }
    }

    fn device(&mut self, labels: [(&'static str, &str); 2], folder: &Path) {
        let [uuid, device] = labels;
        let (label, state) = (self.text(&folder.join("label")), self.text(&folder.join("state")));
        self.number(&DEVICE, &[uuid, device, ("label", &label), ("state", &state)], 1.0);
        self.amount(&BUCKET_SIZE, &labels, &folder.join("bucket_size"));
        self.amount(&BUCKETS, &labels, &folder.join("nbuckets"));
        self.amount(&DURABILITY, &labels, &folder.join("durability"));
        let path = folder.join("io_done");
        let text = self.text(&path);
        for (operation, data, bytes) in self.good(&path, parse::io_done(&text)) {
            let labels = [uuid, device, ("operation", operation), ("data_type", data)];
            self.number(&IO_DONE, &labels, bytes);
        }
        let path = folder.join("io_errors");
        let text = self.text(&path);
        for (kind, times) in self.good(&path, parse::io_errors(&text)) {
            self.number(&IO_ERRORS, &[uuid, device, ("type", kind)], times);
        }
    }

    /// The text of a file. Empty: this kernel does not have it, or it is gone.
    fn text(&mut self, path: &Path) -> String {
        match files::text(path) {
            Ok(text) => text,
            Err(error) => {
                if !error.is_no_data() {
                    self.wrong = Some(error);
                }
                String::new()
            }
        }
    }

    /// What could be understood of a file; the rest is remembered.
    fn good<T>(&mut self, path: &Path, (rows, wrong): Parsed<T>) -> Vec<T> {
        if let Some(what) = wrong {
            self.wrong = Some(CollectError::malformed(path, what));
        }
        rows
    }

    fn number(&mut self, family: &Family, labels: &Labels<'_>, value: f64) {
        self.rows.number(&family.name, || family.clone(), labels, value);
    }

    /// The one number of a file.
    fn amount(&mut self, family: &Family, labels: &Labels<'_>, path: &Path) {
        let text = self.text(path);
        if text.is_empty() {
            return;
        }
        match parse::amount(&text) {
            Ok(value) => self.number(family, labels, value),
            Err(what) => self.wrong = Some(CollectError::malformed(path, what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const UUID: &str = "sys/fs/bcachefs/0a-1b";

    fn host(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture::new(&[]);
        for (path, text) in files {
            fixture.put(&[(&format!("{UUID}/{path}"), text)]);
        }
        fixture
    }

    #[test]
    fn a_file_system_and_its_device() {
        let fixture = host(&[
            ("btree_cache_size", "1.5k\n"),
            ("compression_stats", "type compressed uncompressed\nlz4 1 2\n"),
            ("errors", "lost 3 1767112063\n"),
            ("btree_write_stats", "  nr  size\ninitial:  4 5k\n"),
            ("counters/data-read", "since mount: 1\nsince filesystem creation: 6\n"),
            ("dev-0/label", "fast\n"),
            ("dev-0/state", "[rw] ro\n"),
            ("dev-0/bucket_size", "512k\n"),
            ("dev-0/nbuckets", "7\n"),
            ("dev-0/io_done", "read:\nuser : 8\n"),
            ("dev-0/io_errors", "IO errors since filesystem creation\n  read: 9\n"),
        ]);
        assert_eq!(
            fixture.text(&COLLECTOR).replace("uuid=\"0a-1b\"", "…"),
            "node_bcachefs_btree_cache_size_bytes{…} 1536\n\
             node_bcachefs_btree_write_average_size_bytes{…,type=\"initial\"} 5120\n\
             node_bcachefs_btree_writes_total{…,type=\"initial\"} 4\n\
             node_bcachefs_compression_compressed_bytes{…,algorithm=\"lz4\"} 1\n\
             node_bcachefs_compression_uncompressed_bytes{…,algorithm=\"lz4\"} 2\n\
             node_bcachefs_data_read_total{…} 6\n\
             node_bcachefs_device_bucket_size_bytes{…,device=\"0\"} 524288\n\
             node_bcachefs_device_buckets{…,device=\"0\"} 7\n\
             node_bcachefs_device_info{…,device=\"0\",label=\"fast\",state=\"[rw] ro\"} 1\n\
             node_bcachefs_device_io_done_bytes_total{…,device=\"0\",operation=\"read\",data_type=\"user\"} 8\n\
             node_bcachefs_device_io_errors_total{…,device=\"0\",type=\"read\"} 9\n\
             node_bcachefs_errors_total{…,error_type=\"lost\"} 3\n\
             node_bcachefs_info{…} 1\n"
        );
    }

    #[test]
    fn what_is_broken_is_told_and_the_rest_stays() {
        let fixture = host(&[
            ("counters/a", "once\n"),
            ("counters/b", "since filesystem creation: 2\n"),
        ]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(
            text,
            "node_bcachefs_b_total{uuid=\"0a-1b\"} 2\nnode_bcachefs_info{uuid=\"0a-1b\"} 1\n"
        );
        let error = result.unwrap_err().to_string();
        assert!(error.ends_with("0a-1b/counters/a: no line says since when"), "{error}");
        for files in [
            vec![],
            vec![("sys/fs/bcachefs/", "")],
            vec![("sys/fs/bcachefs/stray", "")],
        ] {
            assert!(Fixture::new(&files).collect(&COLLECTOR).1.unwrap_err().is_no_data());
        }
    }
}
