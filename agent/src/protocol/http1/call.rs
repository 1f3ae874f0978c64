//! One call as both streams see it: the connection's direction and role folded into "request" and "response".

use crate::signal::{Actor, Direction, Nanos, PayloadSignal, Role};

/// Bytes moved by one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// When it returned.
    pub(super) at: Nanos,
    /// Who called.
    pub(super) actor: Actor,
    /// Place in its stream.
    pub(super) offset: u64,
    /// Bytes moved.
    pub(super) total: u64,
    /// Captured from the start.
    pub(super) prefix: &'a [u8],
    /// Captured from the end.
    pub(super) tail: &'a [u8],
    /// Sequence numbers after the call: (request stream, response stream); `None` for Unix sockets.
    pub(super) seq: Option<(u32, u32)>,
    /// Smoothed round trip time, microseconds.
    pub(super) srtt_us: u32,
}

/// What a stream expects next, and what a call does to that.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// All of it was seen before.
    Repeated,
    /// It follows, after so many bytes that were not seen.
    After(u64),
}

impl<'a> Call<'a> {
    /// The call, and whether it moved request bytes.
    pub(super) fn new(payload: &PayloadSignal<'a>, role: Role) -> (Call<'a>, bool) {
        let of_request = matches!(
            (role, payload.direction),
            (Role::Server, Direction::Rx) | (Role::Client, Direction::Tx)
        );
        let seq = Call::streams(payload.seq, role);
        // A signal never claims more captured bytes than were moved; should one, the surplus is dropped.
        let prefix = &payload.prefix[..payload
            .prefix
            .len()
            .min(usize::try_from(payload.total).unwrap_or(usize::MAX))];
        let rest = usize::try_from(payload.total - prefix.len() as u64).unwrap_or(usize::MAX);
        let tail = &payload.tail[payload.tail.len().saturating_sub(rest)..];
        let call = Call {
            at: payload.at,
            actor: payload.actor,
            offset: payload.offset,
            total: payload.total,
            prefix,
            tail,
            seq,
            srtt_us: payload.srtt_us,
        };
        (call, of_request)
    }

    /// Sequence numbers (sent, received) as (request stream, response stream); `None` for Unix sockets.
    pub(super) fn streams((tx, rx): (u32, u32), role: Role) -> Option<(u32, u32)> {
        match role {
            _ if (tx, rx) == (0, 0) => None,
            Role::Server => Some((rx, tx)),
            Role::Client => Some((tx, rx)),
        }
    }

    /// Place behind its last byte.
    pub(super) fn end_offset(&self) -> u64 {
        self.offset.saturating_add(self.total)
    }

    /// Fits the call to a stream that was seen up to `next`; a part seen before is cut off.
    pub(super) fn arrive(&mut self, next: &mut u64) -> Arrival {
        let end = self.offset.saturating_add(self.total);
        if end <= *next {
            return Arrival::Repeated;
        }
        let gap = self.offset.saturating_sub(*next);
        let repeated = next.saturating_sub(self.offset);
        if repeated > 0 {
            self.offset += repeated;
            self.total -= repeated;
            let cut = usize::try_from(repeated).unwrap_or(usize::MAX);
            self.prefix = self.prefix.get(cut..).unwrap_or_default();
            let surplus = (self.prefix.len() + self.tail.len()) as u64;
            let surplus = surplus.saturating_sub(self.total) as usize;
            self.tail = self.tail.get(surplus..).unwrap_or_default();
        }
        *next = end;
        Arrival::After(gap)
    }

    /// Bytes between prefix and tail.
    pub(super) fn missing(&self) -> u64 {
        self.total - self.prefix.len() as u64 - self.tail.len() as u64
    }

    /// The last bytes, as far as they were captured.
    pub(super) fn end(&self) -> &'a [u8] {
        match self.missing() {
            0 if self.tail.is_empty() => self.prefix,
            _ => self.tail,
        }
    }

    /// Where in the streams the byte at `index` of a request call stands.
    pub(super) fn mark(&self, index: u64) -> Mark {
        let back = (self.total - index) as u32;
        Mark {
            offset: self.offset + index,
            seq: self
                .seq
                .map(|(request, response)| (request.wrapping_sub(back), response)),
        }
    }
}

/// A place in the request stream, with the response stream's place at that moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// Bytes of the request stream before it.
    pub(super) offset: u64,
    /// Sequence numbers: (request stream, response stream).
    pub(super) seq: Option<(u32, u32)>,
}

/// Whether `later` is ahead of `earlier` by bytes. A FIN takes one number too: it does not count.
pub(super) fn ahead(later: u32, earlier: u32) -> bool {
    (2..i32::MAX as u32).contains(&later.wrapping_sub(earlier))
}

/// A response call kept until the request that it answers is reported.
#[derive(Debug)]
pub(super) struct Held {
    at: Nanos,
    actor: Actor,
    offset: u64,
    total: u64,
    bytes: Box<[u8]>,
    prefix: usize,
    seq: Option<(u32, u32)>,
    srtt_us: u32,
}

impl Held {
    /// Keeps a copy.
    pub(super) fn keep(call: &Call<'_>) -> Held {
        Held {
            at: call.at,
            actor: call.actor,
            offset: call.offset,
            total: call.total,
            bytes: [call.prefix, call.tail].concat().into(),
            prefix: call.prefix.len(),
            seq: call.seq,
            srtt_us: call.srtt_us,
        }
    }

    /// The call as it was.
    pub(super) fn call(&self) -> Call<'_> {
        let (prefix, tail) = self.bytes.split_at(self.prefix);
        Call {
            at: self.at,
            actor: self.actor,
            offset: self.offset,
            total: self.total,
            prefix,
            tail,
            seq: self.seq,
            srtt_us: self.srtt_us,
        }
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len()
    }
}
