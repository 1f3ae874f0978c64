//! What the NFS client did: `proc/net/rpc/nfs` (`net/sunrpc/stats.c`), lines of a name and its counts.

use super::files::Kept;
use super::flags::Setup;
use super::rows::counter;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "nfs",
    about: "what the NFS client did",
    make: |setup| Ok(Box::new(Nfs::new(setup))),
    ..Collector::BASE
};

static PACKETS: Family = counter("node_nfs_packets_total", "Packets of NFS by protocol.");
static REQUESTS: Family = counter("node_nfs_requests_total", "Requests of NFS by version and method.");

/// Line, column and family of counts without labels.
static SINGLE: [(&str, usize, Family); 4] = [
    ("net", 3, counter("node_nfs_connections_total", "Connections over TCP.")),
    ("rpc", 0, counter("node_nfs_rpcs_total", "Remote calls.")),
    (
        "rpc",
        1,
        counter(
            "node_nfs_rpc_retransmissions_total",
            "Remote calls that were sent again.",
        ),
    ),
    (
        "rpc",
        2,
        counter(
            "node_nfs_rpc_authentication_refreshes_total",
            "Times that credentials were made anew.",
        ),
    ),
];

/// Methods of version 2, by their number.
pub(super) const V2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create", "Remove",
    "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];

/// Methods of version 3, by their number.
pub(super) const V3: [&str; 22] = [
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];

/// Methods of a client of version 4, by their number.
const V4: [&str; 59] = [
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

struct Nfs(Kept);

impl Nfs {
    fn new(setup: &Setup<'_>) -> Nfs {
        Nfs(Kept::new(setup.host.proc.join("net/rpc/nfs")))
    }
}

impl Collect for Nfs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let lines = Lines::parse(self.0.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        lines.write_labelled(&PACKETS, "protocol", "net", &[(1, "udp"), (2, "tcp")], out);
        lines.write_single(&SINGLE, out);
        out.family(&REQUESTS);
        for (version, line, methods) in [("2", "proc2", &V2[..]), ("3", "proc3", &V3), ("4", "proc4", &V4)] {
            for (number, method) in methods.iter().enumerate() {
                write_requests(version, method, lines.requests(line, number), out);
            }
        }
        Ok(())
    }
}

/// A series of requests.
pub(super) fn write_requests(version: &str, method: &str, count: u64, out: &mut dyn Encoder) {
    out.number(&[("method", method), ("proto", version)], count as f64);
}

/// Lines of such a file by their names.
#[derive(Debug)]
pub(super) struct Lines<'a>(Vec<(&'a str, Vec<u64>)>);

impl<'a> Lines<'a> {
    /// Numbers end where something else begins: the line of nfsd's threads goes on with fractions.
    pub(super) fn parse(text: &'a str) -> Result<Lines<'a>, String> {
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_ascii().is_empty());
        let lines = lines.map(|(index, line)| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next().unwrap_or_default();
            let whole = words.take_while(|word| !word.contains('.'));
            let counts: Result<Vec<u64>, String> = whole
                .map(|word| {
                    word.parse()
                        .map_err(|error| format!("line {}: {word:?}: {error}", index + 1))
                })
                .collect();
            Ok((name, counts?))
        });
        Ok(Lines(lines.collect::<Result<_, String>>()?))
    }

    /// The count in a column of a line.
    pub(super) fn count(&self, line: &str, column: usize) -> Option<u64> {
        let (_, counts) = self.0.iter().find(|(name, _)| *name == line)?;
        counts.get(column).copied()
    }

    /// Requests of a method by its number. A kernel without the method, or without the version, had none.
    pub(super) fn requests(&self, line: &str, method: usize) -> u64 {
        // The first column says how many there are.
        self.count(line, method + 1).unwrap_or_default()
    }

    /// Counts without labels, those that are there.
    pub(super) fn write_single(&self, table: &[(&str, usize, Family)], out: &mut dyn Encoder) {
        for (line, column, family) in table {
            if let Some(count) = self.count(line, *column) {
                out.family(family);
                out.number(&[], count as f64);
            }
        }
    }

    /// Counts of a line that a label tells apart.
    pub(super) fn write_labelled(
        &self,
        family: &Family,
        label: &str,
        line: &str,
        columns: &[(usize, &str)],
        out: &mut dyn Encoder,
    ) {
        let counts = columns
            .iter()
            .filter_map(|(column, value)| Some((value, self.count(line, *column)?)));
        for (index, (value, count)) in counts.enumerate() {
            if index == 0 {
                out.family(family);
            }
            out.number(&[(label, value)], count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn counts_and_requests() {
        let text =
            "net 70 71 69 45\nrpc 12 3 4\nproc3 22 0 106 4 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 7\nproc4 2 98 51\n";
        let text = Fixture::new(&[("proc/net/rpc/nfs", text)]).text(&COLLECTOR);
        let begin = "node_nfs_packets_total{protocol=\"udp\"} 71\nnode_nfs_packets_total{protocol=\"tcp\"} 69\n\
            node_nfs_connections_total 45\nnode_nfs_rpcs_total 12\nnode_nfs_rpc_retransmissions_total 3\n\
            node_nfs_rpc_authentication_refreshes_total 4\n";
        assert!(text.starts_with(begin), "{text}");
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("node_nfs_requests_total"))
                .count(),
            18 + 22 + 59
        );
        for (method, version, count) in [
            ("GetAttr", 3, 106),
            ("Commit", 3, 7),
            ("Read", 4, 51),
            ("Clone", 4, 0),
            ("Read", 2, 0),
        ] {
            assert!(
                text.contains(&format!("{{method=\"{method}\",proto=\"{version}\"}} {count}\n")),
                "{method}"
            );
        }
    }

    #[test]
    fn no_nfs_and_odd_counts() {
        let fixture = Fixture::new(&[("proc/", "")]);
        assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
        fixture.put(&[("proc/net/rpc/nfs", "net 1\nrpc x\n")]);
        assert!(
            fixture
                .error(&COLLECTOR)
                .contains("rpc/nfs: line 2: \"x\": invalid digit")
        );
        fixture.put(&[("proc/net/rpc/nfs", "\n")]);
        assert_eq!(fixture.text(&COLLECTOR).lines().count(), 99);
    }
}
