//! Packets that CPUs took from network cards: `proc/net/softnet_stat` (`net/core/net-procfs.c`).

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "softnet",
    about: "packets that CPUs took from network cards, and lost",
    make: |setup| Ok(Box::new(SoftNet::new(setup))),
    ..Collector::BASE
};

/// Columns, and their families.
static FAMILIES: [(usize, Family); 7] = [
    (
        0,
        Family::new(
            "node_softnet_processed_total",
            "",
            "Packets that a CPU took.",
            Kind::Counter,
        ),
    ),
    (
        1,
        Family::new(
            "node_softnet_dropped_total",
            "",
            "Packets that were lost because a CPU's queue was full.",
            Kind::Counter,
        ),
    ),
    (
        2,
        Family::new(
            "node_softnet_times_squeezed_total",
            "",
            "How often a CPU left packets for later because its time or number was used up.",
            Kind::Counter,
        ),
    ),
    (
        8,
        Family::new(
            "node_softnet_cpu_collision_total",
            "",
            "How often a CPU found a card's lock taken on sending.",
            Kind::Counter,
        ),
    ),
    (
        9,
        Family::new(
            "node_softnet_received_rps_total",
            "",
            "How often a CPU was woken by another one to take packets.",
            Kind::Counter,
        ),
    ),
    (
        10,
        Family::new(
            "node_softnet_flow_limit_count_total",
            "",
            "How often packets of a large flow were lost for the sake of small ones.",
            Kind::Counter,
        ),
    ),
    (
        11,
        Family::new(
            "node_softnet_backlog_len",
            "",
            "Packets that wait in a CPU's queue.",
            Kind::Gauge,
        ),
    ),
];
/// Columns that every kernel has.
const LEAST: usize = 9;
const COLUMNS: usize = 13;
/// The column with the CPU, where there is one.
const CPU: usize = 12;

/// Bytes of a line at most: 15 columns of 8 digits.
const LINE: usize = 256;

struct SoftNet(Kept);

impl SoftNet {
    fn new(setup: &Setup<'_>) -> SoftNet {
        SoftNet(Kept::records(setup.host.proc.join("net/softnet_stat"), LINE))
    }
}

impl Collect for SoftNet {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let cpus = parse(self.0.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        for (column, family) in &FAMILIES {
            out.family(family);
            for (cpu, columns) in &cpus {
                let value = columns.get(*column).copied().unwrap_or_default();
                out.number(&[("cpu", cpu)], f64::from(value));
            }
        }
        Ok(())
    }
}

/// CPUs and their columns. Columns that an old kernel does not have are 0, as node_exporter tells them; a line without its CPU
/// is of the CPU that is next.
fn parse(text: &str) -> Result<Vec<(String, [u32; COLUMNS])>, String> {
    let mut cpus: Vec<(String, [u32; COLUMNS])> = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let mut columns = [0; COLUMNS];
        let mut known = 0;
        for (column, word) in columns.iter_mut().zip(text.split_ascii_whitespace()) {
            *column = u32::from_str_radix(word, 16).map_err(|error| format!("line {}: {word:?}: {error}", line + 1))?;
            known += 1;
        }
        if known < LEAST {
            return Err(format!(
                "line {} has {known} columns, and should have {LEAST}",
                line + 1
            ));
        }
        let cpu = if known > CPU {
            columns[CPU].to_string()
        } else {
            cpus.len().to_string()
        };
        cpus.push((cpu, columns));
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    fn first(text: &str) -> Vec<String> {
        let lines = text.lines().filter(|line| !line.ends_with(" 0"));
        lines
            .map(|line| line.trim_start_matches("node_softnet_").to_owned())
            .collect()
    }

    #[test]
    fn columns_of_new_and_old_kernels() {
        let new = "000000ff 00000001 00000002 00000000 00000000 00000000 00000000 00000000 00000003 00000004 00000005 \
            00000006 00000007 00000008 00000009\n";
        let fixture = Fixture::new(&[("proc/net/softnet_stat", new)]);
        assert_eq!(
            first(&fixture.text(&COLLECTOR)),
            [
                "processed_total{cpu=\"7\"} 255",
                "dropped_total{cpu=\"7\"} 1",
                "times_squeezed_total{cpu=\"7\"} 2",
                "cpu_collision_total{cpu=\"7\"} 3",
                "received_rps_total{cpu=\"7\"} 4",
                "flow_limit_count_total{cpu=\"7\"} 5",
                "backlog_len{cpu=\"7\"} 6"
            ]
        );
        fixture.put(&[("proc/net/softnet_stat", "a 0 0 0 0 0 0 0 0\nb 0 0 0 0 0 0 0 0\n")]);
        let text = fixture.text(&COLLECTOR);
        assert_eq!(
            first(&text),
            ["processed_total{cpu=\"0\"} 10", "processed_total{cpu=\"1\"} 11"]
        );
        assert_eq!(text.lines().count(), 14);
    }

    #[test]
    fn garbage_is_told() {
        let fixture = Fixture::new(&[("proc/net/softnet_stat", "1 2\n")]);
        assert!(
            fixture
                .error(&COLLECTOR)
                .ends_with("softnet_stat: line 1 has 2 columns, and should have 9")
        );
        fixture.put(&[("proc/net/softnet_stat", "1 2 x\n")]);
        assert!(fixture.error(&COLLECTOR).contains("line 1: \"x\": invalid digit"));
    }
}
