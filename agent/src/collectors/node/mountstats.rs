//! What NFS did, by mount: `proc/self/mountstats` (`fs/nfs/super.c`, `net/sunrpc/stats.c`), with the server's address from
//! `proc/self/mountinfo`, whose lines have the same order.

mod parse;

use super::files::Kept;
use super::flags::Setup;
use super::mountinfo::Line;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use parse::{Mount, parse};
use std::collections::HashSet;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "mountstats",
    about: "what NFS did, by mount",
    default: false,
    make: |setup| Ok(Box::new(MountStats::new(setup))),
    ..Collector::BASE
};

/// Families by the end of their names and their help, in the order of a line's columns or with the column.
macro_rules! families {
    ($kind:ident, $(($name:literal, $help:literal)),+ $(,)?) => {
        [$(Family::new(concat!("node_mountstats_nfs_", $name), "", concat!($help, "."), Kind::$kind)),+]
    };
}

static INFO: [Family; 1] = families![Gauge, ("mountpoint_info", "A mount of NFS")];
static AGE: [Family; 1] = families![Counter, ("age_seconds_total", "How long it is mounted, in seconds")];

/// In the order of the columns.
static BYTES: [Family; 8] = families![
    Counter,
    ("read_bytes_total", "Bytes that programs read"),
    ("write_bytes_total", "Bytes that programs wrote"),
    ("direct_read_bytes_total", "Bytes that programs read past the cache"),
    ("direct_write_bytes_total", "Bytes that programs wrote past the cache"),
    ("total_read_bytes_total", "Bytes that the server sent"),
    ("total_write_bytes_total", "Bytes that the server was sent"),
    ("read_pages_total", "Pages that were read"),
    ("write_pages_total", "Pages that were written"),
];

/// In the order of the columns. The nineteenth is left out: no kernel counts it.
static EVENTS: [Family; 26] = families![
    Counter,
    (
        "event_inode_revalidate_total",
        "Times that attributes of inodes were checked with the server"
    ),
    (
        "event_dnode_revalidate_total",
        "Times that names were checked with the server"
    ),
    (
        "event_data_invalidate_total",
        "Times that cached data of a file were dropped"
    ),
    (
        "event_attribute_invalidate_total",
        "Times that cached attributes were dropped"
    ),
    ("event_vfs_open_total", "Files and folders that were opened"),
    ("event_vfs_lookup_total", "Names that were looked up"),
    ("event_vfs_access_total", "Permissions that were checked"),
    ("event_vfs_update_page_total", "Pages that were changed"),
    ("event_vfs_read_page_total", "Pages that were read one by one"),
    ("event_vfs_read_pages_total", "Groups of pages that were read"),
    ("event_vfs_write_page_total", "Pages that were written one by one"),
    ("event_vfs_write_pages_total", "Groups of pages that were written"),
    ("event_vfs_getdents_total", "Folders that were listed"),
    ("event_vfs_setattr_total", "Attributes that were set"),
    ("event_vfs_flush_total", "Files that were flushed"),
    ("event_vfs_fsync_total", "Files and folders that were synced"),
    ("event_vfs_lock_total", "Locks that were tried"),
    ("event_vfs_file_release_total", "Files that were closed"),
    ("event_truncation_total", "Files that were cut"),
    ("event_write_extension_total", "Files that grew by being written"),
    (
        "event_silly_rename_total",
        "Files that were removed while they were open"
    ),
    ("event_short_read_total", "Reads that brought less than was asked for"),
    ("event_short_write_total", "Writes that took less than was given"),
    (
        "event_jukebox_delay_total",
        "Times that the server had to fetch data from elsewhere first"
    ),
    ("event_pnfs_read_total", "Reads past the server"),
    ("event_pnfs_write_total", "Writes past the server"),
];
/// The column that is left out.
const UNUSED_EVENT: usize = 18;

/// In the order of [`parse::Transport::counts`].
static TRANSPORTS: [Family; 10] = [
    transport(
        "node_mountstats_nfs_transport_bind_total",
        "Times that a port was taken anew.",
        Kind::Counter,
    ),
    transport(
        "node_mountstats_nfs_transport_connect_total",
        "Connections that were made.",
        Kind::Counter,
    ),
    transport(
        "node_mountstats_nfs_transport_idle_time_seconds",
        "How long nothing was sent or received.",
        Kind::Gauge,
    ),
    transport(
        "node_mountstats_nfs_transport_sends_total",
        "Requests that were sent.",
        Kind::Counter,
    ),
    transport(
        "node_mountstats_nfs_transport_receives_total",
        "Answers that were received.",
        Kind::Counter,
    ),
    transport(
        "node_mountstats_nfs_transport_bad_transaction_ids_total",
        "Answers to what nobody had asked.",
        Kind::Counter,
    ),
    transport(
        "node_mountstats_nfs_transport_backlog_queue_total",
        "Length of the backlog, added up over all requests.",
        Kind::Counter,
    ),
    transport(
        "node_mountstats_nfs_transport_maximum_rpc_slots",
        "Requests that were on their way at the same time at most.",
        Kind::Gauge,
    ),
    transport(
        "node_mountstats_nfs_transport_sending_queue_total",
        "Length of the queue of those to be sent, added up over all requests.",
        Kind::Counter,
    ),
    transport(
        "node_mountstats_nfs_transport_pending_queue_total",
        "Length of the queue of those to be answered, added up over all requests.",
        Kind::Counter,
    ),
];

