//! What the NFS server did: `proc/net/rpc/nfsd` (`fs/nfsd/stats.c`), lines of a name and its counts.

use super::files::Kept;
use super::flags::Setup;
use super::nfs::{Lines, V2, V3, write_requests};
use super::rows::counter;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "nfsd",
    about: "what the NFS server did",
    make: |setup| Ok(Box::new(NfsServer::new(setup))),
    ..Collector::BASE
};

static PACKETS: Family = counter("node_nfsd_packets_total", "Packets of NFS by protocol.");
static ERRORS: Family = counter(
    "node_nfsd_rpc_errors_total",
    "Remote calls that were refused, by what is wrong with them.",
);
static REQUESTS: Family = counter("node_nfsd_requests_total", "Requests by version and method.");

/// Line, column and family of counts without labels.
static SINGLE: [(&str, usize, Family); 11] = [
    (
        "rc",
        0,
        counter(
            "node_nfsd_reply_cache_hits_total",
            "Requests that were answered again, for the client had lost the answer.",
        ),
    ),
    (
        "rc",
        1,
        counter(
            "node_nfsd_reply_cache_misses_total",
            "Requests whose answers had to be kept.",
        ),
    ),
    (
        "rc",
        2,
        counter(
            "node_nfsd_reply_cache_nocache_total",
            "Requests whose answers need not be kept.",
        ),
    ),
    (
        "fh",
        0,
        counter("node_nfsd_file_handles_stale_total", "Handles of files that are gone."),
    ),
    (
        "io",
        0,
        counter("node_nfsd_disk_bytes_read_total", "Bytes that were read."),
    ),
    (
        "io",
        1,
        counter("node_nfsd_disk_bytes_written_total", "Bytes that were written."),
    ),
    (
        "th",
        0,
        Family::new("node_nfsd_server_threads", "", "Threads of the server.", Kind::Gauge),
    ),
    (
        "ra",
        0,
        Family::new(
            "node_nfsd_read_ahead_cache_size_blocks",
            "",
            "Size of the cache for reading ahead.",
            Kind::Gauge,
        ),
    ),
    (
        "ra",
        11,
        counter(
            "node_nfsd_read_ahead_cache_not_found_total",
            "Searches in the cache for reading ahead that found nothing.",
        ),
    ),
    (
        "net",
        3,
        counter("node_nfsd_connections_total", "Connections over TCP."),
    ),
    ("rpc", 0, counter("node_nfsd_server_rpcs_total", "Remote calls.")),
];

/// Operations of version 4 by their number; those without a name are not told.
const V4: [&str; 40] = [
    "",
    "",
    "",
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "",
    "",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];

struct NfsServer(Kept);

impl NfsServer {
    fn new(setup: &Setup<'_>) -> NfsServer {
        NfsServer(Kept::new(setup.host.proc.join("net/rpc/nfsd")))
    }
}

impl Collect for NfsServer {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let lines = Lines::parse(self.0.text()?).map_err(|what| CollectError::malformed(&path, what))?;
        lines.write_single(&SINGLE, out);
        lines.write_labelled(&PACKETS, "proto", "net", &[(1, "udp"), (2, "tcp")], out);
        lines.write_labelled(&ERRORS, "error", "rpc", &[(2, "fmt"), (3, "auth"), (4, "cInt")], out);
        out.family(&REQUESTS);
        for (version, line, methods) in [("2", "proc2", &V2[..]), ("3", "proc3", &V3), ("4", "proc4ops", &V4)] {
            let told = methods
                .iter()
                .enumerate()
                .filter(|(_, method)| !matches!(**method, "" | "Null"));
            for (number, method) in told {
                write_requests(version, method, lines.requests(line, number), out);
            }
        }
        write_requests(
            "4",
            "WdelegGetattr",
            lines.count("wdeleg_getattr", 0).unwrap_or_default(),
            out,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn counts_and_requests() {
        let text = "rc 1 2 3\nfh 4 0 0 0 0\nio 5 6\nth 8 0 0.000 1.500\nnet 18 10 7 1\nrpc 19 3 1 2 0\nproc2 2 9 69\n\
            proc4 2 2 10853\nproc4ops 5 0 0 0 1098 2\nwdeleg_getattr 15\n";
        let text = Fixture::new(&[("proc/net/rpc/nfsd", text)]).text(&COLLECTOR);
        for line in [
            "node_nfsd_reply_cache_nocache_total 3",
            "node_nfsd_disk_bytes_written_total 6",
            "node_nfsd_server_threads 8",
            "node_nfsd_packets_total{proto=\"tcp\"} 7",
            "node_nfsd_rpc_errors_total{error=\"auth\"} 2",
            "node_nfsd_requests_total{method=\"GetAttr\",proto=\"2\"} 69",
            "node_nfsd_requests_total{method=\"Access\",proto=\"4\"} 1098",
            "node_nfsd_requests_total{method=\"Write\",proto=\"4\"} 0",
            "node_nfsd_requests_total{method=\"WdelegGetattr\",proto=\"4\"} 15",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        assert!(!text.contains("read_ahead"), "newer kernels have none");
        assert!(!text.contains("Null"));
    }

    #[test]
    fn no_server_and_odd_counts() {
        let fixture = Fixture::new(&[("proc/", "")]);
        assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
        fixture.put(&[("proc/net/rpc/nfsd", "rc 1 -2\n")]);
        assert!(
            fixture
                .error(&COLLECTOR)
                .contains("rpc/nfsd: line 1: \"-2\": invalid digit")
        );
    }
}
