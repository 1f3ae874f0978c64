//! Families of the host's disks, file systems, network, processes and sensors, as those of [`super::host`]; of sensors
//! (<https://opentelemetry.io/docs/specs/semconv/hardware/>) what is clear.

use super::host::{metric, theirs};
use super::table::{Metric, Of, Shape, Term, term};
use Shape::{Counter, Gauge, UpDown};

const DISK: &[(&str, &str)] = &[("device", "system.device")];
const NETWORK: &[(&str, &str)] = &[("device", "network.interface.name")];
/// The conventions call the interface of packets a device and of all else an interface.
const PACKETS: &[(&str, &str)] = &[("device", "network.interface.name"), ("device", "system.device")];
const FILESYSTEM: &[(&str, &str)] = &[
    ("device", "system.device"),
    ("fstype", "system.filesystem.type"),
    ("mountpoint", "system.filesystem.mountpoint"),
];
const READ: &[(&str, &str)] = &[("disk.io.direction", "read")];
const WRITE: &[(&str, &str)] = &[("disk.io.direction", "write")];
const RECEIVE: &[(&str, &str)] = &[("network.io.direction", "receive")];
const TRANSMIT: &[(&str, &str)] = &[("network.io.direction", "transmit")];
const FULL: &[(&str, &str)] = &[("system.filesystem.state", "used")];
const EMPTY: &[(&str, &str)] = &[("system.filesystem.state", "free")];
const RESERVED: &[(&str, &str)] = &[("system.filesystem.state", "reserved")];

