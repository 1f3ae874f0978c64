//! Soft interrupts of each CPU: `proc/softirqs` (`fs/proc/softirqs.c`).

use super::cpus;
use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "softirqs",
    about: "soft interrupts of each CPU",
    default: false,
    make: |setup| Ok(Box::new(SoftIrqs::new(setup))),
    ..Collector::BASE
};

static FUNCTIONS: Family = Family::new(
    "node_softirqs_functions_total",
    "",
    "Soft interrupts that a CPU served.",
    Kind::Counter,
);

struct SoftIrqs(Kept);

impl SoftIrqs {
    fn new(setup: &Setup<'_>) -> SoftIrqs {
        SoftIrqs(Kept::whole(setup.host.proc.join("softirqs")))
    }
}

impl Collect for SoftIrqs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let text = self.0.text()?;
        let wrong = |what: String| CollectError::malformed(&path, what);
        let mut lines = text.lines();
        // Columns are CPUs that may be there, online or not.
        let cpus = cpus::columns(lines.next()).map_err(wrong)?;
        out.family(&FUNCTIONS);
        for (line, text) in lines.enumerate() {
            let Some((kind, counts)) = text.split_once(':') else {
                continue;
            };
            for (cpu, word) in cpus.iter().zip(counts.split_ascii_whitespace()) {
                let count: u64 = word
                    .parse()
                    .map_err(|error| wrong(format!("line {}: {word:?}: {error}", line + 2)))?;
                out.number(&[("cpu", cpu), ("type", kind.trim())], count as f64);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn vectors_by_cpu() {
        let text = "                    CPU0       CPU2       \n          HI:          7          1\n     NET_TX:   2301       0\n";
        let fixture = Fixture::new(&[("proc/softirqs", text)]);
        let expect = "{cpu=\"0\",type=\"HI\"} 7\n{cpu=\"2\",type=\"HI\"} 1\n{cpu=\"0\",type=\"NET_TX\"} 2301\n{cpu=\"2\",type=\"NET_TX\"} 0\n";
        assert_eq!(
            fixture.text(&COLLECTOR).replace("node_softirqs_functions_total", ""),
            expect
        );
    }

    #[test]
    fn garbage_is_told() {
        let error = |text| Fixture::new(&[("proc/softirqs", text)]).error(&COLLECTOR);
        assert!(error("").ends_with("softirqs: line 1 names no CPU"));
        assert!(error("CPU0\nHI: many\n").contains("line 2: \"many\": invalid digit"));
    }
}
