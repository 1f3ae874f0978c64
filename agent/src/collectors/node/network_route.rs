//! Routes to other hosts: netlink's `RTM_GETROUTE` (`include/uapi/linux/rtnetlink.h`), of all tables.

use super::flags::Setup;
use super::netlink::{Socket, address, attributes, u16_at, u32_at};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "network_route",
    about: "routes to other hosts",
    default: false,
    make: |_: &Setup<'_>| Ok(Box::new(Routes(Socket::route()))),
    ..Collector::BASE
};

static INFO: Family = Family::new("node_network_route_info", "", "A route to other hosts.", Kind::Gauge);
static ROUTES: Family = Family::new("node_network_routes", "", "Routes by a device.", Kind::Gauge);

/// Bytes of `struct rtmsg`.
const HEAD: usize = 12;
/// Bytes of `struct rtnexthop`.
const HOP: usize = 8;
/// Routes that are told one by one at most: a router may have a million.
const MOST: usize = 1 << 16;

/// Names of protocols, as the kernel's header has them.
const PROTOCOLS: [(u8, &str); 21] = [
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (17, "mrouted"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

struct Routes(Socket);

/// A way that a route takes. The order is that of the series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    device: u32,
    source: Option<IpAddr>,
    /// `None`: everywhere.
    target: Option<(IpAddr, u8)>,
    gateway: Option<IpAddr>,
    priority: u32,
    protocol: u8,
    /// Among the ways of one route.
    weight: Option<u16>,
}

/// What was found.
#[derive(Default)]
struct Found {
    ways: BTreeSet<Way>,
    /// Ways by device, those that are not told among them.
    counts: BTreeMap<u32, u64>,
    left_out: u64,
}

impl Collect for Routes {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let each = |found: &mut Found, _: u16, body: &[u8]| {
            route(body, |way| found.add(way));
        };
        let found = self.0.dump(libc::RTM_GETROUTE, &[0; HEAD], each)?;
        let indexes = found.counts.keys();
        let names: BTreeMap<u32, String> = indexes
            .map(|index| (*index, self.0.device(*index).unwrap_or_default()))
            .collect();
        let name = |index: &u32| names.get(index).map_or("", String::as_str);
        out.family(&INFO);
        for way in &found.ways {
            let labels = way.labels(name(&way.device));
            out.number(&labels.each_ref().map(|(label, text)| (*label, text.as_str())), 1.0);
        }
        out.family(&ROUTES);
        // Those that are gone meanwhile share a name: none.
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (index, count) in &found.counts {
            *counts.entry(name(index)).or_default() += count;
        }
        for (device, count) in counts {
            out.number(&[("device", device)], count as f64);
        }
        match found.left_out {
            0 => Ok(()),
            more => Err(CollectError::Other(format!(
                "{more} routes are counted, but not told: they are over {MOST}"
            ))),
        }
    }
}

impl Found {
    fn add(&mut self, way: Way) {
        *self.counts.entry(way.device).or_default() += 1;
        if self.ways.len() < MOST {
            self.ways.insert(way);
        } else if !self.ways.contains(&way) {
            self.left_out += 1;
        }
    }
}

