//! Any bytes as lines of one stream: no panic, what is told is bounded, names are unique, times make sense.
//!
//! Input: lines with line feeds between; a vertical tab within a line stands for a line feed, as the joiner leaves it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::logs::parse::{ATTRIBUTES, NAME_BYTES, Parser, VALUE_BYTES, Zone};
use onlooker::trace::span::AttributeValue;
use std::collections::HashSet;

/// 2026-01-03T00:00:00Z, and a day.
const NOW: u64 = 1_767_398_400_000_000_000;
const DAY: u64 = 86_400_000_000_000;

fuzz_target!(|data: &[u8]| {
    let mut parser = Parser::new(Zone::Utc);
    for line in data.split(|byte| *byte == b'\n') {
        let line: Vec<u8> = line
            .iter()
            .map(|byte| if *byte == 0x0b { b'\n' } else { *byte })
            .collect();
        let parsed = parser.parse(&line, NOW);
        assert!(parsed.body.len() <= line.len() * 3);
        assert!(parsed.timestamp.is_none_or(|time| time <= NOW + DAY));
        assert!(parsed.span.is_none_or(|span| span.trace_id != [0; 16]));
        assert!(parsed.attributes.len() <= ATTRIBUTES);
        let mut names = HashSet::new();
        for (name, value) in &parsed.attributes {
            assert!(
                !name.is_empty() && name.len() <= NAME_BYTES && names.insert(name.as_ref()),
                "{name:?}"
            );
            if let AttributeValue::Text(text) = value {
                assert!(text.len() <= VALUE_BYTES);
            }
        }
    }
});
