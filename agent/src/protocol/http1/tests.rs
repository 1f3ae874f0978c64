//! Transcripts: what a process moved over one connection, and the exchanges that are to come of it.

use super::Http1;
use crate::protocol::exchange::{Begin, Exchange, ExchangeId, JoinKey};
use crate::protocol::{Conversation, Ignored, LostExchange, Protocol, Sink};
use crate::signal::{Actor, ConnId, Direction, FlowEvent, FlowSignal, Last, PayloadSignal, Role, Seen};
use std::collections::HashSet;

mod bodies;
mod endings;
mod gaps;
mod heads;

/// One line of a transcript; the first number is the time.
#[derive(Clone)]
enum Step {
    /// Received, captured whole.
    Rx(u64, Vec<u8>),
    /// Sent, captured whole.
    Tx(u64, Vec<u8>),
    /// A long call: what was captured from its start, bytes not captured, what was captured from its end.
    Cut(u64, Direction, &'static str, u64, &'static str),
    /// Bytes that were moved and never reported.
    Unseen(Direction, u32),
    Eof(u64),
    PeerFin(u64),
    LocalFin(u64),
    Fails(u64, Direction, i32),
    Closed(u64, i32),
    /// Milliseconds after the start.
    Tick(u64),
    Abandon,
}
use Direction::{Rx as RX, Tx as TX};
use Role::{Client, Server};
use Step::*;

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = |bytes: &[u8]| bytes[..bytes.len().min(40)].escape_ascii().to_string();
        match self {
            Rx(at, bytes) => write!(f, "rx {at} {}", start(bytes)),
            Tx(at, bytes) => write!(f, "tx {at} {}", start(bytes)),
            Cut(at, direction, prefix, missing, tail) => {
                write!(
                    f,
                    "{direction:?} {at} {}..{missing}..{}",
                    start(prefix.as_bytes()),
                    start(tail.as_bytes())
                )
            }
            Unseen(direction, n) => write!(f, "unseen {direction:?} {n}"),
            Eof(at) => write!(f, "eof {at}"),
            PeerFin(at) => write!(f, "peer fin {at}"),
            LocalFin(at) => write!(f, "local fin {at}"),
            Fails(at, direction, errno) => write!(f, "{direction:?} fails {at} {errno}"),
            Closed(at, errno) => write!(f, "closed {at} {errno}"),
            Tick(ms) => write!(f, "tick {ms} ms"),
            Abandon => write!(f, "abandon"),
        }
    }
}

fn rx(at: u64, bytes: impl AsRef<[u8]>) -> Step {
    Rx(at, bytes.as_ref().to_vec())
}
fn tx(at: u64, bytes: impl AsRef<[u8]>) -> Step {
    Tx(at, bytes.as_ref().to_vec())
}

/// Notes what comes out, one line each, and checks that every begin has one end.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    last: Option<Exchange>,
    begun: u64,
    open: HashSet<ExchangeId>,
}

impl Sink for Notes {
    fn next_id(&mut self) -> ExchangeId {
        self.begun += 1;
        ExchangeId(self.begun)
    }
    fn join_key(&mut self, _: ConnId, seq: Option<(u32, u32)>, offset: u64) -> Option<JoinKey> {
        Some(seq.map_or(JoinKey(0, offset), |(request, response)| {
            JoinKey(request.into(), response.into())
        }))
    }
    fn begin(&mut self, begin: Begin) {
        assert!(self.open.insert(begin.id), "begun twice");
    }
    fn end(&mut self, exchange: Exchange) {
        assert!(self.open.remove(&exchange.id), "ended without begin");
        self.lines.push(line(&exchange));
        self.last = Some(exchange);
    }
    fn lost(&mut self, id: ExchangeId, reason: LostExchange) {
        assert!(self.open.remove(&id), "lost without begin");
        self.lines.push(format!("lost {}", reason.as_str()));
    }
    fn ignore(&mut self, _: ConnId, reason: Ignored) {
        self.lines.push(format!("ignore {reason:?}"));
    }
}

/// `GET /path 200 started-first_byte-ended request_size/body response_size/body`, then what is out of the ordinary.
fn line(exchange: &Exchange) -> String {
    let number = |n: Option<u64>| n.map_or("?".into(), |n| n.to_string());
    let mut line = format!(
        "{} {} {} {}-{}-{} {}/{} {}/{}",
        exchange
            .operation_original
            .as_deref()
            .map_or(exchange.operation.to_string(), |m| format!("_OTHER({m})")),
        exchange.target,
        number(exchange.status.map(u64::from)),
        exchange.started,
        number(exchange.first_byte),
        exchange.ended,
        exchange.request_size,
        number(exchange.request_body),
        exchange.response_size,
        number(exchange.response_body),
    );
    if let Some(error) = exchange.error {
        line += &format!(" {}", error.as_str());
    }
    line
}

fn signal(
    role: Role,
    at: u64,
    direction: Direction,
    offset: u64,
    total: u64,
    seq: (u32, u32),
) -> PayloadSignal<'static> {
    PayloadSignal {
        at,
        conn: ConnId(7),
        actor: Actor::default(),
        direction,
        role,
        offset,
        total,
        prefix: b"",
        tail: b"",
        seq,
        srtt_us: 0,
        seen: Seen::default(),
        asked: None,
    }
}