impl Way {
    fn labels(&self, device: &str) -> [(&'static str, String); 7] {
        let text = |address: Option<IpAddr>| address.map_or_else(String::new, |address| address.to_string());
        let target = self.target.map(|(address, length)| format!("{address}/{length}"));
        let protocol = PROTOCOLS.iter().find(|(number, _)| *number == self.protocol);
        [
            ("device", device.to_owned()),
            ("src", text(self.source)),
            ("dest", target.unwrap_or_else(|| "default".to_owned())),
            ("gw", text(self.gateway)),
            ("priority", self.priority.to_string()),
            ("proto", protocol.map_or("unknown", |(_, name)| name).to_owned()),
            (
                "weight",
                self.weight.map_or_else(String::new, |weight| weight.to_string()),
            ),
        ]
    }
}

/// Calls for every way of a route. One that does not lead to other hosts (local, broadcast, unreachable) has none.
fn route(body: &[u8], mut each: impl FnMut(Way)) -> Option<()> {
    let (length, protocol, kind) = (*body.get(1)?, *body.get(5)?, *body.get(7)?);
    if kind != libc::RTN_UNICAST {
        return None;
    }
    let mut way = Way {
        device: 0,
        source: None,
        target: None,
        gateway: None,
        priority: 0,
        protocol,
        weight: None,
    };
    let mut ways = None;
    for (kind, value) in attributes(body.get(HEAD..)?) {
        match kind {
            libc::RTA_DST if length > 0 => way.target = Some((address(value)?, length)),
            libc::RTA_PREFSRC => way.source = address(value),
            libc::RTA_GATEWAY => way.gateway = address(value),
            libc::RTA_OIF => way.device = u32_at(value, 0)?,
            libc::RTA_PRIORITY => way.priority = u32_at(value, 0)?,
            libc::RTA_MULTIPATH => ways = Some(value),
            _ => {}
        }
    }
    match ways {
        None => each(way),
        Some(ways) => hops(ways).for_each(|(device, weight, gateway)| {
            each(Way {
                device,
                gateway,
                weight: Some(weight),
                ..way.clone()
            });
        }),
    }
    Some(())
}

/// Devices, weights and gateways of a route with several ways, up to one that is cut off.
fn hops(mut bytes: &[u8]) -> impl Iterator<Item = (u32, u16, Option<IpAddr>)> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let (weight, device) = (u16::from(*bytes.get(3)?) + 1, u32_at(bytes, 4)?);
        let gateway = attributes(bytes.get(HOP..length)?).find(|(kind, _)| *kind == libc::RTA_GATEWAY);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((device, weight, gateway.and_then(|(_, value)| address(value))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::netlink::attribute;
    use crate::collectors::node::testing::Fixture;

    fn head(length: u8, kind: u8) -> Vec<u8> {
        vec![2, length, 0, 0, 254, 16, 0, kind, 0, 0, 0, 0]
    }

    /// Labels but the device, of every way.
    fn told(body: &[u8]) -> Vec<[String; 6]> {
        let mut told = vec![];
        route(body, |way| {
            let [_, labels @ ..] = way.labels("eth0");
            told.push(labels.map(|(_, text)| text));
        });
        told
    }

    #[test]
    fn a_route_and_the_default() {
        let mut body = head(24, 1);
        attribute(&mut body, libc::RTA_DST, &[192, 0, 2, 0]);
        attribute(&mut body, libc::RTA_PREFSRC, &[192, 0, 2, 2]);
        attribute(&mut body, libc::RTA_OIF, &[2, 0, 0, 0]);
        assert_eq!(told(&body), [["192.0.2.2", "192.0.2.0/24", "", "0", "dhcp", ""]]);
        let mut body = head(0, 1);
        attribute(&mut body, libc::RTA_GATEWAY, &[192, 0, 2, 1]);
        attribute(&mut body, libc::RTA_PRIORITY, &100u32.to_ne_bytes());
        assert_eq!(told(&body), [["", "default", "192.0.2.1", "100", "dhcp", ""]]);
        assert_eq!(told(&head(0, 2)).len(), 0, "to this host");
        assert_eq!(told(&body[..7]).len(), 0, "short");
    }

    #[test]
    fn a_route_of_two_ways() {
        let mut body = head(0, 1);
        let mut ways = vec![];
        for (hops, last) in [(0, 1), (4, 9)] {
            let mut way = vec![];
            attribute(&mut way, libc::RTA_GATEWAY, &[10, 0, 0, last]);
            ways.extend([(HOP + way.len()) as u8, 0, 0, hops, 2, 0, 0, 0]);
            ways.extend(way);
        }
        attribute(&mut body, libc::RTA_MULTIPATH, &ways);
        let ways = [
            ["", "default", "10.0.0.1", "0", "dhcp", "1"],
            ["", "default", "10.0.0.9", "0", "dhcp", "5"],
        ];
        assert_eq!(told(&body), ways);
        assert_eq!(hops(&[0; 20]).count(), 0, "no length");
    }

    #[test]
    fn too_many_are_counted_and_not_told() {
        let mut found = Found::default();
        let mut body = head(32, 1);
        attribute(&mut body, libc::RTA_DST, &[0; 4]);
        for number in 0..=MOST as u32 {
            body[HEAD + 4..HEAD + 8].copy_from_slice(&number.to_be_bytes());
            route(&body, |way| found.add(way));
            route(&body, |way| found.add(way));
        }
        assert_eq!((found.ways.len(), found.left_out), (MOST, 2));
        assert_eq!(found.counts[&0], 2 * (MOST as u64 + 1));
    }

    #[test]
    fn this_host_answers() {
        Fixture::new(&[]).text(&COLLECTOR);
    }
}
