//! Memory by node: `sys/devices/system/node/nodeN/meminfo` and `numastat` (`drivers/base/node.c`).

use super::files::{names_if_any, text};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::collections::HashMap;
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "meminfo_numa",
    about: "memory by node",
    default: false,
    make: |setup| Ok(Box::new(Numa(setup.host.sys.join("devices/system/node")))),
    ..Collector::BASE
};

struct Numa(PathBuf);

/// Series by field, in the order in which fields were first seen.
#[derive(Default)]
struct Fields {
    places: HashMap<String, usize>,
    rows: Vec<Field>,
}

struct Field {
    name: String,
    kind: Kind,
    /// Values by node.
    nodes: Vec<(String, f64)>,
}

impl Fields {
    fn add(&mut self, name: String, kind: Kind, node: &str, value: f64) {
        let place = *self.places.entry(name.clone()).or_insert(self.rows.len());
        if place == self.rows.len() {
            let nodes = Vec::new();
            self.rows.push(Field { name, kind, nodes });
        }
        if let Some(field) = self.rows.get_mut(place) {
            field.nodes.push((node.to_owned(), value));
        }
    }
}

impl Collect for Numa {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut fields = Fields::default();
        let mut result = Ok(());
        for name in names_if_any(&self.0)? {
            let node = name
                .strip_prefix("node")
                .filter(|node| node.starts_with(|c: char| c.is_ascii_digit()));
            let Some(node) = node else { continue };
            let files: [(&str, Parse, Kind); 2] = [("meminfo", size, Kind::Gauge), ("numastat", count, Kind::Counter)];
            for (file, parse, kind) in files {
                let path = self.0.join(&name).join(file);
                let read = text(&path).and_then(|text| {
                    for (index, line) in text
                        .lines()
                        .enumerate()
                        .filter(|(_, line)| !line.trim_ascii().is_empty())
                    {
                        let (field, value) = parse(line)
                            .ok_or_else(|| CollectError::malformed(&path, format!("line {}: {line:?}", index + 1)))?;
                        fields.add(field, kind, node, value);
                    }
                    Ok(())
                });
                result = result.and(read);
            }
        }
        for Field { name, kind, nodes } in &fields.rows {
            out.family(&family(name, *kind));
            for (node, value) in nodes {
                out.number(&[("node", node)], *value);
            }
        }
        result
    }
}

/// Field and value of a line; `None`: it is none.
type Parse = fn(&str) -> Option<(String, f64)>;

/// `Node 0 Active(anon): 3 kB`: a size in bytes, or a count.
fn size(line: &str) -> Option<(String, f64)> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let field = words.next()?.trim_end_matches(':').replace('(', "_").replace(')', "");
    let value: u64 = words.next()?.parse().ok()?;
    let unit = match words.next() {
        None => 1.0,
        Some("kB") => 1024.0,
        Some(_) => return None,
    };
    Some((field, value as f64 * unit))
}

/// `numa_hit 3`.
fn count(line: &str) -> Option<(String, f64)> {
    let (field, value) = line.split_once(' ')?;
    let value: u64 = value.trim_ascii().parse().ok()?;
    Some((format!("{field}_total"), value as f64))
}

fn family(field: &str, kind: Kind) -> Family {
    Family {
        name: format!("node_memory_numa_{field}").into(),
        unit: "".into(),
        help: format!(
            "What the kernel's account of a node's memory has for {}.",
            field.trim_end_matches("_total")
        )
        .into(),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn fields_by_node() {
        let node = "sys/devices/system/node/node";
        let fixture = Fixture::new(&[
            (
                &format!("{node}0/meminfo"),
                "\nNode 0 Active(anon):   3 kB\nNode 0 HugePages_Total:     7\n",
            ),
            (&format!("{node}0/numastat"), "numa_hit 193460335812\n"),
            (&format!("{node}12/meminfo"), "Node 12 Active(anon):   4 kB\n"),
            (&format!("{node}12/numastat"), "numa_hit 5\n"),
            ("sys/devices/system/node/possible", "0-12\n"),
        ]);
        let expect = "node_memory_numa_Active_anon{node=\"0\"} 3072\nnode_memory_numa_Active_anon{node=\"12\"} 4096\n\
            node_memory_numa_HugePages_Total{node=\"0\"} 7\n\
            node_memory_numa_numa_hit_total{node=\"0\"} 1.93460335812e+11\nnode_memory_numa_numa_hit_total{node=\"12\"} 5\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
    }

    #[test]
    fn odd_lines_are_told_and_other_nodes_stay() {
        assert_eq!(
            Fixture::new(&[("sys/", "")]).text(&COLLECTOR),
            "",
            "a host without nodes"
        );
        for bad in ["Node 0", "Node 0 A:", "Node 0 A: x kB", "Node 0 A: 1 MB"] {
            let fixture = Fixture::new(&[
                ("sys/devices/system/node/node0/meminfo", bad),
                ("sys/devices/system/node/node0/numastat", "numa_hit\n"),
                ("sys/devices/system/node/node1/meminfo", "Node 1 B: 1\n"),
                ("sys/devices/system/node/node1/numastat", ""),
            ]);
            let (text, result) = fixture.collect(&COLLECTOR);
            assert_eq!(text, "node_memory_numa_B{node=\"1\"} 1\n");
            let error = result.unwrap_err().to_string();
            assert!(error.contains(&format!("node0/meminfo: line 1: {bad:?}")), "{error}");
        }
    }
}
