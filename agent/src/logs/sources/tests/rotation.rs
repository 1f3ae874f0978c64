//! What rotation does to files, one thing at a time.

use super::{Bench, LONG};
use crate::logs::{LogRecord, Receipt};
use std::fs;

#[test]
fn a_renamed_file_is_read_to_its_end() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.append("a.log", "one\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one"]);
    bench.append("a.log", "two\n");
    bench.rename("a.log", "a.log.1");
    bench.append("a.log", "four\n");
    bench.append("a.log.1", "three\nlast without end");
    let mut all = bench.go_on();
    all.sort();
    assert_eq!(all, ["four", "three", "two"]);
    bench.append("a.log.1", " until now");
    bench.pass(LONG);
    assert_eq!(bench.go_on(), [""; 0], "it grew just now");
    bench.pass(LONG);
    assert_eq!(bench.go_on(), ["last without end until now"]);
    bench.go_on();
    assert_eq!(
        (bench.counts.open.get(), bench.counts.known.get()),
        (1, 2),
        "it was let go"
    );
    // Its writer did not let it go yet.
    bench.append("a.log.1", "\nmuch later\n");
    assert_eq!(bench.go_on(), ["much later"]);
    assert_eq!(bench.counts.rotations.get(), 1);
}

#[test]
fn a_removed_file_is_read_to_its_end_and_let_go() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.append("a.log", "one\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one"]);
    let mut writer = fs::File::options()
        .append(true)
        .open(bench.path("a.log"))
        .expect("a file");
    bench.append("a.log", "two\n");
    fs::remove_file(bench.path("a.log")).expect("removed");
    assert_eq!(bench.go_on(), ["two"]);
    std::io::Write::write_all(&mut writer, b"three\n").expect("written");
    assert_eq!(bench.go_on(), ["three"], "its writer goes on");
    bench.pass(LONG);
    bench.go_on();
    assert_eq!(bench.counts.open.get(), 0);
    bench.pass(LONG);
    bench.go_on();
    assert_eq!(bench.counts.known.get(), 0);
    assert_eq!(bench.counts.unread_removed.get(), 0);
}

/// A file whose writer never lets it go is not held for ever.
#[test]
fn a_removed_file_that_goes_on_growing_is_given_up() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.append("a.log", "one\n");
    bench.start();
    bench.go_on();
    let mut writer = fs::File::options()
        .append(true)
        .open(bench.path("a.log"))
        .expect("a file");
    fs::remove_file(bench.path("a.log")).expect("removed");
    for _ in 0..25 {
        std::io::Write::write_all(&mut writer, b"more\n").expect("written");
        bench.pass(LONG);
        bench.go_on();
    }
    assert_eq!((bench.counts.open.get(), bench.counts.known.get()), (0, 0));
    assert_eq!(bench.counts.unread_removed.get() % 5, 0);
    assert!(bench.counts.lines.get() > 15, "until then it was read");
}

#[test]
fn what_was_rotated_while_the_agent_was_down_is_read() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log.1", "history\n");
    bench.age("a.log.1");
    bench.append("a.log", "one\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one"]);
    bench.append("a.log", "two\n");
    bench.kill();
    bench.append("a.log", "three\n");
    bench.rename("a.log.1", "a.log.3");
    bench.rename("a.log", "a.log.2");
    bench.append("a.log.1", "four\n"); // made and rotated while nobody looked
    bench.append("a.log", "five\n");
    bench.start();
    let mut all = bench.go_on();
    all.sort();
    assert_eq!(all, ["five", "four", "three", "two"]);
    bench.kill();
    bench.start();
    assert_eq!(bench.go_on(), [""; 0]);
}

#[test]
fn a_truncated_file_is_read_anew_and_its_copy_from_where_it_was() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log", "one\ntwo\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one", "two"]);
    bench.append("a.log", "three\n");
    bench.copy_truncate("a.log", "a.log.1");
    bench.append("a.log", "four, and longer than what was there before\n");
    let mut all = bench.go_on();
    all.extend(bench.go_on());
    all.sort();
    assert_eq!(all, ["four, and longer than what was there before", "three"]);
    assert_eq!(bench.counts.truncations.get(), 1);
    bench.rename("a.log.1", "a.log.2");
    bench.append("a.log", "five\n");
    bench.copy_truncate("a.log", "a.log.1");
    let mut all = bench.go_on();
    all.extend(bench.go_on());
    assert_eq!(all, ["five"]);
}

#[test]
fn copies_made_while_the_agent_was_down_are_known() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log", "one\ntwo\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one", "two"]);
    bench.kill();
    bench.append("a.log", "three\n");
    bench.copy_truncate("a.log", "a.log.1");
    bench.append("a.log", "four\n");
    bench.rename("a.log.1", "a.log.2");
    bench.copy_truncate("a.log", "a.log.1");
    bench.append("a.log", "five\n");
    bench.start();
    let mut all = bench.go_on();
    bench.pass(LONG);
    all.extend(bench.go_on());
    all.sort();
    assert_eq!(all, ["five", "four", "three"]);
}

