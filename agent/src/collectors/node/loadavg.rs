//! Load averages: `proc/loadavg` (`fs/proc/loadavg.c`).

use super::files::{Kept, parsed};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "loadavg",
    about: "load averages",
    make: |setup| Ok(Box::new(LoadAvg::new(setup))),
    ..Collector::BASE
};

static FAMILIES: [Family; 3] = [
    Family::new("node_load1", "", "Load average over 1 minute.", Kind::Gauge),
    Family::new("node_load5", "", "Load average over 5 minutes.", Kind::Gauge),
    Family::new("node_load15", "", "Load average over 15 minutes.", Kind::Gauge),
];

struct LoadAvg(Kept);

impl LoadAvg {
    fn new(setup: &Setup<'_>) -> LoadAvg {
        LoadAvg(Kept::whole(setup.host.proc.join("loadavg")))
    }
}

impl Collect for LoadAvg {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let text = self.0.text()?;
        let mut words = text.split_ascii_whitespace();
        for family in &FAMILIES {
            let word = words.next().unwrap_or_default();
            let load: f64 = parsed(&path, word)?;
            out.family(family);
            out.number(&[], load);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn three_loads() {
        let fixture = Fixture::new(&[("proc/loadavg", "0.02 0.04 0.05 1/497 11947\n")]);
        assert_eq!(
            fixture.text(&COLLECTOR),
            "node_load1 0.02\nnode_load5 0.04\nnode_load15 0.05\n"
        );
    }

    #[test]
    fn a_short_file_is_told() {
        let fixture = Fixture::new(&[("proc/loadavg", "0.02\n")]);
        let error = fixture.error(&COLLECTOR);
        assert!(
            error.contains("loadavg: \"\": cannot parse float from empty string"),
            "{error}"
        );
    }
}
