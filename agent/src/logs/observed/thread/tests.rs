//! Tests of [`super`].

use super::super::queue::{Ended, Written};
use super::*;
use crate::collectors::own::events::EventCounts;
use crate::logs::SpanContext;
use crate::logs::sources::{Format, plain};
use crate::signal::{ProcessKey, Stream};
use crate::trace::span::Resource;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
struct Taken {
    records: Mutex<Vec<LogRecord>>,
    asked: AtomicUsize,
    /// It has room when it was asked so often.
    patience: usize,
}

impl Outlet for Taken {
    fn room(&self) -> Room {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        match asked < self.patience {
            true => Room::default(),
            false => Room {
                records: 2,
                bytes: usize::MAX,
            },
        }
    }
    fn take(&self, record: LogRecord) {
        self.records.lock().expect("sound").push(record);
    }
}

fn message(text: &str, span: Option<SpanContext>) -> Message {
    let source = Described {
        format: Format::Plain,
        resource: Arc::default(),
        service: "shop".into(),
    };
    Message::Written(
        Arc::new(source),
        Written {
            process: ProcessKey { pid: 7, start: 1 },
            stream: Stream::Stderr,
            tid: 9,
            at: 1_700_000_000_000_000_000,
            gap: false,
            span,
            container: None,
            text: text.as_bytes().into(),
        },
    )
}

/// What becomes of messages by the time the thread ended.
fn run(settings: &Settings, taken: Taken, make: Make, messages: Vec<Message>) -> (Vec<LogRecord>, Arc<ObservedCounts>) {
    let (taken, queue) = (Arc::new(taken), Arc::new(Queue::new(usize::MAX)));
    let counts = Arc::new(ObservedCounts::default());
    let running = start(settings, queue.clone(), taken.clone(), make, counts.clone()).expect("a thread");
    queue.put(messages.into_iter(), |_| panic!("there is room"), || ());
    running.finish();
    let records = std::mem::take(&mut *taken.records.lock().expect("sound"));
    (records, counts)
}

fn has(record: &LogRecord, name: &str, value: &AttributeValue) -> bool {
    record
        .attributes
        .iter()
        .any(|(known, found)| known == name && found == value)
}

#[test]
fn a_line_is_a_record_with_who_wrote_it_and_for_which_request() {
    let span = SpanContext {
        trace_id: [1; 16],
        span_id: [2; 8],
        flags: 1,
    };
    let own = SpanContext {
        trace_id: [3; 16],
        ..span
    };
    let make: Make = Arc::new(move |line| LogRecord {
        span: line.text.starts_with("own").then_some(own),
        ..plain(line)
    });
    let messages = vec![message("sold\r\nown ids\n", Some(span)), message("idle\n\0\0\n", None)];
    let (records, counts) = run(&Settings::default(), Taken::default(), make, messages);
    let bodies: Vec<_> = records.iter().map(|record| record.body.as_str()).collect();
    assert_eq!(bodies, ["sold", "own ids", "idle"]);
    let spans: Vec<_> = records.iter().map(|record| record.span).collect();
    assert_eq!(spans, [Some(span), Some(own), None], "what the line says comes first");
    assert_eq!(records[0].timestamp, 1_700_000_000_000_000_000);
    assert!(records[0].observed > records[0].timestamp);
    assert!(has(&records[0], "thread.id", &AttributeValue::Int(9)));
    assert!(has(&records[0], "log.iostream", &AttributeValue::Text("stderr".into())));
    assert_eq!(counts.correlated.get(), 1);
    let events = counts.events();
    let lines = events
        .iter()
        .find(|count| count.kind == "observed_line")
        .expect("counted");
    assert_eq!((lines.seen, lines.delivered, lines.pending()), (4, 3, 0));
    assert!(lines.lost.contains(&("empty", 1)));
}

#[test]
fn a_service_has_its_lines_a_second() {
    let settings = Settings {
        rate: Rate {
            lines: Some(2),
            share: 1.0,
        },
        ..Settings::default()
    };
    let messages = vec![message("1\n2\n3\n4\n", None)];
    let (records, counts) = run(&settings, Taken::default(), Arc::new(plain), messages);
    assert_eq!(records.len(), 2);
    let events = counts.events();
    assert!(events.iter().any(|count| count.lost.contains(&("rate_limited", 2))));
}

