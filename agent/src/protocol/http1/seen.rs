//! What the kernel side saw helps where records were lost: it numbers the exchanges of a connection, says where one begins,
//! and counts by itself every exchange whose answer it could not report. So there is nothing to guess: an exchange whose
//! answer was reported is handed over here, once; one whose answer was not is counted there, once.

use super::call::Call;
use super::conversation::{Http1Conversation, Life};
use super::early::Early;
use super::head::{self, Parsed, RequestHead};
use super::open::{First, Open};
use super::request::{self, RequestState};
use super::response::{self, ResponseState, Sync};
use super::schema::HTTP;
use super::target;
use crate::protocol::exchange::Exchange;
use crate::protocol::memo::Known;
use crate::protocol::{LostExchange, Sink};
use crate::signal::{Asked, Nanos, PayloadSignal, Seen};

impl Http1Conversation {
    /// A request begins with a call, by the eyes of the kernel side; `request` and `response` are where the two streams stood
    /// before it. Where bytes went unreported since, all that was under way is over.
    pub(super) fn begins(&mut self, seen: Seen, request: u64, response: u64, out: &mut dyn Sink) {
        let here = self
            .held
            .last()
            .map_or(self.response.next, |held| held.call().end_offset());
        let lost = (self.request.next, here) != (request, response)
            || self.request.hidden
            || self.queue.iter().any(|open| open.gap);
        if lost {
            self.settle(seen.ended, out);
        }
        if self.queue.is_empty() && self.held.is_empty() {
            self.request.next = request;
            self.response.next = response;
        }
        self.number = seen.exchange;
    }

    /// Ends what is open: with `ended` as the time of the last byte where the answer was reported, as counted by the kernel
    /// side where it was not.
    pub(super) fn settle(&mut self, ended: Nanos, out: &mut dyn Sink) {
        let under_way = !matches!(self.response.state, ResponseState::Idle);
        let mut first = true;
        while let Some(mut open) = self.queue.pop_front() {
            let exchange = &mut open.exchange;
            if exchange.first_byte.is_some() {
                if !open.response_done {
                    exchange.ended = exchange.ended.max(ended);
                    exchange.response_body = None;
                }
                out.end(open.exchange);
                continue;
            }
            // Of several requests that waited for one answer, the kernel side knows of the first.
            let counted = first && !under_way && open.number != 0;
            let reason = if counted {
                LostExchange::Counted
            } else {
                LostExchange::Gap
            };
            first = false;
            out.lost(open.exchange.id, reason);
        }
        self.held = Vec::new();
        self.refuse = None;
        self.pipelined = false;
        self.request.forget();
        self.response.state = ResponseState::Idle;
        self.response.sync = Sync::Yes;
    }

    /// Takes the beginning of an answer, with what the kernel side noted of its request.
    pub(super) fn answer_call(&mut self, payload: &PayloadSignal<'_>, asked: &Asked<'_>, out: &mut dyn Sink) {
        let (call, of_request) = Call::new(payload, self.role);
        if of_request {
            return;
        }
        let end = payload.seen.other;
        if let Some(bytes) = asked.bytes {
            let start = end.saturating_sub(bytes.len() as u64);
            self.begins(payload.seen, start, call.offset, out);
            if asked.answered && self.whole(&call, asked, bytes, out) {
                return;
            }
            let request = Call {
                at: asked.at,
                actor: asked.actor,
                offset: start,
                total: bytes.len() as u64,
                prefix: bytes,
                tail: b"",
                seq: Call::streams(asked.seq, self.role),
                srtt_us: 0,
            };
            self.on_request(request, out);
        } else if asked.answered && payload.seen.exchange != self.number {
            if asked.early {
                self.early = Some(Early::new(payload.seen, asked, &call));
                return;
            }
            // Its request was never reported.
            self.open_asked(payload.seen, asked, &call, out);
        }
        self.on_response(call, out);
    }

