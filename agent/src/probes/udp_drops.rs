//! Datagrams that found no room in the queue of their socket.

use super::{Alternative, Hook, Probe, Program, Reader, Tools};
use crate::kernel::tables::{GrowingTable, TableError};
use crate::signal::*;
use aya::maps::{Array, MapData};
use onlooker_common::dns::UdpDropKey;
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "udp_drops",
    loses: "datagrams that found no room in the queue of their socket",
    alternatives: &[
        Alternative {
            name: "tp_btf/udp_fail_queue_rcv_skb",
            programs: &[Program {
                name: "udp_drops_btf",
                hook: Hook::BtfTracepoint("udp_fail_queue_rcv_skb"),
            }],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/udp_fail_queue_rcv_skb",
            programs: &[Program {
                name: "udp_drops_raw",
                hook: Hook::RawTracepoint("udp_fail_queue_rcv_skb"),
            }],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
    ],
    maps: &["UDP_DROPS"],
    instruments: &[&DROPS],
    since: "all",
    cost: "nothing but where a datagram is dropped",
    reader: Some(Drops::reader),
    ..Probe::BASE
};

const NEEDS: &[usize] = &[SK_FAMILY, SK_NUM, SK_NET, NET_INUM];

static DROPS: Instrument = Instrument {
    name: "onlooker_udp_receive_drops_total",
    unit: "",
    help: "Datagrams that arrived and were dropped because the queue of their socket was full (ENOMEM) or all of UDP's memory in use \
           (ENOBUFS).",
    shape: Shape::Counter,
    labels: &["network_local_port", "error_type", "network_type"],
    limit: 256,
    source: "`udp_fail_queue_rcv_skb`, in the kernel's own words `RcvbufErrors` and `MemErrors` of `/proc/net/snmp`. Without service: it \
             happens where packets arrive; ports above 32767, which are mostly taken at random, are told as one, `ephemeral`",
};

/// Reads what the kernel side counted.
struct Drops {
    dropped: GrowingTable<UdpDropKey, 1>,
    rest: Array<MapData, u64>,
    before: u64,
}

impl Drops {
    fn reader(tools: &mut Tools<'_>) -> Result<Box<dyn Reader>, TableError> {
        Ok(Box::new(Drops {
            dropped: tools.tables.growing("UDP_DROPS")?,
            rest: tools.tables.array("UDP_DROPS_REST")?,
            before: 0,
        }))
    }
}

impl Reader for Drops {
    fn look(&mut self, at: Nanos, _: &mut dyn FnMut(ProcessKey) -> bool, tell: &mut dyn FnMut(Signal<'_>)) {
        let mut add = |labels: [&str; 3], n: u64| {
            if n > 0 {
                tell(Signal::Measure(MeasureSignal {
                    at,
                    instrument: &DROPS,
                    who: Who::Host,
                    labels: &labels.map(Label::Text),
                    amount: Amount::Add(n as f64),
                }));
            }
        };
        // No entry is ever sure to be left alone: ports are few, and a full table counts on.
        let read = self.dropped.fresh(&mut |_| false, &mut |key, [n]| {
            let port = match key.port {
                port @ 0..=32767 => port.to_string(),
                _ => "ephemeral".to_owned(),
            };
            let family = if key.family == AF_INET6 { "ipv6" } else { "ipv4" };
            add([&port, errno_or_other(key.errno.into()), family], *n);
        });
        if let Err(error) = read {
            tracing::debug!(%error, "dropped datagrams cannot be read now");
        }
        if let Ok(now) = self.rest.get(&0, 0) {
            add(["_OTHER", "_OTHER", ""], now.wrapping_sub(self.before));
            self.before = now;
        }
    }
}

const AF_INET6: u32 = 10;
