//! Zones of memory: `proc/zoneinfo` (`mm/vmstat.c`), a block of lines each.

use super::files::Kept;
use super::flags::Setup;
use super::rows::{counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "zoneinfo",
    about: "zones of memory",
    default: false,
    make: |setup| Ok(Box::new(ZoneInfo::new(setup))),
    ..Collector::BASE
};

/// Name of the line, and family.
static FIELDS: [(&str, Family); 34] = [
    (
        "nr_free_pages",
        gauge("node_zoneinfo_nr_free_pages", "Pages that are free."),
    ),
    (
        "min",
        gauge(
            "node_zoneinfo_min_pages",
            "Free pages below which only the kernel's own needs are served.",
        ),
    ),
    (
        "low",
        gauge("node_zoneinfo_low_pages", "Free pages below which reclaim begins."),
    ),
    (
        "high",
        gauge("node_zoneinfo_high_pages", "Free pages at which reclaim ends."),
    ),
    (
        "scanned",
        gauge(
            "node_zoneinfo_scanned_pages",
            "Pages that were looked at since the last reclaim.",
        ),
    ),
    (
        "spanned",
        gauge(
            "node_zoneinfo_spanned_pages",
            "Pages from the zone's begin to its end, holes included.",
        ),
    ),
    ("present", gauge("node_zoneinfo_present_pages", "Pages that are there.")),
    (
        "managed",
        gauge("node_zoneinfo_managed_pages", "Pages that can be allocated."),
    ),
    (
        "nr_active_anon",
        gauge("node_zoneinfo_nr_active_anon_pages", "Anonymous pages in recent use."),
    ),
    (
        "nr_inactive_anon",
        gauge(
            "node_zoneinfo_nr_inactive_anon_pages",
            "Anonymous pages not in recent use.",
        ),
    ),
    (
        "nr_isolated_anon",
        gauge(
            "node_zoneinfo_nr_isolated_anon_pages",
            "Anonymous pages off the lists for a moment.",
        ),
    ),
    (
        "nr_anon_pages",
        gauge("node_zoneinfo_nr_anon_pages", "Anonymous pages that are mapped."),
    ),
    (
        "nr_anon_transparent_hugepages",
        gauge(
            "node_zoneinfo_nr_anon_transparent_hugepages",
            "Anonymous huge pages that the kernel made.",
        ),
    ),
    (
        "nr_active_file",
        gauge("node_zoneinfo_nr_active_file_pages", "Pages of files in recent use."),
    ),
    (
        "nr_inactive_file",
        gauge(
            "node_zoneinfo_nr_inactive_file_pages",
            "Pages of files not in recent use.",
        ),
    ),
    (
        "nr_isolated_file",
        gauge(
            "node_zoneinfo_nr_isolated_file_pages",
            "Pages of files off the lists for a moment.",
        ),
    ),
    ("nr_file_pages", gauge("node_zoneinfo_nr_file_pages", "Pages of files.")),
    (
        "nr_slab_reclaimable",
        gauge(
            "node_zoneinfo_nr_slab_reclaimable_pages",
            "Pages of slabs that can be reclaimed.",
        ),
    ),
    (
        "nr_slab_unreclaimable",
        gauge(
            "node_zoneinfo_nr_slab_unreclaimable_pages",
            "Pages of slabs that cannot be reclaimed.",
        ),
    ),
    (
        "nr_mlock_stack",
        gauge(
            "node_zoneinfo_nr_mlock_stack_pages",
            "Pages that are locked and off the lists.",
        ),
    ),
    (
        "nr_kernel_stack",
        gauge("node_zoneinfo_nr_kernel_stacks", "The kernel's stacks."),
    ),
    (
        "nr_mapped",
        gauge("node_zoneinfo_nr_mapped_pages", "Pages of files that are mapped."),
    ),
    (
        "nr_dirty",
        gauge("node_zoneinfo_nr_dirty_pages", "Pages that are to be written."),
    ),
    (
        "nr_writeback",
        gauge("node_zoneinfo_nr_writeback_pages", "Pages that are being written."),
    ),
    (
        "nr_unevictable",
        gauge("node_zoneinfo_nr_unevictable_pages", "Pages that must stay in memory."),
    ),
    (
        "nr_shmem",
        gauge("node_zoneinfo_nr_shmem_pages", "Pages of shared memory."),
    ),
    (
        "nr_dirtied",
        counter("node_zoneinfo_nr_dirtied_total", "Pages that had to be written."),
    ),
    (
        "nr_written",
        counter("node_zoneinfo_nr_written_total", "Pages that were written."),
    ),
    (
        "numa_hit",
        counter(
            "node_zoneinfo_numa_hit_total",
            "Pages that were allocated where they were wanted.",
        ),
    ),
    (
        "numa_miss",
        counter(
            "node_zoneinfo_numa_miss_total",
            "Pages that were allocated here and wanted elsewhere.",
        ),
    ),
    (
        "numa_foreign",
        counter(
            "node_zoneinfo_numa_foreign_total",
            "Pages that were wanted here and allocated elsewhere.",
        ),
    ),
    (
        "numa_interleave",
        counter(
            "node_zoneinfo_numa_interleave_total",
            "Pages that were allocated here in turn.",
        ),
    ),
    (
        "numa_local",
        counter(
            "node_zoneinfo_numa_local_total",
            "Pages that a program of this node was given.",
        ),
    ),
    (
        "numa_other",
        counter(
            "node_zoneinfo_numa_other_total",
            "Pages that a program of another node was given.",
        ),
    ),
];

