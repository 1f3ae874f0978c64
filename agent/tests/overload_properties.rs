//! Exactness where records are lost: a model of the kernel side plays exchanges on a connection, any of its records may be
//! lost, and what user space delivers plus what the kernel side counts is always what happened: each exchange once, with its
//! status and its duration.

use onlooker::protocol::exchange::{Begin, Exchange, ExchangeId, JoinKey};
use onlooker::protocol::http1::Http1;
use onlooker::protocol::{Conversation, Ignored, LostExchange, Protocol, Sink};
use onlooker::signal::{Actor, Asked, ConnId, Direction, FlowEvent, FlowSignal, Last, PayloadSignal, Role, Seen};
use proptest::prelude::*;
use std::collections::HashSet;

/// What was counted: status, duration.
type Counted = (u16, u64);

#[derive(Default)]
struct Collected {
    counted: Vec<Counted>,
    reasons: Vec<LostExchange>,
    begun: u64,
    open: HashSet<ExchangeId>,
}

impl Sink for Collected {
    fn next_id(&mut self) -> ExchangeId {
        self.begun += 1;
        ExchangeId(self.begun)
    }
    fn join_key(&mut self, _: ConnId, _: Option<(u32, u32)>, _: u64) -> Option<JoinKey> {
        None
    }
    fn begin(&mut self, begin: Begin) {
        assert!(self.open.insert(begin.id), "begun twice");
    }
    fn end(&mut self, exchange: Exchange) {
        assert!(self.open.remove(&exchange.id), "ended without begin");
        let status = exchange.status.expect("every exchange here was answered");
        self.counted.push((status, exchange.ended - exchange.started));
    }
    fn wants_detail(&self) -> bool {
        false
    }
    fn lost(&mut self, id: ExchangeId, reason: LostExchange) {
        assert!(self.open.remove(&id), "lost without begin");
        self.reasons.push(reason);
    }
    fn ignore(&mut self, _: ConnId, _: Ignored) {
        panic!("this is HTTP");
    }
}

/// How an answer is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunked,
}

/// One request and its answer; each number is the bytes of a further call.
#[derive(Clone, Debug)]
struct Meant {
    status: u16,
    body: Vec<u8>,
    framing: Framing,
    parts: Vec<u8>,
    /// Whether the records of this exchange reach the ring: the request, the answer's beginning, all others.
    kept: (bool, bool, bool),
}

fn meant() -> impl Strategy<Value = Meant> {
    let framing = prop::sample::select(vec![Framing::Length, Framing::Chunked]);
    let sizes = || prop::collection::vec(1u8..90, 0..3);
    let kept = prop::sample::select(vec![
        (true, true, true),
        (true, true, false),
        (true, false, true),
        (false, true, true),
        (false, true, false),
        (false, false, true),
        (false, false, false),
    ]);
    let status = prop::sample::select(vec![200u16, 204, 404, 500]);
    (status, sizes(), framing, sizes(), kept).prop_map(|(status, body, framing, parts, kept)| Meant {
        status,
        body,
        framing,
        parts: if status == 204 { Vec::new() } else { parts },
        kept,
    })
}

/// The kernel side of one connection.
struct Kernel {
    role: Role,
    hold: bool,
    at: u64,
    requests: u64,
    responses: u64,
    exchange: u32,
    ended: u64,
    dark: Vec<Counted>,
}

impl Kernel {
    fn play(&mut self, meant: &Meant, conversation: &mut dyn Conversation, out: &mut Collected) {
        let n = meant.body.iter().map(|n| usize::from(*n)).sum::<usize>();
        let length = if n > 0 {
            format!("Content-Length: {n}\r\n")
        } else {
            String::new()
        };
        let request = format!("POST /{} HTTP/1.1\r\nHost: h\r\n{length}\r\n", self.exchange);
        self.exchange += 1;
        self.at += 10;
        let started = self.at;
        let held = self.hold && n == 0;
        if !held {
            let begin = self.signal(true, request.as_bytes(), true, None);
            if meant.kept.0 {
                conversation.payload(&begin, out);
            }
        }
        self.requests += request.len() as u64;
        for part in &meant.body {
            self.at += 10;
            let bytes = vec![b'b'; usize::from(*part)];
            if meant.kept.2 {
                conversation.payload(&self.signal(true, &bytes, false, None), out);
            }
            self.requests += bytes.len() as u64;
        }
        self.at += 10;
        let calls = answer(meant);
        let asked = Asked {
            at: started,
            actor: Actor::default(),
            seq: (0, 0),
            method: "POST",
            bytes: held.then_some(request.as_bytes()),
            answered: true,
            early: false,
        };
        for (index, call) in calls.iter().enumerate() {
            self.at += 10;
            let beginning = index == 0;
            let kept = if beginning {
                meant.kept.1
            } else {
                meant.kept.1 && meant.kept.2
            };
            if kept {
                conversation.payload(&self.signal(false, call, false, beginning.then_some(asked)), out);
            }
            if meant.kept.1 {
                self.ended = self.at;
            }
            self.responses += call.len() as u64;
        }
        if !meant.kept.1 {
            self.dark.push((meant.status, self.at - started));
        }
    }