/// A copy is seen while it is being made.
#[test]
fn a_copy_is_waited_for() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log", "one\ntwo\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one", "two"]);
    bench.append("a.log.1", "one\nt");
    assert_eq!(bench.go_on(), [""; 0]);
    assert!(bench.reader().again);
    bench.append("a.log.1", "wo\nthree\n");
    bench.truncate("a.log");
    assert_eq!(bench.go_on(), ["three"]);
    // What looks like one and is none is read after a while.
    bench.append("a.log.2", "one\n");
    bench.append("a.log", "one\nfour\n");
    assert_eq!(bench.go_on(), ["one", "four"]);
    bench.pass(LONG);
    let mut all = bench.go_on();
    all.extend(bench.go_on());
    assert_eq!(all, ["one"]);
}

/// What cannot be read any more is counted as far as it was seen.
#[test]
fn what_a_truncation_took_is_counted() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log", "one\nseen in part");
    bench.start();
    assert_eq!(bench.go_on(), ["one"]);
    bench.truncate("a.log");
    bench.append("a.log", "two\n");
    assert_eq!(bench.go_on(), ["two"]);
    assert_eq!(
        (bench.counts.truncations.get(), bench.counts.unread_truncated.get()),
        (1, 12)
    );
}

#[test]
fn an_inode_that_is_another_file_is_read_from_its_beginning() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log", "one, of the first file\ntwo\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one, of the first file", "two"]);
    bench.kill();
    // The same inode with other content, as a file system gives it away again.
    bench.truncate("a.log");
    bench.append("a.log", "ONE, of another file\ntwo\nthree, beyond the place\n");
    bench.start();
    assert_eq!(
        bench.go_on(),
        ["ONE, of another file", "two", "three, beyond the place"]
    );
}

#[test]
fn a_file_moved_to_another_name_that_is_asked_for_goes_on() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.append("a.log", "one\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one"]);
    bench.rename("a.log", "zz.log");
    bench.append("zz.log", "two\n");
    assert_eq!(bench.go_on(), ["two"]);
    bench.pass(LONG);
    bench.go_on();
    bench.append("zz.log", "three\n");
    assert_eq!(bench.read(), ["three"]);
}

/// What is read and not settled when a file is copied and truncated is not read again from its copy, but after a kill it is.
#[test]
fn a_copy_is_read_on_from_what_was_read() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log", "one\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one"]);
    bench.append("a.log", "two\n");
    let unsettled = bench.records();
    assert_eq!(bodies(&unsettled), ["two"]);
    bench.append("a.log", "three\n");
    bench.copy_truncate("a.log", "a.log.1");
    bench.append("a.log", "four\n");
    let mut others = bench.records();
    bench.look();
    others.extend(bench.records());
    assert_eq!(bodies(&others), ["four", "three"]);
    // Those are settled, and what was read before the copy is not.
    others
        .into_iter()
        .filter_map(|record| record.receipt)
        .for_each(Receipt::settle);
    bench.save();
    bench.kill();
    drop(unsettled);
    bench.start();
    let mut all = bench.go_on();
    all.extend(bench.go_on());
    all.sort();
    assert_eq!(all, ["four", "three", "two"], "three and four stand behind it");
    bench.kill();
    bench.start();
    assert_eq!(bench.go_on(), [""; 0]);
}

fn bodies(records: &[LogRecord]) -> Vec<String> {
    let mut bodies: Vec<String> = records.iter().map(|record| record.body.clone()).collect();
    bodies.sort();
    bodies
}

/// More files were rotated than may be held or open: all are read, the oldest too, though new ones come at every look.
#[test]
fn the_oldest_of_many_rotated_files_is_read() {
    let mut bench = Bench::new(&["/log/*.log"]);
    (bench.settings.limits.away, bench.settings.limits.open) = (3, 8);
    bench.append("a.log", "0\n");
    bench.start();
    assert_eq!(bench.go_on(), ["0"]);
    bench.kill();
    let mut next = 1;
    let mut rotate = |bench: &mut Bench| {
        bench.append("a.log", format!("{next}\n"));
        bench.rename("a.log", &format!("a.log-{next:04}"));
        next += 1;
    };
    (0..100).for_each(|_| rotate(&mut bench));
    bench.start();
    let mut all = bench.read();
    for _ in 0..3 {
        (0..5).for_each(|_| rotate(&mut bench));
        bench.look();
        all.extend(bench.read());
        assert!(bench.counts.open.get() <= 8);
    }
    all.sort_by_key(|line| line.parse::<u32>().ok());
    assert_eq!(all, (1..=115).map(|n| n.to_string()).collect::<Vec<_>>());
}