/// Values of a zone's protection at most: kernels have as many as there are kinds of zones.
const PROTECTIONS: usize = 32;

struct ZoneInfo(Kept);

impl ZoneInfo {
    fn new(setup: &Setup<'_>) -> ZoneInfo {
        ZoneInfo(Kept::new(setup.host.proc.join("zoneinfo")))
    }
}

/// A zone.
struct Zone<'a> {
    node: &'a str,
    name: &'a str,
    /// In the order of the table.
    fields: [Option<i64>; FIELDS.len()],
    protection: Vec<i64>,
}

impl Collect for ZoneInfo {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let zones = parse(self.0.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        let say = |family: &Family, value: &dyn Fn(&Zone<'_>) -> Option<i64>, out: &mut dyn Encoder| {
            let series = zones.iter().filter_map(|zone| Some((zone, value(zone)?)));
            for (index, (zone, value)) in series.enumerate() {
                if index == 0 {
                    out.family(family);
                }
                out.number(&[("node", zone.node), ("zone", zone.name)], value as f64);
            }
        };
        for (index, (_, family)) in FIELDS.iter().enumerate() {
            say(family, &|zone| zone.fields.get(index).copied().flatten(), out);
        }
        let most = zones.iter().map(|zone| zone.protection.len()).max().unwrap_or_default();
        for index in 0..most {
            let family = Family {
                name: format!("node_zoneinfo_protection_{index}").into(),
                unit: "".into(),
                help: format!("Pages that are kept from allocations that could be served by zone {index}.").into(),
                kind: Kind::Gauge,
            };
            say(&family, &|zone| zone.protection.get(index).copied(), out);
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<Zone<'_>>, String> {
    let mut zones: Vec<Zone<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = || format!("line {}: {line:?}", index + 1);
        if let Some(zone) = line.strip_prefix("Node ") {
            let (node, name) = zone.split_once(", zone").ok_or_else(wrong)?;
            zones.push(Zone {
                node: node.trim_ascii(),
                name: name.trim_ascii(),
                fields: [None; FIELDS.len()],
                protection: Vec::new(),
            });
            continue;
        }
        let Some(zone) = zones.last_mut() else { continue };
        let (name, value) = line.trim_ascii_start().split_once(' ').unwrap_or_default();
        if name == "protection:" {
            let values = value
                .trim_ascii()
                .trim_start_matches('(')
                .trim_end_matches(')')
                .split(',');
            let values: Option<Vec<i64>> = values
                .take(PROTECTIONS)
                .map(|value| value.trim_ascii().parse().ok())
                .collect();
            zone.protection = values.ok_or_else(wrong)?;
        } else {
            let mut fields = FIELDS.iter().zip(&mut zone.fields);
            if let Some((_, field)) = fields.find(|((known, _), _)| *known == name) {
                *field = Some(value.trim_ascii().parse().map_err(|_| wrong())?);
            }
        }
    }
    Ok(zones)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const TEXT: &str = "Node 0, zone      DMA\n  per-node stats\n      nr_dirtied   1189097\n  pages free     2949\n        min      8\n\
        \x20       protection: (0, 2039, 31932)\n      nr_free_pages 2949\n  pagesets\n    cpu: 0\n              high:  7\n\
        Node 1, zone   Normal\n  pages free     1\n        min      9\n        protection: (0)\n";

    #[test]
    fn zones() {
        let text = Fixture::new(&[("proc/zoneinfo", TEXT)]).text(&COLLECTOR);
        let dma = "{node=\"0\",zone=\"DMA\"}";
        let normal = "{node=\"1\",zone=\"Normal\"}";
        let expect = format!(
            "node_zoneinfo_nr_free_pages{dma} 2949\nnode_zoneinfo_min_pages{dma} 8\nnode_zoneinfo_min_pages{normal} 9\n\
            node_zoneinfo_nr_dirtied_total{dma} 1.189097e+06\nnode_zoneinfo_protection_0{dma} 0\n\
            node_zoneinfo_protection_0{normal} 0\nnode_zoneinfo_protection_1{dma} 2039\nnode_zoneinfo_protection_2{dma} 31932\n"
        );
        assert_eq!(text, expect);
    }

    #[test]
    fn odd_lines_are_told() {
        for bad in ["Node 0", "  min x", "  min ", "  protection: (0, x)"] {
            let error = Fixture::new(&[("proc/zoneinfo", &format!("Node 0, zone DMA\n{bad}\n"))]).error(&COLLECTOR);
            assert!(error.contains(&format!("zoneinfo: line 2: {bad:?}")), "{error}");
        }
        assert_eq!(Fixture::new(&[("proc/zoneinfo", "min 1\n")]).text(&COLLECTOR), "");
    }
}