    /// Opens an exchange of whose request nothing is known but what the kernel side noted; what was open before is over.
    pub(super) fn open_asked(&mut self, seen: Seen, asked: &Asked<'_>, answer: &Call<'_>, out: &mut dyn Sink) {
        self.settle(seen.ended, out);
        self.number = seen.exchange;
        let first = First {
            at: asked.at,
            actor: asked.actor,
            mark: Default::default(),
            answer_offset: answer.offset,
        };
        let head = RequestHead {
            method: if asked.method == target::OTHER {
                b""
            } else {
                asked.method.as_bytes()
            },
            target: b"",
            version: "1.1",
            fields: Default::default(),
        };
        let mut open = Open::begin((self.conn, self.role), first, Some(&head), out);
        open.number = self.number;
        open.exchange.join = None;
        open.request_done = true;
        self.life = Life::Live;
        self.request.next = seen.other;
        self.request.seq = answer.seq.map(|(request, _)| request);
        self.request.hidden = true;
        self.response.next = answer.offset;
        self.queue.push_back(open);
    }

    /// The usual case, a whole request and its whole answer in two calls, without a detour through the state of the streams.
    fn whole(&mut self, call: &Call<'_>, asked: &Asked<'_>, bytes: &[u8], out: &mut dyn Sink) -> bool {
        let quiet = self.queue.is_empty()
            && self.held.is_empty()
            && self.refuse.is_none()
            && self.life != Life::Dead
            && matches!(self.request.state, RequestState::Idle)
            && matches!(self.response.state, ResponseState::Idle)
            && call.missing() == 0
            && call.tail.is_empty();
        if !quiet {
            return false;
        }
        let process = asked.actor.process;
        let known = out
            .memo()
            .and_then(|memo| memo.find(process, self.role, bytes, call.prefix, call.total));
        if known.is_some_and(|known| out.again(&known, asked.at, call.at)) {
            self.passes(call, asked, bytes);
            return true;
        }
        let Parsed::Complete(request, request_head) = head::request(bytes) else {
            return false;
        };
        let request_body = (bytes.len() - request_head) as u64;
        if request::length(&request) != Some(request_body) {
            return false;
        }
        let Parsed::Complete(answer, answer_head) = head::response(call.prefix) else {
            return false;
        };
        let response_body = call.total - answer_head as u64;
        if response::length(&answer, request.method == b"HEAD") != Some(response_body) {
            return false;
        }
        let (operation, operation_original) = target::operation(request.method);
        let (path, named) = target::split(request.method, request.target);
        let detail = out.wants_detail();
        let exchange = Exchange {
            id: out.next_id(),
            schema: &HTTP,
            role: self.role,
            conn: self.conn,
            actor: asked.actor,
            started: asked.at,
            first_byte: Some(call.at),
            ended: call.at,
            operation,
            operation_original,
            target: path,
            version: request.version,
            server: if detail {
                named.or_else(|| target::server(request.fields.host?))
            } else {
                None
            },
            agent: if detail { request.fields.user_agent() } else { None },
            status: Some(answer.status),
            error: None,
            request_size: bytes.len() as u64,
            response_size: call.total,
            request_body: Some(request_body),
            response_body: Some(response_body),
            context: if detail { request.fields.context() } else { None },
            join: None,
            srtt_us: call.srtt_us,
        };
        self.passes(call, asked, bytes);
        let handle = out.whole(exchange);
        if let (Some(handle), Some(memo)) = (handle, out.memo()) {
            let known = Known {
                handle,
                request_body,
                response_body,
            };
            memo.put(
                process,
                self.role,
                bytes,
                &call.prefix[..answer_head],
                call.total,
                known,
            );
        }
        true
    }

    /// Both streams go on behind a request and its answer that were seen whole.
    fn passes(&mut self, call: &Call<'_>, asked: &Asked<'_>, bytes: &[u8]) {
        let asked_seq = Call::streams(asked.seq, self.role);
        self.life = Life::Live;
        self.request
            .passes(bytes.len() as u64, asked_seq.map(|(request, _)| request));
        self.response.next = call.end_offset();
        self.response.seq = call.seq.map(|(_, response)| response);
        self.response.sync = Sync::Yes;
    }
}
