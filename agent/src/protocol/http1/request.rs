//! The request stream: finds each request's first byte, head and end, and opens its exchange.

use super::HEAD;
use super::PIPELINE;
use super::body::Body;
use super::call::{Arrival, Call, ahead};
use super::conversation::{Http1Conversation, Life};
use super::fields::{Length, Transfer};
use super::head::{self, Parsed, RequestHead};
use super::open::{First, Open};
use super::recognise::{LINE, begins_request, blank, proxy, recognise_as};
use super::response::{ResponseState, Sync};
use crate::protocol::{Ignored, LostExchange, Match, Sink};

/// What is known of the request stream.
#[derive(Debug, Default)]
pub(super) struct RequestStream {
    /// Bytes seen, the missing ones counted.
    pub(super) next: u64,
    /// Sequence number behind them.
    pub(super) seq: Option<u32>,
    pub(super) state: RequestState,
    /// Requests may have begun in bytes that were not reported or not captured: how many answers belong to those nobody
    /// knows, until the kernel side says that a request begins.
    pub(super) hidden: bool,
    /// Calls of a new connection in which no request was found.
    unrecognised: u8,
}

/// Place in the request stream.
#[derive(Debug, Default)]
pub(super) enum RequestState {
    /// Between requests.
    #[default]
    Idle,
    /// In a head.
    Head(Box<Partial>),
    /// In a body.
    Body(Body),
    /// The place is not known: until a call that begins with a request.
    Resync,
}

/// A head that is not whole yet.
#[derive(Debug)]
pub(super) struct Partial {
    bytes: Vec<u8>,
    first: First,
}

/// Calls of a new connection after which it is no HTTP.
const UNRECOGNISED: u8 = 16;
impl RequestStream {
    /// Forgets where in a request the stream is: the next byte begins one.
    pub(super) fn forget(&mut self) {
        self.state = RequestState::Idle;
        self.hidden = false;
    }

    /// A whole request was seen.
    pub(super) fn passes(&mut self, bytes: u64, seq: Option<u32>) {
        self.next = self.next.saturating_add(bytes);
        self.seq = seq;
        self.hidden = false;
    }

    /// Passes over a call whose request is not known.
    pub(super) fn skip(&mut self, call: &Call<'_>) {
        self.next = self.next.max(call.end_offset());
        self.seq = call.seq.map(|(request, _)| request);
        self.hidden = true;
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        match &self.state {
            RequestState::Head(partial) => size_of::<Partial>() + partial.bytes.capacity(),
            _ => 0,
        }
    }
}

impl Http1Conversation {
    /// Takes a call that moved request bytes.
    pub(super) fn request_call(&mut self, mut call: Call<'_>, out: &mut dyn Sink) {
        match call.arrive(&mut self.request.next) {
            Arrival::Repeated => return,
            Arrival::After(0) => {}
            Arrival::After(gap) => self.request_missing(gap, None, out),
        }
        self.request_bytes(&call, call.prefix, 0, out);
        if call.missing() > 0 {
            self.request_missing(call.missing(), Some(&call), out);
        }
        self.request_bytes(&call, call.tail, call.total - call.tail.len() as u64, out);
        if let RequestState::Body(body) = &self.request.state
            && body.ends_with(call.end())
        {
            self.request_whole(out);
        }
        self.request.seq = call.seq.map(|(request, _)| request);
        if self.life == Life::New && matches!(self.request.state, RequestState::Resync) {
            self.request.unrecognised += 1;
            if self.request.unrecognised >= UNRECOGNISED {
                self.ignore(Ignored::Unrecognised, out);
            }
        }
    }

    /// An answer came to a request whose head is not whole: its exchange begins with what is known.
    pub(super) fn early_answer(&mut self, out: &mut dyn Sink) {
        if let RequestState::Head(partial) = std::mem::take(&mut self.request.state) {
            self.open_cut(&partial, out);
        }
    }

    fn request_bytes(&mut self, call: &Call<'_>, mut bytes: &[u8], mut index: u64, out: &mut dyn Sink) {
        while !bytes.is_empty() && self.life != Life::Dead {
            let at_start = index == 0;
            let skipped_body = self
                .queue
                .back()
                .is_some_and(|open| open.response_done && !open.request_done && open.exchange.request_body == Some(0));
            let used = match &mut self.request.state {
                RequestState::Idle => match blank(bytes) {
                    0 => self.request_starts(call, bytes, index, out),
                    blank => blank,
                },
                RequestState::Head(_) => self.request_head_goes_on(bytes, out),
                RequestState::Resync if at_start && begins_request(bytes) => {
                    self.request.state = RequestState::Idle;
                    0
                }
                RequestState::Resync => {
                    // Bytes that belong to no open request: they may be one.
                    self.request.hidden |= self.queue.back().is_none_or(|open| open.request_done);
                    self.uploaded(bytes.len() as u64, 0);
                    bytes.len()
                }
                // After a final answer the client may have left out a body that it announced (RFC 9110 section 10.1.1).
                RequestState::Body(body)
                    if at_start && (skipped_body || body.is_unknown()) && begins_request(bytes) =>
                {
                    self.request.state = RequestState::Idle;
                    0
                }
                RequestState::Body(body) => {
                    let step = body.captured(bytes);
                    self.uploaded(step.used, step.payload);
                    if step.done {
                        self.request_whole(out);
                    }
                    step.used as usize
                }
            };
            bytes = &bytes[used..];
            index += used as u64;
        }
    }

