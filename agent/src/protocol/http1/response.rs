//! The response stream: finds each response's first byte, status and end, and closes its exchange.

use super::HEAD;
use super::body::Body;
use super::call::{Arrival, Call};
use super::conversation::{Http1Conversation, Life};
use super::fields::{Length, Transfer};
use super::head::{self, Parsed, ResponseHead};
use super::open::Open;
use crate::protocol::exchange::ErrorType;
use crate::protocol::{Ignored, LostExchange, Sink};
use crate::signal::Nanos;

/// What is known of the response stream.
#[derive(Debug, Default)]
pub(super) struct ResponseStream {
    /// Bytes seen, the missing ones counted.
    pub(super) next: u64,
    /// Sequence number behind them.
    pub(super) seq: Option<u32>,
    pub(super) state: ResponseState,
    pub(super) sync: Sync,
}

/// Place in the response stream.
#[derive(Debug, Default)]
pub(super) enum ResponseState {
    /// Between responses.
    #[default]
    Idle,
    /// In a head.
    Head(Box<Partial>),
    /// In the body of the oldest exchange's response.
    Body(Body),
}

/// A head that is not whole yet.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) bytes: Vec<u8>,
    /// When its first byte was moved.
    pub(super) at: Nanos,
}

/// Whether what comes next is the answer to the oldest open request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sync {
    /// It is.
    Yes,
    /// It may be the rest of something else: a call that begins with a status line is taken.
    #[default]
    Loose,
    /// Responses went unseen: a call that begins with a status line is taken for the request that was made at this very
    /// place of the response stream.
    Strict,
}

impl ResponseStream {
    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        match &self.state {
            ResponseState::Head(partial) => size_of::<Partial>() + partial.bytes.capacity(),
            _ => 0,
        }
    }

    /// Passes over a call that answers nothing that is known.
    pub(super) fn swallow(&mut self, call: &Call<'_>) {
        self.next = self.next.max(call.offset.saturating_add(call.total));
        self.seq = call.seq.map(|(_, response)| response).or(self.seq);
        self.state = ResponseState::Idle;
        self.sync = Sync::Strict;
    }

    /// Whether a response begins with this call.
    pub(super) fn starts_here(&self, call: &Call<'_>) -> bool {
        matches!(self.state, ResponseState::Idle) && head::may_be_response(call.prefix)
    }
}

impl Http1Conversation {
    /// Takes a call that moved response bytes.
    pub(super) fn response_call(&mut self, mut call: Call<'_>, out: &mut dyn Sink) {
        if self.queue.is_empty() && self.response.starts_here(&call) {
            self.early_answer(out);
        }
        if self.queue.is_empty() {
            self.response.swallow(&call);
            return;
        }
        match call.arrive(&mut self.response.next) {
            Arrival::Repeated => return,
            Arrival::After(0) => {}
            Arrival::After(gap) => self.response_gap(gap, out),
        }
        self.response.seq = call.seq.map(|(_, response)| response);
        self.response_bytes(&call, call.prefix, 0, out);
        if call.missing() > 0 {
            self.response_missing(&call, call.missing(), out);
        }
        self.response_bytes(&call, call.tail, call.total - call.tail.len() as u64, out);
        if let ResponseState::Body(body) = &self.response.state
            && body.ends_with(call.end())
        {
            self.response_whole(out);
        }
    }

    fn response_bytes(&mut self, call: &Call<'_>, mut bytes: &[u8], mut index: u64, out: &mut dyn Sink) {
        while !bytes.is_empty() && self.life != Life::Dead {
            if self.queue.front().is_none_or(|front| front.response_done) {
                // Nothing was asked: the rest is nobody's.
                self.response.sync = Sync::Strict;
                return;
            }
            let used = match &mut self.response.state {
                ResponseState::Idle if self.response.sync != Sync::Yes => {
                    if index > 0 || !self.resynchronise(call, out) {
                        return;
                    }
                    0
                }
                ResponseState::Idle => self.response_starts(call, bytes, out),
                ResponseState::Head(_) => self.response_head_goes_on(call, bytes, out),
                ResponseState::Body(body) => {
                    let step = body.captured(bytes);
                    self.downloaded(call, step.used, step.payload);
                    if step.done {
                        self.response_whole(out);
                    } else {
                        self.ambiguous(out);
                    }
                    step.used as usize
                }
            };
            bytes = &bytes[used..];
            index += used as u64;
        }
    }

