use super::wire::tests::{message, record};
use super::*;
use std::collections::BTreeMap;

const SECOND: Nanos = 1_000_000_000;
const SERVER: [u8; 4] = [192, 0, 2, 53];

#[derive(Default)]
struct Told {
    counts: BTreeMap<String, u64>,
    seconds: Vec<f64>,
    names: Vec<(String, String, u32)>,
}

impl Out for Told {
    fn measure(&mut self, measure: &MeasureSignal<'_>) {
        let mut text = measure.instrument.name.to_owned();
        assert_eq!(measure.labels.len(), measure.instrument.labels.len());
        for label in measure.labels {
            let Label::Text(label) = label else { panic!() };
            text.push(' ');
            text.push_str(label);
        }
        *self.counts.entry(text).or_default() += 1;
        if let Amount::Observe(seconds) = measure.amount {
            self.seconds.push(seconds);
        }
    }
    fn name(&mut self, address: IpAddr, name: &str, ttl: u32) {
        self.names.push((address.to_string(), name.to_owned(), ttl));
    }
}

#[derive(Default)]
struct Bed {
    dns: Dns,
    told: Told,
}

fn signal(at: Nanos, direction: Direction, bytes: &[u8]) -> MessageSignal<'_> {
    MessageSignal {
        at,
        actor: Actor {
            process: ProcessKey { pid: 7, start: 1 },
            tid: 7,
        },
        socket: 1,
        port: 40_000,
        netns: 1,
        transport: Transport::Udp,
        direction,
        peer: Some(SERVER.into()),
        total: bytes.len() as u32,
        bytes,
        error: None,
    }
}

impl Bed {
    fn say(&mut self, signal: &MessageSignal<'_>) {
        self.dns.message(signal, &mut self.told);
    }
    fn ask(&mut self, at: Nanos, id: u16, name: &str) {
        self.say(&signal(
            at,
            Direction::Tx,
            &message(id, 0x0100, name, wire::A, &[], &[]),
        ));
    }
    fn answer(&mut self, at: Nanos, id: u16, name: &str, code: u16) {
        let bytes = message(id, 0x8180 | code, name, wire::A, &[], &[]);
        self.say(&signal(at, Direction::Rx, &bytes));
    }
    fn told(&self) -> Vec<(&str, u64)> {
        self.told.counts.iter().map(|(name, n)| (name.as_str(), *n)).collect()
    }
}

#[test]
fn questions_and_answers_become_lookups() {
    let mut bed = Bed::default();
    bed.ask(SECOND, 1, "example.com");
    bed.ask(SECOND, 2, "nowhere.example.com");
    bed.answer(3 * SECOND, 2, "NoWhere.example.com", 3);
    let answers = [record(&[0xc0, 12], wire::A, 60, &[192, 0, 2, 7])];
    let bytes = message(1, 0x8180, "example.com", wire::A, &answers, &[]);
    bed.say(&signal(2 * SECOND, Direction::Rx, &bytes));
    assert_eq!(
        bed.told(),
        [
            ("dns_lookup_duration_seconds example.com A NOERROR  udp", 1),
            (
                "dns_lookup_duration_seconds nowhere.example.com A NXDOMAIN NXDOMAIN udp",
                1
            ),
        ]
    );
    assert_eq!(bed.told.seconds, [2.0, 1.0]);
    assert_eq!(bed.told.names, [("192.0.2.7".into(), "example.com".into(), 60)]);
    assert_eq!((bed.dns.open(), bed.dns.threads.len()), (0, 0));
}

#[test]
fn answers_that_nobody_waits_for_are_no_lookups() {
    let mut bed = Bed::default();
    bed.answer(SECOND, 1, "example.com", 0);
    bed.ask(SECOND, 1, "example.com");
    // Another id, another name, another server.
    bed.answer(SECOND, 2, "example.com", 0);
    bed.answer(SECOND, 1, "example.org", 0);
    let forged = message(1, 0x8180, "example.com", wire::A, &[], &[]);
    let mut other = signal(SECOND, Direction::Rx, &forged);
    other.peer = Some([192, 0, 2, 66].into());
    bed.say(&other);
    assert_eq!(bed.told(), [("onlooker_dns_unmatched_answers_total", 4)]);
    bed.answer(SECOND, 1, "example.com", 0);
    // Once more the same.
    bed.answer(SECOND, 1, "example.com", 0);
    assert_eq!(bed.told.counts["onlooker_dns_unmatched_answers_total"], 5);
    assert_eq!(bed.told.seconds, [0.0]);
}

#[test]
fn what_is_sent_again_is_one_lookup() {
    let mut bed = Bed::default();
    bed.ask(SECOND, 1, "example.com");
    bed.ask(6 * SECOND, 1, "example.com");
    // The next server, from another socket.
    let bytes = message(1, 0x0100, "example.com", wire::A, &[], &[]);
    let mut next = signal(11 * SECOND, Direction::Tx, &bytes);
    (next.socket, next.peer) = (2, Some([192, 0, 2, 54].into()));
    bed.say(&next);
    let bytes = message(1, 0x8182, "example.com", wire::A, &[], &[]);
    let mut answer = signal(12 * SECOND, Direction::Rx, &bytes);
    (answer.socket, answer.peer) = (2, Some([192, 0, 2, 54].into()));
    bed.say(&answer);
    assert_eq!(
        bed.told(),
        [
            ("dns_lookup_duration_seconds example.com A SERVFAIL SERVFAIL udp", 1),
            ("onlooker_dns_retries_total A udp", 2),
        ]
    );
    assert_eq!(bed.told.seconds, [11.0]);
    assert_eq!((bed.dns.open(), bed.dns.threads.len()), (0, 0));
}

