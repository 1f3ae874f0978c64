//! Memory of the host: `proc/meminfo` (`fs/proc/meminfo.c`), every field that the kernel has. `Active(anon)` becomes
//! `node_memory_Active_anon_bytes`; fields without a unit are counts of pages and keep their plain name.

use super::byline::ByLine;
use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "meminfo",
    about: "memory",
    make: |setup| Ok(Box::new(MemInfo::new(setup))),
    ..Collector::BASE
};

struct MemInfo {
    file: Kept,
    families: ByLine<Family>,
}

impl MemInfo {
    fn new(setup: &Setup<'_>) -> MemInfo {
        MemInfo {
            file: Kept::whole(setup.host.proc.join("meminfo")),
            families: ByLine::default(),
        }
    }
}

impl Collect for MemInfo {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.file.path().to_owned();
        for (index, line) in self.file.text()?.lines().enumerate() {
            let field =
                parse(line).ok_or_else(|| CollectError::malformed(&path, format!("line {}: {line:?}", index + 1)))?;
            let Some((name, value, in_bytes)) = field else { continue };
            out.family(self.families.at(index, name, || family(name, in_bytes)));
            out.number(&[], value as f64);
        }
        Ok(())
    }
}

/// Name, value in bytes or pages, and whether it is in bytes. Inner `None`: an empty line. Outer `None`: no such line.
fn parse(line: &str) -> Option<Option<(&str, u64, bool)>> {
    let mut words = line.split_ascii_whitespace();
    let Some(name) = words.next() else { return Some(None) };
    let name = name.strip_suffix(':')?;
    let value: u64 = words.next()?.parse().ok()?;
    match words.next() {
        None => Some(Some((name, value, false))),
        Some("kB") => Some(Some((name, value.checked_mul(1024)?, true))),
        Some(_) => None,
    }
}

fn family(name: &str, in_bytes: bool) -> Family {
    let plain = name.replace('(', "_").replace(')', "");
    let (suffix, unit, what) = match in_bytes {
        true => ("_bytes", "bytes", "in bytes"),
        false => ("", "", "a count"),
    };
    Family {
        name: format!("node_memory_{plain}{suffix}").into(),
        unit: unit.into(),
        help: format!("What the kernel's account of memory has for {name}, {what}.").into(),
        kind: Kind::Gauge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn sizes_are_bytes_and_counts_stay() {
        let text = "MemTotal:        2048 kB\nActive(anon):       3 kB\n\nHugePages_Total:       7\n";
        let expect = "node_memory_MemTotal_bytes 2.097152e+06\nnode_memory_Active_anon_bytes 3072\nnode_memory_HugePages_Total 7\n";
        assert_eq!(Fixture::new(&[("proc/meminfo", text)]).text(&COLLECTOR), expect);
    }

    #[test]
    fn what_is_no_field_is_told_with_its_line() {
        for bad in [
            "MemFree",
            "MemFree:",
            "MemFree: many kB",
            "MemFree: 1 MB",
            "MemFree: 18446744073709551615 kB",
        ] {
            let fixture = Fixture::new(&[("proc/meminfo", &format!("MemTotal: 1 kB\n{bad}\n"))]);
            let (text, result) = fixture.collect(&COLLECTOR);
            assert_eq!(text, "node_memory_MemTotal_bytes 1024\n");
            let error = result.unwrap_err().to_string();
            assert!(error.contains("meminfo: line 2: ") && error.contains(bad), "{error}");
        }
    }
}
