//! What the kernel side counts by, in the words of metrics.

use crate::signal::{Amount, Instrument, Label, MeasureSignal, Nanos, ProcessKey, Signal, Who};
use onlooker_common::tcp::{Key, class, peer, role};
use std::net::{IpAddr, Ipv6Addr};

const AF_INET6: u8 = 10;

/// `ipv4` or `ipv6`.
pub(super) fn family(family: u8) -> &'static str {
    if family == AF_INET6 { "ipv6" } else { "ipv4" }
}

/// The process that is counted for.
pub(super) fn process(key: &Key) -> ProcessKey {
    ProcessKey {
        pid: key.tgid,
        start: key.start,
    }
}

/// Whose it is.
pub(super) fn who(key: &Key) -> Who {
    match key.tgid {
        0 => Who::Host,
        _ => Who::Process(process(key)),
    }
}

/// The server's address, of clients of servers elsewhere.
pub(super) fn address(key: &Key) -> Option<IpAddr> {
    if key.peer_kind != peer::ADDRESS {
        return None;
    }
    let [high, low] = key.peer.map(u64::to_ne_bytes);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high);
    bytes[8..].copy_from_slice(&low);
    Some(Ipv6Addr::from(bytes).to_canonical())
}

/// Tells amounts of one key.
pub(super) struct Teller<'a> {
    pub at: Nanos,
    pub key: &'a Key,
    pub tell: &'a mut dyn FnMut(Signal<'_>),
}

impl Teller<'_> {
    /// An amount of an instrument with the common labels. `first`: of one that has another label before them.
    pub(super) fn amount(&mut self, instrument: &'static Instrument, first: Option<&str>, amount: Amount<'_>) {
        let port = self.key.port.to_string();
        let common = labels(self.key, &port);
        let all: Vec<Label<'_>> = first.map(Label::Text).into_iter().chain(common).collect();
        (self.tell)(Signal::Measure(MeasureSignal {
            at: self.at,
            instrument,
            who: who(self.key),
            labels: &all,
            amount,
        }));
    }

    /// More of a counter.
    pub(super) fn add(&mut self, instrument: &'static Instrument, first: Option<&str>, more: u64) {
        if more > 0 {
            self.amount(instrument, first, Amount::Add(more as f64));
        }
    }
}

/// The common labels, see `super::LABELS`.
pub(super) fn labels<'a>(key: &Key, port: &'a str) -> [Label<'a>; 6] {
    let role = if key.role == role::SERVER { "server" } else { "client" };
    let service = match key.peer_kind {
        peer::PROCESS => Label::Service(ProcessKey {
            pid: key.peer[1] as u32,
            start: key.peer[0],
        }),
        _ => Label::Text(""),
    };
    let class = class::NAMES.get(usize::from(key.class)).copied().unwrap_or_default();
    [
        Label::Text(role),
        Label::Text(family(key.family)),
        Label::Text(port),
        service,
        address(key).map_or(Label::Text(""), Label::Address),
        Label::Text(class),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_the_order_of_their_bytes() {
        let key = |address: Ipv6Addr| {
            let bytes = address.octets();
            let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
            Key {
                peer: [word(0), word(8)],
                peer_kind: peer::ADDRESS,
                ..Key::default()
            }
        };
        let four: IpAddr = [10, 1, 2, 3].into();
        assert_eq!(address(&key("::ffff:10.1.2.3".parse().unwrap())), Some(four));
        let six: Ipv6Addr = "2001:db8::7".parse().unwrap();
        assert_eq!(address(&key(six)), Some(six.into()));
        assert_eq!(address(&Key::default()), None);
    }

    #[test]
    fn labels_of_both_ends() {
        let key = Key {
            peer: [5, 7],
            peer_kind: peer::PROCESS,
            role: role::SERVER,
            family: AF_INET6,
            class: class::PRIVATE,
            ..Key::default()
        };
        let service = Label::Service(ProcessKey { pid: 7, start: 5 });
        assert_eq!(
            labels(&key, "80"),
            [
                Label::Text("server"),
                Label::Text("ipv6"),
                Label::Text("80"),
                service,
                Label::Text(""),
                Label::Text("private")
            ]
        );
        assert_eq!(who(&key), Who::Host);
    }
}
