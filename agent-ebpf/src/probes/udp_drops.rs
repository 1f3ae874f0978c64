//! Datagrams that found no room in the queue of their socket: `udp_fail_queue_rcv_skb(int rc, struct sock *sk, …)`. It runs where packets
//! arrive, so it does not know the process; the port says whose they were.
//!
//! No second copies: where packets arrive (softirq) no task preempts a program.

use crate::{
    read::{Access, Direct, Probed},
    tables::{Keyed, add},
    undivided::Undivided,
};
use aya_ebpf::{
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::{Array, HashMap},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use onlooker_common::{
    dns::{UDP_DROP_ENTRIES, UdpDropKey},
    layout,
};

/// Datagrams by port.
#[map]
static UDP_DROPS: HashMap<UdpDropKey, [u64; 1]> = HashMap::with_max_entries(UDP_DROP_ENTRIES, 0);

/// Those that found no entry there.
#[map]
static UDP_DROPS_REST: Array<u64> = Array::with_max_entries(1, 0);

/// By direct loads.
#[btf_tracepoint(function = "udp_fail_queue_rcv_skb")]
#[inline(always)]
pub fn udp_drops_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { dropped::<Direct>(ctx.arg(0), ctx.arg(1)) };
    0
}

/// By probe reads.
#[raw_tracepoint(tracepoint = "udp_fail_queue_rcv_skb")]
#[inline(always)]
pub fn udp_drops_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: `Probed` takes any pointer.
    unsafe { dropped::<Probed>(ctx.arg(0), ctx.arg::<u64>(1) as *const u8) };
    0
}

#[inline(always)]
unsafe fn dropped<A: Access>(error: i32, sk: *const u8) {
    // SAFETY: `sk` as `A` wants it; numbers of map values.
    unsafe {
        let net: *const u8 = A::get(sk, layout::SK_NET);
        let key = UdpDropKey {
            netns: Probed::get(net, layout::NET_INUM),
            port: A::get(sk, layout::SK_NUM),
            errno: error.wrapping_neg() as u16,
            family: u32::from(A::get::<u16>(sk, layout::SK_FAMILY)),
            pad: 0,
        };
        let place = UDP_DROPS.at(&key).or_else(|| {
            UDP_DROPS.put(&key, &[0]);
            UDP_DROPS.at(&key)
        });
        let place = place
            .map(|value| value.cast::<u64>())
            .or_else(|| UDP_DROPS_REST.get_ptr_mut(0));
        if let Some(place) = place {
            add(place, 1);
        }
    }
}
