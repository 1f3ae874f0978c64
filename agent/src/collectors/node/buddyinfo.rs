//! Free memory by size of its blocks: `proc/buddyinfo` (`mm/vmstat.c`), a line per zone.

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "buddyinfo",
    about: "free memory by size of its blocks",
    default: false,
    make: |setup| Ok(Box::new(BuddyInfo::new(setup))),
    ..Collector::BASE
};

static BLOCKS: Family = Family::new(
    "node_buddyinfo_blocks",
    "",
    "Free blocks of memory; a block of size N has 2^N pages.",
    Kind::Gauge,
);

struct BuddyInfo(Kept);

impl BuddyInfo {
    fn new(setup: &Setup<'_>) -> BuddyInfo {
        BuddyInfo(Kept::new(setup.host.proc.join("buddyinfo")))
    }
}

impl Collect for BuddyInfo {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let text = self.0.text()?;
        out.family(&BLOCKS);
        for (index, line) in text.lines().enumerate() {
            tell(line, out).ok_or_else(|| CollectError::malformed(&path, format!("line {}: {line:?}", index + 1)))?;
        }
        Ok(())
    }
}

/// Tells what a line `Node 0, zone DMA 1 0 …` says; `None`: it is none.
fn tell(line: &str, out: &mut dyn Encoder) -> Option<()> {
    let (node, rest) = line.strip_prefix("Node ")?.split_once(", zone ")?;
    let mut words = rest.split_ascii_whitespace();
    let zone = words.next()?;
    for (size, word) in words.enumerate() {
        let blocks: u64 = word.parse().ok()?;
        out.number(
            &[("node", node), ("size", &size.to_string()), ("zone", zone)],
            blocks as f64,
        );
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn blocks_by_zone() {
        let fixture = Fixture::new(&[(
            "proc/buddyinfo",
            "Node 0, zone      DMA      1      0 \nNode 1, zone   Normal   4381\n",
        )]);
        let expect = "node_buddyinfo_blocks{node=\"0\",size=\"0\",zone=\"DMA\"} 1\n\
            node_buddyinfo_blocks{node=\"0\",size=\"1\",zone=\"DMA\"} 0\n\
            node_buddyinfo_blocks{node=\"1\",size=\"0\",zone=\"Normal\"} 4381\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
    }

    #[test]
    fn odd_lines_are_told() {
        for bad in ["Node", "Node 0, zone", "Node 0, zone DMA 1 x", "what"] {
            let error = Fixture::new(&[("proc/buddyinfo", &format!("Node 1, zone DMA 1\n{bad}\n"))]).error(&COLLECTOR);
            assert!(error.contains(&format!("buddyinfo: line 2: {bad:?}")), "{error}");
        }
    }
}
