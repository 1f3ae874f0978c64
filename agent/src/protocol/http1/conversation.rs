//! State of one connection: two streams, and the exchanges whose answers are still awaited, oldest first.

use super::call::{Call, Held, ahead};
use super::early::Early;
use super::open::Open;
use super::recognise::may_begin_request;
use super::request::{RequestState, RequestStream};
use super::response::{ResponseState, ResponseStream};
use crate::protocol::exchange::ErrorType;
use crate::protocol::{Conversation, Ignored, LostExchange, Sink};
use crate::signal::{ConnId, FlowEvent, FlowSignal, Nanos, PayloadSignal, Role};
use std::collections::VecDeque;

/// One HTTP/1.x connection.
#[derive(Debug)]
pub(super) struct Http1Conversation {
    pub(super) conn: ConnId,
    pub(super) role: Role,
    pub(super) life: Life,
    pub(super) request: RequestStream,
    pub(super) response: ResponseStream,
    /// Oldest first. All but the last have their request whole.
    pub(super) queue: VecDeque<Box<Open>>,
    /// Responses reported before their request.
    pub(super) held: Vec<Held>,
    /// An answer that the kernel side knows to be reported before its request.
    pub(super) early: Option<Box<Early>>,
    /// Answers cannot be told apart any more: every further request is counted as lost.
    pub(super) refuse: Option<LostExchange>,
    /// A request was sent before the answer to the one before it.
    pub(super) pipelined: bool,
    /// Who finished sending first.
    pub(super) first_fin: Option<Side>,
    /// Number of the last request by the eyes of the kernel side; 0 when it does not count them.
    pub(super) number: u32,
    /// An error that a call met.
    pub(super) fault: Option<ErrorType>,
}

/// An end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// This process.
    Local,
    /// The other one.
    Peer,
}

/// How far a connection is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// No request was seen yet.
    New,
    /// It is HTTP/1.x.
    Live,
    /// It carries nothing more for us.
    Dead,
}

/// Response calls that are held back at most, for a request that is about to be reported.
pub(super) const HELD: usize = 4;
/// How long after a held response its request may be reported where no sequence numbers tell, nanoseconds.
const RACE: Nanos = 1_000_000;

/// How long an answered exchange waits for the rest of its request, nanoseconds.
const PATIENCE: Nanos = 1_000_000_000;

impl Http1Conversation {
    /// A connection of which nothing was seen.
    pub(super) fn new(conn: ConnId, role: Role) -> Http1Conversation {
        Http1Conversation {
            conn,
            role,
            life: Life::New,
            request: RequestStream::default(),
            response: ResponseStream::default(),
            queue: VecDeque::new(),
            held: Vec::new(),
            early: None,
            refuse: None,
            pipelined: false,
            first_fin: None,
            number: 0,
            fault: None,
        }
    }

