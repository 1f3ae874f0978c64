//! Any bytes as a sequence of records of the ring: a signal or an error, and what a signal says of lengths is true.
//!
//! Input: records, each after its length in two bytes, least significant first. The last one may be cut short.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::probes::{Room, decode};
use onlooker::signal::{ProcessEvent, Signal};
use onlooker_common::limits;
use onlooker_common::record::kind;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let [low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (record, after) = after.split_at(length);
        rest = after;
        let room = Room::default();
        match decode(record, &room) {
            Ok((kind, signal)) => {
                assert!(usize::from(kind) < kind::COUNT);
                if let Some(signal) = signal {
                    check(&signal, record);
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

fn check(signal: &Signal<'_>, record: &[u8]) {
    match signal {
        Signal::Payload(payload) => {
            let captured = payload.prefix.len() + payload.tail.len();
            assert!(captured <= record.len() && captured as u64 <= payload.total);
            assert!(
                payload.offset.checked_add(payload.total).is_some(),
                "beyond the end of all streams"
            );
        }
        Signal::Process(process) => {
            if let ProcessEvent::Exec {
                comm, filename, args, ..
            } = process.event
            {
                assert!(comm.len() <= limits::COMM && filename.len() + args.len() <= record.len());
            }
        }
        Signal::Event(event) => {
            assert!(event.count > 0 && !event.body.is_empty() && !event.body.chars().any(char::is_control));
            assert!(event.attributes.iter().all(|(name, _)| !name.is_empty()));
        }
        Signal::Message(message) => assert!(message.bytes.len() <= record.len()),
        Signal::Write(write) => assert!(write.bytes.len() <= record.len()),
        Signal::Flow(_) | Signal::Measure(_) => {}
    }
}
