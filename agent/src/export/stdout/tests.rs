use super::*;
use crate::export::queue::tests::{ledger, span};
use crate::logs::{Acknowledge, Receipt, Severity, SpanContext};
use std::sync::mpsc::Sender;

/// Hands every write to the test, and waits for leave before each when there is a gate.
struct Pipe {
    out: Sender<Vec<u8>>,
    gate: Option<Receiver<()>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        self.out.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn limits(spans: usize) -> QueueLimits {
    QueueLimits {
        items: spans,
        batch: 1,
        ..QueueLimits::default()
    }
}

#[test]
fn line() {
    let (out, lines) = mpsc::channel();
    let sink = StdoutSink::start_with(Pipe { out, gate: None }, limits(9)).unwrap();
    let mut one = span(0xabc);
    one.parent = Some([1; 8]);
    one.attributes = vec![
        ("http.request.method".into(), AttributeValue::Text("GET".into())),
        ("http.response.status_code".into(), AttributeValue::Int(200)),
        ("ok".into(), AttributeValue::Bool(true)),
    ];
    sink.accept(one);
    let mut two = span(2);
    two.error = true;
    two.kind = SpanKind::Client;
    sink.accept(two);
    sink.close(Duration::from_secs(60));
    let text = String::from_utf8(lines.iter().flatten().collect()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let expect = concat!(
        r#"{"trace_id":"0000000000000abc0000000000000001","span_id":"0000000000000abc","parent_id":"0101010101010101","#,
        r#""service":"shop","name":"GET /a","kind":"SERVER","start":"2023-11-14T22:13:20.000000001Z","#,
        r#""duration_ms":1.5,"status":"unset","attributes":{"http.request.method":"GET","#,
        r#""http.response.status_code":200,"ok":true}}"#
    );
    assert_eq!(lines[0], expect);
    assert!(lines[1].contains(r#""parent_id":null"#) && lines[1].contains(r#""kind":"CLIENT""#));
    assert!(lines[1].contains(r#""status":"error","attributes":{}"#));
    assert_eq!((lines.len(), ledger(&sink.counts())), (2, (2, 0, vec![])));
}

#[test]
fn line_of_a_record() {
    let (out, lines) = mpsc::channel();
    let sink = StdoutSink::start_with(Pipe { out, gate: None }, limits(9)).unwrap();
    let mut record = LogRecord {
        timestamp: 1_700_000_000_000_000_001,
        observed: 0,
        severity: Severity::WARN,
        event_name: Some("onlooker.syscall.error".into()),
        body: "billing[412]: openat /a\nb: EACCES (x134 in 1 min)".to_owned(),
        attributes: vec![("onlooker.event.count".into(), AttributeValue::Int(134))],
        resource: span(1).resource,
        span: None,
        severity_text: None,
        receipt: None,
    };
    sink.accept(record.clone());
    record.span = Some(SpanContext {
        trace_id: [1; 16],
        span_id: [2; 8],
        flags: 1,
    });
    sink.accept(record);
    sink.close(Duration::from_secs(60));
    let text = String::from_utf8(lines.iter().flatten().collect()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let expect = concat!(
        r#"{"time":"2023-11-14T22:13:20.000000001Z","severity":"WARN","service":"shop","event":"onlooker.syscall.error","#,
        r#""body":"billing[412]: openat /a\nb: EACCES (x134 in 1 min)","attributes":{"onlooker.event.count":134}}"#
    );
    assert_eq!(lines[0], expect);
    let ids = r#""trace_id":"01010101010101010101010101010101","span_id":"0202020202020202""#;
    assert!(lines[1].contains(ids), "{}", lines[1]);
    assert_eq!((lines.len(), ledger(&sink.counts())), (2, (2, 0, vec![])));
}

#[test]
fn reader_gone() {
    let (out, lines) = mpsc::channel();
    drop(lines);
    let sink = StdoutSink::start_with(Pipe { out, gate: None }, limits(9)).unwrap();
    (0..3).for_each(|n| sink.accept(span(n)));
    sink.close(Duration::from_secs(60));
    sink.accept(span(4));
    assert_eq!(ledger(&sink.counts()), (0, 0, vec![("closed", 4)]));
}

#[test]
fn reader_that_does_not_read() {
    let (out, lines) = mpsc::channel();
    let (open, gate) = mpsc::channel();
    let sink = StdoutSink::start_with(Pipe { out, gate: Some(gate) }, limits(2)).unwrap();
    (0..9).for_each(|n| sink.accept(span(n)));
    let (delivered, pending, lost) = ledger(&sink.counts());
    assert!(
        delivered == 0 && pending <= 3 && lost[0].0 == "queue_full",
        "never blocked, never more than the limit"
    );
    let full = lost[0].1;
    sink.close(Duration::ZERO);
    assert_eq!(
        ledger(&sink.counts()),
        (0, 0, vec![("queue_full", full), ("shutdown", 9 - full)])
    );
    // The writer comes back to life: nothing is counted twice.
    drop(open);
    while lines.recv().is_ok() {}
    assert_eq!(ledger(&sink.counts()).0, 0);
}

/// Who reads logs waits for receipts: without them it would read on from an old place after a restart, and stop reading before.
#[test]
fn a_record_that_is_written_is_settled() {
    #[derive(Default)]
    struct Places(Mutex<Vec<u64>>);

    impl Acknowledge for Places {
        fn settled(&self, place: u64) {
            self.0.lock().unwrap().push(place);
        }
    }

    let (out, lines) = mpsc::channel();
    let sink = StdoutSink::start_with(Pipe { out, gate: None }, limits(9)).unwrap();
    let places = Arc::new(Places::default());
    for place in [7, 8] {
        sink.accept(LogRecord {
            timestamp: 1,
            observed: 1,
            severity: Severity::UNSPECIFIED,
            severity_text: None,
            event_name: None,
            body: "line".to_owned(),
            attributes: Vec::new(),
            resource: Arc::default(),
            span: None,
            receipt: Some(Receipt::new(places.clone(), place)),
        });
    }
    sink.close(Duration::from_secs(60));
    assert_eq!(lines.iter().count(), 2);
    assert_eq!(*places.0.lock().unwrap(), [7, 8]);
}