/// Plays a transcript; what is open at its end is noted as `open N`.
fn run(role: Role, steps: &[Step]) -> Vec<String> {
    play(role, steps, true)
}

fn play(role: Role, steps: &[Step], tcp: bool) -> Vec<String> {
    let mut notes = Notes::default();
    let mut conversation = Http1.follow(ConnId(7), role);
    // (sent, received): sequence numbers that soon wrap around.
    let start = (u32::MAX - 10, u32::MAX - 20);
    let mut moved = (0u64, 0u64);
    // As the kernel side numbers exchanges: a request begins a new one when the one before was answered.
    let requests = if role == Server { RX } else { TX };
    let (mut exchange, mut asked) = (0, false);
    for step in steps {
        let mut begins = false;
        if let Some((of_request, begin)) = turns(step, requests) {
            begins = of_request && begin && !asked;
            exchange += u32::from(begins);
            asked = if begin { of_request } else { asked };
        }
        let (at, direction, prefix, missing, tail) = match step {
            Rx(at, bytes) => (*at, RX, &bytes[..], 0, &b""[..]),
            Tx(at, bytes) => (*at, TX, &bytes[..], 0, &b""[..]),
            Cut(at, direction, prefix, missing, tail) => {
                (*at, *direction, prefix.as_bytes(), *missing, tail.as_bytes())
            }
            Unseen(RX, n) => {
                moved.1 += u64::from(*n);
                continue;
            }
            Unseen(TX, n) => {
                moved.0 += u64::from(*n);
                continue;
            }
            event => {
                happen(event, &mut *conversation, &mut notes);
                continue;
            }
        };
        let total = (prefix.len() + tail.len()) as u64 + missing;
        let place = match direction {
            RX => &mut moved.1,
            TX => &mut moved.0,
        };
        let offset = *place;
        *place += total;
        let seq = match tcp {
            true => (
                start.0.wrapping_add(moved.0 as u32),
                start.1.wrapping_add(moved.1 as u32),
            ),
            false => (0, 0),
        };
        let other = match direction {
            RX => moved.0,
            TX => moved.1,
        };
        let payload = PayloadSignal {
            prefix,
            tail,
            seen: Seen {
                exchange,
                begins,
                other,
                ended: 0,
            },
            ..signal(role, at, direction, offset, total, seq)
        };
        conversation.payload(&payload, &mut notes);
    }
    assert_eq!(conversation.open(), notes.open.len());
    if conversation.open() > 0 {
        notes.lines.push(format!("open {}", conversation.open()));
    }
    conversation.abandon(&mut notes);
    assert!(notes.open.is_empty(), "begun and never ended");
    if let Some(open) = notes.lines.iter().position(|line| line.starts_with("open")) {
        notes.lines.truncate(open + 1);
    }
    notes.lines
}

/// Whether a step moves bytes of requests, and whether a request or a final answer begins with them.
fn turns(step: &Step, requests: Direction) -> Option<(bool, bool)> {
    let (direction, bytes) = match step {
        Rx(_, bytes) => (RX, &bytes[..]),
        Tx(_, bytes) => (TX, &bytes[..]),
        Cut(_, direction, prefix, ..) => (*direction, prefix.as_bytes()),
        Unseen(direction, _) => return Some((*direction == requests, true)),
        _ => return None,
    };
    let begin = match direction == requests {
        true => bytes.first().is_some_and(u8::is_ascii_alphabetic),
        false => bytes.len() >= 16 && bytes.starts_with(b"HTTP/1.") && bytes[9] >= b'2',
    };
    Some((direction == requests, begin))
}

fn happen(step: &Step, conversation: &mut dyn Conversation, notes: &mut Notes) {
    let actor = Actor::default();
    let (at, event) = match *step {
        Tick(ms) => return conversation.tick(ms * 1_000_000, notes),
        Eof(at) => (at, FlowEvent::Eof { actor }),
        PeerFin(at) => (at, FlowEvent::PeerFin),
        LocalFin(at) => (at, FlowEvent::LocalFin),
        Fails(at, direction, errno) => {
            let errno = errno as u32;
            (
                at,
                FlowEvent::Error {
                    actor,
                    direction,
                    errno,
                },
            )
        }
        Closed(at, errno) => {
            let errno = errno as u32;
            (at, FlowEvent::Closed { errno, srtt_us: 0 })
        }
        _ => return conversation.abandon(notes),
    };
    conversation.flow(
        &FlowSignal {
            at,
            conn: ConnId(7),
            last: Last::default(),
            event,
        },
        notes,
    );
}

/// The transcript on a server gives these lines; and the same with directions swapped on a client.
fn check(steps: &[Step], expect: &[&str]) {
    assert_eq!(run(Server, steps), expect, "server: {steps:?}");
    assert_eq!(run(Client, &swapped(steps)), expect, "client: {steps:?}");
}

fn swapped(steps: &[Step]) -> Vec<Step> {
    let swap = |direction| match direction {
        RX => TX,
        TX => RX,
    };
    let steps = steps.iter().cloned().map(|step| match step {
        Rx(at, bytes) => Tx(at, bytes),
        Tx(at, bytes) => Rx(at, bytes),
        Cut(at, direction, prefix, missing, tail) => Cut(at, swap(direction), prefix, missing, tail),
        Unseen(direction, n) => Unseen(swap(direction), n),
        step => step,
    });
    steps.collect()
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
