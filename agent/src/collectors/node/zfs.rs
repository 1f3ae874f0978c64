//! What ZFS says of itself: kstats of `proc/spl/kstat/zfs` (`module/os/linux/spl/spl-kstat.c` of OpenZFS), those of the module, of
//! pools and of their datasets.

use super::byline::ByLine;
use super::files::{Kept, names, text};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "zfs",
    about: "what ZFS says of itself",
    make: |setup| Ok(Box::new(Zfs::new(setup))),
    ..Collector::BASE
};

/// Files of the module, and what their families are called.
const FILES: [(&str, &str); 11] = [
    ("abdstats", "zfs_abd"),
    ("arcstats", "zfs_arc"),
    ("dbufstats", "zfs_dbuf"),
    ("dmu_tx", "zfs_dmu_tx"),
    ("dnodestats", "zfs_dnode"),
    ("fm", "zfs_fm"),
    ("vdev_cache_stats", "zfs_vdev_cache"),
    ("vdev_mirror_stats", "zfs_vdev_mirror"),
    ("xuio_stats", "zfs_xuio"),
    ("zfetchstats", "zfs_zfetch"),
    ("zil", "zfs_zil"),
];

static STATE: Family = Family::new("node_zfs_zpool_state", "", "Whether a pool is in a state.", Kind::Gauge);

/// States of a pool.
const STATES: [&str; 7] = [
    "online",
    "degraded",
    "faulted",
    "offline",
    "removed",
    "unavail",
    "suspended",
];

struct Zfs {
    folder: PathBuf,
    files: Vec<ModuleFile>,
}

struct ModuleFile {
    prefix: &'static str,
    file: Kept,
    families: ByLine<Family>,
}

/// Series of pools and datasets, by family.
type Series = BTreeMap<String, Vec<(Labels, f64)>>;

/// Pool, and dataset if it is one's.
type Labels = (Rc<str>, Option<Rc<str>>);

impl Zfs {
    fn new(setup: &Setup<'_>) -> Zfs {
        let folder = setup.host.proc.join("spl/kstat/zfs");
        let files = FILES.iter().map(|(file, prefix)| ModuleFile {
            prefix,
            file: Kept::new(folder.join(file)),
            families: ByLine::default(),
        });
        Zfs {
            files: files.collect(),
            folder,
        }
    }

    /// Tells of pools.
    fn pools(&self, entries: &[String], out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut series = Series::new();
        let mut states = Vec::new();
        let mut result = Ok(());
        for pool in entries {
            let folder = self.folder.join(pool);
            // Other entries are files.
            let Ok(files) = names(&folder) else { continue };
            for file in &files {
                let path = folder.join(file);
                let found = match file.as_str() {
                    "io" => io(pool, &path, &mut series),
                    "state" => text(&path).map(|state| states.push((pool, state.to_ascii_lowercase()))),
                    name if name.starts_with("objset-") => dataset(pool, &path, &mut series),
                    _ => Ok(()),
                };
                // What is gone was exported meanwhile.
                result = result.and(found.or_else(|error| if error.is_no_data() { Ok(()) } else { Err(error) }));
            }
        }
        for (name, series) in series {
            out.family(&family(name));
            for ((pool, dataset), value) in &series {
                match dataset {
                    Some(dataset) => out.number(&[("dataset", dataset), ("zpool", pool)], *value),
                    None => out.number(&[("zpool", pool)], *value),
                }
            }
        }
        if !states.is_empty() {
            out.family(&STATE);
        }
        for (pool, state) in &states {
            for known in STATES {
                out.number(
                    &[("state", known), ("zpool", pool)],
                    f64::from(u8::from(state == known)),
                );
            }
        }
        result
    }
}

impl Collect for Zfs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let entries = names(&self.folder)?;
        let mut result = Ok(());
        for file in &mut self.files {
            // Not every version has every file.
            let found = file.tell(out);
            result = result.and(found.or_else(|error| if error.is_no_data() { Ok(()) } else { Err(error) }));
        }
        result.and(self.pools(&entries, out))
    }
}

impl ModuleFile {
    fn tell(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        let prefix = self.prefix;
        for (index, row) in rows(self.file.text()?).enumerate() {
            let (name, value, _) = row.map_err(|what| CollectError::malformed(&path, what))?;
            let Some(value) = value else { continue };
            out.family(self.families.at(index, name, || {
                family(format!("node_{prefix}_{}", name.replace('-', "_")))
            }));
            out.number(&[], value);
        }
        Ok(())
    }
}

fn family(name: String) -> Family {
    Family {
        help: format!("The kernel's {} of ZFS.", name.trim_start_matches("node_zfs_")).into(),
        name: name.into(),
        unit: "".into(),
        kind: Kind::Unknown,
    }
}

