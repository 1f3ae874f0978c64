//! Counters of the network stack: `proc/net/netstat`, `proc/net/snmp` (`net/ipv4/proc.c`) and `proc/net/snmp6` (`net/ipv6/proc.c`).

use super::files::{Kept, parsed};
use super::filter::Pattern;
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::collections::HashMap;
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "netstat",
    about: "counters of the network stack",
    flags: &[&FIELDS],
    make: |setup| Ok(Box::new(NetStat::new(setup)?)),
    ..Collector::BASE
};

static FIELDS: Flag = Flag {
    name: "collector.netstat.fields",
    form: Form::Regex,
    help: "Only counters whose name (GROUP_NAME) matches.",
    default: &[
        "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)\
         |TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)\
         |Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)\
         |Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
    ],
    ..Flag::BASE
};

/// Names that are remembered at most.
const NAMES: usize = 1 << 14;

struct NetStat {
    /// Files with a line of names and a line of numbers for each group.
    tables: [Kept; 2],
    /// One name and number a line. Not there without IPv6.
    list: Kept,
    chosen: Chosen,
}

/// Counters that are told, and their numbers in this scrape.
struct Chosen {
    /// `None`: all.
    fields: Option<Pattern>,
    /// Places of names that were seen; `None` when one is not told.
    known: HashMap<String, Option<usize>>,
    families: Vec<Family>,
    values: Vec<Option<f64>>,
    name: String,
}

impl NetStat {
    fn new(setup: &Setup<'_>) -> Result<NetStat, String> {
        let file = |name: &str| Kept::whole(setup.host.proc.join("net").join(name));
        Ok(NetStat {
            tables: [file("netstat"), file("snmp")],
            list: file("snmp6"),
            chosen: Chosen {
                fields: setup.pattern(&FIELDS)?,
                known: HashMap::new(),
                families: Vec::new(),
                values: Vec::new(),
                name: String::new(),
            },
        })
    }

    fn read(&mut self) -> Result<(), CollectError> {
        for file in &mut self.tables {
            let path = file.path().to_owned();
            self.chosen.table(&path, file.text()?)?;
        }
        let path = self.list.path().to_owned();
        match self.list.text() {
            Err(error) if error.is_no_data() => Ok(()),
            text => self.chosen.list(&path, text?),
        }
    }
}

impl Collect for NetStat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        self.chosen.begin();
        let result = self.read();
        for (family, value) in self.chosen.families.iter().zip(&self.chosen.values) {
            if let Some(value) = value {
                out.family(family);
                out.number(&[], *value);
            }
        }
        result
    }
}

impl Chosen {
    fn begin(&mut self) {
        if self.known.len() > NAMES {
            self.known.clear();
            self.families.clear();
            self.values.clear();
        }
        self.values.fill(None);
    }

    fn table(&mut self, path: &Path, text: &str) -> Result<(), CollectError> {
        let mut lines = text.lines().enumerate();
        while let Some((line, heads)) = lines.next() {
            let (_, numbers) = lines.next().unwrap_or_default();
            let (mut heads, mut numbers) = (heads.split_ascii_whitespace(), numbers.split_ascii_whitespace());
            let (group, same) = (heads.next().unwrap_or_default(), numbers.next().unwrap_or_default());
            let what = |what: &str| CollectError::malformed(path, format!("line {}: {group} {what}", line + 1));
            let Some(name) = group.strip_suffix(':').filter(|_| group == same) else {
                return Err(what("is not followed by a line of numbers that begins with it"));
            };
            loop {
                match (heads.next(), numbers.next()) {
                    (Some(head), Some(number)) => self.add(path, name, head, number)?,
                    (None, None) => break,
                    _ => return Err(what("has not as many numbers as names")),
                }
            }
        }
        Ok(())
    }

    /// The group ends with the 6 of each name; what has none is no counter of IPv6.
    fn list(&mut self, path: &Path, text: &str) -> Result<(), CollectError> {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(number)) = (words.next(), words.next()) else {
                continue;
            };
            if let Some((group, name)) = name.find('6').and_then(|six| name.split_at_checked(six + 1)) {
                self.add(path, group, name, number)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, group: &str, name: &str, number: &str) -> Result<(), CollectError> {
        self.name.clear();
        self.name.extend([group, "_", name]);
        let place = match self.known.get(&self.name) {
            Some(place) => *place,
            None => self.learn(group, name),
        };
        if let Some(value) = place.and_then(|place| self.values.get_mut(place)) {
            *value = Some(parsed(path, number)?);
        }
        Ok(())
    }

    fn learn(&mut self, group: &str, name: &str) -> Option<usize> {
        let told = self.fields.as_ref().is_none_or(|fields| fields.matches(&self.name));
        let place = told.then(|| {
            self.families.push(Family {
                name: format!("node_netstat_{}", self.name).into(),
                unit: "".into(),
                help: format!("The kernel's counter {name} of {group}.").into(),
                kind: Kind::Unknown,
            });
            self.values.push(None);
            self.values.len() - 1
        });
        self.known.insert(self.name.clone(), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const NETSTAT: &str = "TcpExt: SyncookiesSent Odd ListenDrops\nTcpExt: 4 5 6\nIpExt: InOctets\nIpExt: 9000000000\n";
    const SNMP: &str = "Tcp: MaxConn CurrEstab InErrs\nTcp: -1 3 0\n";
    const SNMP6: &str = "Ip6InOctets             \t460\nNotOfIt 1\nIcmp6InErrors\t7\n\nshort\n";

    fn host(snmp: &str) -> Fixture {
        Fixture::new(&[("proc/net/netstat", NETSTAT), ("proc/net/snmp", snmp)])
    }

    #[test]
    fn chosen_counters_are_told() {
        let fixture = host(SNMP);
        fixture.put(&[("proc/net/snmp6", SNMP6)]);
        let told = "node_netstat_TcpExt_SyncookiesSent 4\nnode_netstat_TcpExt_ListenDrops 6\n\
                    node_netstat_IpExt_InOctets 9e+09\nnode_netstat_Tcp_CurrEstab 3\nnode_netstat_Tcp_InErrs 0\n\
                    node_netstat_Ip6_InOctets 460\nnode_netstat_Icmp6_InErrors 7\n";
        assert_eq!(fixture.text(&COLLECTOR), told);
    }

    #[test]
    fn without_ipv6_and_with_other_fields() {
        let text = host(SNMP).set(FIELDS.name, "MaxConn|Odd").text(&COLLECTOR);
        assert_eq!(text, "node_netstat_TcpExt_Odd 5\nnode_netstat_Tcp_MaxConn -1\n");
        assert_eq!(host(SNMP).set(FIELDS.name, "").text(&COLLECTOR).lines().count(), 7);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let (text, result) = host("Ip: A\nIp: 1\nTcp: InErrs Other\nTcp: 0\n").collect(&COLLECTOR);
        assert!(
            text.starts_with("node_netstat_TcpExt_SyncookiesSent 4\n"),
            "what came before stays: {text}"
        );
        let error = result.unwrap_err().to_string();
        assert!(
            error.ends_with("net/snmp: line 3: Tcp: has not as many numbers as names"),
            "{error}"
        );
        let error = host("Tcp: InErrs\n").error(&COLLECTOR);
        assert!(error.contains("line 1: Tcp: is not followed by"), "{error}");
        let error = host("Tcp: InErrs\nTcp: x\n").error(&COLLECTOR);
        assert!(error.contains("\"x\": invalid float"), "{error}");
        assert!(
            Fixture::new(&[])
                .error(&COLLECTOR)
                .starts_with("there is nothing of the kind here")
        );
    }
}
