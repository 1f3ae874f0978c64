//! Properties of the HTTP/1.x conversation: however a byte stream is cut into calls, captured or lost, the exchanges that
//! come out are those that went in, or are said to be lost.

use onlooker::protocol::exchange::{Begin, Exchange, ExchangeId, JoinKey};
use onlooker::protocol::http1::{HEAD, PIPELINE};
use onlooker::protocol::{Ignored, LostExchange, Sink};
use onlooker::signal::{Actor, ConnId, Direction, FlowEvent, FlowSignal, Last, Role};
use player::{Player, Turn};
use proptest::prelude::*;
use std::collections::HashSet;

mod player;

/// Collects exchanges and checks that each begin has one end.
#[derive(Default)]
struct Collected {
    exchanges: Vec<Exchange>,
    lost: usize,
    begun: u64,
    open: HashSet<ExchangeId>,
    ignored: usize,
}

impl Sink for Collected {
    fn next_id(&mut self) -> ExchangeId {
        self.begun += 1;
        ExchangeId(self.begun)
    }
    fn join_key(&mut self, _: ConnId, seq: Option<(u32, u32)>, _: u64) -> Option<JoinKey> {
        seq.map(|(request, response)| JoinKey(request.into(), response.into()))
    }
    fn begin(&mut self, begin: Begin) {
        assert!(self.open.insert(begin.id), "begun twice");
    }
    fn end(&mut self, exchange: Exchange) {
        assert!(self.open.remove(&exchange.id), "ended without begin");
        assert!(exchange.first_byte.is_none_or(|at| at <= exchange.ended));
        self.exchanges.push(exchange);
    }
    fn lost(&mut self, id: ExchangeId, _: LostExchange) {
        assert!(self.open.remove(&id), "lost without begin");
        self.lost += 1;
    }
    fn ignore(&mut self, _: ConnId, _: Ignored) {
        self.ignored += 1;
        assert_eq!(self.ignored, 1, "ignored twice");
    }
}

/// A message body.
#[derive(Clone, Debug)]
enum Body {
    None,
    Length(usize),
    Chunks(Vec<usize>),
}

impl Body {
    fn field(&self) -> String {
        match self {
            Body::None => String::new(),
            Body::Length(n) => format!("Content-Length: {n}\r\n"),
            Body::Chunks(_) => "Transfer-Encoding: chunked\r\n".into(),
        }
    }
    fn bytes(&self) -> Vec<u8> {
        match self {
            Body::None => Vec::new(),
            Body::Length(n) => vec![b'x'; *n],
            Body::Chunks(sizes) => {
                let mut out = Vec::new();
                for size in sizes {
                    out.extend(format!("{size:x};e=1\r\n").bytes());
                    out.extend(std::iter::repeat_n(b'y', *size));
                    out.extend(b"\r\n");
                }
                out.extend(b"0\r\nTrailer: t\r\n\r\n");
                out
            }
        }
    }
    fn payload(&self) -> u64 {
        match self {
            Body::None => 0,
            Body::Length(n) => *n as u64,
            Body::Chunks(sizes) => sizes.iter().sum::<usize>() as u64,
        }
    }
}

/// One request and its answer as they are meant.
#[derive(Clone, Debug)]
struct Meant {
    method: &'static str,
    status: u16,
    interim: usize,
    asked: Body,
    answered: Body,
}

/// What an exchange must say: method, path, status, sizes and bodies of request and response.
type Facts = (String, String, Option<u16>, u64, Option<u64>, u64, Option<u64>);

impl Meant {
    fn request(&self, n: usize) -> Vec<u8> {
        let fields = self.asked.field();
        let mut out = format!("{} /{n}?q HTTP/1.1\r\nHost: h\r\n{fields}\r\n", self.method).into_bytes();
        out.extend(self.asked.bytes());
        out
    }
    fn response(&self) -> Vec<u8> {
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n";
        let mut out = hint.repeat(self.interim).into_bytes();
        let none = match self.answered {
            Body::None => "Content-Length: 0\r\n",
            _ => "",
        };
        out.extend(format!("HTTP/1.1 {} R\r\n{}{none}\r\n", self.status, self.answered.field()).bytes());
        if self.has_body() {
            out.extend(self.answered.bytes());
        }
        out
    }
    fn has_body(&self) -> bool {
        self.method != "HEAD" && !matches!(self.status, 204 | 304)
    }
    fn facts(&self, n: usize) -> Facts {
        let known = !self.method.starts_with("PROP");
        (
            if known { self.method } else { "_OTHER" }.into(),
            format!("/{n}"),
            Some(self.status),
            self.request(n).len() as u64,
            Some(self.asked.payload()),
            self.response().len() as u64,
            Some(if self.has_body() { self.answered.payload() } else { 0 }),
        )
    }
}

fn facts(exchange: &Exchange) -> Facts {
    (
        exchange.operation.to_string(),
        exchange.target.to_string(),
        exchange.status,
        exchange.request_size,
        exchange.request_body,
        exchange.response_size,
        exchange.response_body,
    )
}

