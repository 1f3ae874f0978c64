//! Virtual servers of the kernel: `proc/net/ip_vs_stats` and `proc/net/ip_vs` (`net/netfilter/ipvs/ip_vs_ctl.c`).

use super::files::{Kept, parsed};
use super::flags::{Flag, Setup};
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "ipvs",
    about: "virtual servers of the kernel",
    flags: &[&LABELS],
    make: |setup| Ok(Box::new(Ipvs::new(setup)?)),
    ..Collector::BASE
};

static LABELS: Flag = Flag {
    name: "collector.ipvs.backend-labels",
    help: "Labels that backends are told with, separated by commas; those that agree in all of them are summed up.",
    default: &["local_address,local_port,remote_address,remote_port,proto,local_mark"],
    ..Flag::BASE
};

/// Labels of a backend, in the order of [`Backend::labels`].
const ALL: [&str; 6] = [
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "proto",
    "local_mark",
];

const fn total(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family::new(name, unit, help, Kind::Counter)
}

/// In the order of the file.
static TOTALS: [Family; 5] = [
    total("node_ipvs_connections_total", "", "Connections to virtual servers."),
    total("node_ipvs_incoming_packets_total", "", "Packets to virtual servers."),
    total("node_ipvs_outgoing_packets_total", "", "Packets from virtual servers."),
    total("node_ipvs_incoming_bytes_total", "bytes", "Bytes to virtual servers."),
    total("node_ipvs_outgoing_bytes_total", "bytes", "Bytes from virtual servers."),
];

/// In the order of the file.
static GAUGES: [Family; 3] = [
    gauge("node_ipvs_backend_weight", "Weight of a backend."),
    gauge(
        "node_ipvs_backend_connections_active",
        "Connections to a backend that are in use.",
    ),
    gauge(
        "node_ipvs_backend_connections_inactive",
        "Connections to a backend that are not in use.",
    ),
];

struct Ipvs {
    stats: Kept,
    table: Kept,
    /// Places of labels in [`ALL`].
    labels: Vec<usize>,
}

impl Ipvs {
    fn new(setup: &Setup<'_>) -> Result<Ipvs, String> {
        let given = setup.text(&LABELS);
        let given = || given.split(',').filter(|label| !label.is_empty());
        if let Some(unknown) = given().find(|label| !ALL.contains(label)) {
            let known = ALL.join(", ");
            return Err(format!(
                "--{}: {unknown:?} is no label of a backend: there are {known}",
                LABELS.name
            ));
        }
        let file = |name: &str| Kept::new(setup.host.proc.join("net").join(name));
        Ok(Ipvs {
            stats: file("ip_vs_stats"),
            table: file("ip_vs"),
            labels: (0..ALL.len())
                .filter(|place| given().any(|label| ALL.get(*place) == Some(&label)))
                .collect(),
        })
    }
}

impl Collect for Ipvs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.stats.path().to_owned();
        let totals = totals(&path, self.stats.text()?)?;
        for (family, total) in TOTALS.iter().zip(totals) {
            out.family(family);
            out.number(&[], total as f64);
        }
        let path = self.table.path().to_owned();
        let mut sums: BTreeMap<Vec<String>, [u64; 3]> = BTreeMap::new();
        let result = backends(&path, self.table.text()?, |backend| {
            let labels = backend.labels();
            let key = self
                .labels
                .iter()
                .filter_map(|place| labels.get(*place).cloned())
                .collect();
            for (sum, number) in sums.entry(key).or_default().iter_mut().zip(backend.numbers) {
                *sum = sum.wrapping_add(number);
            }
        });
        for (place, family) in GAUGES.iter().enumerate() {
            out.family(family);
            for (values, sums) in &sums {
                let names = self.labels.iter().filter_map(|place| ALL.get(*place).copied());
                let labels: Vec<_> = names.zip(values.iter().map(String::as_str)).collect();
                if let Some(sum) = sums.get(place) {
                    out.number(&labels, *sum as f64);
                }
            }
        }
        result
    }
}

/// The five totals: hexadecimal, in the third line.
fn totals(path: &Path, text: &str) -> Result<[u64; 5], CollectError> {
    let mut words = text.lines().nth(2).unwrap_or_default().split_ascii_whitespace();
    let mut totals = [0; 5];
    for total in &mut totals {
        let word = words.next().unwrap_or_default();
        *total = u64::from_str_radix(word, 16)
            .map_err(|error| CollectError::malformed(path, format!("line 3: {word:?}: {error}")))?;
    }
    Ok(totals)
}

/// A virtual server: its protocol, and its address or its mark.
#[derive(Clone, Default)]
struct Server<'a> {
    proto: &'a str,
    local: Option<(IpAddr, u16)>,
    mark: &'a str,
}

/// A server behind a virtual one: its address, and weight, active and inactive connections.
struct Backend<'a> {
    server: Server<'a>,
    remote: (IpAddr, u16),
    numbers: [u64; 3],
}

impl Backend<'_> {
    fn labels(&self) -> [String; ALL.len()] {
        let local = self.server.local;
        [
            local.map_or_else(String::new, |(address, _)| address.to_string()),
            local.map_or(0, |(_, port)| port).to_string(),
            self.remote.0.to_string(),
            self.remote.1.to_string(),
            self.server.proto.to_owned(),
            self.server.mark.to_owned(),
        ]
    }
}

