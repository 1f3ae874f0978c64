//! What `uname(2)` says.

use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::ffi::CStr;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "uname",
    about: "names of the host and its kernel",
    make: |_| Ok(Box::new(Uname)),
    ..Collector::BASE
};

static INFO: Family = Family::new(
    "node_uname_info",
    "",
    "Names of the host and its kernel, in labels.",
    Kind::Gauge,
);

struct Uname;

impl Collect for Uname {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let uname = rustix::system::uname();
        let names: [(&str, &CStr); 6] = [
            ("sysname", uname.sysname()),
            ("release", uname.release()),
            ("version", uname.version()),
            ("machine", uname.machine()),
            ("nodename", uname.nodename()),
            ("domainname", uname.domainname()),
        ];
        let texts = names.map(|(label, text)| (label, text.to_string_lossy()));
        out.family(&INFO);
        out.number(&texts.each_ref().map(|(label, text)| (*label, text.as_ref())), 1.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn this_host() {
        let text = Fixture::new(&[]).text(&COLLECTOR);
        assert!(
            text.starts_with("node_uname_info{sysname=\"Linux\",release=\""),
            "{text}"
        );
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert!(text.contains(&format!(",release=\"{}\",", release.trim())), "{text}");
        for label in ["version", "machine", "nodename", "domainname"] {
            assert!(text.contains(&format!(",{label}=\"")), "{text}");
        }
    }
}
