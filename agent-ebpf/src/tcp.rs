//! TCP connections and listening sockets: whose they are, who is at the other end, and what is counted of them.

use crate::{
    globals::forget,
    read::{Access, Probed},
    tables::{Keyed, add, observe},
};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap},
};
use onlooker_common::{
    histogram::Histogram,
    layout,
    record::Actor,
    tcp::{
        CLIENTS, CONNECTIONS, ClientKey, Connection, ENTRIES, FAILURES, FailureKey, Key, LISTENERS, Listener, Owner,
        Port, PortKey, SHARED, TIMES, TimeKey, class, count, peer, role, time,
    },
};

/// Connections, by address of their `struct sock`.
#[map]
pub(crate) static TCP_CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(CONNECTIONS, 0);
/// Listening sockets, likewise.
#[map]
pub(crate) static TCP_LISTENERS: HashMap<u64, Listener> = HashMap::with_max_entries(LISTENERS, 0);
/// Which sockets listen on a port.
#[map]
static TCP_PORTS: HashMap<PortKey, Port> = HashMap::with_max_entries(LISTENERS, 0);
/// Clients of servers on this host. The server's end takes the entry.
#[map]
pub(crate) static TCP_CLIENTS: LruHashMap<ClientKey, Owner> = LruHashMap::with_max_entries(CLIENTS, 0);
/// What is counted, see `onlooker_common::tcp::count`.
#[map]
pub(crate) static TCP_COUNTS: HashMap<Key, [u64; count::NUMBERS]> = HashMap::with_max_entries(ENTRIES, 0);
/// What is timed.
#[map]
pub(crate) static TCP_TIMES: HashMap<TimeKey, Histogram> = HashMap::with_max_entries(TIMES, 0);
/// Connects that failed.
#[map]
static TCP_FAILURES: HashMap<FailureKey, [u64; 1]> = HashMap::with_max_entries(FAILURES, 0);
/// What found no entry in the tables of counts.
#[map]
static TCP_REST: Array<[u64; count::REST]> = Array::with_max_entries(1, 0);
/// What found no entry in the table of times, by what was timed.
#[map]
static TCP_TIMES_REST: Array<Histogram> = Array::with_max_entries(time::KINDS, 0);

static NOTHING: [u64; count::NUMBERS] = [0; count::NUMBERS];
static BLANK: Histogram = Histogram::BLANK;

/// States of `include/net/tcp_states.h`.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_SENT: u8 = 2;
    pub(crate) const SYN_RECV: u8 = 3;
    pub(crate) const CLOSE: u8 = 7;
    pub(crate) const CLOSE_WAIT: u8 = 8;
    pub(crate) const LISTEN: u8 = 10;
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The two ends of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// Addresses as of IPv6, an IPv4 one mapped: bytes in their order.
    pub local: [u64; 2],
    pub remote: [u64; 2],
    pub netns: u32,
    pub local_port: u16,
    pub remote_port: u16,
}

/// Reads the ends of a socket.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn ends<A: Access>(sk: *const u8) -> Ends {
    // SAFETY: the caller's; the namespace by probe read.
    unsafe {
        let net: *const u8 = A::get(sk, layout::SK_NET);
        let mut ends = Ends {
            local: mapped(A::get(sk, layout::SK_RCV_SADDR)),
            remote: mapped(A::get(sk, layout::SK_DADDR)),
            netns: Probed::get(net, layout::NET_INUM),
            local_port: A::get(sk, layout::SK_NUM),
            remote_port: u16::from_be(A::get(sk, layout::SK_DPORT)),
        };
        if A::get::<u16>(sk, layout::SK_FAMILY) as u8 == AF_INET6 {
            // Once a connection: probe reads keep the program small.
            ends.local = Probed::get(sk, layout::SK_V6_RCV_SADDR);
            ends.remote = Probed::get(sk, layout::SK_V6_DADDR);
        }
        ends
    }
}

/// An IPv4 address, network order, as one of IPv6.
#[inline(always)]
fn mapped(address: u32) -> [u64; 2] {
    [0, u64::from(address) << 32 | 0xffff_0000]
}

#[inline(always)]
fn is_mapped(address: &[u64; 2]) -> bool {
    address[0] == 0 && address[1] as u32 == 0xffff_0000
}

