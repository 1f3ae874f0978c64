use super::*;
use crate::logs::sources::rate::{Rate, Rates};
use crate::logs::sources::tests::{Sink, settings};
use crate::logs::{LogRecord, Severity};
use crate::trace::span::AttributeValue;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn binary(name: &str, value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u64).to_le_bytes();
    [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
}

fn entry(n: u32, message: &[u8]) -> Vec<u8> {
    let head = format!(
        "__CURSOR=c{n}\n__REALTIME_TIMESTAMP=1700000000000001\nPRIORITY=4\n_PID={n}\n_SYSTEMD_UNIT=shop.service\n"
    );
    [head.as_bytes(), &binary("MESSAGE", message), b"\n"].concat()
}

#[test]
fn entries_are_read_however_they_are_cut() {
    let mut all = b"__CURSOR=c0\nMESSAGE=plain = text\nX=1\n\n".to_vec();
    all.extend(entry(1, b"two\nlines\n\n"));
    all.extend(binary("BIG", &[b'x'; 5000]));
    all.extend(b"__CURSOR=c2\nMESSAGE=last\n\n");
    for size in [1, 3, 7, 100, all.len()] {
        let mut parser = Parser::new(1000);
        let entries: Vec<Entry> = all.chunks(size).flat_map(|part| parser.push(part)).collect();
        let texts: Vec<&[u8]> = entries.iter().map(|entry| entry.message.as_slice()).collect();
        assert_eq!(texts, [&b"plain = text"[..], b"two\nlines\n\n", b"last"], "{size}");
        assert_eq!(entries[1].time, Some(1_700_000_000_000_001_000));
        assert_eq!(entries[1].severity(), Severity::WARN);
        assert_eq!(parser.cut, 4000);
    }
}

#[test]
fn long_values_are_cut() {
    let mut parser = Parser::new(10);
    let long = format!("MESSAGE={}\nPRIORITY=3\n\n", "x".repeat(2000));
    let entries: Vec<Entry> = long.as_bytes().chunks(64).flat_map(|part| parser.push(part)).collect();
    assert_eq!(entries[0].message, b"xxxxxxxxxx");
    assert_eq!(entries[0].severity(), Severity::ERROR);
    assert_eq!(parser.cut, 1990);
}

proptest! {
    #[test]
    fn takes_any_bytes(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let mut parser = Parser::new(16);
        for part in parts {
            parser.push(&part);
        }
        prop_assert!(parser.rest.len() <= 16 + 256 + 40);
    }
}

fn text(record: &LogRecord, name: &str) -> Option<String> {
    record.resource.attributes.iter().find_map(|(key, value)| match value {
        AttributeValue::Text(text) if key == name => Some(text.to_string()),
        _ => None,
    })
}

/// A program in `journalctl`'s place; it notes its arguments and ends when its pipe does.
#[test]
fn a_program_is_followed_and_its_cursor_remembered() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let own = entry(4242, b"our own");
    fs::write(path("data"), [entry(1, b"one"), own, entry(2, b"two")].concat()).expect("data");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {0}/arguments\ncat {0}/data\nexec sleep 60\n",
        dir.path().display()
    );
    fs::write(path("journalctl"), script).expect("a script");
    fs::set_permissions(path("journalctl"), fs::Permissions::from_mode(0o755)).expect("permissions");
    let mut settings = settings(dir.path(), &[]);
    settings.mine.pid = 4242;
    let sink = Arc::new(Sink::default());
    let counts = Arc::new(SourceCounts::default());
    let sender = Sender::new(
        sink.clone(),
        Arc::new(crate::logs::sources::plain),
        Rates::new(Rate::default()),
        counts.clone(),
    );
    let open = Open::default();
    let order = Arc::new(Order::default());
    let tracker = Arc::new(Tracker::new(open.clone(), Some("c0".to_owned())));
    let mut reading = Reading {
        journal: Journal {
            program: path("journalctl"),
        },
        settings,
        sender,
        tracker: tracker.clone(),
        unsettled: open,
        order: order.clone(),
        fresh: false,
    };
    let thread = std::thread::spawn(move || reading.run(Some("c0".to_owned())));
    while sink.len() < 2 {
        std::thread::yield_now();
    }
    let records = sink.take_all();
    assert_eq!(
        records.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(text(&records[0], "service.name").as_deref(), Some("shop"));
    assert_eq!(tracker.settled_to().as_deref(), Some("c0"), "nothing is settled");
    for record in records {
        record.receipt.expect("a receipt").settle();
    }
    while tracker.settled_to().as_deref() != Some("c2") {
        std::thread::yield_now();
    }
    order.end();
    thread.join().expect("ended");
    let arguments = fs::read_to_string(path("arguments")).expect("arguments");
    assert!(
        arguments.contains("--output=export") && arguments.contains("--after-cursor=c0"),
        "{arguments}"
    );
}

