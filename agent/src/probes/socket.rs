//! Calls on sockets, at the socket tracepoints (kernel 6.3 and later). Costs other system calls nothing.

use super::{Alternative, Hook, Probe, Program};
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "socket",
    group: Some("capture"),
    loses: "requests and responses of every program",
    alternatives: &[
        Alternative {
            name: "tp/sock_send_length+sock_recv_length+tcp_rcv_space_adjust",
            programs: &[
                Program {
                    name: "sock_send_length_tp",
                    hook: Hook::Tracepoint("sock", "sock_send_length"),
                },
                Program {
                    name: "sock_recv_length_tp",
                    hook: Hook::Tracepoint("sock", "sock_recv_length"),
                },
                Program {
                    name: "tcp_rcv_space_adjust_tp",
                    hook: Hook::Tracepoint("tcp", "tcp_rcv_space_adjust"),
                },
            ],
            again: &[SEND_AGAIN, RECEIVE_AGAIN, SPLICE_AGAIN],
            needs: &[
                CAPTURE,
                &[TASK_MM, LENGTH_SOCK, LENGTH_RET, LENGTH_FLAGS, TCP_EVENT_SOCK],
            ],
            casts: true,
            undivided: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sock_send_length+sock_recv_length+tcp_rcv_space_adjust",
            programs: &[SEND, RECEIVE, SPLICE],
            again: &[SEND_AGAIN, RECEIVE_AGAIN, SPLICE_AGAIN],
            needs: &[CAPTURE, &[TASK_MM]],
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sock_send_length+sock_recv_length",
            programs: &[SEND, RECEIVE],
            again: &[SEND_AGAIN, RECEIVE_AGAIN],
            needs: &[CAPTURE, &[TASK_MM]],
            loses: "reads by splice",
            ..Alternative::BASE
        },
    ],
    ..Probe::BASE
};

const SEND: Program = Program {
    name: "sock_send_length",
    hook: Hook::BtfTracepoint("sock_send_length"),
};
const RECEIVE: Program = Program {
    name: "sock_recv_length",
    hook: Hook::BtfTracepoint("sock_recv_length"),
};
/// Reads by `splice`, which the other two do not see.
const SPLICE: Program = Program {
    name: "tcp_rcv_space_adjust",
    hook: Hook::BtfTracepoint("tcp_rcv_space_adjust"),
};
const SEND_AGAIN: Program = Program {
    name: "sock_send_length_again",
    hook: SEND.hook,
};
const RECEIVE_AGAIN: Program = Program {
    name: "sock_recv_length_again",
    hook: RECEIVE.hook,
};
const SPLICE_AGAIN: Program = Program {
    name: "tcp_rcv_space_adjust_again",
    hook: SPLICE.hook,
};

/// Members that every capture probe reads.
pub(super) const CAPTURE: &[usize] = &[
    TASK_START,
    TASK_LEADER,
    TASK_STATUS,
    SOCKET_INO,
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
    SK_TYPE,
    SK_SOCKET,
    NET_INUM,
    TCP_WRITE_SEQ,
    TCP_COPIED_SEQ,
    TCP_SRTT,
    TCP_RCV_NXT,
    TCP_SND_UNA,
    TCP_BYTES_RECEIVED,
    TCP_BYTES_ACKED,
    TCP_ULP,
    UNIX_PEER,
];
