//! Any values of the headers we read of others: trace context, and a scraper's `Accept` and `Accept-Encoding`.
//!
//! Input: lines. The first is `traceparent` and `Accept`, the others are `tracestate` and `Accept-Encoding`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::export::prometheus::{accepts_gzip, negotiate};
use onlooker::trace::context::{FLAG_RANDOM, FLAG_SAMPLED, STATE_BYTES, TraceContext};

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    if let Some(context) = TraceContext::parse(first, lines.clone()) {
        assert!(context.trace_id != [0; 16] && context.span_id != [0; 8]);
        assert_eq!(context.flags & !(FLAG_SAMPLED | FLAG_RANDOM), 0);
        if let Some(state) = &context.state {
            assert!(!state.is_empty() && state.len() <= STATE_BYTES);
            // What was kept is valid: read again, it stays as it is.
            let again = TraceContext::parse(first, [state.as_bytes()].into_iter());
            assert_eq!(again.as_ref(), Some(&context));
        }
    }
    let _ = negotiate(std::str::from_utf8(first).ok());
    let _ = accepts_gzip(lines.next().and_then(|line| std::str::from_utf8(line).ok()));
});
