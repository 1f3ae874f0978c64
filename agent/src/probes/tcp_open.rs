//! TCP connections while they are open, listening sockets, and both from before the agent. [`super::tcp`] reads these iterators.

use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "tcp_open",
    loses: "TCP connections while they are open, and those from before the agent; queues of listening sockets",
    alternatives: &[Alternative {
        name: "iter/bpf_map_elem+task_file",
        programs: &[
            Program {
                name: "tcp_open_connections",
                hook: Hook::Iterator("bpf_map_elem"),
            },
            Program {
                name: "tcp_open_listeners",
                hook: Hook::Iterator("bpf_map_elem"),
            },
            Program {
                name: "tcp_open_find_listeners",
                hook: Hook::Iterator("task_file"),
            },
            Program {
                name: "tcp_open_find_connections",
                hook: Hook::Iterator("task_file"),
            },
        ],
        needs: &[
            super::tcp::NEEDS,
            &[
                FILE_INODE,
                INODE_MODE,
                FILE_PRIVATE,
                SOCKET_SK,
                SK_BACKLOG,
                SK_MAX_BACKLOG,
                TCP_SND_WND,
            ],
        ],
        ..Alternative::BASE
    }],
    cost: "each second (each 5 s beyond 1,000 connections) 0.3 us a connection that is open; at the start, and when a process that listened \
           is gone, 0.1 us an open file of the host",
    since: "5.9 and later; needs the probe `tcp`",
    instruments: &[&OPEN, &ZERO_WINDOWS, &LISTENING, &QUEUE, &QUEUE_LIMIT, &DROPS],
    ..Probe::BASE
};

const GAUGE: Instrument = Instrument {
    name: "",
    unit: "",
    help: "",
    shape: Shape::Gauge,
    labels: super::tcp::LABELS,
    limit: 2000,
    source: "",
};

/// Connections.
pub(super) static OPEN: Instrument = Instrument {
    name: "onlooker_tcp_connections",
    help: "TCP connections that are open: established and not closed on both sides.",
    source: "iterator over the connections that probe `tcp` follows and those that processes had when the agent began",
    ..GAUGE
};
/// Connections whose peer takes nothing.
pub(super) static ZERO_WINDOWS: Instrument = Instrument {
    name: "onlooker_tcp_zero_windows",
    help: "TCP connections whose other end announces a window of zero: it does not read what it was sent.",
    source: "`tcp_sock.snd_wnd` of open connections. Told for those who had one",
    ..GAUGE
};
const LISTENER: Instrument = Instrument {
    labels: &["server_port", "network_type"],
    source: "iterator over the sockets that listen; an IPv6 socket that takes IPv4 too is `ipv6`",
    ..GAUGE
};
/// Listening sockets.
pub(super) static LISTENING: Instrument = Instrument {
    name: "onlooker_tcp_listening_sockets",
    help: "TCP sockets that listen.",
    ..LISTENER
};
/// Length of their queues.
pub(super) static QUEUE: Instrument = Instrument {
    name: "onlooker_tcp_accept_queue_length",
    help: "Established TCP connections that wait for accept.",
    ..LISTENER
};
/// Bounds of these.
pub(super) static QUEUE_LIMIT: Instrument = Instrument {
    name: "onlooker_tcp_accept_queue_limit",
    help: "How many TCP connections may wait for accept: the backlog of listen, or net.core.somaxconn.",
    ..LISTENER
};
/// What found no room.
pub(super) static DROPS: Instrument = Instrument {
    name: "onlooker_tcp_listen_drops_total",
    help: "SYNs and connections that a listening socket dropped, mostly because its queue was full.",
    shape: Shape::Counter,
    source: "`sock.sk_drops` of listening sockets, `ListenDrops` of `/proc/net/netstat`",
    ..LISTENER
};