fn body(largest: usize) -> impl Strategy<Value = Body> {
    prop_oneof![
        2 => Just(Body::None),
        2 => (1..largest).prop_map(Body::Length),
        2 => prop::collection::vec(1..largest / 2, 0..5).prop_map(Body::Chunks),
    ]
}

fn meant(largest: usize) -> impl Strategy<Value = Meant> {
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "OPTIONS", "PROPFIND"]);
    let status = prop::sample::select(vec![200, 201, 204, 304, 404, 500]);
    (method, status, 0..3usize, body(largest), body(largest)).prop_map(|(method, status, interim, asked, answered)| {
        Meant {
            method,
            status,
            interim,
            asked,
            answered,
        }
    })
}

/// Without interim answers: where one call holds such a one and the final one, the kernel side does not see the final one,
/// and after an upload that was cut the next request may be said to be lost.
fn at_once(largest: usize) -> impl Strategy<Value = Meant> {
    meant(largest).prop_map(|meant| Meant { interim: 0, ..meant })
}

/// Exchanges in groups; those of a group are pipelined.
fn conversation(largest: usize) -> impl Strategy<Value = Vec<Vec<Meant>>> {
    prop::collection::vec(prop::collection::vec(meant(largest), 1..4), 1..5)
}

/// One call: of the request stream or not, and its bytes.
type Call = (bool, Vec<u8>);

/// Cuts the two streams into calls of the given sizes, again and again.
fn calls(groups: &[Vec<Meant>], sizes: &[usize]) -> Vec<Call> {
    let mut sizes = sizes.iter().cycle();
    let mut out = Vec::new();
    let mut n = 0;
    for group in groups {
        let requests = group.iter().enumerate().flat_map(|(i, meant)| meant.request(n + i));
        let requests: Vec<u8> = requests.collect();
        let responses: Vec<u8> = group.iter().flat_map(Meant::response).collect();
        n += group.len();
        for (of_request, mut bytes) in [(true, &requests[..]), (false, &responses[..])] {
            while !bytes.is_empty() {
                let size = sizes.next().map_or(1, |size| (*size).clamp(1, bytes.len()));
                out.push((of_request, bytes[..size].to_vec()));
                bytes = &bytes[size..];
            }
        }
    }
    out
}

fn truth(groups: &[Vec<Meant>]) -> Vec<Facts> {
    let all = groups.iter().flatten().enumerate();
    all.map(|(n, meant)| meant.facts(n)).collect()
}

/// No status that was not sent, for whatever was delivered.
fn no_lie(groups: &[Vec<Meant>], out: &Collected) {
    for exchange in &out.exchanges {
        let n = exchange.target.get(1..).and_then(|n| n.parse().ok());
        let meant = n.and_then(|n| groups.iter().flatten().nth(n));
        if let (Some(meant), Some(status)) = (meant, exchange.status) {
            assert_eq!(status, meant.status, "of {}", exchange.target);
        }
    }
}

const CLOSED: FlowEvent = FlowEvent::Closed { errno: 0, srtt_us: 0 };