/// Exporters that are behind are waited for, and what is under way when the agent ends is told.
#[test]
fn room_is_waited_for_and_the_end_tells_what_is_held() {
    let taken = Taken {
        patience: 3,
        ..Taken::default()
    };
    let settings = Settings {
        multiline: Some(multiline::Limits::default()),
        ..Settings::default()
    };
    let ended = Message::Ended(Ended {
        process: ProcessKey { pid: 7, start: 1 },
    });
    let messages = vec![message("a\nb\nc\nhalf", None), ended, message("begun", None)];
    let (records, counts) = run(&settings, taken, Arc::new(plain), messages);
    let bodies: Vec<_> = records.iter().map(|record| record.body.as_str()).collect();
    assert_eq!(bodies, ["a", "b", "c", "half", "begun"]);
    assert_eq!((counts.parts.get(), counts.streams.get()), (2, 0));
}

/// A line of a container's log: fresh or of a backlog.
fn read_line(outlet: &WithIds, source: &Described, text: &str, time: u64, age: u64) {
    let line = Line {
        source,
        stream: Some(Stream::Stderr),
        time: Some(time),
        observed: time + age,
        severity: Severity::UNSPECIFIED,
        text,
    };
    outlet.take_line(plain(&line), &line);
}

#[test]
fn a_line_of_a_containers_log_gets_the_ids_of_its_write() {
    let span = SpanContext {
        trace_id: [1; 16],
        span_id: [2; 8],
        flags: 1,
    };
    let now = nanos(SystemTime::now().duration_since(UNIX_EPOCH).expect("a time"));
    let (taken, queue) = (Arc::new(Taken::default()), Arc::new(Queue::new(1 << 20)));
    let counts = Arc::new(ObservedCounts::default());
    let settings = Settings {
        multiline: Some(multiline::Limits::default()),
        ..Settings::default()
    };
    let running = start(&settings, queue.clone(), taken.clone(), Arc::new(plain), counts.clone()).expect("a thread");
    let source = Arc::new(Described {
        format: Format::Container,
        resource: Arc::new(Resource {
            attributes: vec![("container.id".into(), AttributeValue::Text("9".into()))],
        }),
        service: "shop".into(),
    });
    let outlet = WithIds::new(taken.clone(), queue.clone());
    // The line may be read before it is known for which request it was written.
    read_line(&outlet, &source, "sold", now, 5);
    read_line(&outlet, &source, "nobody saw it", now, 5);
    read_line(&outlet, &source, "long ago", now - 2 * FRESH, 2 * FRESH);
    let Message::Written(_, mut written) = message("sold\n", Some(span)) else {
        panic!("it is one")
    };
    written.at = now;
    written.container = container(&source.resource);
    queue.put(
        [Message::Written(source.clone(), written)].into_iter(),
        |_| panic!("there is room"),
        || (),
    );
    running.finish();
    // Nobody lets it wait any more.
    read_line(&outlet, &source, "after the end", now, 5);
    let records = taken.records.lock().expect("sound");
    let spans: Vec<_> = records
        .iter()
        .map(|record| (record.body.as_str(), record.span))
        .collect();
    let expect = [
        ("long ago", None),
        ("sold", Some(span)),
        ("nobody saw it", None),
        ("after the end", None),
    ];
    assert_eq!(spans, expect, "each once");
    assert_eq!((counts.joined_read.get(), counts.lines.get()), (1, 1));
    assert_eq!(
        counts.events().iter().map(|count| count.seen).sum::<u64>(),
        0,
        "it is no line of its own"
    );
}

#[test]
fn lines_that_find_no_room_to_wait_go_without_ids() {
    let (taken, queue) = (Arc::new(Taken::default()), Arc::new(Queue::new(4)));
    let outlet = WithIds::new(taken.clone(), queue);
    let source = Described {
        format: Format::Container,
        resource: Arc::new(Resource {
            attributes: vec![("container.id".into(), AttributeValue::Text("9".into()))],
        }),
        service: "shop".into(),
    };
    read_line(&outlet, &source, "sold", FRESH, 5);
    assert_eq!(taken.records.lock().expect("sound").len(), 1);
}
