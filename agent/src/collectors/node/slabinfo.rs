//! The kernel's caches of objects: `proc/slabinfo` (`mm/slab_common.c`, version 2.1), which root alone may read.

use super::byline::ByLine;
use super::files::Kept;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "slabinfo",
    about: "the kernel's caches of objects",
    default: false,
    flags: &[&INCLUDE, &EXCLUDE],
    make: |setup| Ok(Box::new(SlabInfo::new(setup)?)),
};

static INCLUDE: Flag = Flag {
    name: "collector.slabinfo.slabs-include",
    form: Form::Regex,
    help: "Which caches are told.",
    default: &[".*"],
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.slabinfo.slabs-exclude",
    form: Form::Regex,
    help: "Which of those are not.",
    ..Flag::BASE
};

/// In the order of the columns behind the name.
static FAMILIES: [Family; 5] = [
    gauge("node_slabinfo_active_objects", "Objects in use."),
    gauge("node_slabinfo_objects", "Objects that there is memory for."),
    gauge("node_slabinfo_object_size_bytes", "Size of an object."),
    gauge("node_slabinfo_objects_per_slab", "Objects of a slab."),
    gauge("node_slabinfo_pages_per_slab", "Pages of a slab."),
];

struct SlabInfo {
    file: Kept,
    names: Filter,
    told: ByLine<bool>,
}

impl SlabInfo {
    fn new(setup: &Setup<'_>) -> Result<SlabInfo, String> {
        Ok(SlabInfo {
            file: Kept::new(setup.host.proc.join("slabinfo")),
            // Both conditions hold: they are no alternatives here.
            names: Filter::new(setup.pattern(&INCLUDE)?, setup.pattern(&EXCLUDE)?),
            told: ByLine::default(),
        })
    }
}

impl Collect for SlabInfo {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        let mut rows = Vec::new();
        let mut result = Ok(());
        for (index, line) in self.file.text()?.lines().enumerate() {
            let name = line.split_ascii_whitespace().next().unwrap_or_default();
            let is_head = line.starts_with("slabinfo -") || line.starts_with('#') || name.is_empty();
            let names = &self.names;
            if !self.told.at(index, name, || !is_head && names.takes(name)) {
                continue;
            }
            match columns(line) {
                Some(columns) => rows.push((name, columns)),
                None => result = Err(CollectError::malformed(&path, format!("line {}: {line:?}", index + 1))),
            }
        }
        for (index, family) in FAMILIES.iter().enumerate() {
            out.family(family);
            for (name, columns) in &rows {
                out.number(
                    &[("slab", name)],
                    columns.get(index).copied().unwrap_or_default() as f64,
                );
            }
        }
        result
    }
}

fn columns(line: &str) -> Option<[u64; FAMILIES.len()]> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let mut columns = [0; FAMILIES.len()];
    for column in &mut columns {
        *column = words.next()?.parse().ok()?;
    }
    Some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const TEXT: &str = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n\
        tw_sock_TCP          704    864    256   32    2 : tunables    0    0    0 : slabdata     27     27      0\n\
        kmalloc-8192         132    148   8192    4    8 : tunables    0    0    0 : slabdata     37     37      0\n";

    #[test]
    fn caches_that_are_asked_for() {
        let text = Fixture::new(&[("proc/slabinfo", TEXT)]).text(&COLLECTOR);
        assert_eq!(text.lines().count(), 10);
        assert!(
            text.starts_with("node_slabinfo_active_objects{slab=\"tw_sock_TCP\"} 704\n"),
            "{text}"
        );
        assert!(text.contains("node_slabinfo_object_size_bytes{slab=\"kmalloc-8192\"} 8192\n"));
        let fixture = Fixture::new(&[("proc/slabinfo", TEXT)]);
        let fixture = fixture.set(INCLUDE.name, "k|t").set(EXCLUDE.name, "^tw");
        assert_eq!(fixture.text(&COLLECTOR).lines().count(), 5);
    }

    #[test]
    fn odd_lines_are_told_and_cost_themselves_alone() {
        let fixture = Fixture::new(&[("proc/slabinfo", &format!("{TEXT}short 1 2\n"))]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text.lines().count(), 10);
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("slabinfo: line 5: \"short 1 2\"")
        );
    }
}