#[test]
fn all_servers_at_once_are_one_lookup_without_retry() {
    let mut bed = Bed::default();
    let bytes = message(1, 0x0100, "example.com", wire::A, &[], &[]);
    for (n, at) in [
        (1, 0),
        (2, 10),
        (3, 20),
        (1, 2 * SECOND),
        (2, 2 * SECOND + 1),
        (3, 2 * SECOND + 2),
    ] {
        let mut ask = signal(SECOND + at, Direction::Tx, &bytes);
        ask.peer = Some([192, 0, 2, n].into());
        bed.say(&ask);
    }
    let bytes = message(1, 0x8180, "example.com", wire::A, &[], &[]);
    let mut answer = signal(4 * SECOND, Direction::Rx, &bytes);
    answer.peer = Some([192, 0, 2, 1].into());
    bed.say(&answer);
    assert_eq!(bed.told.counts["onlooker_dns_retries_total A udp"], 1);
    assert_eq!(bed.told.seconds, [3.0]);
}

#[test]
fn a_question_without_answer_is_told_without_duration() {
    let mut bed = Bed::default();
    bed.ask(SECOND, 1, "example.com");
    bed.dns.tick(SECOND + PATIENCE, 0, &mut bed.told);
    assert_eq!(bed.told(), []);
    bed.dns.tick(SECOND + PATIENCE + 1, 0, &mut bed.told);
    assert_eq!(
        bed.told(),
        [("onlooker_dns_unanswered_total example.com A timeout udp", 1)]
    );
    assert_eq!(
        (bed.dns.open(), bed.dns.threads.len(), bed.told.seconds.len()),
        (0, 0, 0)
    );
}

#[test]
fn why_no_answer_can_come_is_told() {
    let mut bed = Bed::default();
    bed.ask(SECOND, 1, "example.com");
    let mut refused = signal(SECOND, Direction::Rx, &[]);
    refused.error = Some(111);
    bed.say(&refused);
    bed.dns.tick(30 * SECOND, 0, &mut bed.told);
    assert_eq!(
        bed.told(),
        [("onlooker_dns_unanswered_total example.com A ECONNREFUSED udp", 1)]
    );
}

#[test]
fn where_messages_were_lost_no_timeout_is_told() {
    let mut bed = Bed::default();
    bed.ask(SECOND, 1, "example.com");
    bed.dns.tick(30 * SECOND, 1, &mut bed.told);
    assert_eq!(bed.told(), [("onlooker_dns_lookups_lost_total gap", 1)]);
}

#[test]
fn a_full_table_counts_what_it_refuses() {
    let mut bed = Bed::default();
    for n in 0..OPEN + 2 {
        bed.ask(SECOND, n as u16, &format!("host{n}.example.com"));
    }
    assert_eq!(bed.dns.open(), OPEN);
    assert_eq!(bed.told(), [("onlooker_dns_lookups_lost_total table_full", 2)]);
    for n in 0..STREAMS as u64 + 3 {
        let mut part = signal(SECOND, Direction::Tx, &[0]);
        (part.transport, part.socket) = (Transport::Tcp, n);
        bed.say(&part);
    }
    assert_eq!(bed.told.counts["onlooker_dns_lookups_lost_total table_full"], 5);
    bed.dns.tick(SECOND + IDLE + 1, 0, &mut bed.told);
    assert_eq!((bed.dns.open(), bed.dns.streams.len()), (0, 0));
}

#[test]
fn a_cut_answer_is_followed_by_a_lookup_over_tcp() {
    let mut bed = Bed::default();
    bed.ask(SECOND, 1, "big.example.com");
    let cut = message(1, 0x8380, "big.example.com", wire::A, &[], &[]);
    bed.say(&signal(2 * SECOND, Direction::Rx, &cut));
    let framed = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let ask = framed(message(1, 0x0100, "big.example.com", wire::A, &[], &[]));
    let answer = framed(message(1, 0x8180, "big.example.com", wire::A, &[], &[]));
    let parts = [
        (Direction::Tx, &ask[..2]),
        (Direction::Tx, &ask[2..]),
        (Direction::Rx, &answer[..]),
    ];
    for (n, (direction, bytes)) in parts.into_iter().enumerate() {
        let mut part = signal((3 + n as u64) * SECOND, direction, bytes);
        part.transport = Transport::Tcp;
        bed.say(&part);
    }
    assert_eq!(
        bed.told(),
        [
            ("dns_lookup_duration_seconds big.example.com A NOERROR  tcp", 1),
            ("dns_lookup_duration_seconds big.example.com A NOERROR  udp", 1),
            ("onlooker_dns_truncated_total A", 1),
        ]
    );
}