/// Which kind of address it is, one of [`class`].
#[inline(always)]
fn class_of(address: &[u64; 2]) -> u8 {
    if is_mapped(address) {
        let (a, b) = ((address[1] >> 32) as u8, (address[1] >> 40) as u8);
        if a == 127 {
            return class::LOOPBACK;
        }
        if a == 10 || a == 172 && b & 0xf0 == 16 || a == 192 && b == 168 || a == 100 && b & 0xc0 == 64 {
            return class::PRIVATE;
        }
        return if a == 169 && b == 254 {
            class::LINK_LOCAL
        } else {
            class::PUBLIC
        };
    }
    if address[0] == 0 && address[1] == 1 << 56 {
        return class::LOOPBACK;
    }
    let (a, b) = (address[0] as u8, (address[0] >> 8) as u8);
    if a & 0xfe == 0xfc {
        return class::PRIVATE;
    }
    if a == 0xfe && b & 0xc0 == 0x80 {
        class::LINK_LOCAL
    } else {
        class::PUBLIC
    }
}

/// By what a connection is counted. Local servers and clients are looked for; of a server's clients elsewhere only the kind of their
/// address is kept, for there may be any number of them.
#[inline(always)]
pub(crate) fn key_of(ends: &Ends, of: u8, start: u64, tgid: u32) -> Key {
    let mut key = Key {
        start,
        peer: [0; 2],
        tgid,
        port: if of == role::CLIENT {
            ends.remote_port
        } else {
            ends.local_port
        },
        family: forget(u64::from(if is_mapped(&ends.remote) { AF_INET } else { AF_INET6 })) as u8,
        role: of,
        peer_kind: peer::NONE,
        // Forgotten: what follows is the same for all, and older verifiers would walk it for each.
        class: forget(u64::from(class_of(&ends.remote))) as u8,
        pad: [0; 6],
    };
    if key.class == class::LOOPBACK || ends.local[0] == ends.remote[0] && ends.local[1] == ends.remote[1] {
        let (start, tgid) = if of == role::CLIENT {
            listener_at(&ends.remote, ends.netns, ends.remote_port)
        } else {
            client_at(ends)
        };
        if tgid != 0 {
            key.peer = [start, u64::from(tgid)];
            key.peer_kind = peer::PROCESS;
            return key;
        }
    }
    if of == role::CLIENT {
        key.peer = ends.remote;
        key.peer_kind = peer::ADDRESS;
    }
    key
}

/// The local client of a server's end.
#[inline(always)]
fn client_at(ends: &Ends) -> (u64, u32) {
    let at = ClientKey {
        netns: ends.netns,
        port: ends.local_port,
        client_port: ends.remote_port,
    };
    match TCP_CLIENTS.get_ptr(&at) {
        // SAFETY: a value of a map.
        Some(owner) => unsafe { ((*owner).start, (*owner).tgid) },
        None => (0, 0),
    }
}

/// Who listens at an address and port: at just this address, else at any of its family, else at any of IPv6, which takes IPv4 too.
#[inline(always)]
fn listener_at(address: &[u64; 2], netns: u32, port: u16) -> (u64, u32) {
    let mut at = PortKey {
        address: *address,
        netns,
        port,
        pad: 0,
    };
    let mut found = TCP_PORTS.at(&at);
    if found.is_none() && is_mapped(address) {
        at.address = mapped(0);
        found = TCP_PORTS.at(&at);
    }
    if found.is_none() {
        at.address = [0; 2];
        found = TCP_PORTS.at(&at);
    }
    let Some(found) = found else { return (0, 0) };
    let socks: *const u64 = found.cast();
    let mut i = 0;
    while i < SHARED {
        // SAFETY: inside a map's value; values of maps.
        unsafe {
            let sock = *socks.add(i);
            if sock != 0
                && let Some(listener) = TCP_LISTENERS.at(&sock)
            {
                return ((*listener).start, (*listener).tgid);
            }
        }
        i += 1;
    }
    (0, 0)
}

/// Who listens where a connection was accepted.
#[inline(always)]
pub(crate) fn server_of(ends: &Ends) -> (u64, u32) {
    listener_at(&ends.local, ends.netns, ends.local_port)
}

/// Where is counted by a key, [`count::NUMBERS`] numbers.
#[inline(always)]
pub(crate) fn numbers(key: &Key) -> Option<*mut u64> {
    if let Some(numbers) = TCP_COUNTS.at(key) {
        return Some(numbers.cast());
    }
    TCP_COUNTS.put(key, &NOTHING);
    match TCP_COUNTS.at(key) {
        Some(numbers) => Some(numbers.cast()),
        None => rest(),
    }
}

/// Where is counted what has no entry, [`count::REST`] numbers.
#[inline(always)]
pub(crate) fn rest() -> Option<*mut u64> {
    TCP_REST.get_ptr_mut(0).map(|numbers| numbers.cast())
}

/// Counts one more of what found no room.
#[inline(always)]
pub(crate) fn lose(place: usize) {
    if let Some(rest) = rest() {
        // SAFETY: one of the places of `count`.
        unsafe { add(rest.add(place), 1) };
    }
}

