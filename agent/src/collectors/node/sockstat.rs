//! Sockets by protocol: `proc/net/sockstat` and `proc/net/sockstat6` (`net/ipv4/proc.c`, `net/ipv6/proc.c`).

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "sockstat",
    about: "sockets by protocol",
    make: |setup| Ok(Box::new(SockStat::new(setup))),
    ..Collector::BASE
};

/// Counts of a protocol that are told.
const STATES: [&str; 6] = ["inuse", "orphan", "tw", "alloc", "mem", "memory"];

struct SockStat {
    files: [Kept; 2],
    page: u64,
}

impl SockStat {
    fn new(setup: &Setup<'_>) -> SockStat {
        let net = setup.host.proc.join("net");
        SockStat {
            files: [Kept::whole(net.join("sockstat")), Kept::whole(net.join("sockstat6"))],
            page: rustix::param::page_size() as u64,
        }
    }
}

impl Collect for SockStat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        for file in &mut self.files {
            let path = file.path().to_owned();
            let text = match file.text() {
                // A kernel without that version of IP.
                Err(CollectError::NoData(_)) => continue,
                text => text?,
            };
            for (index, line) in text.lines().enumerate() {
                tell(line, self.page, out)
                    .ok_or_else(|| CollectError::malformed(&path, format!("line {}: {line:?}", index + 1)))?;
            }
        }
        Ok(())
    }
}

/// Tells what a line `PROTOCOL: STATE COUNT …` says; `None`: it is none.
fn tell(line: &str, page: u64, out: &mut dyn Encoder) -> Option<()> {
    let (protocol, rest) = line.split_once(':')?;
    let mut words = rest.split_ascii_whitespace();
    let mut any = false;
    while let Some(state) = words.next() {
        let count: u64 = words.next()?.parse().ok()?;
        any = true;
        match (protocol, state) {
            ("sockets", "used") => say(out, protocol, state, count),
            ("sockets", _) => {}
            (_, state) if STATES.contains(&state) => say(out, protocol, state, count),
            _ => {}
        }
        // Memory is counted in pages.
        if state == "mem" && protocol != "sockets" {
            say(out, protocol, "mem_bytes", count.saturating_mul(page));
        }
    }
    any.then_some(())
}

fn say(out: &mut dyn Encoder, protocol: &str, state: &str, count: u64) {
    let family = Family {
        name: format!("node_sockstat_{protocol}_{state}").into(),
        unit: if state == "mem_bytes" { "bytes" } else { "" }.into(),
        help: format!("The kernel's {state} of {protocol} sockets.").into(),
        kind: Kind::Gauge,
    };
    out.family(&family);
    out.number(&[], count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn both_versions_of_ip() {
        let fixture = Fixture::new(&[
            (
                "proc/net/sockstat",
                "sockets: used 9\nTCP: inuse 4 orphan 0 new 1\nFRAG: inuse 0 memory 5\n",
            ),
            ("proc/net/sockstat6", "TCP6: inuse 17\n"),
        ]);
        let expect = "node_sockstat_sockets_used 9\nnode_sockstat_TCP_inuse 4\nnode_sockstat_TCP_orphan 0\n\
            node_sockstat_FRAG_inuse 0\nnode_sockstat_FRAG_memory 5\nnode_sockstat_TCP6_inuse 17\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
    }

    #[test]
    fn memory_is_told_in_pages_and_in_bytes() {
        let fixture = Fixture::new(&[("proc/net/sockstat", "UDP: inuse 1 mem 2\n")]);
        let bytes = 2 * rustix::param::page_size();
        let text = fixture.text(&COLLECTOR);
        assert!(
            text.contains("UDP_mem 2\n") && text.contains(&format!("UDP_mem_bytes {bytes}\n")),
            "{text}"
        );
    }

    #[test]
    fn bad_lines_are_told() {
        for bad in ["TCP", "TCP:", "TCP: inuse", "TCP: inuse many"] {
            let fixture = Fixture::new(&[("proc/net/sockstat", &format!("sockets: used 1\n{bad}\n"))]);
            let (text, result) = fixture.collect(&COLLECTOR);
            assert_eq!(text, "node_sockstat_sockets_used 1\n");
            assert!(result.unwrap_err().to_string().contains("sockstat: line 2: "), "{bad}");
        }
    }
}
