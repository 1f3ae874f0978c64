//! Connection tracking of netfilter: the table's size in `proc/sys/net/netfilter`, and what happened to packets in
//! `proc/net/stat/nf_conntrack` (`net/netfilter/nf_conntrack_standalone.c`): a line of hexadecimal counts per CPU.

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "conntrack",
    about: "connections that netfilter tracks",
    make: |setup| Ok(Box::new(Conntrack::new(setup))),
    ..Collector::BASE
};

static TABLE: [(&str, Family); 2] = [
    (
        "nf_conntrack_count",
        Family::new(
            "node_nf_conntrack_entries",
            "",
            "Connections that are tracked now.",
            Kind::Gauge,
        ),
    ),
    (
        "nf_conntrack_max",
        Family::new(
            "node_nf_conntrack_entries_limit",
            "",
            "Connections that can be tracked at most.",
            Kind::Gauge,
        ),
    ),
];

const fn stat(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "", help, Kind::Gauge)
}

/// Column of each count.
static STATS: [(usize, Family); 8] = [
    (
        2,
        stat("node_nf_conntrack_stat_found", "Searches that found their connection."),
    ),
    (
        4,
        stat("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked."),
    ),
    (
        5,
        stat("node_nf_conntrack_stat_ignore", "Packets that were not looked at."),
    ),
    (
        8,
        stat(
            "node_nf_conntrack_stat_insert",
            "Connections that were put into the table.",
        ),
    ),
    (
        9,
        stat(
            "node_nf_conntrack_stat_insert_failed",
            "Connections that could not be put into the table.",
        ),
    ),
    (
        10,
        stat(
            "node_nf_conntrack_stat_drop",
            "Packets that were dropped because tracking failed.",
        ),
    ),
    (
        11,
        stat(
            "node_nf_conntrack_stat_early_drop",
            "Connections that were forgotten to make room for others.",
        ),
    ),
    (
        16,
        stat(
            "node_nf_conntrack_stat_search_restart",
            "Searches that began anew because the table was resized meanwhile.",
        ),
    ),
];

/// Columns of a line; the last is missing before Linux 2.6.35.
const COLUMNS: usize = 17;

/// Bytes of a line at most: columns of up to 16 digits.
const LINE: usize = 512;

struct Conntrack {
    table: [Kept; 2],
    stats: Kept,
}

impl Conntrack {
    fn new(setup: &Setup<'_>) -> Conntrack {
        Conntrack {
            table: TABLE
                .each_ref()
                .map(|(file, _)| Kept::whole(setup.host.proc.join("sys/net/netfilter").join(file))),
            stats: Kept::records(setup.host.proc.join("net/stat/nf_conntrack"), LINE),
        }
    }
}

impl Collect for Conntrack {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        for (file, (_, family)) in self.table.iter_mut().zip(&TABLE) {
            let value: u64 = file.number()?;
            out.family(family);
            out.number(&[], value as f64);
        }
        let path = self.stats.path().to_owned();
        let sums = sums(self.stats.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        for (column, family) in &STATS {
            out.family(family);
            out.number(&[], sums.get(*column).copied().unwrap_or_default() as f64);
        }
        Ok(())
    }
}

/// The columns' sums over all CPUs.
fn sums(text: &str) -> Result<[u64; COLUMNS], String> {
    let mut sums = [0u64; COLUMNS];
    for (index, line) in text.lines().enumerate().skip(1) {
        let mut columns = 0;
        for (sum, word) in sums.iter_mut().zip(line.split_ascii_whitespace()) {
            let count =
                u64::from_str_radix(word, 16).map_err(|error| format!("line {}: {word:?}: {error}", index + 1))?;
            *sum = sum.wrapping_add(count);
            columns += 1;
        }
        if columns < COLUMNS - 1 {
            return Err(format!("line {}: has {columns} columns", index + 1));
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const HEAD: &str = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop \
        icmp_error  expect_new expect_create expect_delete search_restart\n";

    #[test]
    fn counts_of_all_cpus_are_added() {
        let line = |n: u64| (0..17).map(|column| format!("{:08x} ", column + n)).collect::<String>() + "\n";
        let sums = sums(&format!("{HEAD}{}{}", line(0), line(0x100))).unwrap();
        assert_eq!((sums[2], sums[16]), (2 + 2 + 0x100, 16 + 16 + 0x100));
        let short = format!("{HEAD}{}\n", "00000001 ".repeat(16));
        assert_eq!(super::sums(&short).unwrap()[16], 0);
        assert_eq!(super::sums("").unwrap(), [0; COLUMNS]);
        assert!(
            super::sums(&format!("{HEAD}1 2 3\n"))
                .unwrap_err()
                .contains("line 2: has 3 columns")
        );
        assert!(
            super::sums(&format!("{HEAD}1 zz\n"))
                .unwrap_err()
                .contains("line 2: \"zz\": invalid digit")
        );
    }

    #[test]
    fn the_table_is_told_where_there_is_nothing_else() {
        let fixture = Fixture::new(&[("proc/sys/net/netfilter/nf_conntrack_count", "5\n")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_nf_conntrack_entries 5\n");
        assert!(result.unwrap_err().is_no_data());
        fixture.put(&[
            ("proc/sys/net/netfilter/nf_conntrack_max", "9\n"),
            ("proc/net/stat/nf_conntrack", HEAD),
        ]);
        assert_eq!(fixture.text(&COLLECTOR).lines().count(), 10);
    }
}