/// Observes a time, nanoseconds.
#[inline(always)]
pub(crate) fn timed(key: &Key, what: u32, nanos: u64) {
    let key = TimeKey {
        key: *key,
        what,
        pad: 0,
    };
    let mut place = TCP_TIMES.at(&key);
    if place.is_none() {
        TCP_TIMES.put(&key, &BLANK);
        place = TCP_TIMES.at(&key);
    }
    if let Some(place) = place.or_else(|| TCP_TIMES_REST.get_ptr_mut(what)) {
        // SAFETY: inside a map's value.
        unsafe { observe(place, nanos) };
    }
}

/// Counts a connect that failed.
#[inline(always)]
pub(crate) fn failed(key: &Key, errno: u32) {
    let key = FailureKey {
        key: *key,
        errno,
        pad: 0,
    };
    let mut place = TCP_FAILURES.at(&key);
    if place.is_none() {
        TCP_FAILURES.put(&key, &[0]);
        place = TCP_FAILURES.at(&key);
    }
    match place {
        // SAFETY: a number of a map's value.
        Some(place) => unsafe { add(place.cast(), 1) },
        None => lose(count::FAILED),
    }
}

/// Takes note of a socket that listens. `false`: there is no room.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn listens<A: Access>(sk: *const u8, actor: &Actor) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let ends = ends::<A>(sk);
        let listener = Listener {
            start: actor.start,
            tgid: actor.tgid,
            netns: ends.netns,
            queue: 0,
            limit: 0,
            drops: A::get(sk, layout::SK_DROPS),
            port: ends.local_port,
            family: A::get::<u16>(sk, layout::SK_FAMILY) as u8,
            pad: 0,
            address: ends.local,
        };
        if TCP_LISTENERS.insert(&(sk as u64), &listener, 0).is_err() {
            return false;
        }
        shares(&listener, sk as u64);
        true
    }
}

/// Where a socket listens.
#[inline(always)]
fn port_of(listener: &Listener) -> PortKey {
    PortKey {
        address: listener.address,
        netns: listener.netns,
        port: listener.port,
        pad: 0,
    }
}

/// A socket listens on its port, beside others, which are older.
#[inline(always)]
fn shares(listener: &Listener, id: u64) {
    let at = port_of(listener);
    let Some(socks) = TCP_PORTS.at(&at) else {
        TCP_PORTS.put(&at, &[id, 0, 0, 0]);
        return;
    };
    let socks: *mut u64 = socks.cast();
    // SAFETY: inside a map's value.
    unsafe {
        if *socks == id {
            return;
        }
        let mut i = SHARED - 1;
        while i > 0 {
            *socks.add(i) = *socks.add(i - 1);
            i -= 1;
        }
        *socks = id;
    }
}

/// A socket that listens is remembered for its port, if no other is.
#[inline(always)]
pub(crate) fn remembers(listener: &Listener, id: u64) {
    TCP_PORTS.put(&port_of(listener), &[id, 0, 0, 0]);
}

/// By what is counted that concerns a listening socket and no connection.
#[inline(always)]
pub(crate) fn key_of_listener(listener: &Listener) -> Key {
    Key {
        start: listener.start,
        peer: [0; 2],
        tgid: listener.tgid,
        port: listener.port,
        family: listener.family,
        role: role::SERVER,
        peer_kind: peer::NONE,
        class: class::UNKNOWN,
        pad: [0; 6],
    }
}

/// A socket listens no more. Its port was taken from it before; its drops are counted with all.
///
/// # Safety
/// `sk` as `A` wants it.
#[inline(always)]
pub(crate) unsafe fn unlistens<A: Access>(sk: *const u8) {
    let id = sk as u64;
    let Some(listener) = TCP_LISTENERS.at(&id) else { return };
    // SAFETY: a value of a map, copied before it goes; numbers inside of values.
    unsafe {
        let listener = *listener;
        let dropped = A::get::<u32>(sk, layout::SK_DROPS).wrapping_sub(listener.drops);
        if dropped != 0
            && let Some(numbers) = numbers(&key_of_listener(&listener))
        {
            add(numbers.add(count::DROPPED), u64::from(dropped));
        }
        let _ = TCP_LISTENERS.remove(&id);
        let at = port_of(&listener);
        let Some(socks) = TCP_PORTS.at(&at) else { return };
        let socks: *mut u64 = socks.cast();
        let (mut i, mut left) = (0, 0);
        while i < SHARED {
            if *socks.add(i) == id {
                *socks.add(i) = 0;
            }
            left |= *socks.add(i);
            i += 1;
        }
        if left == 0 {
            let _ = TCP_PORTS.remove(&at);
        }
    }
}
