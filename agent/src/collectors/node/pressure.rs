//! Time lost for want of CPU, memory and disks: `proc/pressure` (`kernel/sched/psi.c`, `Documentation/accounting/psi.rst`).

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "pressure",
    about: "time lost for want of CPU, memory and disks",
    make: |setup| Ok(Box::new(Pressure::new(setup))),
    ..Collector::BASE
};

/// Files, and the families of their lines.
static RESOURCES: [(&str, &[(&str, Family)]); 4] = [
    (
        "cpu",
        &[(
            "some",
            family(
                "node_pressure_cpu_waiting_seconds_total",
                "Time that some thread waited for a CPU.",
            ),
        )],
    ),
    (
        "io",
        &[
            (
                "some",
                family(
                    "node_pressure_io_waiting_seconds_total",
                    "Time that some thread waited for a disk.",
                ),
            ),
            (
                "full",
                family(
                    "node_pressure_io_stalled_seconds_total",
                    "Time that all threads that were not idle waited for disks.",
                ),
            ),
        ],
    ),
    (
        "memory",
        &[
            (
                "some",
                family(
                    "node_pressure_memory_waiting_seconds_total",
                    "Time that some thread waited for memory.",
                ),
            ),
            (
                "full",
                family(
                    "node_pressure_memory_stalled_seconds_total",
                    "Time that all threads that were not idle waited for memory.",
                ),
            ),
        ],
    ),
    (
        "irq",
        &[(
            "full",
            family(
                "node_pressure_irq_stalled_seconds_total",
                "Time that interrupts took from threads.",
            ),
        )],
    ),
];

const fn family(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "seconds", help, Kind::Counter)
}

struct Pressure([Kept; RESOURCES.len()]);

impl Pressure {
    fn new(setup: &Setup<'_>) -> Pressure {
        let folder = setup.host.proc.join("pressure");
        Pressure(std::array::from_fn(|at| Kept::whole(folder.join(RESOURCES[at].0))))
    }
}

impl Collect for Pressure {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let (mut found, mut failed) = (false, None);
        for (file, (_, lines)) in self.0.iter_mut().zip(&RESOURCES) {
            let path = file.path().to_owned();
            let text = match file.text() {
                Ok(text) => text,
                // Which there are depends on the kernel.
                Err(CollectError::NoData(_)) => continue,
                // The kernel can, and was told not to: psi=0.
                Err(CollectError::Read { error, .. }) if error.kind() == std::io::ErrorKind::Unsupported => continue,
                Err(error) => {
                    failed = failed.or(Some(error));
                    continue;
                }
            };
            for (begin, family) in *lines {
                match total(text, begin) {
                    Some(total) => {
                        out.family(family);
                        out.number(&[], total as f64 / 1000.0 / 1000.0);
                        found = true;
                    }
                    None => {
                        let what = || CollectError::malformed(&path, format!("it has no line {begin:?} with a total"));
                        failed = failed.or_else(|| Some(what()));
                    }
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None if found => Ok(()),
            None => Err(CollectError::NoData("the kernel does not measure pressure".to_owned())),
        }
    }
}

/// Microseconds of the line that begins so: `some avg10=0.00 avg60=0.00 avg300=0.00 total=14036781`.
fn total(text: &str, begin: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(begin)?.strip_prefix(' '))?;
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("total="))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const BOTH: &str =
        "some avg10=0.18 avg60=0.34 avg300=0.10 total=14036781\nfull avg10=0.18 avg60=0.34 avg300=0.10 total=7\n";

    #[test]
    fn totals_of_what_the_kernel_has() {
        let fixture = Fixture::new(&[
            (
                "proc/pressure/cpu",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=14036781\n",
            ),
            ("proc/pressure/io", BOTH),
        ]);
        let expect = "node_pressure_cpu_waiting_seconds_total 14.036781000000001\n\
            node_pressure_io_waiting_seconds_total 14.036781000000001\nnode_pressure_io_stalled_seconds_total 7e-06\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
        fixture.put(&[("proc/pressure/irq", "full avg10=0.00 avg60=0.00 avg300=0.00 total=8494")]);
        assert!(
            fixture
                .text(&COLLECTOR)
                .ends_with("node_pressure_irq_stalled_seconds_total 0.008494\n")
        );
    }

    #[test]
    fn a_kernel_without_it_has_none_and_garbage_is_told() {
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
        let fixture = Fixture::new(&[("proc/pressure/cpu", "some total=x\n"), ("proc/pressure/memory", BOTH)]);
        let (text, error) = fixture.collect(&COLLECTOR);
        assert!(
            text.starts_with("node_pressure_memory_waiting_seconds_total 14."),
            "{text}"
        );
        assert!(
            error
                .unwrap_err()
                .to_string()
                .ends_with("cpu: it has no line \"some\" with a total")
        );
    }
}