    /// Goes over bytes of a call that were not captured.
    fn response_missing(&mut self, call: &Call<'_>, n: u64, out: &mut dyn Sink) {
        let Some(front) = self.queue.front_mut().filter(|front| !front.response_done) else {
            return;
        };
        if self.life == Life::Dead {
            return;
        }
        match &mut self.response.state {
            ResponseState::Idle if self.response.sync != Sync::Yes && call.missing() < call.total => {}
            ResponseState::Idle if self.response.sync == Sync::Strict => {}
            ResponseState::Idle => {
                front.exchange.first_byte = Some(call.at);
                front.exchange.error = Some(ErrorType::NotCaptured);
                self.response.state = ResponseState::Body(Body::Unknown);
                self.downloaded(call, n, 0);
                // Several answers may lie there.
                if self.queue.len() > 1 {
                    self.lose_all(LostExchange::Gap, out);
                    self.response.state = ResponseState::Idle;
                    self.refuse = self.refuse.or(Some(LostExchange::Gap));
                }
            }
            ResponseState::Head(_) => {
                self.cut_head(call, out);
                self.downloaded(call, n, 0);
            }
            ResponseState::Body(body) => {
                let step = body.missing(n);
                self.downloaded(call, step.used, step.payload);
                if step.done {
                    self.response_whole(out);
                    if step.used < n {
                        self.response_missing(call, n - step.used, out);
                    }
                } else {
                    self.ambiguous(out);
                }
            }
        }
    }

    /// Response bytes were moved by calls that were not reported: when, is not known.
    fn response_gap(&mut self, n: u64, out: &mut dyn Sink) {
        let Some(front) = self.queue.front_mut() else {
            return;
        };
        if front.response_done {
            self.response.sync = Sync::Strict;
            return;
        }
        match &mut self.response.state {
            ResponseState::Body(Body::Length(left)) if n < *left => {
                *left -= n;
                front.exchange.response_size += n;
                front.exchange.response_body = front.exchange.response_body.map(|sum| sum + n);
                return;
            }
            ResponseState::Body(Body::Length(_)) => {
                // It ended there; when, is not known, unless the kernel side counts on us.
                if let Some(front) = self.queue.pop_front() {
                    match front.number {
                        0 => out.lost(front.exchange.id, LostExchange::Gap),
                        _ => out.end(front.exchange),
                    }
                }
                self.response.state = ResponseState::Idle;
                self.response.sync = Sync::Strict;
            }
            ResponseState::Body(body) => {
                let step = body.missing(n);
                front.exchange.response_size += step.used;
                if body.is_unknown() {
                    front.gap = true;
                    front.exchange.response_body = None;
                } else {
                    front.exchange.response_body = front.exchange.response_body.map(|sum| sum + step.payload);
                }
                self.ambiguous(out);
                return;
            }
            ResponseState::Head(_) => {
                front.gap = true;
                front.exchange.response_size += n;
                self.answer_cut();
                self.ambiguous(out);
                return;
            }
            ResponseState::Idle => {
                front.gap = true;
                self.response.sync = Sync::Strict;
            }
        }
        if self.pipelined {
            self.lose_all(LostExchange::Gap, out);
            self.refuse = self.refuse.or(Some(LostExchange::Gap));
        }
    }

    /// Finds the request that a call answers, after responses went unseen; those before it are lost.
    fn resynchronise(&mut self, call: &Call<'_>, out: &mut dyn Sink) -> bool {
        if !head::may_be_response(call.prefix) {
            return false;
        }
        if self.response.sync == Sync::Strict {
            let here = call.seq.map(|(_, response)| response.wrapping_sub(call.total as u32));
            let asked_here = |open: &Open| {
                let asked = open.mark.seq.map(|(_, response)| response);
                here.is_some() && asked == here || open.answer_offset == call.offset
            };
            let Some(found) = self.queue.iter().position(|open| asked_here(open)) else {
                return false;
            };
            for open in self.queue.drain(..found) {
                out.lost(open.exchange.id, LostExchange::Gap);
            }
            if let Some(front) = self.queue.front_mut() {
                front.gap = false;
            }
        }
        self.response.sync = Sync::Yes;
        true
    }

    /// The first bytes of a response. Returns how many were used; none when they are no response (now a body).
    fn response_starts(&mut self, call: &Call<'_>, bytes: &[u8], out: &mut dyn Sink) -> usize {
        match head::response(bytes) {
            Parsed::Complete(head, len) => {
                self.answer(call, call.at, &head, len, out);
                len
            }
            Parsed::Partial => {
                let partial = Partial {
                    bytes: bytes.to_vec(),
                    at: call.at,
                };
                self.response.state = ResponseState::Head(Box::new(partial));
                if bytes.len() >= HEAD {
                    self.cut_head(call, out);
                }
                bytes.len()
            }
            _ => {
                self.not_a_response(call.at);
                0
            }
        }
    }

    /// More bytes of a head. Returns how many were used, at least one.
    fn response_head_goes_on(&mut self, call: &Call<'_>, bytes: &[u8], out: &mut dyn Sink) -> usize {
        let ResponseState::Head(partial) = &mut self.response.state else {
            return 0;
        };
        let before = partial.bytes.len();
        let taken = bytes.len().min(HEAD - before);
        partial.bytes.extend_from_slice(&bytes[..taken]);
        let end = head::end_of_head(&partial.bytes, before);
        if end.is_none() && partial.bytes.len() < HEAD {
            return taken;
        }
        let Some(end) = end else {
            self.cut_head(call, out);
            return taken;
        };
        if let ResponseState::Head(partial) = std::mem::take(&mut self.response.state) {
            match head::response(&partial.bytes[..end]) {
                Parsed::Complete(head, len) => self.answer(call, partial.at, &head, len, out),
                _ => {
                    self.not_a_response(partial.at);
                    self.downloaded(call, end as u64, 0);
                }
            }
        }
        end - before
    }

