//! What the end of a connection, or of one of its directions, means to the exchanges that are still open.

use super::conversation::{Http1Conversation, Side};
use super::head;
use super::response::ResponseState;
use super::{body::Body, request::RequestState};
use crate::protocol::exchange::ErrorType;
use crate::protocol::{LostExchange, Sink};
use crate::signal::{Direction, FlowEvent, FlowSignal, Last, Nanos, Role};

/// How the response stream ended.
#[derive(Clone, Copy, Debug)]
struct End {
    at: Nanos,
    /// A response that goes to the connection's end is whole.
    orderly: bool,
    /// What befell the others.
    cause: ErrorType,
}

impl Http1Conversation {
    /// Takes an event of a connection that is alive.
    ///
    /// A direction that closed ends nothing that can still be answered: the server's end of the responses is its own FIN
    /// or the end of the connection, the client's is a read of nothing, since after the peer's FIN there may be bytes to read.
    pub(super) fn on_flow(&mut self, flow: &FlowSignal, out: &mut dyn Sink) {
        let (at, last) = (flow.at, flow.last);
        match flow.event {
            FlowEvent::Open(_) => {}
            FlowEvent::Eof { .. } => {
                self.fin(Side::Peer);
                match self.role {
                    Role::Server => self.request_ends(out),
                    Role::Client => self.end_all(
                        last,
                        End {
                            at,
                            orderly: self.fault.is_none(),
                            cause: self.fault.unwrap_or(ErrorType::PeerClosed),
                        },
                        out,
                    ),
                }
            }
            FlowEvent::PeerFin => self.fin(Side::Peer),
            FlowEvent::LocalFin => {
                self.fin(Side::Local);
                match self.role {
                    Role::Client => self.request_ends(out),
                    Role::Server => self.end_all(last, self.end_by_fin(at), out),
                }
            }
            FlowEvent::Error { direction, errno, .. } => {
                let Some(fault) = fault(errno) else {
                    return;
                };
                self.fault = Some(fault);
                // A client that cannot send any more may still read an answer.
                if self.role == Role::Server || direction == Direction::Rx {
                    let end = End {
                        at,
                        orderly: false,
                        cause: fault,
                    };
                    self.end_all(last, end, out);
                }
            }
            FlowEvent::Closed { errno, .. } => {
                self.fault = fault(errno).or(self.fault);
                self.end_all(last, self.end_by_fin(at), out);
            }
        }
    }

    /// The kernel side says how far it followed the connection: what was lost on the way needs no guess.
    fn last_words(&mut self, last: Last, out: &mut dyn Sink) {
        let moved = match self.role {
            Role::Server => last.tx,
            Role::Client => last.rx,
        };
        let Some(front) = self.queue.front_mut() else {
            return;
        };
        front.gap |= moved > self.response.next;
        if front.number == 0 || last.exchange == 0 || front.response_done {
            return;
        }
        let answered = front.exchange.first_byte.is_some();
        if answered && front.gap {
            // The rest of its answer was moved and not reported: whether it was whole, nobody knows.
            if let Some(mut open) = self.queue.pop_front() {
                open.exchange.ended = open.exchange.ended.max(last.ended);
                open.exchange.response_body = None;
                out.end(open.exchange);
            }
            self.response.state = ResponseState::Idle;
        } else if !answered && (front.number < last.exchange || last.counted) {
            // A later one was answered, or this one was, and not to us.
            if let Some(open) = self.queue.pop_front() {
                out.lost(open.exchange.id, LostExchange::Counted);
            }
        }
    }

    fn fin(&mut self, side: Side) {
        self.first_fin.get_or_insert(side);
    }

    /// The end as who finished first and what went wrong tell it.
    fn end_by_fin(&self, at: Nanos) -> End {
        let peer_first = self.first_fin == Some(Side::Peer);
        End {
            at,
            orderly: self.fault.is_none() && (self.role == Role::Server || peer_first),
            cause: self.fault.unwrap_or(match peer_first {
                true => ErrorType::PeerClosed,
                false => ErrorType::Closed,
            }),
        }
    }

    /// No more request bytes will come. An unfinished head is no exchange until it is answered.
    fn request_ends(&mut self, out: &mut dyn Sink) {
        if let Some(back) = self.queue.back_mut() {
            back.request_done = true;
        }
        if !matches!(self.request.state, RequestState::Head(_)) {
            self.request.state = RequestState::Idle;
        }
        self.deliver(out);
    }

    /// No more response bytes will come: ends everything that is open.
    fn end_all(&mut self, last: Last, end: End, out: &mut dyn Sink) {
        self.last_words(last, out);
        let state = std::mem::take(&mut self.response.state);
        let mut under_way = Some(state);
        self.held = Vec::new();
        while let Some(mut open) = self.queue.pop_front() {
            let state = under_way.take().unwrap_or_default();
            if open.response_done {
                out.end(open.exchange);
                continue;
            }
            let whole = match &state {
                ResponseState::Idle => false,
                ResponseState::Head(partial) => {
                    let exchange = &mut open.exchange;
                    exchange.response_size += partial.bytes.len() as u64;
                    let status = head::partial_response(&partial.bytes).map(|head| head.status);
                    exchange.status = status.filter(|&status| status >= 200);
                    if status.is_none_or(|status| status >= 200) {
                        exchange.first_byte = Some(partial.at);
                    }
                    false
                }
                ResponseState::Body(Body::UntilClose) => end.orderly,
                // Its end was not to be seen: an orderly end of the connection was it.
                ResponseState::Body(body) => end.orderly && body.is_unknown(),
            };
            if open.gap {
                out.lost(open.exchange.id, LostExchange::Gap);
                continue;
            }
            if !whole {
                open.exchange.ended = end.at;
                open.exchange.error.get_or_insert(end.cause);
            }
            out.end(open.exchange);
        }
        self.queue = Default::default();
    }
}

/// What an errno says of the connection; `None`: nothing that ends it.
fn fault(errno: u32) -> Option<ErrorType> {
    match i32::try_from(errno).ok()? {
        libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED => Some(ErrorType::Reset),
        // Of an established connection the kernel reports the last soft error when it gives up sending again.
        libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::ENETUNREACH => Some(ErrorType::Timeout),
        _ => None,
    }
}