#[test]
fn arguments_say_where_to_begin() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut settings = settings(dir.path(), &[]);
    let has = |settings: &Settings, cursor: Option<&str>, fresh: bool, word: &str| {
        arguments(settings, cursor, fresh)
            .iter()
            .any(|argument| argument == word)
    };
    assert!(has(&settings, None, true, "--no-tail"));
    settings.start = StartAt::End;
    assert!(has(&settings, None, true, "--lines=0"));
    assert!(has(&settings, None, false, "--no-tail"));
    assert!(has(&settings, Some("c"), true, "--after-cursor=c"));
    settings.host.root = "/host".into();
    assert!(has(&settings, None, true, "--directory=/host/var/log/journal"));
    settings.host.root = "/".into();
    assert!(
        !arguments(&settings, None, true)
            .iter()
            .any(|argument| argument.to_string_lossy().starts_with("--directory"))
    );
}

/// A line of a program's standard output as the journal has it.
fn line(n: u32, stream: &str, message: &str) -> Vec<u8> {
    format!("__CURSOR=c{n}\n_TRANSPORT=stdout\n_STREAM_ID={stream}\n_SYSTEMD_UNIT={stream}.service\nPRIORITY=3\nMESSAGE={message}\n\n")
        .into_bytes()
}

struct Bench {
    reading: Reading,
    sink: Arc<Sink>,
    place: Place,
    sources: Sources,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().expect("a folder");
        let mut settings = settings(dir.path(), &[]);
        settings.multiline = Some(crate::logs::multiline::Limits::default());
        let (sink, counts, open) = (
            Arc::new(Sink::default()),
            Arc::new(SourceCounts::default()),
            Open::default(),
        );
        let make = Arc::new(crate::logs::sources::plain);
        let reading = Reading {
            journal: Journal {
                program: "journalctl".into(),
            },
            sender: Sender::new(sink.clone(), make, Rates::new(Rate::default()), counts.clone()),
            tracker: Arc::new(Tracker::new(open.clone(), Some("c0".to_owned()))),
            unsettled: open,
            order: Arc::default(),
            fresh: false,
            settings: settings.clone(),
        };
        let place = Place {
            cursor: Some("c0".to_owned()),
            groups: Groups::new(&settings, counts),
        };
        let sources = Sources::new(&settings);
        Bench {
            reading,
            sink,
            place,
            sources,
            _dir: dir,
        }
    }

    /// Bodies of what came out, settled.
    fn told(&mut self) -> Vec<String> {
        let records = self.sink.take_all();
        let bodies = records.iter().map(|record| record.body.clone()).collect();
        for record in records {
            record.receipt.expect("a receipt").settle();
        }
        bodies
    }

    fn push(&mut self, lines: &[Vec<u8>], millis: u64) -> Vec<String> {
        let entries = Parser::new(1000).push(&lines.concat());
        let now = Duration::from_millis(millis);
        assert!(self.reading.hand_on(entries, &mut self.place, &mut self.sources, now));
        self.told()
    }

    fn flush(&mut self, since: u64) -> Vec<String> {
        let since = Duration::from_millis(since);
        self.reading.flush(&mut self.place, Some(since), since);
        self.told()
    }

    fn settled(&self) -> Option<String> {
        self.reading.tracker.settled_to()
    }
}

#[test]
fn lines_of_streams_are_joined_and_hold_back_the_cursor() {
    let mut bench = Bench::new();
    let lines = [
        line(1, "a", "Traceback (most recent call last):"),
        line(2, "b", "one"),
        line(3, "a", "  File x"),
        line(4, "b", "two"),
    ];
    assert_eq!(bench.push(&lines, 5), ["one"]);
    assert_eq!(bench.settled().as_deref(), Some("c0"));
    // What is told to the journal as an event is one, whatever it looks like.
    let event = [b"_TRANSPORT=journal\n".to_vec(), entry(5, b"  indented")].concat();
    assert_eq!(bench.push(&[event], 6), ["  indented"]);
    assert_eq!(
        bench.push(&[line(6, "a", "KeyError: 1"), line(7, "a", "three")], 1500),
        ["Traceback (most recent call last):\n  File x\nKeyError: 1"]
    );
    assert_eq!(bench.settled().as_deref(), Some("c3"), "two waits");
    assert_eq!(bench.flush(500), ["two"]);
    assert_eq!(bench.settled().as_deref(), Some("c6"));
    assert_eq!(bench.flush(1500), ["three"]);
    assert_eq!(bench.settled().as_deref(), Some("c7"));
    let counts = &bench.reading.sender.counts;
    assert_eq!(
        (counts.lines.get(), counts.joined.get(), counts.group_bytes.get()),
        (7, 2, 0)
    );
}

#[test]
fn streams_of_the_journal_that_wait_are_bounded() {
    let mut bench = Bench::new();
    for n in 0..1026 {
        let told = bench.push(&[line(n, &n.to_string(), "text")], 1);
        assert_eq!(told.len(), usize::from(n >= 1024), "{n}");
    }
    assert_eq!(bench.reading.sender.counts.groups_cut.get(), 2);
    assert_eq!(bench.flush(1).len(), 1024);
    // Bytes as well.
    bench.place.groups = {
        bench.reading.settings.limits.groups = 10;
        Groups::new(&bench.reading.settings, bench.reading.sender.counts.clone())
    };
    assert_eq!(
        bench.push(&[line(1, "a", "12345"), line(2, "b", "123456")], 2),
        ["123456"]
    );
    assert_eq!(bench.reading.sender.counts.groups_cut.get(), 3);
}
