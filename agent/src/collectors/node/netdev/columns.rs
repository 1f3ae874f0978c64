//! What is told of a network device: families, and which numbers of the kernel's `struct rtnl_link_stats64` make them up.

use crate::collectors::node::netlink::link::STATS;
use crate::metric::{Family, Kind};

/// A family, and the places of the numbers that it sums up.
pub(super) struct Column(pub(super) Family, pub(super) &'static [usize]);

const fn count(name: &'static str, help: &'static str, of: &'static [usize]) -> Column {
    Column(Family::new(name, "", help, Kind::Counter), of)
}

const fn bytes(name: &'static str, help: &'static str, of: &'static [usize]) -> Column {
    Column(Family::new(name, "bytes", help, Kind::Counter), of)
}

/// Of netlink's numbers, under the names of the file's columns.
pub(super) static PLAIN: [Column; 17] = [
    bytes("node_network_receive_bytes_total", "Bytes received.", &[2]),
    count(
        "node_network_receive_compressed_total",
        "Compressed packets received.",
        &[21],
    ),
    count(
        "node_network_receive_drop_total",
        "Packets received and dropped, for want of room too.",
        &[6, 15],
    ),
    count("node_network_receive_errs_total", "Errors while receiving.", &[4]),
    count(
        "node_network_receive_fifo_total",
        "Overruns of the receiver's queue.",
        &[14],
    ),
    count(
        "node_network_receive_frame_total",
        "Packets received with a bad length, checksum or frame.",
        &[13, 10, 11, 12],
    ),
    count(
        "node_network_receive_multicast_total",
        "Multicast packets received.",
        &[8],
    ),
    count(
        "node_network_receive_nohandler_total",
        "Packets received that no protocol took.",
        &[23],
    ),
    count("node_network_receive_packets_total", "Packets received.", &[0]),
    bytes("node_network_transmit_bytes_total", "Bytes sent.", &[3]),
    count(
        "node_network_transmit_carrier_total",
        "Losses of the carrier and other aborts while sending.",
        &[17, 16, 19, 20],
    ),
    count("node_network_transmit_colls_total", "Collisions while sending.", &[9]),
    count(
        "node_network_transmit_compressed_total",
        "Compressed packets sent.",
        &[22],
    ),
    count(
        "node_network_transmit_drop_total",
        "Packets dropped before they were sent.",
        &[7],
    ),
    count("node_network_transmit_errs_total", "Errors while sending.", &[5]),
    count(
        "node_network_transmit_fifo_total",
        "Underruns of the sender's queue.",
        &[18],
    ),
    count("node_network_transmit_packets_total", "Packets sent.", &[1]),
];

/// Each of netlink's numbers.
pub(super) static EACH: [Column; STATS] = [
    count("node_network_receive_packets_total", "Packets received.", &[0]),
    count("node_network_transmit_packets_total", "Packets sent.", &[1]),
    bytes("node_network_receive_bytes_total", "Bytes received.", &[2]),
    bytes("node_network_transmit_bytes_total", "Bytes sent.", &[3]),
    count("node_network_receive_errors_total", "Errors while receiving.", &[4]),
    count("node_network_transmit_errors_total", "Errors while sending.", &[5]),
    count(
        "node_network_receive_dropped_total",
        "Packets received and dropped.",
        &[6],
    ),
    count(
        "node_network_transmit_dropped_total",
        "Packets dropped before they were sent.",
        &[7],
    ),
    count("node_network_multicast_total", "Multicast packets received.", &[8]),
    count("node_network_collisions_total", "Collisions while sending.", &[9]),
    count(
        "node_network_receive_length_errors_total",
        "Packets received with a bad length.",
        &[10],
    ),
    count(
        "node_network_receive_over_errors_total",
        "Overruns of the receiver's ring.",
        &[11],
    ),
    count(
        "node_network_receive_crc_errors_total",
        "Packets received with a bad checksum.",
        &[12],
    ),
    count(
        "node_network_receive_frame_errors_total",
        "Packets received with a bad frame.",
        &[13],
    ),
    count(
        "node_network_receive_fifo_errors_total",
        "Overruns of the receiver's queue.",
        &[14],
    ),
    count(
        "node_network_receive_missed_errors_total",
        "Packets that the host had no room for.",
        &[15],
    ),
    count(
        "node_network_transmit_aborted_errors_total",
        "Packets whose sending was aborted.",
        &[16],
    ),
    count(
        "node_network_transmit_carrier_errors_total",
        "Losses of the carrier while sending.",
        &[17],
    ),
    count(
        "node_network_transmit_fifo_errors_total",
        "Underruns of the sender's queue.",
        &[18],
    ),
    count(
        "node_network_transmit_heartbeat_errors_total",
        "Heartbeats missing while sending.",
        &[19],
    ),
    count(
        "node_network_transmit_window_errors_total",
        "Late collisions while sending.",
        &[20],
    ),
    count(
        "node_network_receive_compressed_total",
        "Compressed packets received.",
        &[21],
    ),
    count(
        "node_network_transmit_compressed_total",
        "Compressed packets sent.",
        &[22],
    ),
    count(
        "node_network_receive_nohandler_total",
        "Packets received that no protocol took.",
        &[23],
    ),
];

/// Where the columns of `proc/net/dev` are among these numbers; the kernel summed some of them up for it.
pub(super) static FILE: [usize; 16] = [2, 0, 4, 6, 14, 13, 21, 8, 3, 1, 5, 7, 18, 9, 17, 22];
/// Place of the number that is not in the file.
const NO_HANDLER: &[usize] = &[23];
/// Places of errors and drops, which have a name of their own among the details of the file too.
const RENAMED: std::ops::RangeInclusive<usize> = 4..=7;

/// What is told, by where it comes from and whether details are wanted.
pub(super) fn columns(netlink: bool, detailed: bool) -> Vec<&'static Column> {
    if netlink {
        return if detailed { EACH.iter() } else { PLAIN.iter() }.collect();
    }
    let of_file = PLAIN.iter().filter(|Column(_, of)| *of != NO_HANDLER);
    of_file
        .map(|column| match column.1.first() {
            Some(place) if detailed && RENAMED.contains(place) => EACH.get(*place).unwrap_or(column),
            _ => column,
        })
        .collect()
}
