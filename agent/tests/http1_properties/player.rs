//! The kernel side of one connection: calls in, the signals that user space gets of them out.

use super::{Call, Collected};
use onlooker::protocol::http1::Http1;
use onlooker::protocol::{Conversation, Protocol};
use onlooker::signal::{Actor, Asked, ConnId, Direction, PayloadSignal, Role, Seen};

/// Plays calls into a conversation as the kernel reports them.
pub(super) struct Player {
    pub(super) conversation: Box<dyn Conversation>,
    role: Role,
    pub(super) at: u64,
    pub(super) moved: [u64; 2],
    last: Option<bool>,
    kernel: Kernel,
}

/// How the kernel side follows the exchanges of a connection, in `agent-ebpf/src/exchange.rs`.
#[derive(Default)]
struct Kernel {
    exchange: u32,
    phase: Phase,
    /// Since when, in [`Phase::Asked`].
    started: u64,
    /// Last byte of the last response whose beginning was reported.
    ended: u64,
    /// The record of the present request is not out yet.
    early: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Phase {
    #[default]
    Idle,
    Asked,
    Answered,
    /// Its answer was not reported: the kernel side keeps the rest of the exchange to itself.
    Dark,
}

/// What a call is to the kernel side.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Turn {
    None,
    Begins,
    /// First bytes of an answer; true: of the final one.
    Answers(bool),
}

impl Kernel {
    fn call(&mut self, at: u64, of_request: bool, bytes: &[u8], reported: bool) -> Turn {
        match (of_request, self.phase) {
            (true, Phase::Asked) => Turn::None,
            (true, _) if looks_like_request(bytes) => {
                self.exchange += 1;
                (self.phase, self.started) = (Phase::Asked, at);
                Turn::Begins
            }
            (false, Phase::Asked) => {
                let status = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.first());
                let last = bytes.len() >= 16 && status.is_some_and(|&digit| digit >= b'2');
                if last {
                    self.phase = if reported { Phase::Answered } else { Phase::Dark };
                }
                if last && reported {
                    self.ended = at;
                }
                Turn::Answers(last)
            }
            _ => Turn::None,
        }
    }
}

/// As the kernel side looks: a token, a space, the start of a target, as far as the bytes go.
fn looks_like_request(bytes: &[u8]) -> bool {
    let seen = &bytes[..bytes.len().min(24)];
    let Some(end) = seen.iter().position(|byte| !byte.is_ascii_graphic()) else {
        return seen.first().is_some_and(u8::is_ascii_alphabetic);
    };
    let target = |byte: &u8| matches!(byte, b'/' | b'*' | b'[') || byte.is_ascii_alphanumeric();
    seen[0].is_ascii_alphabetic() && seen[end] == b' ' && seen.get(end + 1).is_none_or(target)
}

impl Player {
    pub(super) fn new(role: Role) -> Player {
        Player {
            conversation: Http1.follow(ConnId(1), role),
            role,
            at: 0,
            moved: [0; 2],
            last: None,
            kernel: Kernel::default(),
        }
    }

    /// One call; `capture`: cut as the kernel cuts it, else all of it is there.
    pub(super) fn call(&mut self, (of_request, bytes): &Call, capture: bool, out: &mut Collected) {
        self.at += 1;
        let mut turn = self.kernel.call(self.at, *of_request, bytes, true);
        if self.kernel.phase == Phase::Dark {
            return self.pass(*of_request, bytes);
        }
        let turned = self.last.replace(*of_request) != Some(*of_request);
        let mut rest = &bytes[..];
        for piece in 1.. {
            let last = !capture || !turned || rest.len() <= 4096 || piece == 4;
            let (now, later) = rest.split_at(if last { rest.len() } else { 4096 });
            let (prefix, tail) = match now.len() {
                len if !capture || len <= 4096 => (len, 0),
                len if turned => (4096, 32.min(len - 4096)),
                _ => (512, 32),
            };
            let (prefix, tail) = (&now[..prefix], &now[now.len() - tail..]);
            self.signal(*of_request, now.len() as u64, prefix, tail, turn, out);
            turn = Turn::None;
            rest = later;
            if last {
                break;
            }
        }
    }

    /// A request whose record comes after those of `late` calls of its answer: another thread read them before the one that
    /// sent the request could report it.
    pub(super) fn overtaken(&mut self, request: &Call, answer: &[Call], late: usize, out: &mut Collected) {
        self.at += 1;
        let turn = self.kernel.call(self.at, true, &request.1, true);
        let before = self.moved;
        self.pass(true, &request.1);
        for (n, call) in answer.iter().enumerate() {
            if n == late {
                self.at_place(before, request, turn, out);
            }
            self.kernel.early = n < late;
            self.call(call, false, out);
        }
        self.kernel.early = false;
        if answer.len() <= late {
            self.at_place(before, request, turn, out);
        }
    }

    fn at_place(&mut self, before: [u64; 2], (of_request, bytes): &Call, turn: Turn, out: &mut Collected) {
        let now = std::mem::replace(&mut self.moved, before);
        self.signal(*of_request, bytes.len() as u64, bytes, b"", turn, out);
        self.moved = now;
    }

    /// A call whose record was lost.
    pub(super) fn unseen(&mut self, (of_request, bytes): &Call) {
        self.at += 1;
        self.kernel.call(self.at, *of_request, bytes, false);
        self.pass(*of_request, bytes);
    }

    fn pass(&mut self, of_request: bool, bytes: &[u8]) {
        self.last = Some(of_request);
        self.moved[usize::from(of_request)] += bytes.len() as u64;
    }

    pub(super) fn signal(
        &mut self,
        of_request: bool,
        total: u64,
        prefix: &[u8],
        tail: &[u8],
        turn: Turn,
        out: &mut Collected,
    ) {
        let [offset, other] = [of_request, !of_request].map(|way| self.moved[usize::from(way)]);
        let asked = match turn {
            Turn::Answers(answered) => Some(Asked {
                at: self.kernel.started,
                actor: Actor::default(),
                seq: (0, 0),
                method: "_OTHER",
                bytes: None,
                answered,
                early: self.kernel.early && answered,
            }),
            _ => None,
        };
        self.moved[usize::from(of_request)] += total;
        let [response, request] = self.moved.map(|moved| (moved as u32).wrapping_sub(3000));
        let (direction, seq) = match (self.role, of_request) {
            (Role::Server, true) => (Direction::Rx, (response, request)),
            (Role::Server, false) => (Direction::Tx, (response, request)),
            (Role::Client, true) => (Direction::Tx, (request, response)),
            (Role::Client, false) => (Direction::Rx, (request, response)),
        };
        let payload = PayloadSignal {
            at: self.at,
            conn: ConnId(1),
            actor: Actor::default(),
            direction,
            role: self.role,
            offset,
            total,
            prefix,
            tail,
            seq,
            srtt_us: 0,
            seen: Seen {
                exchange: self.kernel.exchange,
                begins: turn == Turn::Begins,
                other,
                ended: self.kernel.ended,
            },
            asked,
        };
        self.conversation.payload(&payload, out);
    }

    pub(super) fn finish(mut self, out: &mut Collected) {
        assert_eq!(self.conversation.open(), out.open.len());
        self.conversation.abandon(out);
        assert!(out.open.is_empty(), "begun and never ended");
    }
}
