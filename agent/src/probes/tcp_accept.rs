//! How long connections wait to be accepted. Their histogram is read with the others of [`super::tcp`].

use super::{Alternative, Hook, Probe, Program};
use crate::signal::{Instrument, Shape};
use onlooker_common::histogram::SECONDS;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "tcp_accept",
    loses: "how long TCP connections wait to be accepted",
    default: false,
    alternatives: &[
        Alternative {
            name: "tp_btf/sys_exit",
            programs: &[Program {
                name: "tcp_accept_btf",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            again: &[Program {
                name: "tcp_accept_btf_again",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            needs: &[super::CALL, super::syscall::FD_WALK],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sys_exit",
            programs: &[Program {
                name: "tcp_accept_raw",
                hook: Hook::RawTracepoint("sys_exit"),
            }],
            needs: &[super::CALL, super::syscall::FD_WALK],
            ..Alternative::BASE
        },
    ],
    cost: "some nanoseconds every system call, 300 ns one that accepts",
    since: "5.8 and later; needs the probe `tcp`",
    instruments: &[&ACCEPT],
    ..Probe::BASE
};

/// From the SYN-ACK to the return of `accept`.
pub(super) static ACCEPT: Instrument = Instrument {
    name: "onlooker_tcp_accept_duration_seconds",
    unit: "seconds",
    help: "Time from the SYN-ACK to the return of accept.",
    shape: Shape::Histogram(&SECONDS),
    labels: super::tcp::LABELS,
    limit: 2000,
    source: "`sys_exit` of `accept` and `accept4`, less the end of the handshake and the round trip time that the kernel measured in it. \
             Not observed where that is not known: the SYN-ACK was sent more than once, or with SYN cookies; nor what io_uring and 32-bit programs accept",
};
