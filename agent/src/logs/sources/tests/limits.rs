//! Every limit is reached, and what it refuses is counted or comes later.

use super::{Bench, LONG};
use crate::logs::sources::rate::Rate;
use std::fs;
use std::sync::atomic::Ordering;

#[test]
fn long_lines_are_cut() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.settings.limits.line = 100;
    bench.settings.limits.turn = 64;
    let long = "x".repeat(1000);
    bench.append("a.log", format!("short\n{long}\n{}\nend\n", "y".repeat(100)));
    bench.start();
    let all = bench.read();
    assert_eq!(all, ["short", &"x".repeat(100), &"y".repeat(100), "end"]);
    assert_eq!((bench.counts.cut.get(), bench.counts.cut_bytes.get()), (1, 900));
    // One that never ends.
    for _ in 0..50 {
        bench.append("a.log", &long);
        bench.go_on();
    }
    bench.append("a.log", "\nafter\n");
    assert_eq!(bench.go_on(), ["after"]);
    assert_eq!(bench.counts.cut_bytes.get(), 900 + 50_000 - 100);
}

#[test]
fn nothing_is_lost_where_there_is_no_room() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.sink.room.store(7, Ordering::Relaxed);
    for name in ["a.log", "b.log", "c.log"] {
        for n in 0..50 {
            bench.append(name, format!("{name} {n}\n"));
        }
    }
    bench.start();
    let mut all = Vec::new();
    while all.len() < 150 {
        let some = bench.go_on();
        assert!(!some.is_empty() && some.len() <= 7);
        all.extend(some);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 150);
    assert!(bench.counts.waits_for_room.get() > 0);
}

#[test]
fn more_files_than_may_be_open_are_all_read() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.limits.open = 3;
    bench.start();
    let names: Vec<String> = (0..10).map(|n| format!("{n}.log")).collect();
    let mut all = Vec::new();
    for round in 0..3 {
        for name in &names {
            bench.append(name, format!("{name} {round}\n"));
        }
        for _ in 0..10 {
            bench.pass(LONG);
            all.extend(bench.go_on());
            assert!(bench.counts.open.get() <= 3);
        }
    }
    all.sort();
    assert_eq!(all.len(), 30);
    all.dedup();
    assert_eq!(all.len(), 30);
}

#[test]
fn files_beyond_the_limit_are_counted() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.limits.files = 5;
    for n in 0..8 {
        bench.append(&format!("{n}.log"), "one\n");
    }
    bench.start();
    assert_eq!(bench.read().len(), 5);
    assert_eq!(bench.counts.refused.get(), 3);
}

#[test]
fn removed_files_are_held_in_number() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.limits.away = 2;
    bench.sink.room.store(4, Ordering::Relaxed);
    for n in 0..4 {
        bench.append(&format!("{n}.log"), "one\n");
    }
    bench.start();
    assert_eq!(bench.go_on().len(), 4);
    bench.sink.room.store(0, Ordering::Relaxed);
    for n in 0..4 {
        bench.append(&format!("{n}.log"), "two\n");
    }
    bench.go_on();
    for n in 0..4 {
        fs::remove_file(bench.path(&format!("{n}.log"))).expect("removed");
    }
    bench.go_on();
    assert_eq!(bench.counts.open.get(), 2);
    bench.sink.room.store(4, Ordering::Relaxed);
    assert_eq!(bench.go_on(), ["two", "two"]);
    for _ in 0..3 {
        bench.pass(LONG);
        bench.go_on();
    }
    assert_eq!((bench.counts.known.get(), bench.counts.unread_removed.get()), (0, 8));
}

#[test]
fn reading_waits_for_records_to_be_settled() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.limits.unsettled = 2;
    bench.settings.limits.turn = 8;
    bench.append("a.log", "one\ntwo\nthree\nfour\nfive\n");
    bench.start();
    assert_eq!(bench.read().len(), 3);
    assert!(bench.counts.waits_for_settling.get() > 0);
    bench.kill();
    bench.start();
    let mut all = Vec::new();
    for _ in 0..10 {
        all.extend(bench.go_on());
    }
    assert_eq!(all, ["one", "two", "three", "four", "five"]);
}

#[test]
fn parts_that_wait_are_bounded() {
    let mut bench = Bench::new(&["/log/pods/*/*/*.log"]);
    bench.settings.limits.parts = 1000;
    bench.settings.limits.line = 500;
    let part = format!("2024-01-01T00:00:00Z stdout P {}\n", "x".repeat(200));
    for n in 0..10 {
        let folder = format!("pods/ns_pod{n}_uid/c");
        fs::create_dir_all(bench.path(&folder)).expect("folders");
        bench.append(&format!("{folder}/0.log"), &part);
    }
    bench.start();
    assert_eq!(bench.go_on().len(), 5);
    assert_eq!((bench.counts.held_bytes.get(), bench.counts.parts.get()), (1000, 5));
    bench.kill();
    assert_eq!(bench.counts.held_bytes.get(), 0);
    // One line of many parts: cut at the limit of a line.
    bench.settings.limits.parts = 1 << 20;
    bench.append(
        "pods/ns_pod0_uid/c/0.log",
        part.repeat(9) + "2024-01-01T00:00:00Z stdout F end\n",
    );
    bench.start();
    let all = bench.go_on();
    assert!(all.iter().any(|text| text.len() == 500), "{all:?}");
    assert_eq!(bench.counts.cut.get(), 1);
}

#[test]
fn services_are_limited_in_rate() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.rate = Rate {
        lines: Some(10),
        share: 0.5,
    };
    bench.append("a.log", "line\n".repeat(100));
    bench.append("b.log", "line\n".repeat(10));
    bench.start();
    assert_eq!(bench.go_on().len(), 15);
    assert_eq!((bench.lost("sampled"), bench.lost("rate_limited")), (55, 40));
    assert_eq!(bench.open.load(Ordering::Relaxed), 0, "what was dropped is settled");
}

/// A file that never ends has one turn in each round, as everybody.
#[test]
fn no_file_starves_others() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.limits.turn = 1000;
    bench.append("chatty.log", "line\n".repeat(100_000));
    for n in 0..20 {
        bench.append(&format!("quiet{n}.log"), "quiet\n");
    }
    bench.start();
    let now = bench.now + LONG;
    bench.reader().round(now);
    let bodies: Vec<String> = bench.sink.take_all().iter().map(|record| record.body.clone()).collect();
    assert_eq!(bodies.iter().filter(|body| *body == "quiet").count(), 20);
    assert!(bodies.len() <= 220);
    bench.reader().tell();
    assert!(bench.counts.lag_bytes.get() > 400_000);
}

/// A start that finds many rotated files that are read does not hold them, and still reads what comes to one of them.
#[test]
fn rotated_files_that_are_read_keep_nobody_waiting() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.start();
    for n in (1..9).rev() {
        bench.append("a.log", format!("{n}\n"));
        assert_eq!(bench.go_on(), [n.to_string()]);
        bench.rename("a.log", &format!("a.log.{n}"));
        bench.go_on();
        bench.age(&format!("a.log.{n}"));
    }
    bench.append("a.log", "now\n");
    assert_eq!(bench.go_on(), ["now"]);
    bench.kill();
    bench.settings.limits.open = 2;
    bench.append("b.log", "other\n");
    bench.start();
    assert_eq!(bench.read(), ["other"]);
    assert_eq!((bench.counts.open.get(), bench.counts.refused.get()), (2, 0));
    bench.append("a.log.5", "late\n");
    bench.pass(LONG);
    assert_eq!(bench.go_on(), ["late"]);
}
