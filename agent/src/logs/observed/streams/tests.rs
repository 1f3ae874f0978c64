//! Tests of [`super`].

use super::*;
use crate::collectors::own::events::EventCounts;
use crate::logs::sources::Format;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
const SHOP: ProcessKey = ProcessKey { pid: 7, start: 1 };

fn source(service: &str) -> Arc<Described> {
    Arc::new(Described {
        format: Format::Plain,
        resource: Arc::default(),
        service: service.into(),
    })
}

fn span(id: u8) -> Option<SpanContext> {
    Some(SpanContext {
        trace_id: [id; 16],
        span_id: [id; 8],
        flags: 1,
    })
}

fn written(text: &[u8]) -> Written {
    Written {
        process: SHOP,
        stream: Stream::Stdout,
        tid: 7,
        at: 5,
        gap: false,
        span: None,
        container: None,
        text: text.into(),
    }
}

/// Streams and what came out of them.
struct Bench {
    streams: Streams,
    source: Arc<Described>,
    now: u64,
    told: Vec<(Stream, Option<SpanContext>, String)>,
}

impl Bench {
    fn new(limits: Limits, multiline: bool) -> Bench {
        let multiline = multiline.then(multiline::Limits::default);
        Bench {
            streams: Streams::new(limits, multiline, Arc::default()),
            source: source("shop"),
            now: 0,
            told: Vec::new(),
        }
    }
    fn write(&mut self, written: &Written) {
        let told = &mut self.told;
        let mut out = |_: &Described, event: Event<'_>| told.push(owned(event));
        self.streams.take(&self.source, written, self.now, &mut out);
    }
    fn flush(&mut self, now: u64) {
        self.now = now;
        let told = &mut self.told;
        self.streams.flush(now, &mut |_, event| told.push(owned(event)));
    }
    fn close(&mut self) {
        let told = &mut self.told;
        self.streams.close(&mut |_, event| told.push(owned(event)));
        assert_eq!((self.streams.held, self.streams.counts.held_bytes.get()), (0, 0));
    }
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
            .into_iter()
            .map(|(_, _, text)| text)
            .collect()
    }
}

fn owned(event: Event<'_>) -> (Stream, Option<SpanContext>, String) {
    let text = String::from_utf8_lossy(event.text).into_owned();
    (event.stream, event.place.span, text)
}

#[test]
fn a_line_is_put_together_from_its_writes() {
    let mut bench = Bench::new(Limits::default(), false);
    for text in ["so", "ld 7\nsol", "d 8", "\n\n"] {
        bench.write(&written(text.as_bytes()));
    }
    assert_eq!(bench.told(), ["sold 7", "sold 8", ""]);
    assert_eq!(bench.streams.counts.lines.get(), 3);
    assert_eq!(bench.streams.counts.bytes.get(), 15);
}

#[test]
fn streams_and_processes_are_kept_apart() {
    let mut bench = Bench::new(Limits::default(), false);
    let error = |text: &[u8]| Written {
        stream: Stream::Stderr,
        ..written(text)
    };
    let other = |text: &[u8]| Written {
        process: ProcessKey { pid: 8, start: 1 },
        ..written(text)
    };
    bench.write(&written(b"a"));
    bench.write(&error(b"b"));
    bench.write(&other(b"c"));
    bench.write(&error(b"2\n"));
    bench.write(&written(b"1\n"));
    bench.write(&other(b"3\n"));
    assert_eq!(bench.told[0].0, Stream::Stderr);
    assert_eq!(bench.told(), ["b2", "a1", "c3"]);
    assert_eq!(bench.streams.counts.streams.get(), 3);
}

/// What is before and behind a gap is no line that somebody wrote.
#[test]
fn nothing_is_put_together_over_a_gap() {
    let mut bench = Bench::new(Limits::default(), true);
    bench.write(&written(b"password="));
    bench.write(&Written {
        gap: true,
        ..written(b"rest\nnext\n")
    });
    bench.close();
    assert_eq!(bench.told(), ["password=", "rest", "next"]);
    assert_eq!(bench.streams.counts.parts.get(), 1);
}

#[test]
fn a_line_that_is_too_long_is_cut_and_the_next_is_whole() {
    let limits = Limits {
        line: 8,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits, false);
    bench.write(&written(b"12345"));
    bench.write(&written(b"67890"));
    bench.write(&written(b"123\nnext\n"));
    assert_eq!(bench.told(), ["12345678", "next"]);
    let counts = &bench.streams.counts;
    assert_eq!(
        (counts.cut.get(), counts.cut_bytes.get(), counts.lines.get()),
        (1, 5, 2)
    );
}

#[test]
fn a_beginning_waits_for_its_rest_and_not_for_ever() {
    let mut bench = Bench::new(Limits::default(), true);
    bench.write(&written(b"sold\nName: "));
    bench.flush(PATIENCE - 1);
    assert_eq!(bench.told(), [""; 0], "what was begun may belong to the line before it");
    bench.flush(PATIENCE);
    assert_eq!(bench.told(), ["sold", "Name: "]);
    assert_eq!((bench.streams.held, bench.streams.counts.parts.get()), (0, 1));
}

