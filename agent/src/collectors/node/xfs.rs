//! What XFS did, by file system: `sys/fs/xfs/DEVICE/stats/stats` (`fs/xfs/xfs_stats.c`), lines of a name and its counts.

use super::files::{Folder, text};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "xfs",
    about: "what XFS did",
    make: |setup| Ok(Box::new(Xfs(Folder::new(setup.host.sys.join("fs/xfs"))))),
    ..Collector::BASE
};

/// Name of the line, column, and the rest of the family's name with its help.
macro_rules! table {
    ($(($line:literal, $column:literal, $name:literal, $help:literal)),+ $(,)?) => {
        [$((
            $line,
            $column,
            Family::new(concat!("node_xfs_", $name, "_total"), "", concat!($help, "."), Kind::Counter),
        )),+]
    };
}

static TABLE: [(&str, usize, Family); 39] = table![
    (
        "extent_alloc",
        0,
        "extent_allocation_extents_allocated",
        "Extents that were allocated"
    ),
    (
        "extent_alloc",
        1,
        "extent_allocation_blocks_allocated",
        "Blocks that were allocated"
    ),
    (
        "extent_alloc",
        2,
        "extent_allocation_extents_freed",
        "Extents that were freed"
    ),
    (
        "extent_alloc",
        3,
        "extent_allocation_blocks_freed",
        "Blocks that were freed"
    ),
    (
        "abt",
        0,
        "allocation_btree_lookups",
        "Searches in the trees of free space"
    ),
    (
        "abt",
        1,
        "allocation_btree_compares",
        "Comparisons in the trees of free space"
    ),
    (
        "abt",
        2,
        "allocation_btree_records_inserted",
        "Records that the trees of free space got"
    ),
    (
        "abt",
        3,
        "allocation_btree_records_deleted",
        "Records that the trees of free space lost"
    ),
    ("blk_map", 0, "block_mapping_reads", "Mappings of blocks for reading"),
    ("blk_map", 1, "block_mapping_writes", "Mappings of blocks for writing"),
    (
        "blk_map",
        2,
        "block_mapping_unmaps",
        "Mappings of blocks that were removed"
    ),
    (
        "blk_map",
        3,
        "block_mapping_extent_list_insertions",
        "Extents that lists in memory got"
    ),
    (
        "blk_map",
        4,
        "block_mapping_extent_list_deletions",
        "Extents that lists in memory lost"
    ),
    (
        "blk_map",
        5,
        "block_mapping_extent_list_lookups",
        "Searches in lists of extents"
    ),
    (
        "blk_map",
        6,
        "block_mapping_extent_list_compares",
        "Comparisons in lists of extents"
    ),
    (
        "bmbt",
        0,
        "block_map_btree_lookups",
        "Searches in the trees of files' blocks"
    ),
    (
        "bmbt",
        1,
        "block_map_btree_compares",
        "Comparisons in the trees of files' blocks"
    ),
    (
        "bmbt",
        2,
        "block_map_btree_records_inserted",
        "Records that the trees of files' blocks got"
    ),
    (
        "bmbt",
        3,
        "block_map_btree_records_deleted",
        "Records that the trees of files' blocks lost"
    ),
    (
        "dir",
        0,
        "directory_operation_lookup",
        "Names that were looked up on the disk, not in the cache"
    ),
    (
        "dir",
        1,
        "directory_operation_create",
        "Entries of folders that were made"
    ),
    (
        "dir",
        2,
        "directory_operation_remove",
        "Entries of folders that were removed"
    ),
    ("dir", 3, "directory_operation_getdents", "Listings of folders"),
    (
        "ig",
        0,
        "inode_operation_attempts",
        "Searches for an inode in the cache"
    ),
    (
        "ig",
        1,
        "inode_operation_found",
        "Searches for an inode that found it in the cache"
    ),
    (
        "ig",
        2,
        "inode_operation_recycled",
        "Searches that found an inode which was just being recycled"
    ),
    (
        "ig",
        3,
        "inode_operation_missed",
        "Searches that did not find the inode in the cache"
    ),
    (
        "ig",
        4,
        "inode_operation_duplicates",
        "Inodes that somebody else had put into the cache meanwhile"
    ),
    (
        "ig",
        5,
        "inode_operation_reclaims",
        "Inodes that were taken out of the cache"
    ),
    (
        "ig",
        6,
        "inode_operation_attribute_changes",
        "Changes of inodes' attributes"
    ),
    ("rw", 0, "write_calls", "Calls of write"),
    ("rw", 1, "read_calls", "Calls of read"),
    ("vnodes", 0, "vnode_active", "Vnodes in use"),
    ("vnodes", 1, "vnode_allocate", "Vnodes that were allocated"),
    ("vnodes", 2, "vnode_get", "Vnodes that were got"),
    ("vnodes", 3, "vnode_hold", "Vnodes that were held"),
    ("vnodes", 4, "vnode_release", "Vnodes that were released"),
    ("vnodes", 5, "vnode_reclaim", "Vnodes that were reclaimed"),
    ("vnodes", 6, "vnode_remove", "Vnodes that were removed"),
];

