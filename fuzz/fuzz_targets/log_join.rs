//! Any lines and times to a joiner: every line is in one group, in order; groups and memory are within their limits.
//!
//! Input: one byte for the limit of lines, one for that of bytes, then lines with line feeds between. A line that begins with a byte
//! above 0xf7 lets time pass.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::logs::multiline::{Group, Joiner, Limits};

fuzz_target!(|data: &[u8]| {
    let [lines, bytes, data @ ..] = data else { return };
    let limits = Limits {
        lines: u32::from(*lines % 16) + 1,
        bytes: usize::from(*bytes) * 4 + 8,
        wait: 100,
    };
    let mut joiner = Joiner::new(limits);
    let (mut at, mut next, mut places) = (0u64, 0usize, 0usize);
    let mut tell = |group: Group<'_, usize>| {
        assert_eq!(group.first, next);
        assert_eq!(group.last + 1 - group.first, group.lines as usize);
        assert!(group.lines <= limits.lines.max(1));
        assert!(
            group.lines == 1
                || group.text.len()
                    <= limits
                        .bytes
                        .max(group.text.iter().position(|byte| *byte == b'\n').unwrap_or(usize::MAX))
        );
        next = group.last + 1;
    };
    for line in data.split(|byte| *byte == b'\n') {
        at += 1;
        if line.first().is_some_and(|byte| *byte > 0xf7) {
            at += 200;
            joiner.flush(at, &mut tell);
        }
        joiner.push(line, at, places, &mut tell);
        places += 1;
        assert!(joiner.memory() <= limits.bytes.max(4096) * 2);
    }
    joiner.close(&mut tell);
    assert_eq!(next, places);
});