    /// Hands over what is whole, from the oldest on. An answer that is whole before its request waits for the request, for
    /// the next one, for the end of the connection or for [`PATIENCE`], so that sizes are right; its times are those of its
    /// bytes.
    pub(super) fn deliver(&mut self, out: &mut dyn Sink) {
        while let Some(front) = self.queue.front() {
            // A request whose end is not known is not waited for.
            let request_done = front.request_done || matches!(self.request.state, RequestState::Resync);
            if !front.response_done || !request_done {
                break;
            }
            if let Some(open) = self.queue.pop_front() {
                out.end(open.exchange);
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > 8 {
            self.queue.shrink_to(4);
        }
    }

    /// Gives up all open exchanges.
    pub(super) fn lose_all(&mut self, reason: LostExchange, out: &mut dyn Sink) {
        self.lose_from(0, reason, out);
    }

    /// Gives up open exchanges but the oldest `keep`.
    pub(super) fn lose_from(&mut self, keep: usize, reason: LostExchange, out: &mut dyn Sink) {
        while self.queue.len() > keep {
            if let Some(open) = self.queue.pop_back() {
                out.lost(open.exchange.id, reason);
            }
        }
    }

    /// Nothing more of this connection is for us.
    pub(super) fn ignore(&mut self, reason: Ignored, out: &mut dyn Sink) {
        self.lose_all(LostExchange::Forgotten, out);
        *self = Http1Conversation {
            life: Life::Dead,
            ..Http1Conversation::new(self.conn, self.role)
        };
        out.ignore(self.conn, reason);
    }

    pub(super) fn on_request(&mut self, call: Call<'_>, out: &mut dyn Sink) {
        let contiguous = call.offset <= self.request.next;
        self.request_call(call, out);
        for (n, held) in std::mem::take(&mut self.held).iter().enumerate() {
            let held = held.call();
            let near = held.seq.is_some() || n > 0 || call.at <= held.at.saturating_add(RACE);
            // After a gap it answers a request that was never reported: it is swallowed.
            if contiguous && near && self.life == Life::Live {
                self.response_call(held, out);
            } else {
                self.response.swallow(&held);
            }
        }
    }

    pub(super) fn on_response(&mut self, call: Call<'_>, out: &mut dyn Sink) {
        if self.queue.is_empty() && self.awaits_request(&call) {
            if self.held.len() < HELD {
                self.held.push(Held::keep(&call));
            } else {
                for held in std::mem::take(&mut self.held) {
                    self.response.swallow(&held.call());
                }
                self.response.swallow(&call);
            }
            return;
        }
        self.response_call(call, out);
    }

    /// Whether a call that the kernel side takes for the beginning of a request, by its first 24 bytes, is one more piece of the
    /// request before it, whose end is not known: the rest of a head that was refused, e.g.
    fn is_stray(&self, call: &Call<'_>) -> bool {
        matches!(self.request.state, RequestState::Resync)
            && call.offset == self.request.next
            && !may_begin_request(call.prefix)
    }

    /// Whether a response came whose request is about to be reported: another thread sent it, and its report is late.
    fn awaits_request(&self, call: &Call<'_>) -> bool {
        if call.offset < self.response.next || self.life != Life::Live {
            return false;
        }
        match (call.seq, self.request.seq) {
            (Some((now, _)), Some(seen)) => ahead(now, seen),
            // No numbers: a client's response on a quiet connection is taken to be early.
            (None, None) => {
                let quiet = matches!(self.request.state, RequestState::Idle) && self.response.starts_here(call);
                self.role == Role::Client && (quiet || !self.held.is_empty())
            }
            _ => false,
        }
    }
}

impl Conversation for Http1Conversation {
    fn payload(&mut self, payload: &PayloadSignal<'_>, out: &mut dyn Sink) {
        if self.life == Life::Dead || payload.total == 0 {
            return;
        }
        if self.early.is_some() && self.after_early(payload, out) {
            return;
        }
        if let Some(asked) = &payload.asked {
            self.answer_call(payload, asked, out);
            return;
        }
        let (call, of_request) = Call::new(payload, self.role);
        if of_request {
            if payload.seen.begins && payload.seen.exchange == self.number && self.number != 0 {
                // Its exchange began without it, see `settle_early`.
                self.request.skip(&call);
                return;
            }
            if payload.seen.begins && self.is_stray(&call) {
                self.number = payload.seen.exchange;
            } else if payload.seen.begins {
                self.begins(payload.seen, call.offset, payload.seen.other, out);
            } else if payload.seen.exchange != self.number {
                // The rest of a request whose beginning was lost.
                self.request.skip(&call);
                return;
            }
            self.on_request(call, out);
        } else {
            self.on_response(call, out);
        }
    }

    fn flow(&mut self, flow: &FlowSignal, out: &mut dyn Sink) {
        if self.life != Life::Dead {
            // The server's end of the connection says nothing of our request.
            if !matches!(flow.event, FlowEvent::PeerFin) {
                self.settle_early(out);
            }
            self.on_flow(flow, out);
        }
    }

    fn abandon(&mut self, out: &mut dyn Sink) {
        self.settle_early(out);
        self.lose_all(LostExchange::Forgotten, out);
        self.life = Life::Dead;
        self.held = Vec::new();
        self.request.state = RequestState::Idle;
        self.response.state = ResponseState::Idle;
    }

    fn open(&self) -> usize {
        self.queue.len()
    }

    fn tick(&mut self, now: Nanos, out: &mut dyn Sink) {
        if let Some(front) = self.queue.front_mut()
            && front.response_done
            && now.saturating_sub(front.exchange.ended) >= PATIENCE
        {
            // How long the body would have been nobody knows; what comes of it later is skipped.
            front.request_done = true;
            self.deliver(out);
        }
    }

    fn memory(&self) -> usize {
        size_of::<Http1Conversation>()
            + self.queue.capacity() * size_of::<Box<Open>>()
            + self.queue.iter().map(|open| open.memory()).sum::<usize>()
            + self.held.capacity() * size_of::<Held>()
            + self.held.iter().map(Held::memory).sum::<usize>()
            + self.early.as_ref().map_or(0, |early| early.memory())
            + self.request.memory()
            + self.response.memory()
    }
}