    /// A head, final or interim, is whole. `at` is the time of its first byte.
    fn answer(&mut self, call: &Call<'_>, at: Nanos, head: &ResponseHead<'_>, len: usize, out: &mut dyn Sink) {
        self.response.state = ResponseState::Idle;
        self.downloaded(call, len as u64, 0);
        let Some(front) = self.queue.front_mut() else {
            return;
        };
        let status = head.status;
        if (100..200).contains(&status) && status != 101 {
            return;
        }
        front.exchange.first_byte = Some(at);
        front.exchange.status = Some(status);
        front.exchange.response_body = Some(0);
        if status == 101 || front.connect && (200..300).contains(&status) {
            front.response_done = true;
            front.request_done = true;
            self.deliver(out);
            self.ignore(Ignored::Upgraded, out);
            return;
        }
        match framing(head, front.head) {
            None => self.response_whole(out),
            Some(body) => {
                if body == Body::Unknown {
                    front.exchange.response_body = None;
                }
                self.response.state = ResponseState::Body(body);
                self.ambiguous(out);
            }
        }
    }

    /// A head longer than the limit or the capture.
    fn cut_head(&mut self, call: &Call<'_>, out: &mut dyn Sink) {
        self.answer_cut();
        self.downloaded(call, 0, 0);
        self.ambiguous(out);
    }

    /// A head of which only the beginning will be known: what it says of the status, and a body that ends somewhere.
    fn answer_cut(&mut self) {
        let ResponseState::Head(partial) =
            std::mem::replace(&mut self.response.state, ResponseState::Body(Body::Unknown))
        else {
            return;
        };
        if let Some(front) = self.queue.front_mut() {
            let exchange = &mut front.exchange;
            exchange.first_byte = Some(partial.at);
            exchange.response_size += partial.bytes.len() as u64;
            // Behind an interim head that was cut there may be anything.
            exchange.status = head::partial_response(&partial.bytes)
                .map(|head| head.status)
                .filter(|&status| status >= 200);
            if exchange.status.is_none() {
                exchange.error = Some(ErrorType::NotCaptured);
            }
        }
    }

    fn not_a_response(&mut self, at: Nanos) {
        if let Some(front) = self.queue.front_mut() {
            front.exchange.first_byte = Some(at);
            front.exchange.error = Some(ErrorType::Invalid);
        }
        self.response.state = ResponseState::Body(Body::UntilClose);
    }

    /// Where a response ends that cannot be followed, only the next request tells: if requests already wait behind it, their
    /// answers cannot be told apart.
    fn ambiguous(&mut self, out: &mut dyn Sink) {
        if self.queue.len() > 1
            && let ResponseState::Body(body) = &self.response.state
            && body.is_unknown()
        {
            self.lose_from(1, LostExchange::Gap, out);
            self.refuse = self.refuse.or(Some(LostExchange::Gap));
        }
    }

    fn response_whole(&mut self, out: &mut dyn Sink) {
        self.response.state = ResponseState::Idle;
        if let Some(front) = self.queue.front_mut() {
            front.response_done = true;
        }
        self.deliver(out);
    }

    /// Counts bytes of the response that is under way.
    fn downloaded(&mut self, call: &Call<'_>, used: u64, payload: u64) {
        let unknown = matches!(&self.response.state, ResponseState::Body(body) if body.is_unknown());
        if let Some(front) = self.queue.front_mut() {
            let exchange = &mut front.exchange;
            exchange.ended = call.at;
            exchange.srtt_us = call.srtt_us;
            exchange.response_size += used;
            exchange.response_body = match unknown {
                true => None,
                false => exchange.response_body.map(|sum| sum + payload),
            };
        }
    }
}

/// Length of a response's body where its head tells; `to_head`: it answers a HEAD request.
pub(super) fn length(head: &ResponseHead<'_>, to_head: bool) -> Option<u64> {
    match framing(head, to_head) {
        _ if head.status < 200 => None,
        None => Some(0),
        Some(Body::Length(n)) => Some(n),
        Some(_) => None,
    }
}

/// Length of a response's body (RFC 9112 section 6.3); `None`: it has none.
fn framing(head: &ResponseHead<'_>, to_head: bool) -> Option<Body> {
    match (head.fields.transfer, head.fields.length) {
        _ if to_head || matches!(head.status, 204 | 304) => None,
        (Transfer::Chunked, _) => Some(Body::CHUNKED),
        (Transfer::Other, _) | (Transfer::Absent, Length::Absent) => Some(Body::UntilClose),
        (Transfer::Absent, Length::Invalid) => Some(Body::Unknown),
        (Transfer::Absent, Length::Bytes(0)) => None,
        (Transfer::Absent, Length::Bytes(n)) => Some(Body::Length(n)),
    }
}
