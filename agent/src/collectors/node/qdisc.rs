//! Queues of senders: netlink's `RTM_GETQDISC` (`include/uapi/linux/pkt_sched.h`, `gen_stats.h`), the root of each device alone.

use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::netlink::{Socket, attributes, text, u32_at, u64_at};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use serde::Deserialize;
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "qdisc",
    about: "queues of senders",
    default: false,
    flags: &[&INCLUDE, &EXCLUDE, &FIXTURES],
    make: |setup| Ok(Box::new(Qdiscs::new(setup)?)),
};

static INCLUDE: Flag = Flag {
    name: "collector.qdisc.device-include",
    form: Form::Regex,
    help: "Only network devices whose name matches; not together with device-exclude.",
    also: &["collector.qdisk.device-include"],
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.qdisc.device-exclude",
    form: Form::Regex,
    help: "No network devices whose name matches; not together with device-include.",
    also: &["collector.qdisk.device-exclude"],
    ..Flag::BASE
};
static FIXTURES: Flag = Flag {
    name: "collector.qdisc.fixtures",
    form: Form::Path,
    help: "Folder of a file results.json to read in place of the kernel, for tests.",
    ..Flag::BASE
};

static FAMILIES: [Family; 7] = [
    Family::new("node_qdisc_bytes_total", "bytes", "Bytes sent.", Kind::Counter),
    Family::new("node_qdisc_packets_total", "", "Packets sent.", Kind::Counter),
    Family::new("node_qdisc_drops_total", "", "Packets dropped.", Kind::Counter),
    Family::new(
        "node_qdisc_requeues_total",
        "",
        "Packets put back because the device could not send.",
        Kind::Counter,
    ),
    Family::new(
        "node_qdisc_overlimits_total",
        "",
        "Packets over the limit.",
        Kind::Counter,
    ),
    Family::new(
        "node_qdisc_current_queue_length",
        "",
        "Packets that wait to be sent.",
        Kind::Gauge,
    ),
    Family::new("node_qdisc_backlog", "", "Bytes that wait to be sent.", Kind::Gauge),
];

/// Bytes of `struct tcmsg`.
const HEAD: usize = 20;
/// `TC_H_ROOT`.
const ROOT: u32 = u32::MAX;
/// Parts of `TCA_STATS2`.
const BASIC: u16 = 1;
const QUEUE: u16 = 3;
const PACKETS: u16 = 8;

/// A queue.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
struct Qdisc {
    iface_name: String,
    kind: String,
    /// 0: the root.
    parent: u32,
    bytes: u64,
    packets: u64,
    drops: u64,
    requeues: u64,
    overlimits: u64,
    qlen: u64,
    backlog: u64,
}

struct Qdiscs {
    socket: Socket,
    filter: Filter,
    fixtures: Option<PathBuf>,
}

impl Qdiscs {
    fn new(setup: &Setup<'_>) -> Result<Qdiscs, String> {
        let fixtures = setup.text(&FIXTURES);
        Ok(Qdiscs {
            socket: Socket::route(),
            filter: setup.filter(&INCLUDE, &EXCLUDE)?,
            fixtures: (!fixtures.is_empty()).then(|| PathBuf::from(fixtures).join("results.json")),
        })
    }

    fn read(&mut self) -> Result<Vec<Qdisc>, CollectError> {
        if let Some(path) = &self.fixtures {
            let text = super::files::text(path)?;
            return serde_json::from_str(&text).map_err(|error| CollectError::malformed(path, error));
        }
        let each = |found: &mut Vec<(u32, Qdisc)>, _: u16, body: &[u8]| found.extend(parse(body));
        let found = self.socket.dump(libc::RTM_GETQDISC, &[0; HEAD], each)?;
        let named = found.into_iter().filter_map(|(index, qdisc)| {
            let iface_name = self.socket.device(index)?;
            Some(Qdisc { iface_name, ..qdisc })
        });
        Ok(named.collect())
    }
}

impl Collect for Qdiscs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut qdiscs = self.read()?;
        qdiscs.retain(|qdisc| qdisc.parent == 0 && self.filter.takes(&qdisc.iface_name));
        for (place, family) in FAMILIES.iter().enumerate() {
            out.family(family);
            for qdisc in &qdiscs {
                if let Some(number) = qdisc.numbers().get(place) {
                    out.number(&[("device", &qdisc.iface_name), ("kind", &qdisc.kind)], *number as f64);
                }
            }
        }
        Ok(())
    }
}

