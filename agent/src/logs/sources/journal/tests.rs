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
