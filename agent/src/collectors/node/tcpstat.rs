//! States of TCP sockets: netlink's `SOCK_DIAG_BY_FAMILY` (`include/uapi/linux/inet_diag.h`).

use super::flags::Setup;
use super::netlink::{Socket, u32_at};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::PathBuf;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "tcpstat",
    about: "states of TCP sockets",
    default: false,
    make: |setup| Ok(Box::new(TcpStat::new(setup))),
    ..Collector::BASE
};

static STATES: Family = Family::new(
    "node_tcp_connection_states",
    "",
    "TCP sockets by their state.",
    Kind::Gauge,
);

/// Names of states, by the kernel's numbers from 1 (`include/net/tcp_states.h`); the last is all others.
const NAMES: [&str; 12] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "unknown",
];

/// Kind of the request.
const BY_FAMILY: u16 = 20;
/// Bytes of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// Where queues of a `struct inet_diag_msg` are.
const QUEUES: usize = 56;

struct TcpStat {
    socket: Socket,
    /// There with IPv6 alone.
    ipv6: PathBuf,
}

/// Sockets by state, and bytes in their queues.
#[derive(Default)]
struct Counts {
    states: [u64; NAMES.len()],
    received: u64,
    sent: u64,
}

impl TcpStat {
    fn new(setup: &Setup<'_>) -> TcpStat {
        TcpStat {
            socket: Socket::diag(),
            ipv6: setup.host.proc.join("net/tcp6"),
        }
    }

    fn count(&mut self, family: i32) -> Result<Counts, CollectError> {
        self.socket
            .dump(BY_FAMILY, &request(family), |counts: &mut Counts, _, body| {
                counts.add(body)
            })
    }
}

impl Collect for TcpStat {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut counts = self.count(libc::AF_INET)?;
        if self.ipv6.exists() {
            let more = self.count(libc::AF_INET6)?;
            counts
                .states
                .iter_mut()
                .zip(more.states)
                .for_each(|(sum, count)| *sum += count);
            counts.received += more.received;
            counts.sent += more.sent;
        }
        out.family(&STATES);
        // A state that no socket is in is not told, as node_exporter has it.
        for (name, count) in NAMES.iter().zip(counts.states).filter(|(_, count)| *count > 0) {
            out.number(&[("state", name)], count as f64);
        }
        if counts.states.iter().any(|count| *count > 0) {
            out.number(&[("state", "rx_queued_bytes")], counts.received as f64);
            out.number(&[("state", "tx_queued_bytes")], counts.sent as f64);
        }
        Ok(())
    }
}

/// All TCP sockets of a family, in any state.
fn request(family: i32) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    let states = 0xfffu32.to_ne_bytes();
    let head = [family as u8, libc::IPPROTO_TCP as u8, 0, 0].into_iter().chain(states);
    request.iter_mut().zip(head).for_each(|(to, byte)| *to = byte);
    request
}

impl Counts {
    fn add(&mut self, body: &[u8]) {
        let state = body.get(1).map_or(0, |state| usize::from(*state));
        let place = state.wrapping_sub(1).min(NAMES.len() - 1);
        if let Some(count) = self.states.get_mut(place) {
            *count += 1;
        }
        self.received += u32_at(body, QUEUES).map_or(0, u64::from);
        self.sent += u32_at(body, QUEUES + 4).map_or(0, u64::from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    #[test]
    fn sockets_are_counted_by_state() {
        let mut counts = Counts::default();
        let mut body = [0; 72];
        body[1] = 10;
        body[QUEUES] = 3;
        body[QUEUES + 4] = 4;
        counts.add(&body);
        body[1] = 99;
        counts.add(&body);
        counts.add(&body[..1]);
        assert_eq!((counts.states[9], counts.states[11]), (1, 2));
        assert_eq!((counts.received, counts.sent), (6, 8));
        assert_eq!(request(libc::AF_INET6)[..8], [10, 6, 0, 0, 0xff, 0x0f, 0, 0]);
    }

    #[test]
    fn a_listener_of_this_host_is_told() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = Fixture::new(&[]).text(&COLLECTOR);
        assert!(text.contains("node_tcp_connection_states{state=\"listen\"} "), "{text}");
        assert!(
            text.contains("node_tcp_connection_states{state=\"tx_queued_bytes\"} "),
            "{text}"
        );
    }
}