const TRACE: &str =
    "Traceback (most recent call last):\n  File \"a.py\", line 4, in sell\n    return stock[name]\nKeyError: 'x'\n";

#[test]
fn lines_of_one_event_are_one_however_they_are_written() {
    let mut bench = Bench::new(Limits::default(), true);
    for part in TRACE.as_bytes().chunks(7) {
        bench.write(&Written {
            span: span(1),
            ..written(part)
        });
    }
    bench.write(&written(b"next\n"));
    assert_eq!(bench.told[0].1, span(1));
    assert_eq!(bench.told(), [TRACE.trim_end()]);
    assert_eq!(bench.streams.counts.joined.get(), 3);
    bench.flush(2 * SECOND);
    assert_eq!(bench.told(), ["next"]);
}

#[test]
fn lines_of_different_requests_are_not_one_event() {
    let mut bench = Bench::new(Limits::default(), true);
    let of = |text: &[u8], id| Written {
        span: id,
        ..written(text)
    };
    bench.write(&of(b"first\n", span(1)));
    bench.write(&of(b"  indented\n", span(2)));
    bench.write(&of(b"  again\n", None));
    bench.close();
    let spans: Vec<_> = bench.told.iter().map(|(_, span, _)| *span).collect();
    assert_eq!(spans, [span(1), span(2), None]);
    // Nor is it known for which one a line was written that was written for two.
    bench.write(&of(b"half ", span(1)));
    bench.write(&of(b"and half\nwhole\n", span(2)));
    bench.close();
    let spans: Vec<_> = bench
        .told
        .iter()
        .skip(3)
        .map(|(_, span, text)| (*span, text.as_str()))
        .collect();
    assert_eq!(spans, [(None, "half and half"), (span(2), "whole")]);
}

#[test]
fn streams_beyond_the_limit_end_those_that_are_idle() {
    let limits = Limits {
        streams: 4,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits, false);
    for pid in 1..=5 {
        bench.now += 1;
        bench.write(&Written {
            process: ProcessKey { pid, start: 1 },
            ..written(format!("of {pid}").as_bytes())
        });
    }
    assert_eq!(bench.streams.all.len(), 4);
    assert_eq!(bench.told(), ["of 1"], "in parts, and not lost");
    assert_eq!(bench.streams.counts.streams.get(), 4);
}

#[test]
fn what_is_held_has_a_limit() {
    let limits = Limits {
        held: 16,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits, false);
    bench.write(&written(b"0123456789"));
    bench.write(&Written {
        stream: Stream::Stderr,
        ..written(b"abcdefghij")
    });
    assert_eq!(bench.told(), ["abcdefghij"]);
    assert_eq!((bench.streams.held, bench.streams.counts.held_bytes.get()), (10, 10));
}

#[test]
fn a_process_that_ends_or_is_another_service_leaves_nothing() {
    let mut bench = Bench::new(Limits::default(), true);
    bench.write(&written(b"as shop"));
    bench.source = source("web");
    bench.write(&written(b"as web\nand"));
    assert_eq!(bench.told(), ["as shop"]);
    let told = &mut bench.told;
    bench.streams.ended(SHOP, &mut |source, event| {
        assert_eq!(&*source.service, "web");
        told.push(owned(event));
    });
    assert_eq!(bench.told(), ["as web", "and"]);
    assert_eq!((bench.streams.all.len(), bench.streams.held), (0, 0));
    assert_eq!(bench.streams.counts.events().len(), 2);
}

proptest! {
    /// However a text is cut into writes, its lines are the same, and none is lost.
    #[test]
    fn any_cut_gives_the_same_lines(text in "[ab\n]{0,60}", cuts in prop::collection::vec(0usize..60, 0..8)) {
        let mut bench = Bench::new(Limits::default(), false);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        for cut in cuts.windows(2) {
            bench.write(&written(&text.as_bytes()[cut[0]..cut[1]]));
        }
        bench.close();
        let lines: Vec<_> = text.split_terminator('\n').map(str::to_owned).collect();
        prop_assert_eq!(bench.told(), lines);
    }

    /// Any bytes with any limits and gaps: bytes are lines, line ends or counted.
    #[test]
    fn no_byte_is_lost(writes in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..12)) {
        let limits = Limits { line: 8, held: 12, streams: 1 };
        let mut bench = Bench::new(limits, false);
        let mut told = 0;
        let mut out = |_: &Described, event: Event<'_>| told += event.text.len();
        let mut ends = 0;
        for (text, gap) in &writes {
            ends += text.iter().filter(|byte| **byte == b'\n').count();
            bench.streams.take(&bench.source, &Written { gap: *gap, ..written(text) }, 0, &mut out);
        }
        bench.streams.close(&mut out);
        let counts = &bench.streams.counts;
        let bytes: usize = writes.iter().map(|(text, _)| text.len()).sum();
        prop_assert_eq!(told + ends + counts.cut_bytes.get() as usize, bytes);
        prop_assert_eq!(counts.bytes.get() as usize, bytes);
    }
}