/// The table: three lines of heads, then a line for each virtual server and below it one for each backend.
fn backends(path: &Path, text: &str, mut each: impl FnMut(Backend<'_>)) -> Result<(), CollectError> {
    let mut server = Server::default();
    for (line, text) in text.lines().enumerate().skip(3) {
        let what = |what: &str| CollectError::malformed(path, format!("line {}: {what}", line + 1));
        let mut words = text.split_ascii_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else {
            continue;
        };
        let end = || end(second).ok_or_else(|| what("no address and port"));
        match first {
            "FWM" => {
                server = Server {
                    proto: first,
                    local: None,
                    mark: second,
                };
            }
            "->" => {
                let remote = end()?;
                let mut numbers = [0; 3];
                // Behind the way of forwarding.
                let mut words = words.skip(1);
                for number in &mut numbers {
                    *number = parsed(path, words.next().ok_or_else(|| what("less than 6 words"))?)?;
                }
                let server = server.clone();
                each(Backend {
                    server,
                    remote,
                    numbers,
                });
            }
            proto => {
                server = Server {
                    proto,
                    local: Some(end()?),
                    mark: "",
                };
            }
        }
    }
    Ok(())
}

/// An address and a port: `C0A80016:0CEA`, or with brackets for IPv6.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address.strip_prefix('[') {
        Some(rest) => IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?),
        None if address.len() == 8 => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?)),
        None => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const STATS: &str = "   Total Incoming Outgoing         Incoming         Outgoing\n\
        \x20  Conns  Packets  Packets            Bytes            Bytes\n\
        \x20     1F        A        0     FFFFFFFFFF                1\n\n Conns/s\n";
    const HEADS: &str = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  \
        -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
    const TABLE: &str = "TCP  0A000001:0050 rr\n  -> 0A000002:1F90      Masq    5      7          9\n  \
        -> 0A000003:1F90      Masq    1      2          3\nFWM  1001 wlc\n  -> 0A000002:0050 Route 1 0 0\n\
        UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 rr\n  \
        -> [fd00:0000:0000:0000:0000:0000:0000:0002]:0035      Masq    1      0          4\n";

    fn host(table: &str) -> Fixture {
        Fixture::new(&[
            ("proc/net/ip_vs_stats", STATS),
            ("proc/net/ip_vs", &format!("{HEADS}{table}")),
        ])
    }

    #[test]
    fn totals_and_backends() {
        let text = host(TABLE).text(&COLLECTOR);
        let begin = "node_ipvs_connections_total 31\nnode_ipvs_incoming_packets_total 10\nnode_ipvs_outgoing_packets_total 0\n\
            node_ipvs_incoming_bytes_total 1.099511627775e+12\nnode_ipvs_outgoing_bytes_total 1\n";
        assert!(text.starts_with(begin), "{text}");
        for line in [
            "node_ipvs_backend_weight{local_address=\"10.0.0.1\",local_port=\"80\",remote_address=\"10.0.0.2\",\
             remote_port=\"8080\",proto=\"TCP\",local_mark=\"\"} 5\n",
            "node_ipvs_backend_connections_active{local_address=\"\",local_port=\"0\",remote_address=\"10.0.0.2\",\
             remote_port=\"80\",proto=\"FWM\",local_mark=\"1001\"} 0\n",
            "node_ipvs_backend_connections_inactive{local_address=\"2001:db8::1\",local_port=\"53\",\
             remote_address=\"fd00::2\",remote_port=\"53\",proto=\"UDP\",local_mark=\"\"} 4\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn backends_that_agree_are_summed_up() {
        let text = host(TABLE).set(LABELS.name, "proto,,local_port").text(&COLLECTOR);
        assert!(
            text.contains("node_ipvs_backend_connections_active{local_port=\"80\",proto=\"TCP\"} 9\n"),
            "{text}"
        );
        let text = host(TABLE).set(LABELS.name, "").text(&COLLECTOR);
        assert!(text.contains("node_ipvs_backend_weight 8\n"), "{text}");
    }

    #[test]
    fn a_label_that_is_none_is_told() {
        let host = host("").host();
        let settings = crate::collectors::node::flags::Settings {
            given: [(LABELS.name, vec!["proto,nope".to_owned()])].into(),
            ..Default::default()
        };
        let setup = Setup {
            host: &host,
            settings: &settings,
        };
        let error = (COLLECTOR.make)(&setup).err().unwrap();
        assert!(
            error.contains("backend-labels: \"nope\" is no label of a backend: there are local_address,"),
            "{error}"
        );
    }

    #[test]
    fn what_is_malformed_is_told_with_its_line() {
        let error = |table: &str| host(table).error(&COLLECTOR);
        assert!(error("TCP  here:0050 rr\n").ends_with("net/ip_vs: line 4: no address and port"));
        assert!(error("TCP  0A000001:0050 rr\n  -> 0A000002:1F90 Masq 5\n").ends_with("line 5: less than 6 words"));
        assert!(error("  -> 0A000002:1F90 Masq x 1 1\n").contains("\"x\": invalid digit"));
        let short = Fixture::new(&[("proc/net/ip_vs_stats", "   Total\n")]);
        assert!(short.error(&COLLECTOR).contains("line 3: \"\": cannot parse integer"));
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