const fn transport(name: &'static str, help: &'static str, kind: Kind) -> Family {
    Family::new(name, "", help, kind)
}

/// In the order of the columns.
static OPERATIONS: [Family; 8] = families![
    Counter,
    ("operations_requests_total", "Requests by operation"),
    (
        "operations_transmissions_total",
        "Times that requests were sent, by operation"
    ),
    (
        "operations_major_timeouts_total",
        "Requests that were not answered in time, by operation"
    ),
    ("operations_sent_bytes_total", "Bytes that were sent, by operation"),
    (
        "operations_received_bytes_total",
        "Bytes that were received, by operation"
    ),
    (
        "operations_queue_time_seconds_total",
        "How long requests waited to be sent, by operation"
    ),
    (
        "operations_response_time_seconds_total",
        "How long answers were waited for, by operation"
    ),
    (
        "operations_request_time_seconds_total",
        "How long requests took in all, by operation"
    ),
];
/// The first column that is a time in milliseconds.
const FIRST_TIME: usize = 5;
/// Times beyond what a float can count one by one begin at 0 again, as node_exporter has them.
const TIMES_END: u64 = 1 << 53;

struct MountStats {
    stats: Kept,
    mounts: Kept,
}

impl MountStats {
    fn new(setup: &Setup<'_>) -> MountStats {
        let own = setup.host.proc.join("self");
        MountStats {
            stats: Kept::new(own.join("mountstats")),
            mounts: Kept::new(own.join("mountinfo")),
        }
    }
}

/// A mount by one of its protocols.
struct Row<'a> {
    mount: &'a Mount<'a>,
    protocol: &'a str,
    address: String,
}

impl Row<'_> {
    fn labels(&self) -> [(&str, &str); 3] {
        [
            ("export", self.mount.device),
            ("mountaddr", &self.address),
            ("protocol", self.protocol),
        ]
    }

    fn labels_and<'a>(&'a self, name: &'a str, value: &'a str) -> [(&'a str, &'a str); 4] {
        let [export, address, protocol] = self.labels();
        [export, address, protocol, (name, value)]
    }
}

impl Collect for MountStats {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.stats.path().to_owned();
        let text = String::from_utf8_lossy(self.stats.bytes()?).into_owned();
        let mut bad = None;
        let mounts = parse(&text, &mut bad);
        let result = bad.map_or(Ok(()), |what: String| Err(CollectError::malformed(&path, what)));
        if mounts.is_empty() {
            return result;
        }
        let lines: Vec<&[u8]> = self.mounts.bytes()?.split(|byte| *byte == b'\n').collect();
        let address = |mount: &Mount<'_>| {
            let line = lines.get(mount.index).and_then(|line| Line::parse(line));
            let address = line.and_then(|line| line.super_option("addr"));
            String::from_utf8_lossy(address.unwrap_or_default()).into_owned()
        };
        let all = mounts.iter().flat_map(|mount| {
            let protocols = mount
                .transports
                .iter()
                .map(move |transport| (mount, transport.protocol));
            protocols.map(|(mount, protocol)| Row {
                mount,
                protocol,
                address: address(mount),
            })
        });
        let all: Vec<Row<'_>> = all.collect();
        out.family(&INFO[0]);
        let mut seen = HashSet::new();
        for row in &all {
            if seen.insert((row.labels(), row.mount.mount_point)) {
                out.number(&row.labels_and("mountpoint", row.mount.mount_point), 1.0);
            }
        }
        // Mounts of the same export share their counts.
        let mut seen = HashSet::new();
        let rows: Vec<&Row<'_>> = all.iter().filter(|row| seen.insert(row.labels())).collect();
        write(&rows, out);
        result
    }
}

fn write(rows: &[&Row<'_>], out: &mut dyn Encoder) {
    let events = (0..=EVENTS.len()).filter(|column| *column != UNUSED_EVENT);
    let columns = std::iter::zip(&BYTES, 0..).map(|(family, column)| (family, column, false));
    let columns = columns.chain(std::iter::zip(&EVENTS, events).map(|(family, column)| (family, column, true)));
    out.family(&AGE[0]);
    for row in rows {
        out.number(&row.labels(), row.mount.age as f64);
    }
    for (family, column, is_event) in columns {
        out.family(family);
        for row in rows {
            let counts = if is_event { &row.mount.events } else { &row.mount.bytes };
            if let Some(count) = counts.get(column) {
                out.number(&row.labels(), *count as f64);
            }
        }
    }
    for (column, family) in TRANSPORTS.iter().enumerate() {
        out.family(family);
        for row in rows {
            for (index, transport) in row.mount.transports.iter().enumerate() {
                if let Some(count) = transport.counts.get(column) {
                    out.number(&row.labels_and("transport", &index.to_string()), *count as f64);
                }
            }
        }
    }
    for (column, family) in OPERATIONS.iter().enumerate() {
        out.family(family);
        for row in rows {
            for (operation, counts) in &row.mount.operations {
                let count = counts.get(column).copied().unwrap_or_default();
                let value = match column >= FIRST_TIME {
                    true => (count % TIMES_END) as f64 / 1000.0,
                    false => count as f64,
                };
                out.number(&row.labels_and("operation", operation), value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