    fn signal<'a>(
        &self,
        of_request: bool,
        bytes: &'a [u8],
        begins: bool,
        asked: Option<Asked<'a>>,
    ) -> PayloadSignal<'a> {
        let direction = match (self.role, of_request) {
            (Role::Server, true) | (Role::Client, false) => Direction::Rx,
            _ => Direction::Tx,
        };
        let (offset, other) = match of_request {
            true => (self.requests, self.responses),
            false => (self.responses, self.requests),
        };
        PayloadSignal {
            at: self.at,
            conn: ConnId(1),
            actor: Actor::default(),
            direction,
            role: self.role,
            offset,
            total: bytes.len() as u64,
            prefix: bytes,
            tail: b"",
            seq: (0, 0),
            srtt_us: 0,
            seen: Seen {
                exchange: self.exchange,
                begins,
                other,
                ended: self.ended,
            },
            asked,
        }
    }

    fn happens(&self, answered: bool, event: FlowEvent) -> FlowSignal {
        let server = self.role == Role::Server;
        FlowSignal {
            at: self.at + 10,
            conn: ConnId(1),
            last: Last {
                exchange: self.exchange,
                counted: !answered,
                ended: self.ended,
                rx: if server { self.requests } else { self.responses },
                tx: if server { self.responses } else { self.requests },
            },
            event,
        }
    }
}

/// Calls that send the answer.
fn answer(meant: &Meant) -> Vec<Vec<u8>> {
    let total: usize = meant.parts.iter().map(|n| usize::from(*n)).sum();
    let fields = match meant.framing {
        _ if meant.status == 204 => String::new(),
        Framing::Length => format!("Content-Length: {total}\r\n"),
        Framing::Chunked => "Transfer-Encoding: chunked\r\n".into(),
    };
    let mut calls = vec![format!("HTTP/1.1 {} R\r\n{fields}\r\n", meant.status).into_bytes()];
    for part in &meant.parts {
        let body = vec![b'y'; usize::from(*part)];
        calls.push(match meant.framing {
            Framing::Length => body,
            Framing::Chunked => [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat(),
        });
    }
    if meant.status != 204 && matches!(meant.framing, Framing::Chunked) {
        calls.push(b"0\r\n\r\n".to_vec());
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_exchange_is_counted_once(
        all in prop::collection::vec(meant(), 1..30),
        server in any::<bool>(),
        hold in any::<bool>(),
        finishes in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let mut kernel = Kernel {
            role,
            hold,
            at: 0,
            requests: 0,
            responses: 0,
            exchange: 0,
            ended: 0,
            dark: Vec::new(),
        };
        let mut conversation = Http1.follow(ConnId(1), role);
        let mut out = Collected::default();
        let mut truth = Vec::new();
        for meant in &all {
            // The kernel side sends nothing before it could say that there is a connection; here that is never lost.
            kernel.play(meant, &mut *conversation, &mut out);
            let calls = answer(meant).len() as u64;
            let body = meant.body.len() as u64;
            truth.push((meant.status, 10 * (1 + body + calls)));
        }
        let answered = all.last().is_some_and(|meant| meant.kept.1);
        // The side that answers finishes first; that word may be lost too.
        let finish = match role {
            Role::Server => FlowEvent::LocalFin,
            Role::Client => FlowEvent::Eof { actor: Actor::default() },
        };
        if finishes {
            conversation.flow(&kernel.happens(answered, finish), &mut out);
        }
        let closed = FlowEvent::Closed { errno: 0, srtt_us: 0 };
        conversation.flow(&kernel.happens(answered, closed), &mut out);
        prop_assert!(out.open.is_empty(), "begun and never ended");
        let mut counted = [out.counted.clone(), kernel.dark.clone()].concat();
        counted.sort_unstable();
        truth.sort_unstable();
        prop_assert_eq!(counted, truth);
        prop_assert!(out.reasons.iter().all(|reason| *reason == LostExchange::Counted), "{:?}", out.reasons);
    }
}
