//! Answers that overtake their request in the ring. A request is reported when the call that sent it is over; by then another
//! thread may have read the answer, and on another CPU its record may get its place first. The kernel side tells
//! ([`Asked::early`]). Such an answer waits for its request, so that the exchange begins with what the request says of it:
//! route, trace context. It waits until the connection's next signal at the longest.

use super::call::{Call, Held};
use super::conversation::{HELD, Http1Conversation};
use crate::protocol::Sink;
use crate::signal::{Asked, PayloadSignal, Seen};

/// The calls of an answer whose request is about to be reported.
#[derive(Debug)]
pub(super) struct Early {
    seen: Seen,
    /// Without the request's bytes: they are what it waits for.
    asked: Asked<'static>,
    /// The first begins the answer; at most [`HELD`].
    calls: Vec<Held>,
}

impl Early {
    /// The answer that begins with this call.
    pub(super) fn new(seen: Seen, asked: &Asked<'_>, call: &Call<'_>) -> Box<Early> {
        Box::new(Early {
            seen,
            asked: asked.without_bytes(),
            calls: vec![Held::keep(call)],
        })
    }

    /// Bytes of heap, about.
    pub(super) fn memory(&self) -> usize {
        size_of::<Early>()
            + self.calls.capacity() * size_of::<Held>()
            + self.calls.iter().map(Held::memory).sum::<usize>()
    }
}

impl Http1Conversation {
    /// What comes after an answer that waits: its request, more of it, or something else, which ends the waiting. `true`: nothing
    /// is left to do with this signal.
    pub(super) fn after_early(&mut self, payload: &PayloadSignal<'_>, out: &mut dyn Sink) -> bool {
        let Some(early) = &mut self.early else { return false };
        let (call, of_request) = Call::new(payload, self.role);
        let same = payload.seen.exchange == early.seen.exchange;
        if same && of_request && payload.seen.begins {
            let calls = self.early.take().map(|early| early.calls).unwrap_or_default();
            let answer = calls.first().map_or(payload.seen.other, |first| first.call().offset);
            self.begins(payload.seen, call.offset, answer, out);
            self.on_request(call, out);
            calls.iter().for_each(|held| self.on_response(held.call(), out));
            return true;
        }
        if same && !of_request && payload.asked.is_none() && early.calls.len() < HELD {
            early.calls.push(Held::keep(&call));
            return true;
        }
        self.settle_early(out);
        false
    }

    /// The request of the answer that waits was never reported.
    pub(super) fn settle_early(&mut self, out: &mut dyn Sink) {
        let Some(early) = self.early.take() else { return };
        let Some(first) = early.calls.first() else { return };
        self.open_asked(early.seen, &early.asked, &first.call(), out);
        early.calls.iter().for_each(|held| self.on_response(held.call(), out));
    }
}
