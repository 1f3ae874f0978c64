//! State changes of TCP connections that carry requests, and their end.

use super::{Alternative, Hook, Probe, Program};
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "tcp_state",
    group: None,
    loses: "the end of connections: responses that end with the connection, aborted requests",
    alternatives: &[
        Alternative {
            name: "tp_btf/inet_sock_set_state+tcp_destroy_sock",
            programs: &[
                Program {
                    name: "tcp_state_btf",
                    hook: Hook::BtfTracepoint("inet_sock_set_state"),
                },
                Program {
                    name: "tcp_destroy_btf",
                    hook: Hook::BtfTracepoint("tcp_destroy_sock"),
                },
            ],
            again: &[
                Program {
                    name: "tcp_state_btf_again",
                    hook: Hook::BtfTracepoint("inet_sock_set_state"),
                },
                Program {
                    name: "tcp_destroy_btf_again",
                    hook: Hook::BtfTracepoint("tcp_destroy_sock"),
                },
            ],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/inet_sock_set_state+tcp_destroy_sock",
            programs: &[
                Program {
                    name: "tcp_state_raw",
                    hook: Hook::RawTracepoint("inet_sock_set_state"),
                },
                Program {
                    name: "tcp_destroy_raw",
                    hook: Hook::RawTracepoint("tcp_destroy_sock"),
                },
            ],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
    ],
    ..Probe::BASE
};

const NEEDS: &[usize] = &[
    SK_FAMILY,
    SK_ERR,
    TCP_WRITE_SEQ,
    TCP_COPIED_SEQ,
    TCP_SRTT,
    TCP_BYTES_RECEIVED,
    TCP_BYTES_ACKED,
    TCP_ULP,
];
