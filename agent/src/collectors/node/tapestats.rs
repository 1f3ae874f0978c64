//! SCSI tapes: `sys/class/scsi_tape/st<n>/stats` (`Documentation/scsi/st.rst`).

use super::files;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::rows::{Rows, counter, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "tapestats",
    about: "reads, writes and busy time of SCSI tapes",
    flags: &[&IGNORED],
    make: |setup| Ok(Box::new(TapeStats::new(setup)?)),
    ..Collector::BASE
};

static IGNORED: Flag = Flag {
    name: "collector.tapestats.ignored-devices",
    form: Form::Regex,
    help: "Tapes that are left out.",
    default: &["^$"],
    ..Flag::BASE
};

const NANOSECOND: f64 = 0.000000001;

/// The files, and what their numbers are multiplied with.
#[rustfmt::skip]
static FILES: [(&str, f64, Family); 10] = [
    ("in_flight", 1.0, gauge("node_tape_io_now", "Requests to a tape that are under way.")),
    ("io_ns", NANOSECOND, counter("node_tape_io_time_seconds_total", "Time that all requests to a tape took.")),
    ("other_cnt", 1.0, counter("node_tape_io_others_total", "Requests to a tape that were neither reads nor writes.")),
    ("read_byte_cnt", 1.0, counter("node_tape_read_bytes_total", "Bytes that were read from a tape.")),
    ("read_cnt", 1.0, counter("node_tape_reads_completed_total", "Reads from a tape.")),
    ("read_ns", NANOSECOND, counter("node_tape_read_time_seconds_total", "Time that reads from a tape took.")),
    ("resid_cnt", 1.0, counter("node_tape_residual_total", "Reads and writes of a tape that moved less than was asked for.")),
    ("write_byte_cnt", 1.0, counter("node_tape_written_bytes_total", "Bytes that were written to a tape.")),
    ("write_cnt", 1.0, counter("node_tape_writes_completed_total", "Writes to a tape.")),
    ("write_ns", NANOSECOND, counter("node_tape_write_time_seconds_total", "Time that writes to a tape took.")),
];

struct TapeStats {
    class: PathBuf,
    filter: Filter,
}

impl TapeStats {
    fn new(setup: &Setup<'_>) -> Result<TapeStats, String> {
        Ok(TapeStats {
            class: setup.host.sys.join("class/scsi_tape"),
            filter: Filter::new(None, setup.pattern(&IGNORED)?),
        })
    }
}

impl Collect for TapeStats {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let names = files::names(&self.class)?;
        let tapes: Vec<&String> = names
            .iter()
            .filter(|name| is_tape(name) && self.filter.takes(name))
            .collect();
        let mut result = Ok(());
        for (file, factor, family) in &FILES {
            let mut rows = Rows::new(out, family);
            for tape in &tapes {
                match files::number::<u64>(&self.class.join(tape).join("stats").join(file)) {
                    Ok(number) => rows.number(&[("device", tape)], number as f64 * factor),
                    // Gone meanwhile, or of a kernel before 4.2.
                    Err(error) if error.is_no_data() => {}
                    Err(error) => result = Err(error),
                }
            }
        }
        result
    }
}

/// A tape has eight entries, by density and by whether it is rewound (`st0`, `nst0`, `st0a`, …): the first stands for all.
fn is_tape(name: &str) -> bool {
    let number = name.strip_prefix("st").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::noise::noise;
    use crate::collectors::node::testing::Fixture;
    use proptest::prelude::*;

    const FILES: [(&str, &str); 6] = [
        ("sys/class/scsi_tape/st0/stats/read_ns", "1500000000\n"),
        ("sys/class/scsi_tape/st0/stats/in_flight", "1\n"),
        ("sys/class/scsi_tape/st0a/stats/in_flight", "1\n"),
        ("sys/class/scsi_tape/nst0/stats/in_flight", "1\n"),
        ("sys/class/scsi_tape/st1/stats/in_flight", "2\n"),
        ("sys/class/scsi_tape/st/stats/in_flight", "2\n"),
    ];

    #[test]
    fn tapes_once_each() {
        let fixture = Fixture::new(&FILES);
        assert_eq!(
            fixture.text(&COLLECTOR),
            "node_tape_io_now{device=\"st0\"} 1\nnode_tape_io_now{device=\"st1\"} 2\n\
             node_tape_read_time_seconds_total{device=\"st0\"} 1.5\n"
        );
        let fixture = fixture.set(IGNORED.name, "0$");
        assert_eq!(fixture.text(&COLLECTOR), "node_tape_io_now{device=\"st1\"} 2\n");
    }

    #[test]
    fn what_is_no_number_is_told_and_the_rest_stays() {
        let fixture = Fixture::new(&FILES);
        fixture.put(&[("sys/class/scsi_tape/st0/stats/in_flight", "\n")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert!(text.starts_with("node_tape_io_now{device=\"st1\"} 2\n"), "{text}");
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("in_flight: \"\": cannot parse")
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }

    proptest! {
        #[test]
        fn names_of_all_sorts(name in noise(&["st", "n", "0", "a"])) {
            prop_assert!(!is_tape(&name) || name.starts_with("st"));
        }
    }
}