fn flow(at: u64, event: FlowEvent) -> FlowSignal {
    FlowSignal {
        at,
        conn: ConnId(1),
        last: Last::default(),
        event,
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Server, Role::Client])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(
        groups in conversation(60),
        sizes in prop::collection::vec(1..90usize, 1..20),
        others in prop::collection::vec(1..400usize, 1..20),
    ) {
        let truth = truth(&groups);
        let cuts = [
            (Role::Server, sizes),
            (Role::Client, others),
            (Role::Server, vec![usize::MAX]),
            (Role::Client, vec![1]),
        ];
        for (role, sizes) in cuts {
            let mut out = Collected::default();
            let mut player = Player::new(role);
            for call in calls(&groups, &sizes) {
                player.call(&call, false, &mut out);
            }
            player.finish(&mut out);
            prop_assert_eq!(out.lost, 0);
            prop_assert_eq!(out.exchanges.iter().map(facts).collect::<Vec<_>>(), truth.clone());
        }
    }

    #[test]
    fn captures_that_are_cut_never_lie(
        groups in conversation(12_000),
        sizes in prop::collection::vec(prop_oneof![1..200usize, 1000..30_000usize], 1..10),
        role in roles(),
    ) {
        let mut out = Collected::default();
        let mut player = Player::new(role);
        for call in calls(&groups, &sizes) {
            player.call(&call, true, &mut out);
        }
        player.finish(&mut out);
        no_lie(&groups, &out);
    }

    #[test]
    fn requests_one_by_one_are_all_counted_however_captured(
        groups in prop::collection::vec(prop::collection::vec(at_once(12_000), 1..2), 1..6),
        sizes in prop::collection::vec(prop_oneof![300..600usize, 1000..30_000usize], 1..10),
        role in roles(),
    ) {
        let mut out = Collected::default();
        let mut player = Player::new(role);
        for call in calls(&groups, &sizes) {
            player.call(&call, true, &mut out);
        }
        let at = player.at + 1;
        player.conversation.flow(&flow(at, FlowEvent::PeerFin), &mut out);
        player.conversation.flow(&flow(at, CLOSED), &mut out);
        player.finish(&mut out);
        let seen = out.exchanges.iter().map(|exchange| (exchange.target.to_string(), exchange.status));
        let truth = truth(&groups).into_iter().map(|facts| (facts.1, facts.2));
        prop_assert_eq!(seen.collect::<Vec<_>>(), truth.collect::<Vec<_>>());
    }

    #[test]
    fn lost_records_never_lead_to_a_lie(
        groups in conversation(6000),
        sizes in prop::collection::vec(prop_oneof![1..200usize, 1000..30_000usize], 1..10),
        lose in prop::collection::vec(prop::bool::weighted(0.2), 1..40),
        role in roles(),
    ) {
        let mut out = Collected::default();
        let mut player = Player::new(role);
        for (n, (call, lost)) in calls(&groups, &sizes).iter().zip(lose.iter().cycle()).enumerate() {
            // The first call is seen: with it the kernel begins to look.
            if *lost && n > 0 {
                player.unseen(call);
            } else {
                player.call(call, true, &mut out);
            }
        }
        player.finish(&mut out);
        no_lie(&groups, &out);
    }

    #[test]
    fn answers_may_overtake_their_requests(
        all in prop::collection::vec((at_once(3000), 0..7usize), 2..6),
        sizes in prop::collection::vec(prop_oneof![16..200usize, 1000..30_000usize], 1..10),
        role in roles(),
    ) {
        let mut out = Collected::default();
        let mut player = Player::new(role);
        let mut sizes = sizes.iter().cycle();
        for (n, (meant, late)) in all.iter().enumerate() {
            let response = meant.response();
            let mut answer = Vec::new();
            let mut rest = &response[..];
            while !rest.is_empty() {
                let size = sizes.next().map_or(1, |size| (*size).min(rest.len()));
                answer.push((false, rest[..size].to_vec()));
                rest = &rest[size..];
            }
            // With its first request the kernel begins to look at a connection.
            let late = if n == 0 { 0 } else { *late };
            player.overtaken(&(true, meant.request(n)), &answer, late, &mut out);
        }
        player.finish(&mut out);
        prop_assert_eq!(out.lost, 0);
        prop_assert_eq!(out.exchanges.len(), all.len());
        for (n, (exchange, (meant, late))) in out.exchanges.iter().zip(&all).enumerate() {
            prop_assert_eq!(exchange.status, Some(meant.status));
            // So many calls are kept.
            if *late <= 4 {
                prop_assert_eq!(facts(exchange), meant.facts(n));
            }
        }
    }

    #[test]
    fn anything_at_all_is_survived_within_bounds(
        role in roles(),
        steps in prop::collection::vec((any::<u8>(), anything(), 0..5000u64, -50..50i64), 1..60),
    ) {
        let mut out = Collected::default();
        let mut player = Player::new(role);
        for (what, bytes, missing, jitter) in steps {
            player.at += 1;
            let (at, actor) = (player.at, Actor::default());
            let direction = if what & 8 == 0 { Direction::Rx } else { Direction::Tx };
            let event = match what % 40 {
                0 => FlowEvent::Eof { actor },
                1 => FlowEvent::PeerFin,
                2 => FlowEvent::LocalFin,
                3 => FlowEvent::Error { actor, direction, errno: libc::ECONNRESET as u32 },
                4 => CLOSED,
                _ => {
                    let of_request = what & 16 == 0;
                    let moved = &mut player.moved[usize::from(of_request)];
                    if what & 32 == 0 {
                        *moved = moved.saturating_add_signed(jitter);
                    }
                    let (prefix, tail) = bytes.split_at(bytes.len() / 2);
                    let missing = if what & 64 == 0 { 0 } else { missing };
                    player.signal(of_request, bytes.len() as u64 + missing, prefix, tail, Turn::None, &mut out);
                    continue;
                }
            };
            player.conversation.flow(&flow(at, event), &mut out);
            let bound = player.conversation.open() * 4096 + 4 * HEAD + PIPELINE * 8 + 4 * 16384;
            prop_assert!(player.conversation.memory() <= bound);
            prop_assert!(player.conversation.open() <= PIPELINE);
        }
        player.finish(&mut out);
    }
}

/// Scraps of HTTP, and of nothing.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let scraps = vec![
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /u HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        "PUT /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.0 404 N\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "ffffffffffffffff\r\n",
        "X: y\r\n",
    ];
    let scrap = prop_oneof![
        8 => prop::sample::select(scraps).prop_map(|scrap| scrap.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..100),
        1 => (1..5000usize).prop_map(|n| vec![b'a'; n]),
    ];
    prop::collection::vec(scrap, 1..4).prop_map(|scraps| scraps.concat())
}