/// Rows `NAME TYPE DATA` behind the line of these words: name, value when it is a number, data. None at all is an error.
fn rows(text: &str) -> impl Iterator<Item = Result<(&str, Option<f64>, &str), String>> {
    let mut lines = text.lines().enumerate();
    let head = lines.find(|(_, line)| line.split_ascii_whitespace().eq(["name", "type", "data"]));
    let missing = head.is_none().then(|| Err("has no line \"name type data\"".to_owned()));
    let rows = lines.filter_map(|(index, line)| {
        let (name, rest) = line.trim_ascii_start().split_once(' ')?;
        let (kind, data) = rest.trim_ascii_start().split_once(' ')?;
        let data = data.trim_ascii();
        let value = match kind {
            "4" => data.parse().map(|value: u64| Some(value as f64)),
            "3" => data.parse().map(|value: i64| Some(value as f64)),
            _ => Ok(None),
        };
        let row = value.map(|value| (name, value, data));
        Some(row.map_err(|error| format!("line {}: {data:?}: {error}", index + 1)))
    });
    missing.into_iter().chain(rows)
}

/// What a pool read and wrote: a line of names and one of numbers.
fn io(pool: &str, path: &Path, series: &mut Series) -> Result<(), CollectError> {
    let text = text(path)?;
    let mut lines = text.lines().skip_while(|line| !line.starts_with("nread"));
    let (heads, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut numbers = numbers.split_ascii_whitespace();
    let pool: Rc<str> = pool.into();
    for name in heads.split_ascii_whitespace() {
        let value: u64 = super::files::parsed(path, numbers.next().unwrap_or_default())?;
        let all = series.entry(format!("node_zfs_zpool_{name}")).or_default();
        all.push(((Rc::clone(&pool), None), value as f64));
    }
    Ok(())
}

/// What a dataset says.
fn dataset(pool: &str, path: &Path, series: &mut Series) -> Result<(), CollectError> {
    let (pool, mut dataset): (Rc<str>, Rc<str>) = (pool.into(), "".into());
    for row in rows(&text(path)?) {
        let (name, value, data) = row.map_err(|what| CollectError::malformed(path, what))?;
        if name == "dataset_name" {
            dataset = data.into();
        }
        let Some(value) = value else { continue };
        let name = format!("node_zfs_zpool_dataset_{}", name.replace('-', "_"));
        let labels = (Rc::clone(&pool), Some(Rc::clone(&dataset)));
        series.entry(name).or_default().push((labels, value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const HEAD: &str = "6 1 0x01 91 4368 5266997922 97951858082072\nname                            type data\n";

    #[test]
    fn the_module_pools_and_datasets() {
        let fixture = Fixture::new(&[
            (
                "proc/spl/kstat/zfs/arcstats",
                &format!("{HEAD}hits   4    12\nsome-size 3    -5\nwords 7 x\n"),
            ),
            ("proc/spl/kstat/zfs/other", "what"),
            (
                "proc/spl/kstat/zfs/tank/io",
                "12 3 0x00 1 80 1 2\nnread    nwritten\n18841    32061\n",
            ),
            ("proc/spl/kstat/zfs/tank/state", "DEGRADED\n"),
            (
                "proc/spl/kstat/zfs/tank/objset-0x1",
                &format!("{HEAD}dataset_name 7    tank/a  b\nwrites 4    4\n"),
            ),
            ("proc/spl/kstat/zfs/tank/txgs", "what"),
        ]);
        let expect = "node_zfs_arc_hits 12\nnode_zfs_arc_some_size -5\n\
            node_zfs_zpool_dataset_writes{dataset=\"tank/a  b\",zpool=\"tank\"} 4\n\
            node_zfs_zpool_nread{zpool=\"tank\"} 18841\nnode_zfs_zpool_nwritten{zpool=\"tank\"} 32061\n";
        let text = fixture.text(&COLLECTOR);
        assert!(text.starts_with(expect), "{text}");
        assert!(text.contains("node_zfs_zpool_state{state=\"degraded\",zpool=\"tank\"} 1\n"));
        assert_eq!(
            text.lines()
                .filter(|line| line.contains("zpool_state") && line.ends_with(" 0"))
                .count(),
            6
        );
    }

    #[test]
    fn odd_files_cost_themselves_alone() {
        let fixture = Fixture::new(&[("proc/", "")]);
        assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
        fixture.put(&[
            ("proc/spl/kstat/zfs/arcstats", "what\n"),
            ("proc/spl/kstat/zfs/zil", &format!("{HEAD}a 4 1\nb 4 x\n")),
            ("proc/spl/kstat/zfs/tank/io", "nread nwritten\n1\n"),
            ("proc/spl/kstat/zfs/tank/state", "ONLINE\n"),
        ]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert!(
            text.starts_with("node_zfs_zil_a 1\n") && text.contains("state=\"online\""),
            "{text}"
        );
        let error = result.unwrap_err().to_string();
        assert!(error.contains("arcstats: has no line \"name type data\""), "{error}");
        fixture.put(&[("proc/spl/kstat/zfs/arcstats", HEAD)]);
        assert!(fixture.error(&COLLECTOR).contains("zil: line 4: \"x\": invalid digit"));
    }
}