impl Qdisc {
    /// In the order of the families.
    fn numbers(&self) -> [u64; FAMILIES.len()] {
        [
            self.bytes,
            self.packets,
            self.drops,
            self.requeues,
            self.overlimits,
            self.qlen,
            self.backlog,
        ]
    }
}

/// A queue, with the index of its device. One of which nothing is counted is none.
fn parse(body: &[u8]) -> Option<(u32, Qdisc)> {
    let (index, parent) = (u32_at(body, 4)?, u32_at(body, 12)?);
    let mut qdisc = Qdisc {
        parent: if parent == ROOT { 0 } else { parent },
        ..Qdisc::default()
    };
    let mut counted = false;
    for (kind, value) in attributes(body.get(HEAD..)?) {
        match kind {
            libc::TCA_KIND => qdisc.kind = text(value),
            libc::TCA_STATS2 => {
                counted = true;
                attributes(value).for_each(|(part, value)| qdisc.count(part, value));
            }
            _ => {}
        }
    }
    counted.then_some((index, qdisc))
}

impl Qdisc {
    fn count(&mut self, part: u16, value: &[u8]) {
        let number = |place: usize| u32_at(value, place * 4).map_or(0, u64::from);
        match part {
            BASIC => (self.bytes, self.packets) = (u64_at(value, 0).unwrap_or_default(), number(2)),
            // More than 32 bits hold.
            PACKETS => self.packets = u64_at(value, 0).unwrap_or(self.packets),
            QUEUE => {
                (self.qlen, self.backlog) = (number(0), number(1));
                (self.drops, self.requeues, self.overlimits) = (number(2), number(3), number(4));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::netlink::attribute;
    use crate::collectors::node::testing::Fixture;

    fn message(parent: u32) -> Vec<u8> {
        let mut body = vec![0; HEAD];
        body[4] = 2;
        body[12..16].copy_from_slice(&parent.to_ne_bytes());
        attribute(&mut body, libc::TCA_KIND, b"fq_codel\0");
        let mut stats = vec![];
        attribute(&mut stats, BASIC, &[5, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        let queue: Vec<u8> = (1..6u32).flat_map(u32::to_ne_bytes).collect();
        attribute(&mut stats, QUEUE, &queue);
        attribute(&mut body, libc::TCA_STATS2, &stats);
        body
    }

    #[test]
    fn a_queue_of_netlink() {
        let (index, qdisc) = parse(&message(ROOT)).unwrap();
        assert_eq!((index, qdisc.parent, qdisc.kind.as_str()), (2, 0, "fq_codel"));
        assert_eq!(qdisc.numbers(), [(1 << 32) + 5, 7, 3, 4, 5, 1, 2]);
        assert_eq!(parse(&message(0x1_0001)).unwrap().1.parent, 0x1_0001);
        assert_eq!(parse(&[0; HEAD]), None);
        assert_eq!(parse(&message(ROOT)[..15]), None);
    }

    #[test]
    fn roots_of_a_file_are_told() {
        let fixture = Fixture::new(&[(
            "results.json",
            r#"[{"IfaceName":"eth0","Kind":"fq","Bytes":42,"Drops":1},{"IfaceName":"eth0","Kind":"fq","Parent":5},
               {"IfaceName":"lo","Kind":"noqueue"}]"#,
        )]);
        let folder = fixture.host().proc.parent().unwrap().to_owned();
        let fixture = fixture
            .set(FIXTURES.name, folder.to_str().unwrap())
            .set(EXCLUDE.name, "lo");
        let text = fixture.text(&COLLECTOR);
        assert_eq!(text.lines().count(), FAMILIES.len());
        assert!(
            text.contains("node_qdisc_bytes_total{device=\"eth0\",kind=\"fq\"} 42\n"),
            "{text}"
        );
        assert!(
            text.contains("node_qdisc_drops_total{device=\"eth0\",kind=\"fq\"} 1\n"),
            "{text}"
        );
        fixture.put(&[("results.json", "[{")]);
        assert!(fixture.error(&COLLECTOR).contains("results.json: EOF while parsing"));
    }

    #[test]
    fn this_host_answers() {
        let (_, result) = Fixture::new(&[]).collect(&COLLECTOR);
        result.unwrap();
    }
}
