//! Swap devices and files: `proc/swaps` (`mm/swapfile.c`), a line each, sizes in KiB.

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "swap",
    about: "swap devices",
    default: false,
    make: |setup| Ok(Box::new(Swap::new(setup))),
    ..Collector::BASE
};

/// In the order of the columns behind name and type, and the bytes that one of it is.
static FAMILIES: [(Family, i64); 3] = [
    (
        Family::new("node_swap_size_bytes", "bytes", "Size of a swap device.", Kind::Gauge),
        1024,
    ),
    (
        Family::new(
            "node_swap_used_bytes",
            "bytes",
            "What is in use of a swap device.",
            Kind::Gauge,
        ),
        1024,
    ),
    (
        Family::new(
            "node_swap_priority",
            "",
            "Priority of a swap device: the highest is filled first.",
            Kind::Gauge,
        ),
        1,
    ),
];

struct Swap(Kept);

impl Swap {
    fn new(setup: &Setup<'_>) -> Swap {
        Swap(Kept::new(setup.host.proc.join("swaps")))
    }
}

impl Collect for Swap {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let mut rows = Vec::new();
        for (index, line) in self.0.text()?.lines().enumerate().skip(1) {
            let row = Row::parse(line);
            rows.push(row.ok_or_else(|| CollectError::malformed(&path, format!("line {}: {line:?}", index + 1)))?);
        }
        if rows.is_empty() {
            return Ok(());
        }
        for (index, (family, unit)) in FAMILIES.iter().enumerate() {
            out.family(family);
            for row in &rows {
                let value = row.values.get(index).copied().unwrap_or_default();
                let labels = [("device", row.device), ("swap_type", row.kind)];
                out.number(&labels, value.saturating_mul(*unit) as f64);
            }
        }
        Ok(())
    }
}

struct Row<'a> {
    device: &'a str,
    kind: &'a str,
    values: [i64; FAMILIES.len()],
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Row<'a>> {
        let mut words = line.split_ascii_whitespace();
        let (device, kind) = (words.next()?, words.next()?);
        let mut values = [0; FAMILIES.len()];
        for value in &mut values {
            *value = words.next()?.parse().ok()?;
        }
        Some(Row { device, kind, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn devices() {
        let line = "/dev/zram0                              partition\t2048\t\t1\t\t-2\n";
        let fixture = Fixture::new(&[("proc/swaps", &format!("{HEAD}{line}"))]);
        let labels = "{device=\"/dev/zram0\",swap_type=\"partition\"}";
        let expect = format!(
            "node_swap_size_bytes{labels} 2.097152e+06\nnode_swap_used_bytes{labels} 1024\nnode_swap_priority{labels} -2\n"
        );
        assert_eq!(fixture.text(&COLLECTOR), expect);
        assert_eq!(Fixture::new(&[("proc/swaps", HEAD)]).text(&COLLECTOR), "");
    }

    #[test]
    fn odd_lines_are_told() {
        for bad in ["/dev/a", "/dev/a file 1 2", "/dev/a file 1 x 3"] {
            let error = Fixture::new(&[("proc/swaps", &format!("{HEAD}{bad}\n"))]).error(&COLLECTOR);
            assert!(error.contains(&format!("swaps: line 2: {bad:?}")), "{error}");
        }
    }
}
