//! Which answer belongs to which request where requests went unseen, by the moments of both streams.

use super::call::{Call, ahead};
use super::conversation::Http1Conversation;
use super::open::Open;
use super::response::Place;
use crate::protocol::LostExchange;

impl Http1Conversation {
    /// Bytes that belong to no open request, the place not being known: they may be a request.
    pub(super) fn note_stray(&mut self, call: Option<&Call<'_>>) {
        if self.queue.back().is_none_or(|open| open.request_done) {
            let now = |call: &Call<'_>| Place {
                next: self.response.next,
                seq: call.seq.map(|(_, response)| response),
            };
            self.request.gap = Some(call.map_or(self.response.settled, now));
        }
    }

    /// What comes next may be what went unseen.
    pub(super) fn note_gap(&mut self) {
        self.request.gap.get_or_insert(self.response.settled);
    }

    /// Learns from the moment of a new request whether requests are pipelined, and whether answers went unseen. True when
    /// the next answer may be that of a request that went unseen before this one.
    pub(super) fn note_order(&mut self, open: &Open) -> bool {
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
        let Some(gap) = self.request.gap.take() else {
            return false;
        };
        if self.pipelined {
            self.refuse = self.refuse.or(Some(LostExchange::Gap));
        }
        if !self.queue.is_empty() {
            // What was answered since may be what is still open, not what went unseen.
            self.request.gap = Some(Place {
                next: self.response.next,
                seq: now,
            });
            return true;
        }
        let answered = self.response.next > gap.next || now.zip(gap.seq).is_some_and(|(now, then)| ahead(now, then));
        if !answered {
            self.request.gap = Some(gap);
        }
        !answered
    }
}