/// All of them.
pub(super) static DEVICES: &[Metric] = &[
    // Disks
    metric(
        "system.disk.io",
        "By",
        Counter,
        "Bytes read from and written to disks.",
        Of::Samples(&[
            term("node_disk_read_bytes_total", READ, DISK),
            term("node_disk_written_bytes_total", WRITE, DISK),
        ]),
    ),
    metric(
        "system.disk.operations",
        "{operation}",
        Counter,
        "Reads and writes that were completed.",
        Of::Samples(&[
            term("node_disk_reads_completed_total", READ, DISK),
            term("node_disk_writes_completed_total", WRITE, DISK),
        ]),
    ),
    metric(
        "system.disk.merged",
        "{operation}",
        Counter,
        "Reads and writes that were merged with one next to them.",
        Of::Samples(&[
            term("node_disk_reads_merged_total", READ, DISK),
            term("node_disk_writes_merged_total", WRITE, DISK),
        ]),
    ),
    metric(
        "system.disk.operation_time",
        "s",
        Counter,
        "Time that reads and writes took, all added up.",
        Of::Samples(&[
            term("node_disk_read_time_seconds_total", READ, DISK),
            term("node_disk_write_time_seconds_total", WRITE, DISK),
        ]),
    ),
    metric(
        "system.disk.io_time",
        "s",
        Counter,
        "Time during which any request was under way.",
        Of::Samples(&[term("node_disk_io_time_seconds_total", &[], DISK)]),
    ),
    theirs(
        "system.disk.weighted_io_time",
        "s",
        Counter,
        "Time of requests under way, all added up.",
        Of::Samples(&[term("node_disk_io_time_weighted_seconds_total", &[], DISK)]),
    ),
    theirs(
        "system.disk.pending_operations",
        "{operation}",
        UpDown,
        "Requests that are under way.",
        Of::Samples(&[term("node_disk_io_now", &[], DISK)]),
    ),
    // File systems
    metric(
        "system.filesystem.usage",
        "By",
        UpDown,
        "Space of file systems that is used, free for anybody, and reserved.",
        Of::Sums(&[
            term("node_filesystem_size_bytes", FULL, FILESYSTEM),
            term("node_filesystem_free_bytes", FULL, FILESYSTEM).less(),
            term("node_filesystem_avail_bytes", EMPTY, FILESYSTEM),
            term("node_filesystem_free_bytes", RESERVED, FILESYSTEM),
            term("node_filesystem_avail_bytes", RESERVED, FILESYSTEM).less(),
        ]),
    ),
    metric(
        "system.filesystem.limit",
        "By",
        UpDown,
        "Size of file systems.",
        Of::Sums(&[term("node_filesystem_size_bytes", &[], FILESYSTEM)]),
    ),
    metric(
        "system.filesystem.utilization",
        "1",
        Gauge,
        "Space of file systems by its state, as a part of all.",
        Of::Ratio {
            part: "system.filesystem.usage",
            whole: "system.filesystem.limit",
            without: "system.filesystem.state",
        },
    ),
    theirs(
        "system.filesystem.inodes.usage",
        "{inode}",
        UpDown,
        "Files that there are and that there can be more.",
        Of::Sums(&[
            term("node_filesystem_files", FULL, FILESYSTEM),
            term("node_filesystem_files_free", FULL, FILESYSTEM).less(),
            term("node_filesystem_files_free", EMPTY, FILESYSTEM),
        ]),
    ),
    // Network
    metric(
        "system.network.io",
        "By",
        Counter,
        "Bytes received and sent.",
        Of::Samples(&[
            term("node_network_receive_bytes_total", RECEIVE, NETWORK),
            term("node_network_transmit_bytes_total", TRANSMIT, NETWORK),
        ]),
    ),
    metric(
        "system.network.packet.count",
        "{packet}",
        Counter,
        "Packets received and sent.",
        Of::Samples(&[
            term("node_network_receive_packets_total", RECEIVE, PACKETS),
            term("node_network_transmit_packets_total", TRANSMIT, PACKETS),
        ]),
    ),
    metric(
        "system.network.packet.dropped",
        "{packet}",
        Counter,
        "Packets that were dropped although nothing was wrong with them.",
        Of::Samples(&[
            term("node_network_receive_drop_total", RECEIVE, NETWORK),
            term("node_network_transmit_drop_total", TRANSMIT, NETWORK),
            term("node_network_receive_dropped_total", RECEIVE, NETWORK),
            term("node_network_transmit_dropped_total", TRANSMIT, NETWORK),
        ]),
    ),
    metric(
        "system.network.errors",
        "{error}",
        Counter,
        "Errors while receiving and sending.",
        Of::Samples(&[
            term("node_network_receive_errs_total", RECEIVE, NETWORK),
            term("node_network_transmit_errs_total", TRANSMIT, NETWORK),
            term("node_network_receive_errors_total", RECEIVE, NETWORK),
            term("node_network_transmit_errors_total", TRANSMIT, NETWORK),
        ]),
    ),
    metric(
        "system.network.connection.count",
        "{connection}",
        UpDown,
        "TCP sockets by their state.",
        Of::Samples(&[Term {
            words: Some((
                "state",
                &[
                    ("established", "established"),
                    ("syn_sent", "syn_sent"),
                    ("syn_recv", "syn_received"),
                    ("fin_wait1", "fin_wait_1"),
                    ("fin_wait2", "fin_wait_2"),
                    ("time_wait", "time_wait"),
                    ("close", "closed"),
                    ("close_wait", "close_wait"),
                    ("last_ack", "last_ack"),
                    ("listen", "listen"),
                    ("closing", "closing"),
                ],
            )),
            ..term(
                "node_tcp_connection_states",
                &[("network.transport", "tcp")],
                &[("state", "network.connection.state")],
            )
        }]),
    ),
    theirs(
        "system.network.conntrack.count",
        "{entries}",
        UpDown,
        "Connections that netfilter follows.",
        Of::Samples(&[term("node_nf_conntrack_entries", &[], &[])]),
    ),
    theirs(
        "system.network.conntrack.max",
        "{entries}",
        UpDown,
        "Connections that netfilter can follow.",
        Of::Samples(&[term("node_nf_conntrack_entries_limit", &[], &[])]),
    ),
    // Processes
    metric(
        "system.process.count",
        "{process}",
        UpDown,
        "Processes by their state.",
        Of::Sums(&[Term {
            words: Some((
                "state",
                &[
                    ("R", "running"),
                    ("S", "sleeping"),
                    ("D", "blocked"),
                    ("I", "idle"),
                    ("T", "stopped"),
                    ("t", "stopped"),
                    ("Z", "defunct"),
                ],
            )),
            ..term("node_processes_state", &[], &[("state", "process.state")])
        }]),
    ),
    metric(
        "system.process.created",
        "{process}",
        Counter,
        "Processes and threads that were made since the boot.",
        Of::Samples(&[term("node_forks_total", &[], &[])]),
    ),
    // Hardware
    metric(
        "hw.temperature",
        "Cel",
        Gauge,
        "Temperatures.",
        Of::Samples(&[
            Term {
                id: &["chip", "sensor"],
                ..term("node_hwmon_temp_celsius", &[], &[])
            },
            Term {
                id: &["type", "zone"],
                ..term("node_thermal_zone_temp", &[], &[])
            },
        ]),
    ),
    metric(
        "hw.fan.speed",
        "rpm",
        Gauge,
        "Rotations of fans a minute.",
        Of::Samples(&[Term {
            id: &["chip", "sensor"],
            ..term("node_hwmon_fan_rpm", &[], &[])
        }]),
    ),
    metric(
        "hw.battery.charge",
        "1",
        Gauge,
        "Charge of batteries, as a part of a full one.",
        Of::Samples(&[Term {
            id: &["power_supply"],
            factor: 0.01,
            ..term("node_power_supply_capacity", &[], &[])
        }]),
    ),
];