struct Xfs(Folder);

impl Collect for Xfs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut rows = Vec::new();
        let mut result = Ok(());
        for device in self.0.names_if_any()? {
            let path = self.0.path().join(&device).join("stats/stats");
            // The folder holds those of all file systems too, and one may just be unmounted.
            let Ok(text) = text(&path) else { continue };
            match parse(&text) {
                Ok(counts) => rows.push((device, counts)),
                Err(what) => result = Err(CollectError::malformed(&path, what)),
            }
        }
        for (index, (_, _, family)) in TABLE.iter().enumerate() {
            let counts = rows
                .iter()
                .filter_map(|(device, counts)| Some((device, (*counts.get(index)?)?)));
            let counts: Vec<(&String, u64)> = counts.collect();
            if !counts.is_empty() {
                out.family(family);
            }
            for (device, count) in counts {
                out.number(&[("device", device)], count as f64);
            }
        }
        result
    }
}

/// Counts in the order of the table, where the text has them.
fn parse(text: &str) -> Result<Vec<Option<u64>>, String> {
    let mut counts = vec![None; TABLE.len()];
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        for ((_, column, _), count) in TABLE.iter().zip(&mut counts).filter(|((line, ..), _)| *line == name) {
            let Some(word) = words.get(*column) else { continue };
            let parsed = word.parse();
            *count = Some(parsed.map_err(|error| format!("line {}: {word:?}: {error}", number + 1))?);
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn counts_by_device() {
        let fixture = Fixture::new(&[
            (
                "sys/fs/xfs/sda1/stats/stats",
                "extent_alloc 1 2 3 4\nrw 5 6\nxpc 7\nnew_line x\n",
            ),
            ("sys/fs/xfs/sdb1/stats/stats", "rw 8\n"),
            ("sys/fs/xfs/stats/stats", "rw 9 9\n"),
            ("sys/fs/xfs/debug/", ""),
        ]);
        let text = fixture.text(&COLLECTOR);
        assert_eq!(text.lines().count(), 7, "{text}");
        let writes = "node_xfs_write_calls_total{device=\"sda1\"} 5\nnode_xfs_write_calls_total{device=\"sdb1\"} 8\n";
        assert!(text.contains(writes), "{text}");
        assert!(
            text.ends_with("node_xfs_read_calls_total{device=\"sda1\"} 6\n"),
            "{text}"
        );
    }

    #[test]
    fn no_xfs_and_odd_counts() {
        let fixture = Fixture::new(&[("sys/", "")]);
        assert_eq!(fixture.text(&COLLECTOR), "");
        fixture.put(&[
            ("sys/fs/xfs/sda1/stats/stats", "rw 1 2\nabt 0 x\n"),
            ("sys/fs/xfs/sdb1/stats/stats", "rw 3 4\n"),
        ]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text.lines().count(), 2, "the other device is told");
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("sda1/stats/stats: line 2: \"x\": invalid digit")
        );
    }
}
