//! Counters of virtual memory: `proc/vmstat` (`mm/vmstat.c`), those fields that are asked for.

use super::byline::ByLine;
use super::files::Kept;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "vmstat",
    about: "paging, swapping and page faults",
    flags: &[&FIELDS],
    make: |setup| Ok(Box::new(VmStat::new(setup)?)),
    ..Collector::BASE
};

static FIELDS: Flag = Flag {
    name: "collector.vmstat.fields",
    form: Form::Regex,
    help: "Which fields of /proc/vmstat are told.",
    default: &["^(oom_kill|pgpg|pswp|pg.*fault).*"],
    ..Flag::BASE
};

/// Bytes of a line at most.
const LINE: usize = 128;

struct VmStat {
    file: Kept,
    fields: Filter,
    /// `None`: not asked for.
    families: ByLine<Option<Family>>,
}

impl VmStat {
    fn new(setup: &Setup<'_>) -> Result<VmStat, String> {
        Ok(VmStat {
            file: Kept::records(setup.host.proc.join("vmstat"), LINE),
            fields: Filter::new(setup.pattern(&FIELDS)?, None),
            families: ByLine::default(),
        })
    }
}

impl Collect for VmStat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        for (index, line) in self.file.text()?.lines().enumerate() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            let family = self
                .families
                .at(index, name, || self.fields.takes(name).then(|| family(name)));
            let Some(family) = family else { continue };
            let value: f64 = value
                .trim_ascii()
                .parse()
                .map_err(|error| CollectError::malformed(&path, format!("line {}: {line:?}: {error}", index + 1)))?;
            out.family(family);
            out.number(&[], value);
        }
        Ok(())
    }
}

fn family(name: &str) -> Family {
    Family {
        name: format!("node_vmstat_{name}").into(),
        unit: "".into(),
        help: format!("The kernel's {name} of /proc/vmstat.").into(),
        kind: Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const TEXT: &str = "nr_free_pages 12\npgpgin 34\npgfault 56\noom_kill 0\n";

    #[test]
    fn fields_that_are_asked_for() {
        let fixture = Fixture::new(&[("proc/vmstat", TEXT)]);
        let expect = "node_vmstat_pgpgin 34\nnode_vmstat_pgfault 56\nnode_vmstat_oom_kill 0\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
        let fixture = fixture.set(FIELDS.name, "free");
        assert_eq!(fixture.text(&COLLECTOR), "node_vmstat_nr_free_pages 12\n");
        let fixture = Fixture::new(&[("proc/vmstat", TEXT)]).set(FIELDS.name, "");
        assert_eq!(
            fixture.text(&COLLECTOR).lines().count(),
            4,
            "an empty pattern matches all"
        );
    }

    #[test]
    fn what_is_no_number_is_told_with_its_line() {
        let fixture = Fixture::new(&[("proc/vmstat", "pgpgin 1\npgpgout\n")]);
        let error = fixture.error(&COLLECTOR);
        assert!(
            error.contains("vmstat: line 2: \"pgpgout\": cannot parse float"),
            "{error}"
        );
    }
}