    /// Goes over bytes that were not captured: of `call`, or of calls that were not reported.
    fn request_missing(&mut self, n: u64, call: Option<&Call<'_>>, out: &mut dyn Sink) {
        if self.life == Life::Dead {
            return;
        }
        match &mut self.request.state {
            RequestState::Idle => {
                self.next_request(out);
                self.request.state = RequestState::Resync;
                self.request.hidden = true;
                if call.is_some_and(|call| !call.prefix.is_empty()) && self.life == Life::Live {
                    // Requests in the middle of a call: how many answers belong to them cannot be known.
                    self.refuse = self.refuse.or(Some(LostExchange::Gap));
                }
            }
            RequestState::Head(_) => {
                self.early_answer(out);
                self.uploaded(n, 0);
                self.request.hidden = true;
            }
            RequestState::Body(body) => {
                let step = body.missing(n);
                // Where a body's end was not seen, requests may have gone with it.
                let unknown = body.is_unknown();
                self.uploaded(step.used, step.payload);
                if unknown {
                    self.request.hidden = true;
                }
                if step.done {
                    self.request_whole(out);
                    if step.used < n {
                        self.request_missing(n - step.used, call, out);
                    }
                }
            }
            RequestState::Resync => {
                self.uploaded(n, 0);
                self.request.hidden = true;
            }
        }
    }

    /// The first bytes of a request, or of a connection. Returns how many were used, at least one.
    fn request_starts(&mut self, call: &Call<'_>, bytes: &[u8], index: u64, out: &mut dyn Sink) -> usize {
        self.next_request(out);
        let first = First {
            at: call.at,
            actor: call.actor,
            mark: call.mark(index),
            answer_offset: self.response.next,
        };
        if self.life == Life::New
            && let Some(end) = proxy(bytes)
            && end > 0
        {
            return end;
        }
        match head::request(bytes) {
            Parsed::Complete(head, len) => {
                self.open(first, Some(&head), len, out);
                len
            }
            Parsed::Partial if recognise_as(self.life, bytes) != Match::No => {
                let partial = Partial {
                    bytes: bytes.to_vec(),
                    first,
                };
                if bytes.len() >= HEAD {
                    self.open_cut(&partial, out);
                } else {
                    self.request.state = RequestState::Head(Box::new(partial));
                }
                bytes.len()
            }
            _ => {
                self.malformed(first, bytes.len(), out);
                bytes.len()
            }
        }
    }

    /// More bytes of a head. Returns how many were used, at least one.
    fn request_head_goes_on(&mut self, bytes: &[u8], out: &mut dyn Sink) -> usize {
        let RequestState::Head(mut partial) = std::mem::take(&mut self.request.state) else {
            return 0;
        };
        let before = partial.bytes.len();
        let taken = bytes.len().min(HEAD - before);
        partial.bytes.extend_from_slice(&bytes[..taken]);
        let all = &partial.bytes[..];
        if self.life == Life::New
            && let Some(end) = proxy(all)
            && end > before
        {
            return end - before;
        }
        if let Some(end) = head::end_of_head(all, before) {
            match head::request(&all[..end]) {
                Parsed::Complete(head, len) => {
                    self.open(partial.first, Some(&head), len, out);
                }
                _ => self.malformed(partial.first, end, out),
            }
            return end - before;
        }
        let worth_a_look = before <= LINE || bytes[..taken].contains(&b'\n');
        if worth_a_look && recognise_as(self.life, all) == Match::No {
            self.malformed(partial.first, all.len(), out);
        } else if all.len() >= HEAD {
            self.open_cut(&partial, out);
        } else {
            self.request.state = RequestState::Head(partial);
        }
        taken
    }

    /// The first byte of a request: what came before it is over.
    fn next_request(&mut self, out: &mut dyn Sink) {
        if let Some(back) = self.queue.back_mut() {
            back.request_done = true;
        }
        if self.queue.len() == 1
            && let Some(front) = self.queue.front_mut()
            && let ResponseState::Body(body) = &self.response.state
            && body.is_unknown()
        {
            // Nobody could compute where this response ends; it ended before this request.
            front.response_done = true;
            let gap = front.gap;
            self.response.state = ResponseState::Idle;
            self.response.sync = Sync::Loose;
            if gap {
                self.lose_all(LostExchange::Gap, out);
            }
        }
        self.deliver(out);
    }

