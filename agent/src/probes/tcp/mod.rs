//! TCP connections: attempts, their end, what they moved, how long it took; by service, peer, port and family.

mod listeners;
mod read;
mod told;

use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::histogram::SECONDS;
use onlooker_common::layout::*;
use onlooker_common::tcp::count;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "tcp",
    loses: "TCP connections: attempts and failures, what they move, how long they take",
    alternatives: &[
        Alternative {
            name: "tp/inet_sock_set_state+tcp_destroy_sock+resets",
            programs: &[
                Program {
                    name: "tcp_change_tp",
                    hook: Hook::Tracepoint("sock", "inet_sock_set_state"),
                },
                Program {
                    name: "tcp_gone_tp",
                    hook: Hook::Tracepoint("tcp", "tcp_destroy_sock"),
                },
                RECEIVED,
                SENT,
                SYNACK,
            ],
            again: AGAIN,
            needs: &[NEEDS, &[STATE_SOCK, STATE_OLD, STATE_NEW, TCP_EVENT_SOCK]],
            undivided: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/inet_sock_set_state+tcp_destroy_sock+resets",
            programs: &[
                Program {
                    name: "tcp_change_btf",
                    hook: Hook::BtfTracepoint("inet_sock_set_state"),
                },
                Program {
                    name: "tcp_gone_btf",
                    hook: Hook::BtfTracepoint("tcp_destroy_sock"),
                },
                RECEIVED,
                SENT,
                SYNACK,
            ],
            again: AGAIN,
            needs: &[NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/inet_sock_set_state+tcp_destroy_sock+resets",
            programs: &[
                Program {
                    name: "tcp_change_raw",
                    hook: Hook::RawTracepoint("inet_sock_set_state"),
                },
                Program {
                    name: "tcp_gone_raw",
                    hook: Hook::RawTracepoint("tcp_destroy_sock"),
                },
                RECEIVED,
                SENT,
                SYNACK,
            ],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
    ],
    maps: &[
        "TCP_CONNECTIONS",
        "TCP_LISTENERS",
        "TCP_PORTS",
        "TCP_CLIENTS",
        "TCP_COUNTS",
        "TCP_TIMES",
        "TCP_FAILURES",
    ],
    instruments: &[
        &CONNECT,
        &FAILURES,
        &OPENED,
        &CLOSED,
        &LIFE,
        &SENT_BYTES,
        &RECEIVED_BYTES,
        &SENT_SEGMENTS,
        &RECEIVED_SEGMENTS,
        &RETRANSMITS,
        &OUT_OF_ORDER,
        &RESETS,
        &RTT,
        &VARIATION,
    ],
    since: "5.8 and later",
    cost: "1.7 us a connection and end from its begin to its close, 190 ns its end; nothing a segment",
    reader: Some(read::make),
    ..Probe::BASE
};

const AGAIN: &[Program] = &[
    Program {
        name: "tcp_change_btf_again",
        hook: Hook::BtfTracepoint("inet_sock_set_state"),
    },
    Program {
        name: "tcp_gone_btf_again",
        hook: Hook::BtfTracepoint("tcp_destroy_sock"),
    },
];

const RECEIVED: Program = Program {
    name: "tcp_reset_received_raw",
    hook: Hook::RawTracepoint("tcp_receive_reset"),
};
const SENT: Program = Program {
    name: "tcp_reset_sent_raw",
    hook: Hook::RawTracepoint("tcp_send_reset"),
};
const SYNACK: Program = Program {
    name: "tcp_synack_raw",
    hook: Hook::RawTracepoint("tcp_retransmit_synack"),
};

/// Members that are read of a connection.
pub(super) const NEEDS: &[usize] = &[
    TASK_LEADER,
    TASK_START,
    SK_FAMILY,
    SK_STATE,
    SK_NUM,
    SK_DPORT,
    SK_DADDR,
    SK_RCV_SADDR,
    SK_V6_DADDR,
    SK_V6_RCV_SADDR,
    SK_NET,
    SK_PROTOCOL,
    SK_ERR,
    SK_FLAGS,
    SK_SHUTDOWN,
    SK_DROPS,
    NET_INUM,
    TCP_WRITE_SEQ,
    TCP_SND_UNA,
    TCP_SRTT,
    TCP_MDEV,
    TCP_BYTES_RECEIVED,
    TCP_BYTES_ACKED,
    TCP_BYTES_SENT,
    TCP_BYTES_RETRANS,
    TCP_SEGS_OUT,
    TCP_SEGS_IN,
    TCP_RETRANS,
    TCP_OUT_OF_ORDER,
];

/// Labels of all that is told of connections.
pub(super) const LABELS: &[&str] = &[
    "onlooker_role",
    "network_type",
    "server_port",
    "peer_service",
    "server_address",
    "onlooker_peer_class",
];

/// These with another before them.
const fn behind(first: &'static str) -> [&'static str; LABELS.len() + 1] {
    let mut all = [first; LABELS.len() + 1];
    let mut i = 0;
    while i < LABELS.len() {
        all[i + 1] = LABELS[i];
        i += 1;
    }
    all
}

const COUNTER: Instrument = Instrument {
    name: "",
    unit: "",
    help: "",
    shape: Shape::Counter,
    labels: LABELS,
    limit: 2000,
    source: "the kernel's numbers in `tcp_sock` when a connection closes, with `tcp_open` while it is open; without SYN and FIN. \
             `onlooker_role`: the service connected (`client`) or listens (`server`); whose an accepted connection is its listening socket \
             tells. `peer_service`: the other end is on this host, in the same network namespace. `server_address`: the name of a server, \
             by an answer of DNS that was seen on this host",
};

static CONNECT: Instrument = Instrument {
    name: "onlooker_tcp_connect_duration_seconds",
    unit: "seconds",
    help: "Time from the SYN of a client to its connection.",
    shape: Shape::Histogram(&SECONDS),
    source: "`inet_sock_set_state`: SYN_SENT to ESTABLISHED",
    ..COUNTER
};
static FAILURES: Instrument = Instrument {
    name: "onlooker_tcp_connect_errors_total",
    help: "Attempts to connect that failed after the SYN, by errno.",
    labels: &behind("error_type"),
    source: "`inet_sock_set_state`: SYN_SENT to CLOSE, with `sock.sk_err`. `cancelled`: the program closed the socket first; `_OTHER`: it failed \
             inside the call, mostly for want of a port. What fails before a SYN (no route) is an error of the system call `connect`",
    ..COUNTER
};
static OPENED: Instrument = Instrument {
    name: "onlooker_tcp_opened_total",
    help: "TCP connections that were established.",
    source: "`inet_sock_set_state`: to ESTABLISHED; a server's before `accept`",
    ..COUNTER
};
static CLOSED: Instrument = Instrument {
    name: "onlooker_tcp_closed_total",
    help: "TCP connections that closed on both sides.",
    source: "`inet_sock_set_state`: to CLOSE; TIME_WAIT is not waited for",
    ..COUNTER
};
static LIFE: Instrument = Instrument {
    name: "onlooker_tcp_connection_duration_seconds",
    unit: "seconds",
    help: "Time from the establishment of TCP connections to their end on both sides.",
    shape: Shape::Histogram(&SECONDS),
    source: "`inet_sock_set_state`; not of connections from before the agent",
    ..COUNTER
};
static SENT_BYTES: Instrument = Instrument {
    name: "onlooker_tcp_sent_bytes_total",
    unit: "bytes",
    help: "Bytes sent over TCP that the other end acknowledged.",
    ..COUNTER
};
static RECEIVED_BYTES: Instrument = Instrument {
    name: "onlooker_tcp_received_bytes_total",
    unit: "bytes",
    help: "Bytes received over TCP, in order and once each.",
    ..COUNTER
};
static SENT_SEGMENTS: Instrument = Instrument {
    name: "onlooker_tcp_sent_segments_total",
    help: "TCP segments sent, those sent again and those without data included.",
    ..COUNTER
};
static RECEIVED_SEGMENTS: Instrument = Instrument {
    name: "onlooker_tcp_received_segments_total",
    help: "TCP segments received.",
    ..COUNTER
};
static RETRANSMITS: Instrument = Instrument {
    name: "onlooker_tcp_retransmits_total",
    help: "TCP segments sent again, SYNs and SYN-ACKs included.",
    ..COUNTER
};
static OUT_OF_ORDER: Instrument = Instrument {
    name: "onlooker_tcp_out_of_order_segments_total",
    help: "TCP segments that came out of order.",
    ..COUNTER
};
static RESETS: Instrument = Instrument {
    name: "onlooker_tcp_resets_total",
    help: "TCP resets, by direction.",
    labels: &behind("network_io_direction"),
    source: "`tcp_receive_reset` and `tcp_send_reset`. Without service: of no connection that is followed; what is sent to somebody who asks \
             for a port on which nobody listens is seen by newer kernels alone",
    ..COUNTER
};
static RTT: Instrument = Instrument {
    name: "onlooker_tcp_rtt_seconds",
    unit: "seconds",
    help: "Smoothed round trip time of TCP connections.",
    shape: Shape::Histogram(&SECONDS),
    source: "`tcp_sock.srtt_us` at the end of a connection, and with `tcp_open` every 5 s while it moves bytes",
    ..COUNTER
};
static VARIATION: Instrument = Instrument {
    name: "onlooker_tcp_rtt_variation_seconds",
    unit: "seconds",
    help: "Mean deviation of the round trip time of TCP connections.",
    shape: Shape::Histogram(&SECONDS),
    source: "`tcp_sock.mdev_us`, as the round trip time",
    ..COUNTER
};

/// What connections move, by place in the kernel's numbers.
const MOVED: [(usize, &Instrument); 6] = [
    (count::SENT, &SENT_BYTES),
    (count::RECEIVED, &RECEIVED_BYTES),
    (count::SEGMENTS_SENT, &SENT_SEGMENTS),
    (count::SEGMENTS_RECEIVED, &RECEIVED_SEGMENTS),
    (count::RETRANSMITS, &RETRANSMITS),
    (count::OUT_OF_ORDER, &OUT_OF_ORDER),
];
