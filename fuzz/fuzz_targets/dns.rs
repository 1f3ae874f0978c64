//! Any bytes as messages of DNS over UDP and over TCP: nothing panics, what is told is bounded, and every lookup has one question.
//!
//! Input: per message one byte of what it is (bit 0: received, bit 1: TCP, bit 2: another socket, bit 3: a second passes), its
//! length in two bytes, least significant first, and its bytes. The last one may be cut short.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::protocol::dns::wire::Message;
use onlooker::protocol::dns::{Dns, Out, instruments, name};
use onlooker::signal::{Actor, Amount, Direction, Label, MeasureSignal, MessageSignal, Transport};
use std::net::IpAddr;

#[derive(Default)]
struct Told {
    asked: u64,
    ended: u64,
}

impl Out for Told {
    fn measure(&mut self, measure: &MeasureSignal<'_>) {
        assert_eq!(measure.labels.len(), measure.instrument.labels.len());
        for label in measure.labels {
            let Label::Text(text) = label else {
                panic!("another label")
            };
            // Four labels of a name, each of 63, and what is put between them.
            assert!(
                text.len() <= 300 && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)),
                "{text:?}"
            );
        }
        if let Amount::Observe(seconds) = measure.amount {
            assert!(seconds >= 0.0);
        }
        let ends = [&instruments::DURATION, &instruments::UNANSWERED];
        self.ended += u64::from(ends.iter().any(|end| std::ptr::eq(*end, measure.instrument)));
    }
    fn name(&mut self, address: IpAddr, name: &str, _: u32) {
        assert!(!name.is_empty() && name.len() <= 255, "{address}: {name:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    let (mut dns, mut told) = (Dns::default(), Told::default());
    let (mut rest, mut at) = (data, 1_000_000_000u64);
    while let [what, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        at += if what & 8 != 0 { 1_000_000_000 } else { 1000 };
        let tcp = what & 2 != 0;
        // A client's calls are captured in part.
        let seen = &bytes[..bytes.len().min(512)];
        if !tcp && let Ok(message) = Message::read(seen) {
            let template = name::template(&message.name);
            assert!(template.split('.').count() <= 5, "{template}");
            message.addresses(&mut |_, _| ());
            told.asked += u64::from(!message.response);
        }
        let signal = MessageSignal {
            at,
            actor: Actor::default(),
            socket: u64::from(what & 4),
            port: 1,
            netns: 1,
            transport: if tcp { Transport::Tcp } else { Transport::Udp },
            direction: if what & 1 != 0 { Direction::Rx } else { Direction::Tx },
            peer: None,
            total: bytes.len() as u32,
            bytes: seen,
            error: None,
        };
        dns.message(&signal, &mut told);
        if tcp {
            told.asked += 64; // more than fits
        }
    }
    dns.tick(u64::MAX, 0, &mut told);
    assert_eq!(dns.open(), 0);
    assert!(told.ended <= told.asked, "{} of {}", told.ended, told.asked);
});
