//! Calls on UDP sockets: what processes send, receive and fail to; and what clients of DNS servers say to them, as messages.
//! The alternatives at the socket tracepoints name them the other way round than those of capture: tests refuse either by name.

use super::syscall::FD_WALK;
use super::{Alternative, Hook, Probe, Program, Reader, Tools};
use crate::kernel::tables::{GrowingTable, TableError};
use crate::signal::*;
use aya::maps::{Array, MapData};
use onlooker_common::dns::{UdpErrorKey, UdpKey, udp};
use onlooker_common::layout::*;
use onlooker_common::record::dir;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "dns",
    loses: "DNS lookups; bytes, datagrams and errors of UDP",
    alternatives: &[
        Alternative {
            name: "tp/sock_recv_length+sock_send_length",
            programs: &[
                Program {
                    name: "dns_send_tp",
                    hook: Hook::Tracepoint("sock", "sock_send_length"),
                },
                Program {
                    name: "dns_receive_tp",
                    hook: Hook::Tracepoint("sock", "sock_recv_length"),
                },
            ],
            again: &[SEND_AGAIN, RECEIVE_AGAIN],
            needs: &[NEEDS, &[TASK_MM, LENGTH_SOCK, LENGTH_RET, LENGTH_FLAGS]],
            casts: true,
            undivided: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sock_recv_length+sock_send_length",
            programs: &[
                Program {
                    name: "dns_send",
                    hook: Hook::BtfTracepoint("sock_send_length"),
                },
                Program {
                    name: "dns_receive",
                    hook: Hook::BtfTracepoint("sock_recv_length"),
                },
            ],
            again: &[SEND_AGAIN, RECEIVE_AGAIN],
            needs: &[NEEDS, &[TASK_MM]],
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sys_exit",
            programs: &[Program {
                name: "dns_exit_btf",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            needs: &[NEEDS, FD_WALK],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sys_exit",
            programs: &[Program {
                name: "dns_exit_raw",
                hook: Hook::RawTracepoint("sys_exit"),
            }],
            needs: &[NEEDS, FD_WALK],
            ..Alternative::BASE
        },
    ],
    maps: &["UDP", "UDP_ERRORS", "MMSG"],
    instruments: &[&SENT_BYTES, &SENT, &RECEIVED_BYTES, &RECEIVED, &ERRORS],
    since: "all; before 6.3 at the exit of every system call",
    cost: "59 ns a call on a TCP or Unix socket, 210 ns a datagram sent, 324 ns one received by a socket that is not connected; before 6.3 some \
           nanoseconds every system call",
    reader: Some(Udp::reader),
    ..Probe::BASE
};

const SEND_AGAIN: Program = Program {
    name: "dns_send_again",
    hook: Hook::BtfTracepoint("sock_send_length"),
};
const RECEIVE_AGAIN: Program = Program {
    name: "dns_receive_again",
    hook: Hook::BtfTracepoint("sock_recv_length"),
};

const NEEDS: &[usize] = &[
    TASK_START,
    TASK_LEADER,
    TASK_STATUS,
    SK_FAMILY,
    SK_TYPE,
    SK_PROTOCOL,
    SK_NUM,
    SK_DPORT,
    SK_DADDR,
    SK_V6_DADDR,
    SK_NET,
    NET_INUM,
];

/// What is common to these counters: one for each of a process' address families.
const COUNTER: Instrument = Instrument {
    name: "",
    unit: "",
    help: "",
    shape: Shape::Counter,
    labels: &["network_type"],
    limit: 2048,
    source: "results of the calls on UDP sockets (`read`, `recv…`, `write`, `send…`); `network_type` is the socket's family, so IPv4 \
             over an IPv6 socket is `ipv6`. Not what the kernel's own threads and 32-bit programs before 6.3 move",
};
static SENT_BYTES: Instrument = Instrument {
    name: "onlooker_udp_sent_bytes_total",
    unit: "bytes",
    help: "Bytes sent over UDP, without headers.",
    ..COUNTER
};
static SENT: Instrument = Instrument {
    name: "onlooker_udp_sent_datagrams_total",
    help: "Calls that sent a datagram over UDP; with segmentation offload (UDP_SEGMENT) one call sends several and counts once.",
    ..COUNTER
};
static RECEIVED_BYTES: Instrument = Instrument {
    name: "onlooker_udp_received_bytes_total",
    unit: "bytes",
    help: "Bytes received over UDP, without headers; of a datagram that was longer than its buffer what the call returned.",
    ..COUNTER
};
static RECEIVED: Instrument = Instrument {
    name: "onlooker_udp_received_datagrams_total",
    help: "Datagrams received over UDP, empty ones included.",
    ..COUNTER
};
static ERRORS: Instrument = Instrument {
    name: "onlooker_udp_errors_total",
    help: "Calls that should have sent or received a datagram over UDP and failed, by errno. EAGAIN and EINTR are no failures.",
    labels: &["error_type", "network_io_direction", "network_type"],
    ..COUNTER
};

/// Reads what the kernel side counted.
struct Udp {
    moved: GrowingTable<UdpKey, { udp::NUMBERS }>,
    errors: GrowingTable<UdpErrorKey, 1>,
    /// What found no entry: the host's, without service.
    rest: Array<MapData, [u64; udp::REST]>,
    before: [u64; udp::REST],
}

impl Udp {
    fn reader(tools: &mut Tools<'_>) -> Result<Box<dyn Reader>, TableError> {
        Ok(Box::new(Udp {
            moved: tools.tables.growing("UDP")?,
            errors: tools.tables.growing("UDP_ERRORS")?,
            rest: tools.tables.array("UDP_REST")?,
            before: [0; udp::REST],
        }))
    }
}

const INSTRUMENTS: [(usize, &Instrument); udp::NUMBERS] = [
    (udp::SENT_BYTES, &SENT_BYTES),
    (udp::SENT, &SENT),
    (udp::RECEIVED_BYTES, &RECEIVED_BYTES),
    (udp::RECEIVED, &RECEIVED),
];

impl Reader for Udp {
    fn look(&mut self, at: Nanos, gone: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let mut add = |instrument: &'static Instrument, who, labels: &[&str], n: u64| {
            if n > 0 {
                let labels: Vec<Label<'_>> = labels.iter().map(|label| Label::Text(label)).collect();
                tell(Signal::Measure(MeasureSignal {
                    at,
                    instrument,
                    who,
                    labels: &labels,
                    amount: Amount::Add(n as f64),
                }));
            }
        };
        let process = |pid, start| ProcessKey { pid, start };
        let read = self
            .moved
            .fresh(&mut |key| gone(process(key.tgid, key.start)), &mut |key, n| {
                let who = Who::Process(process(key.tgid, key.start));
                for (place, instrument) in INSTRUMENTS {
                    add(instrument, who, &[family(key.family)], n[place]);
                }
            });
        let read = read.and(
            self.errors
                .fresh(&mut |key| gone(process(key.tgid, key.start)), &mut |key, [n]| {
                    let who = Who::Process(process(key.tgid, key.start));
                    let direction = if key.dir == dir::TX { "transmit" } else { "receive" };
                    let labels = [
                        errno_or_other(key.errno.into()),
                        direction,
                        family(u32::from(key.family)),
                    ];
                    add(&ERRORS, who, &labels, *n);
                }),
        );
        if let Err(error) = read {
            tracing::debug!(%error, "what was counted of UDP cannot be read now");
        }
        if let Ok(now) = self.rest.get(&0, 0) {
            for (place, instrument) in INSTRUMENTS {
                add(
                    instrument,
                    Who::Host,
                    &[""],
                    now[place].wrapping_sub(self.before[place]),
                );
            }
            let errors = now[udp::ERRORS].wrapping_sub(self.before[udp::ERRORS]);
            add(&ERRORS, Who::Host, &["_OTHER", "", ""], errors);
            self.before = now;
        }
    }
}

fn family(family: u32) -> &'static str {
    const AF_INET6: u32 = 10;
    if family == AF_INET6 { "ipv6" } else { "ipv4" }
}
