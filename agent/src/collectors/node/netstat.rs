//! Counters of the network stack: `proc/net/netstat`, `proc/net/snmp` (`net/ipv4/proc.c`) and `proc/net/snmp6` (`net/ipv6/proc.c`).

use super::byline::ByLine;
use super::files::{Kept, parsed};
use super::filter::Pattern;
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use rustc_hash::FxHashMap;
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
    /// Where the numbers belong of a line of names: these lines stay the same.
    heads: [ByLine<Vec<Option<usize>>>; 2],
    /// And of a line of the list.
    names: ByLine<Option<usize>>,
    chosen: Chosen,
}

/// Counters that are told, and their numbers in this scrape.
struct Chosen {
    /// `None`: all.
    fields: Option<Pattern>,
    /// Places of names that were seen; `None` when one is not told.
    known: FxHashMap<String, Option<usize>>,
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
            heads: Default::default(),
            names: ByLine::default(),
            chosen: Chosen {
                fields: setup.pattern(&FIELDS)?,
                known: FxHashMap::default(),
                families: Vec::new(),
                values: Vec::new(),
                name: String::new(),
            },
        })
    }

    fn read(&mut self) -> Result<(), CollectError> {
        for (file, heads) in self.tables.iter_mut().zip(&mut self.heads) {
            let path = file.path().to_owned();
            self.chosen.table(&path, file.text()?, heads)?;
        }
        let path = self.list.path().to_owned();
        match self.list.text() {
            Err(error) if error.is_no_data() => Ok(()),
            text => self.chosen.list(&path, text?, &mut self.names),
        }
    }
}

impl Collect for NetStat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        if self.chosen.begin() {
            (self.heads, self.names) = Default::default();
        }
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
    /// A new scrape. Says whether all places were given up.
    fn begin(&mut self) -> bool {
        let full = self.known.len() > NAMES;
        if full {
            self.known.clear();
            self.families.clear();
            self.values.clear();
        }
        self.values.fill(None);
        full
    }

    fn table(&mut self, path: &Path, text: &str, known: &mut ByLine<Vec<Option<usize>>>) -> Result<(), CollectError> {
        let mut lines = text.lines().enumerate();
        while let Some((line, heads)) = lines.next() {
            let (_, numbers) = lines.next().unwrap_or_default();
            let group = heads.split_ascii_whitespace().next().unwrap_or_default();
            let mut numbers = numbers.split_ascii_whitespace();
            let same = numbers.next().unwrap_or_default();
            let what = |what: &str| CollectError::malformed(path, format!("line {}: {group} {what}", line + 1));
            let Some(name) = group.strip_suffix(':').filter(|_| group == same) else {
                return Err(what("is not followed by a line of numbers that begins with it"));
            };
            let places = known.at(line / 2, heads, || {
                let names = heads.split_ascii_whitespace().skip(1);
                names.map(|head| self.place(name, head)).collect()
            });
            for place in places {
                let Some(number) = numbers.next() else {
                    return Err(what("has not as many numbers as names"));
                };
                put(&mut self.values, path, *place, number)?;
            }
            if numbers.next().is_some() {
                return Err(what("has not as many numbers as names"));
            }
        }
        Ok(())
    }

    /// The group ends with the 6 of each name; what has none is no counter of IPv6.
    fn list(&mut self, path: &Path, text: &str, known: &mut ByLine<Option<usize>>) -> Result<(), CollectError> {
        for (line, text) in text.lines().enumerate() {
            let mut words = text.split_ascii_whitespace();
            let (name, number) = (words.next().unwrap_or_default(), words.next());
            let place = *known.at(line, name, || {
                let (group, name) = name.split_at_checked(name.find('6')? + 1)?;
                self.place(group, name)
            });
            if let Some(number) = number {
                put(&mut self.values, path, place, number)?;
            }
        }
        Ok(())
    }

    /// Where the value of a name goes; `None` when it is not told.
    fn place(&mut self, group: &str, name: &str) -> Option<usize> {
        self.name.clear();
        self.name.extend([group, "_", name]);
        match self.known.get(&self.name) {
            Some(place) => *place,
            None => self.learn(group, name),
        }
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

fn put(values: &mut [Option<f64>], path: &Path, place: Option<usize>, number: &str) -> Result<(), CollectError> {
    if let Some(value) = place.and_then(|place| values.get_mut(place)) {
        *value = Some(parsed(path, number)?);
    }
    Ok(())
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
