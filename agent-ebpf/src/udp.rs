//! What processes send, receive and fail to over UDP, counted in maps.

use crate::tables::{Keyed, add};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use onlooker_common::{
    dns::*,
    record::{Actor, dir},
};

/// What processes moved, see `onlooker_common::dns::udp`. Written by several CPUs.
#[map]
static UDP: HashMap<UdpKey, [u64; udp::NUMBERS]> = HashMap::with_max_entries(UDP_ENTRIES, 0);

/// Calls that failed.
#[map]
static UDP_ERRORS: HashMap<UdpErrorKey, [u64; 1]> = HashMap::with_max_entries(UDP_ERROR_ENTRIES, 0);

/// What found no entry above.
#[map]
static UDP_REST: Array<[u64; udp::REST]> = Array::with_max_entries(1, 0);

static NOTHING: [u64; udp::NUMBERS] = [0; udp::NUMBERS];

/// Positive errno of a call that failed; 0 for `EAGAIN` and `EINTR` too: such a call is made again.
#[inline(always)]
pub(crate) fn failure(result: i64) -> u64 {
    const EINTR: i64 = 4;
    const EAGAIN: i64 = 11;
    /// `ERESTARTSYS` and its kin, which no program sees.
    const RESTART: core::ops::RangeInclusive<i64> = 512..=516;
    let errno = -result;
    if errno <= 0 || errno == EINTR || errno == EAGAIN || RESTART.contains(&errno) {
        return 0;
    }
    errno as u64
}

/// Counts datagrams of a call, or its [`failure`].
#[inline(always)]
pub(crate) fn count(actor: &Actor, family: u16, direction: u8, datagrams: u64, result: i64) {
    if result < 0 {
        let errno = failure(result);
        if errno == 0 {
            return;
        }
        let key = UdpErrorKey {
            start: actor.start,
            tgid: actor.tgid,
            errno: errno as u16,
            family: family as u8,
            dir: direction,
        };
        let numbers = entry(&UDP_ERRORS, &key, &[0; 1]).map(|value| value.cast::<u64>());
        // SAFETY: inside the value.
        let place = numbers.or_else(|| rest().map(|rest| unsafe { rest.add(udp::ERRORS) }));
        if let Some(place) = place {
            // SAFETY: a number of a map's value.
            unsafe { add(place, 1) };
        }
        return;
    }
    let key = UdpKey {
        start: actor.start,
        tgid: actor.tgid,
        family: family.into(),
    };
    let numbers = entry(&UDP, &key, &NOTHING).map(|value| value.cast::<u64>());
    if let Some(numbers) = numbers.or_else(rest) {
        // SAFETY: numbers of a map's value; both maps have these four first.
        unsafe {
            if direction == dir::TX {
                add(numbers.add(udp::SENT_BYTES), result as u64);
                add(numbers.add(udp::SENT), datagrams);
            } else {
                add(numbers.add(udp::RECEIVED_BYTES), result as u64);
                add(numbers.add(udp::RECEIVED), datagrams);
            }
        }
    }
}

#[inline(always)]
fn entry<K, V>(map: &HashMap<K, V>, key: &K, blank: &V) -> Option<*mut V> {
    map.at(key).or_else(|| {
        map.put(key, blank);
        map.at(key)
    })
}

#[inline(always)]
fn rest() -> Option<*mut u64> {
    UDP_REST.get_ptr_mut(0).map(|rest| rest.cast())
}
