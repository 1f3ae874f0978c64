//! Counters of a port: files below its folder, and what they are.

use crate::metric::{Family, Kind};

/// A file that counts.
pub(super) struct Counter {
    /// Below the folder of the port.
    pub(super) file: &'static str,
    pub(super) family: Family,
    /// What one of the file is worth.
    pub(super) times: u64,
}

impl Counter {
    /// Is it one of the device's own?
    pub(super) fn is_hardware(&self) -> bool {
        self.file.starts_with("hw_counters/")
    }
}

const fn count(file: &'static str, name: &'static str, help: &'static str) -> Counter {
    Counter {
        file,
        family: Family::new(name, "", help, Kind::Counter),
        times: 1,
    }
}

/// Data is counted in words of four bytes.
const fn words(file: &'static str, name: &'static str, help: &'static str) -> Counter {
    Counter {
        file,
        family: Family::new(name, "bytes", help, Kind::Counter),
        times: 4,
    }
}

/// All that are known. `counters_ext` is of kernels before 4.5.
pub(super) static COUNTERS: [Counter; 59] = [
    count(
        "counters_ext/port_multicast_rcv_packets",
        "node_infiniband_legacy_multicast_packets_received_total",
        "Multicast packets received, of old kernels.",
    ),
    count(
        "counters_ext/port_multicast_xmit_packets",
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        "Multicast packets sent, of old kernels.",
    ),
    words(
        "counters_ext/port_rcv_data_64",
        "node_infiniband_legacy_data_received_bytes_total",
        "Bytes received, of old kernels.",
    ),
    words(
        "counters_ext/port_xmit_data_64",
        "node_infiniband_legacy_data_transmitted_bytes_total",
        "Bytes sent, of old kernels.",
    ),
    count(
        "counters_ext/port_rcv_packets_64",
        "node_infiniband_legacy_packets_received_total",
        "Packets received, of old kernels.",
    ),
    count(
        "counters_ext/port_xmit_packets_64",
        "node_infiniband_legacy_packets_transmitted_total",
        "Packets sent, of old kernels.",
    ),
    count(
        "counters_ext/port_unicast_rcv_packets",
        "node_infiniband_legacy_unicast_packets_received_total",
        "Unicast packets received, of old kernels.",
    ),
    count(
        "counters_ext/port_unicast_xmit_packets",
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        "Unicast packets sent, of old kernels.",
    ),
    count(
        "counters/excessive_buffer_overrun_errors",
        "node_infiniband_excessive_buffer_overrun_errors_total",
        "Overruns of buffers that went on too long.",
    ),
    count(
        "counters/link_downed",
        "node_infiniband_link_downed_total",
        "Times that the link went down.",
    ),
    count(
        "counters/link_error_recovery",
        "node_infiniband_link_error_recovery_total",
        "Times that the link came back from errors.",
    ),
    count(
        "counters/local_link_integrity_errors",
        "node_infiniband_local_link_integrity_errors_total",
        "Times that errors of the local link went over their limit.",
    ),
    count(
        "counters/multicast_rcv_packets",
        "node_infiniband_multicast_packets_received_total",
        "Multicast packets received.",
    ),
    count(
        "counters/multicast_xmit_packets",
        "node_infiniband_multicast_packets_transmitted_total",
        "Multicast packets sent.",
    ),
    count(
        "counters/port_rcv_constraint_errors",
        "node_infiniband_port_constraint_errors_received_total",
        "Packets that a switch discarded on receipt.",
    ),
    count(
        "counters/port_xmit_constraint_errors",
        "node_infiniband_port_constraint_errors_transmitted_total",
        "Packets that a switch did not send.",
    ),
    words(
        "counters/port_rcv_data",
        "node_infiniband_port_data_received_bytes_total",
        "Bytes received.",
    ),
    words(
        "counters/port_xmit_data",
        "node_infiniband_port_data_transmitted_bytes_total",
        "Bytes sent.",
    ),
    count(
        "counters/port_rcv_discards",
        "node_infiniband_port_discards_received_total",
        "Packets received and discarded: the port is down or congested.",
    ),
    count(
        "counters/port_xmit_discards",
        "node_infiniband_port_discards_transmitted_total",
        "Packets discarded before they were sent: the port is down or congested.",
    ),
    count(
        "counters/port_rcv_errors",
        "node_infiniband_port_errors_received_total",
        "Packets received with an error.",
    ),
    count(
        "counters/port_rcv_packets",
        "node_infiniband_port_packets_received_total",
        "Packets received.",
    ),
    count(
        "counters/port_xmit_packets",
        "node_infiniband_port_packets_transmitted_total",
        "Packets sent.",
    ),
    count(
        "counters/port_rcv_remote_physical_errors",
        "node_infiniband_port_receive_remote_physical_errors_total",
        "Packets received that the peer marked as bad.",
    ),
    count(
        "counters/port_rcv_switch_relay_errors",
        "node_infiniband_port_receive_switch_relay_errors_total",
        "Packets that a switch could not pass on.",
    ),
    count(
        "counters/port_xmit_wait",
        "node_infiniband_port_transmit_wait_total",
        "Ticks that data waited to be sent.",
    ),
    count(
        "counters/symbol_error",
        "node_infiniband_symbol_error_total",
        "Small errors of the physical link.",
    ),
    count(
        "counters/unicast_rcv_packets",
        "node_infiniband_unicast_packets_received_total",
        "Unicast packets received.",
    ),
    count(
        "counters/unicast_xmit_packets",
        "node_infiniband_unicast_packets_transmitted_total",
        "Unicast packets sent.",
    ),
    count(
        "counters/VL15_dropped",
        "node_infiniband_vl15_dropped_total",
        "Packets of management dropped for want of room.",
    ),
    count(
        "hw_counters/duplicate_request",
        "node_infiniband_duplicate_requests_packets_total",
        "Requests received that were served before.",
    ),
    count(
        "hw_counters/implied_nak_seq_err",
        "node_infiniband_implied_nak_seq_errors_total",
        "Acknowledgements received of a later packet than expected.",
    ),
    count(
        "hw_counters/local_ack_timeout_err",
        "node_infiniband_local_ack_timeout_errors_total",
        "Acknowledgements that came too late.",
    ),
    count(
        "hw_counters/np_cnp_sent",
        "node_infiniband_np_cnp_packets_sent_total",
        "Notices of congestion sent.",
    ),
    count(
        "hw_counters/np_ecn_marked_roce_packets",
        "node_infiniband_np_ecn_marked_roce_packets_received_total",
        "Packets received that a switch marked as congested.",
    ),
    count(
        "hw_counters/out_of_buffer",
        "node_infiniband_out_of_buffer_drops_total",
        "Packets dropped because nobody waited for them.",
    ),
    count(
        "hw_counters/out_of_sequence",
        "node_infiniband_out_of_sequence_packets_received_total",
        "Packets received out of order.",
    ),
    count(
        "hw_counters/packet_seq_err",
        "node_infiniband_packet_sequence_errors_total",
        "Complaints received of packets out of order.",
    ),
    count(
        "hw_counters/req_cqe_error",
        "node_infiniband_req_cqes_errors_total",
        "Requests that ended with an error.",
    ),
    count(
        "hw_counters/req_cqe_flush_error",
        "node_infiniband_req_cqes_flush_errors_total",
        "Requests that were flushed.",
    ),
    count(
        "hw_counters/req_remote_access_errors",
        "node_infiniband_req_remote_access_errors_total",
        "Requests that the peer denied.",
    ),
    count(
        "hw_counters/req_remote_invalid_request",
        "node_infiniband_req_remote_invalid_request_errors_total",
        "Requests that the peer did not understand.",
    ),
    count(
        "hw_counters/resp_cqe_error",
        "node_infiniband_resp_cqes_errors_total",
        "Answers that ended with an error.",
    ),
    count(
        "hw_counters/resp_cqe_flush_error",
        "node_infiniband_resp_cqes_flush_errors_total",
        "Answers that were flushed.",
    ),
    count(
        "hw_counters/resp_local_length_error",
        "node_infiniband_resp_local_length_errors_total",
        "Requests received that are too long.",
    ),
    count(
        "hw_counters/resp_remote_access_errors",
        "node_infiniband_resp_remote_access_errors_total",
        "Requests received that were denied.",
    ),
    count(
        "hw_counters/rnr_nak_retry_err",
        "node_infiniband_rnr_nak_retry_packets_received_total",
        "Times that the peer was not ready.",
    ),
    count(
        "hw_counters/roce_adp_retrans",
        "node_infiniband_roce_adp_retransmits_total",
        "Adaptive retransmissions.",
    ),
    count(
        "hw_counters/roce_adp_retrans_to",
        "node_infiniband_roce_adp_retransmits_timeout_total",
        "Adaptive retransmissions that ran out of time.",
    ),
    count(
        "hw_counters/roce_slow_restart",
        "node_infiniband_roce_slow_restart_used_total",
        "Times that slow restart was used.",
    ),
    count(
        "hw_counters/roce_slow_restart_cnps",
        "node_infiniband_roce_slow_restart_cnps_total",
        "Notices of congestion by slow restart.",
    ),
    count(
        "hw_counters/roce_slow_restart_trans",
        "node_infiniband_roce_slow_restart_total",
        "Times that slow restart began.",
    ),
    count(
        "hw_counters/rp_cnp_handled",
        "node_infiniband_rp_cnp_packets_handled_total",
        "Notices of congestion that slowed the sender down.",
    ),
    count(
        "hw_counters/rp_cnp_ignored",
        "node_infiniband_rp_cnp_ignored_packets_received_total",
        "Notices of congestion that were ignored.",
    ),
    count(
        "hw_counters/rx_atomic_requests",
        "node_infiniband_rx_atomic_requests_total",
        "Atomic requests received.",
    ),
    count(
        "hw_counters/rx_dct_connect",
        "node_infiniband_rx_dct_connect_requests_total",
        "Requests received to connect.",
    ),
    count(
        "hw_counters/rx_icrc_encapsulated",
        "node_infiniband_rx_icrc_encapsulated_errors_total",
        "Packets received with a bad checksum.",
    ),
    count(
        "hw_counters/rx_read_requests",
        "node_infiniband_rx_read_requests_total",
        "Requests to read received.",
    ),
    count(
        "hw_counters/rx_write_requests",
        "node_infiniband_rx_write_requests_total",
        "Requests to write received.",
    ),
];