    /// What is not a request on a connection of requests. The answer, if one comes, will say more.
    fn malformed(&mut self, first: First, size: usize, out: &mut dyn Sink) {
        if self.life == Life::New {
            self.ignore(Ignored::Unrecognised, out);
        } else {
            self.open(first, None, size, out);
        }
    }

    /// Opens the exchange of a head of which only the beginning is known.
    fn open_cut(&mut self, partial: &Partial, out: &mut dyn Sink) {
        let bytes = &partial.bytes[..];
        let cut = || {
            let (method, target) = head::cut_request_line(bytes)?;
            Some(RequestHead {
                method,
                target,
                version: "1.1",
                fields: Default::default(),
            })
        };
        let head = head::partial_request(bytes).or_else(cut);
        let waits = self.open(partial.first, head.as_ref(), bytes.len(), out);
        self.request.state = RequestState::Resync;
        if waits && let Some(back) = self.queue.back_mut() {
            back.request_done = false;
            back.exchange.request_body = None;
        }
    }

    /// Opens an exchange and sets out to find the request's end. False when the exchange was refused.
    fn open(&mut self, first: First, head: Option<&RequestHead<'_>>, size: usize, out: &mut dyn Sink) -> bool {
        self.life = Life::Live;
        let mut open = Open::begin((self.conn, self.role), first, head, out);
        open.number = self.number;
        open.exchange.request_size = size as u64;
        self.request.state = match head.map(framing) {
            Some(Framing::None) => {
                open.request_done = true;
                open.exchange.request_body = Some(0);
                match open.connect {
                    // What follows may already be the tunnel.
                    true => RequestState::Resync,
                    false => RequestState::Idle,
                }
            }
            Some(Framing::Body(body)) => {
                open.exchange.request_body = Some(0);
                RequestState::Body(body)
            }
            Some(Framing::Unknown) | None => RequestState::Resync,
        };
        self.note_order(&open);
        if self.queue.len() >= PIPELINE {
            self.refuse = self.refuse.or(Some(LostExchange::Pipeline));
        }
        let refused = self.refuse.or(self.request.hidden.then_some(LostExchange::Gap));
        match refused {
            Some(reason) => out.lost(open.exchange.id, reason),
            None => self.queue.push_back(open),
        }
        refused.is_none()
    }

    /// Learns from the moment of a new request whether requests are pipelined, and whether answers went unseen.
    fn note_order(&mut self, open: &Open) {
        let now = open.mark.seq.map(|(_, response)| response);
        let seen = std::mem::replace(&mut self.response.seq, now);
        if let Some(front) = self.queue.front_mut() {
            let asked = front.mark.seq.map(|(_, response)| response);
            if now.zip(seen).is_some_and(|(now, seen)| ahead(now, seen)) {
                front.gap = true;
            } else if !(front.gap && now.zip(asked).is_some_and(|(now, asked)| ahead(now, asked))) {
                // Nothing was answered since the front was asked, or its answer is under way. (An answer of which bytes went
                // unseen is no sign: it may be long past.)
                self.pipelined = true;
            }
        }
    }

    fn request_whole(&mut self, out: &mut dyn Sink) {
        self.request.state = RequestState::Idle;
        if let Some(back) = self.queue.back_mut() {
            back.request_done = true;
        }
        self.deliver(out);
    }

    /// Counts bytes of the request that is under way.
    fn uploaded(&mut self, used: u64, payload: u64) {
        let unknown = match &self.request.state {
            RequestState::Body(body) => body.is_unknown(),
            _ => true,
        };
        if let Some(open) = self.queue.back_mut().filter(|open| !open.request_done) {
            let exchange = &mut open.exchange;
            exchange.request_size += used;
            exchange.request_body = match unknown {
                true => None,
                false => exchange.request_body.map(|sum| sum + payload),
            };
        }
    }
}

enum Framing {
    None,
    Body(Body),
    Unknown,
}

/// Length of a request's body (RFC 9112 section 6.3).
fn framing(head: &RequestHead<'_>) -> Framing {
    match (head.fields.transfer, head.fields.length) {
        _ if head.method == b"CONNECT" => Framing::None,
        (Transfer::Chunked, _) => Framing::Body(Body::CHUNKED),
        (Transfer::Other, _) | (Transfer::Absent, Length::Invalid) => Framing::Unknown,
        (Transfer::Absent, Length::Absent | Length::Bytes(0)) => Framing::None,
        (Transfer::Absent, Length::Bytes(n)) => Framing::Body(Body::Length(n)),
    }
}

/// Length of a request's body where its head tells.
pub(super) fn length(head: &RequestHead<'_>) -> Option<u64> {
    match framing(head) {
        Framing::None if head.method != b"CONNECT" => Some(0),
        Framing::Body(Body::Length(n)) => Some(n),
        _ => None,
    }
}
