//! Controllers of cgroups: `proc/cgroups` (`kernel/cgroup/cgroup-v1.c`).

use super::files::{Kept, parsed};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "cgroups",
    about: "controllers of cgroups",
    default: false,
    make: |setup| Ok(Box::new(Cgroups::new(setup))),
    ..Collector::BASE
};

static CGROUPS: Family = Family::new(
    "node_cgroups_cgroups",
    "",
    "Cgroups in the hierarchy of a controller.",
    Kind::Gauge,
);
static ENABLED: Family = Family::new("node_cgroups_enabled", "", "Whether a controller is on.", Kind::Gauge);

struct Cgroups(Kept);

impl Cgroups {
    fn new(setup: &Setup<'_>) -> Cgroups {
        Cgroups(Kept::new(setup.host.proc.join("cgroups")))
    }
}

impl Collect for Cgroups {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let mut rows = Vec::new();
        // The first line names the columns: controller, hierarchy, cgroups, enabled.
        for (line, text) in self.0.text()?.lines().enumerate().skip(1) {
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let [name, _, cgroups, enabled, ..] = *words else {
                let what = format!("line {}: {text:?} has fewer than four columns", line + 1);
                return Err(CollectError::malformed(&path, what));
            };
            rows.push((name, parsed::<u64>(&path, cgroups)?, parsed::<u64>(&path, enabled)?));
        }
        out.family(&CGROUPS);
        rows.iter()
            .for_each(|(name, cgroups, _)| out.number(&[("subsys_name", name)], *cgroups as f64));
        out.family(&ENABLED);
        rows.iter()
            .for_each(|(name, _, enabled)| out.number(&[("subsys_name", name)], *enabled as f64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn controllers() {
        let fixture = Fixture::new(&[(
            "proc/cgroups",
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t172\t1\nrdma\t0\t1\t0",
        )]);
        let expect = "node_cgroups_cgroups{subsys_name=\"cpu\"} 172\nnode_cgroups_cgroups{subsys_name=\"rdma\"} 1\n\
            node_cgroups_enabled{subsys_name=\"cpu\"} 1\nnode_cgroups_enabled{subsys_name=\"rdma\"} 0\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
        fixture.put(&[("proc/cgroups", "#\ncpu 3 172\n")]);
        assert!(
            fixture
                .error(&COLLECTOR)
                .ends_with("cgroups: line 2: \"cpu 3 172\" has fewer than four columns")
        );
        fixture.put(&[("proc/cgroups", "#\ncpu 3 many 1\n")]);
        assert!(fixture.error(&COLLECTOR).contains("\"many\""));
    }
}
