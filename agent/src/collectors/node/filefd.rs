//! Open files of the whole host: `proc/sys/fs/file-nr` (`fs/file_table.c`): allocated, free (always 0), most.

use super::files::{Kept, parsed};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "filefd",
    about: "open files of the host",
    make: |setup| Ok(Box::new(FileFd::new(setup))),
    ..Collector::BASE
};

static ALLOCATED: Family = Family::new(
    "node_filefd_allocated",
    "",
    "Files that are open on the host.",
    Kind::Gauge,
);
static MAXIMUM: Family = Family::new(
    "node_filefd_maximum",
    "",
    "How many files may be open on the host.",
    Kind::Gauge,
);

struct FileFd(Kept);

impl FileFd {
    fn new(setup: &Setup<'_>) -> FileFd {
        FileFd(Kept::whole(setup.host.proc.join("sys/fs/file-nr")))
    }
}

impl Collect for FileFd {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let mut words = self.0.text()?.split_ascii_whitespace();
        for (family, place) in [(&ALLOCATED, 0), (&MAXIMUM, 1)] {
            let value: f64 = parsed(&path, words.nth(place).unwrap_or_default())?;
            out.family(family);
            out.number(&[], value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn first_and_third() {
        let fixture = Fixture::new(&[("proc/sys/fs/file-nr", "1024\t0\t9223372036854775807\n")]);
        let expect = "node_filefd_allocated 1024\nnode_filefd_maximum 9.223372036854776e+18\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
    }

    #[test]
    fn a_short_file_is_told() {
        let fixture = Fixture::new(&[("proc/sys/fs/file-nr", "1024\t0\n")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        assert_eq!(text, "node_filefd_allocated 1024\n");
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("file-nr: \"\": cannot parse float")
        );
    }
}
