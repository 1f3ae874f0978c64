//! Any sequence of calls and events on one HTTP/1.x connection: no panic, every begin has one end, memory stays bounded.
//!
//! Input: one byte for the role, then steps. A step is an opcode byte; a call is followed by two bytes of captured length,
//! one of uncaptured length (times 64), and the captured bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::protocol::exchange::{Begin, Exchange, ExchangeId, JoinKey};
use onlooker::protocol::http1::{HEAD, Http1, PIPELINE};
use onlooker::protocol::{Ignored, LostExchange, Protocol, Sink};
use onlooker::signal::{Actor, ConnId, Direction, FlowEvent, FlowSignal, Last, PayloadSignal, Role, Seen};
use std::collections::HashSet;

#[derive(Default)]
struct Pairs {
    begun: u64,
    open: HashSet<ExchangeId>,
    ignored: bool,
}

impl Sink for Pairs {
    fn next_id(&mut self) -> ExchangeId {
        self.begun += 1;
        ExchangeId(self.begun)
    }
    fn join_key(&mut self, _: ConnId, seq: Option<(u32, u32)>, offset: u64) -> Option<JoinKey> {
        seq.map(|_| JoinKey(offset, 0))
    }
    fn begin(&mut self, begin: Begin) {
        assert!(self.open.insert(begin.id), "begun twice");
    }
    fn end(&mut self, exchange: Exchange) {
        assert!(self.open.remove(&exchange.id), "ended without begin");
        assert!(exchange.target.len() <= 1024);
        assert!(exchange.first_byte.is_none_or(|at| at <= exchange.ended));
    }
    fn lost(&mut self, id: ExchangeId, _: LostExchange) {
        assert!(self.open.remove(&id), "lost without begin");
    }
    fn ignore(&mut self, _: ConnId, _: Ignored) {
        assert!(!self.ignored, "ignored twice");
        self.ignored = true;
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, mut rest)) = data.split_first() else {
        return;
    };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let tcp = first & 2 == 0;
    let mut conversation = Http1.follow(ConnId(1), role);
    let mut out = Pairs::default();
    let (mut rx, mut tx, mut at) = (0u64, 0u64, 0u64);
    while let Some((&op, after)) = rest.split_first() {
        rest = after;
        at += 1;
        let actor = Actor::default();
        let direction = if op & 1 == 0 { Direction::Rx } else { Direction::Tx };
        let errno = [0, 104, 32, 110, 113, 4][usize::from(op >> 4) % 6];
        let event = match op & 0x0e {
            2 => Some(FlowEvent::Eof { actor }),
            4 => Some(FlowEvent::PeerFin),
            6 => Some(FlowEvent::LocalFin),
            8 => Some(FlowEvent::Error {
                actor,
                direction,
                errno,
            }),
            10 => Some(FlowEvent::Closed { errno, srtt_us: 0 }),
            _ => None,
        };
        if let Some(event) = event {
            let last = Last {
                rx,
                tx,
                exchange: errno,
                counted: tcp,
                ended: at,
            };
            conversation.flow(
                &FlowSignal {
                    at,
                    conn: ConnId(1),
                    last,
                    event,
                },
                &mut out,
            );
            continue;
        }
        let [low, high, missing, ..] = *rest else {
            break;
        };
        rest = &rest[3..];
        let captured = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (bytes, after) = rest.split_at(captured);
        rest = after;
        let (prefix, tail) = bytes.split_at(if op & 0x10 == 0 { captured } else { captured / 2 });
        let total = captured as u64 + u64::from(missing) * 64;
        let place = if direction == Direction::Rx { &mut rx } else { &mut tx };
        // Repeated or lost bytes.
        match op & 0xe0 {
            0x20 => *place = place.saturating_sub(u64::from(missing)),
            0x40 => *place = place.saturating_add(missing.into()),
            0x60 => *place = u64::MAX - u64::from(missing),
            _ => {}
        }
        // No decoded record ends beyond.
        *place = (*place).min(u64::MAX - total);
        let offset = *place;
        *place += total;
        let payload = PayloadSignal {
            at,
            conn: ConnId(1),
            actor,
            direction,
            role,
            offset,
            total,
            prefix,
            tail,
            seq: if tcp { (tx as u32, rx as u32 ^ 1) } else { (0, 0) },
            srtt_us: 0,
            seen: Seen::default(),
            asked: None,
        };
        conversation.payload(&payload, &mut out);
        assert_eq!(conversation.open(), out.open.len());
        assert!(conversation.open() <= PIPELINE);
        let bound = conversation.open() * 4096 + 4 * HEAD + PIPELINE * 8 + 4 * 65536;
        assert!(conversation.memory() <= bound, "{} bytes", conversation.memory());
    }
    conversation.abandon(&mut out);
    assert!(out.open.is_empty(), "begun and never ended");
});
