//! Lines that are one event arrive as one record, whatever reads, turns, other streams and kills do to them.

use super::{Bench, LONG};
use crate::collectors::own::events::EventCounts;
use crate::logs::multiline::Limits;
use crate::logs::sources::reader::Round;
use proptest::prelude::*;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

const TRACE: &str = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 1";
const POD: &str = "pods/shop_cart-0_uid/server";

fn bench(include: &[&str]) -> Bench {
    let mut bench = Bench::new(include);
    bench.settings.multiline = Some(Limits::default());
    bench
}

/// A line as a container runtime writes it.
fn cri(stream: &str, tag: &str, text: &str) -> String {
    format!("2024-01-01T00:00:00.5Z {stream} {tag} {text}\n")
}

impl Bench {
    /// Lines that are neither a record, nor joined to another one, nor lost.
    fn waiting(&self) -> u64 {
        let counts = &self.counts;
        let told = self.counts.events()[0].seen + counts.joined.get() + counts.merged.get();
        counts.lines.get().checked_sub(told).expect("no line is told twice")
    }
}

#[test]
fn a_trace_is_one_record() {
    let mut bench = bench(&["/log/*.log"]);
    bench.append("a.log", format!("{{\"n\":0}}\n{TRACE}\n"));
    bench.start();
    assert_eq!(bench.read(), ["{\"n\":0}"]);
    assert_eq!(
        (bench.waiting(), bench.counts.group_bytes.get()),
        (3, TRACE.len() as u64)
    );
    // More of it comes in time, then nothing.
    let chained = "\n\nDuring handling of the above exception, another exception occurred:\n\n";
    bench.now -= Duration::from_millis(500);
    bench.append(
        "a.log",
        format!("{}{TRACE}\n\n", chained.strip_prefix('\n').expect("a line feed")),
    );
    assert_eq!(bench.read(), [""; 0]);
    assert_eq!(bench.read(), [format!("{TRACE}{chained}{TRACE}")]);
    assert_eq!((bench.counts.joined.get(), bench.lost("empty")), (8, 1));
    assert_eq!((bench.waiting(), bench.counts.group_bytes.get()), (0, 0));
    // What nothing can follow waits for nothing.
    bench.append("a.log", "{\"a\":1}\n");
    assert_eq!(bench.read(), ["{\"a\":1}"]);
}

#[test]
fn a_line_under_way_is_waited_for() {
    let mut bench = bench(&["/log/*.log"]);
    bench.append("a.log", "java.lang.Error: x\n\tat a.B.c(B.ja");
    bench.start();
    assert_eq!(bench.read(), [""; 0]);
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.read(), [""; 0]);
    bench.append("a.log", "va:1)\n");
    assert_eq!(bench.read(), [""; 0]);
    assert_eq!(bench.read(), ["java.lang.Error: x\n\tat a.B.c(B.java:1)"]);
}

#[test]
fn streams_of_a_container_are_apart() {
    let mut bench = bench(&["/log/pods/*/*/*.log"]);
    fs::create_dir_all(bench.path(POD)).expect("folders");
    let file = format!("{POD}/0.log");
    let trace: Vec<&str> = TRACE.lines().collect();
    let lines = [
        cri("stderr", "F", trace[0]),
        cri("stdout", "F", "one"),
        cri("stderr", "P", "  File \"a.py\", "),
        cri("stdout", "F", "two"),
        cri("stderr", "F", "line 1, in <module>"),
        cri("stdout", "F", "\tof two"),
        cri("stderr", "F", trace[2]),
    ];
    bench.append(&file, lines.concat());
    bench.start();
    assert_eq!(bench.read(), ["one"]);
    assert_eq!(bench.read(), ["two\n\tof two", TRACE]);
    assert_eq!(
        (bench.counts.joined.get(), bench.counts.merged.get(), bench.waiting()),
        (3, 1, 0)
    );
}

/// The place that is remembered is that of the group's first line, not of the turn that read it.
#[test]
fn a_kill_cuts_nothing() {
    let mut bench = bench(&["/log/*.log"]);
    let lines: Vec<&str> = TRACE.lines().collect();
    bench.append("a.log", format!("{{\"n\":0}}\n{}\n", lines[0]));
    bench.start();
    assert_eq!(bench.go_on(), ["{\"n\":0}"]);
    bench.append("a.log", format!("{}\n", lines[1]));
    bench.now -= Duration::from_millis(900);
    assert_eq!(bench.go_on(), [""; 0]);
    bench.kill();
    assert_eq!(bench.counts.group_bytes.get(), 0);
    bench.append("a.log", format!("{}\none\n", lines[2]));
    bench.start();
    assert_eq!(bench.go_on(), [TRACE]);
    bench.kill();
    bench.start();
    assert_eq!(bench.go_on(), [""; 0]);
    assert_eq!(bench.go_on(), ["one"]);
    bench.kill();
    bench.start();
    bench.go_on();
    assert_eq!(bench.go_on(), [""; 0]);
}

#[test]
fn groups_end_with_their_file() {
    for way in ["renamed", "removed", "truncated"] {
        let mut bench = bench(&["/log/*.log"]);
        bench.append("a.log", format!("{TRACE}\nlast"));
        bench.start();
        assert_eq!(bench.read(), [""; 0]);
        match way {
            "renamed" => bench.rename("a.log", "a.log.1"),
            "removed" => fs::remove_file(bench.path("a.log")).expect("removed"),
            _ => bench.truncate("a.log"),
        }
        let mut all = bench.go_on();
        bench.pass(LONG);
        all.extend(bench.go_on());
        all.extend(bench.go_on());
        let expect: &[&str] = if way == "truncated" { &[TRACE] } else { &[TRACE, "last"] };
        assert_eq!(all, expect, "{way}");
        assert_eq!((bench.waiting(), bench.counts.group_bytes.get()), (0, 0));
    }
}

#[test]
fn what_is_held_is_handed_on_when_the_agent_rests() {
    let mut bench = bench(&["/log/*.log"]);
    bench.append("a.log", format!("{TRACE}\n"));
    bench.append("b.log", "one\n");
    let running = crate::logs::sources::start(
        bench.settings.clone(),
        bench.sink.clone(),
        std::sync::Arc::new(crate::logs::sources::plain),
    );
    let running = running.expect("started");
    while running.counts().lines.get() < 4 {
        std::thread::yield_now();
    }
    running.rest();
    while bench.sink.len() < 2 {
        std::thread::yield_now();
    }
    for record in bench.sink.take_all() {
        record.receipt.expect("a receipt").settle();
    }
    running.finish();
    bench.start();
    bench.go_on();
    assert_eq!(bench.go_on(), [""; 0]);
}

#[test]
fn groups_are_bounded_in_lines_and_bytes() {
    let mut bench = bench(&["/log/*.log"]);
    bench.settings.multiline = Some(Limits {
        lines: 3,
        bytes: 100,
        ..Limits::default()
    });
    let long = format!("\tat {}", "x".repeat(60));
    bench.append(
        "a.log",
        format!("Error: x\n\tat 1\n\tat 2\n\tat 3\n{long}\n{long}\nend\n"),
    );
    bench.start();
    let mut all = bench.read();
    all.extend(bench.read());
    assert_eq!(
        all,
        ["Error: x\n\tat 1\n\tat 2", &format!("\tat 3\n{long}"), &long, "end"]
    );
    assert_eq!(bench.waiting(), 0);
}

/// Groups of all files together: the one that passes the limit is handed on at once, and counted.
#[test]
fn groups_are_bounded_over_all_files() {
    let mut bench = bench(&["/log/*.log"]);
    bench.settings.limits.groups = 1000;
    for n in 0..10 {
        bench.append(&format!("{n}.log"), format!("Error: {n}\n\tat {}\n", "x".repeat(200)));
    }
    bench.start();
    let all = bench.read();
    assert!(!all.is_empty());
    assert!((700..=1000).contains(&bench.counts.group_bytes.get()));
    assert!(bench.counts.groups_cut.get() > 0);
    let rest = bench.read();
    // One that is cut within comes in two records.
    let texts: Vec<String> = [all, rest].concat();
    assert_eq!(texts.iter().flat_map(|text| text.lines()).count(), 20);
    assert!(texts.iter().filter(|text| text.contains('\n')).count() >= 4);
    assert_eq!((bench.counts.group_bytes.get(), bench.waiting()), (0, 0));
}

/// A stream that says no more does not hold back the place of one that has much to say.
#[test]
fn a_silent_stream_is_left_behind() {
    let mut bench = bench(&["/log/pods/*/*/*.log"]);
    bench.settings.limits.unsettled = u64::MAX;
    fs::create_dir_all(bench.path(POD)).expect("folders");
    let file = format!("{POD}/0.log");
    let much = cri("stdout", "F", &"x".repeat(950)).repeat(1500);
    bench.append(&file, cri("stderr", "F", "Error: x") + &much);
    bench.start();
    bench.now += Duration::from_secs(1);
    let now = bench.now;
    while bench.sink.len() < 1499 {
        assert_eq!(bench.reader().round(now), Round::Busy);
    }
    let all = bench.sink.take_all();
    let at = all
        .iter()
        .position(|record| record.body == "Error: x")
        .expect("handed on");
    assert!((1000..1300).contains(&at), "{at}");
    assert_eq!(
        all.iter()
            .filter(|record| record.timestamp == 1_704_067_200_500_000_000)
            .count(),
        all.len()
    );
}

/// What happens in a run: bytes that are written, then one of some things.
#[derive(Clone, Debug)]
enum Act {
    Round,
    /// Time goes by; only between events.
    Pass,
    Settle(u64),
    Save,
    Kill,
    Room(usize),
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let act = prop_oneof![
        6 => Just(Act::Round),
        2 => Just(Act::Pass),
        3 => any::<u64>().prop_map(Act::Settle),
        2 => Just(Act::Save),
        1 => Just(Act::Kill),
        1 => prop_oneof![Just(1), Just(2), Just(5), Just(usize::MAX)].prop_map(Act::Room),
    ];
    (0..60usize, act)
}

/// An event: its number, and how many lines go with the first one; some as Python writes them.
fn event(number: usize, more: usize) -> Vec<String> {
    let first = format!("{number:04} boom");
    if more == 3 {
        let trace = TRACE.lines().map(|line| line.replace('1', &format!("1{number:04}")));
        return std::iter::once(first).chain(trace).collect();
    }
    std::iter::once(first)
        .chain((0..more).map(|n| format!("\tat {number:04}.{n}")))
        .collect()
}

/// A run of a file: the records of each life, and those that were settled.
struct Run {
    bench: Bench,
    file: String,
    lives: Vec<Vec<(Option<String>, String)>>,
    pending: Vec<crate::logs::LogRecord>,
    arrived: Vec<(Option<String>, String)>,
    kills: u32,
}

fn key(record: &crate::logs::LogRecord) -> (Option<String>, String) {
    let stream = record.attributes.iter().find_map(|(name, value)| match value {
        crate::trace::span::AttributeValue::Text(text) if name == "log.iostream" => Some(text.to_string()),
        _ => None,
    });
    (stream, record.body.clone())
}

impl Run {
    fn new(pattern: &str, file: &str, turn: usize) -> Run {
        let mut bench = bench(&[pattern]);
        bench.settings.limits.turn = turn;
        bench.settings.limits.unsettled = u64::MAX;
        fs::create_dir_all(bench.path(file).parent().expect("a folder")).expect("folders");
        bench.append(file, "");
        bench.start();
        bench.save();
        Run {
            bench,
            file: file.to_owned(),
            lives: vec![Vec::new()],
            pending: Vec::new(),
            arrived: Vec::new(),
            kills: 0,
        }
    }

    fn take(&mut self) {
        let records = self.bench.sink.take_all();
        self.lives.last_mut().expect("a life").extend(records.iter().map(key));
        self.pending.extend(records);
    }

    fn settle(&mut self, mut dice: u64) {
        let mut left = Vec::new();
        for record in std::mem::take(&mut self.pending) {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if dice >> 62 == 0 {
                left.push(record);
                continue;
            }
            self.arrived.push(key(&record));
            record.receipt.expect("a receipt").settle();
        }
        self.pending = left;
    }

    fn act(&mut self, act: &Act, between: bool) {
        match act {
            Act::Round => {
                self.bench.now += Duration::from_millis(10);
                let now = self.bench.now;
                self.bench.reader().round(now);
            }
            Act::Pass if between => {
                for _ in 0..20 {
                    self.bench.now += Duration::from_millis(110);
                    let now = self.bench.now;
                    while self.bench.reader().round(now) == Round::Busy {}
                    self.take();
                }
            }
            Act::Pass => {}
            Act::Settle(dice) => self.settle(*dice),
            Act::Save => self.bench.save(),
            Act::Kill => {
                self.take();
                self.pending.clear();
                self.kills += 1;
                self.bench.kill();
                self.bench.start();
                self.lives.push(Vec::new());
            }
            Act::Room(room) => self.bench.sink.room.store(*room, Ordering::Relaxed),
        }
        self.take();
    }

    /// Writes all, with acts between; `ends`: places between events.
    fn go(&mut self, text: &str, ends: &[usize], acts: &[(usize, Act)]) {
        let mut at = 0;
        for (bytes, act) in acts {
            let to = (at + bytes).min(text.len());
            self.bench.append(&self.file, &text[at..to]);
            at = to;
            self.act(act, ends.contains(&at));
        }
        self.bench.append(&self.file, &text[at..]);
        for _ in 0..text.len() + 40 {
            self.act(&Act::Round, false);
        }
        self.act(&Act::Room(usize::MAX), false);
        self.act(&Act::Pass, true);
        for dice in 0..100 {
            self.settle(dice);
        }
        self.bench.save();
        self.bench.reader().tell();
        assert!(self.pending.is_empty());
        assert_eq!(
            (self.bench.counts.group_bytes.get(), self.bench.counts.held_bytes.get()),
            (0, 0)
        );
        assert_eq!(self.bench.counts.lag_bytes.get(), 0);
        if self.kills == 0 {
            assert_eq!(self.bench.waiting(), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every life tells whole events, one after the other, and begins at one that was not settled or before it.
    #[test]
    fn every_line_arrives_in_order_and_groups_whole(
        more in prop::collection::vec(0usize..5, 1..25), acts in prop::collection::vec(act(), 0..60), turn in 8usize..200,
    ) {
        let events: Vec<String> = more.iter().enumerate().map(|(n, more)| event(n, *more).join("\n")).collect();
        let (mut text, mut ends) = (String::new(), vec![0]);
        for event in &events {
            text += event;
            text.push('\n');
            ends.push(text.len());
        }
        let mut run = Run::new("/log/*.log", "a.log", turn);
        run.go(&text, &ends, &acts);
        for life in &run.lives {
            let Some((_, first)) = life.first() else { continue };
            let begin = events.iter().position(|event| event == first);
            prop_assert!(begin.is_some(), "cut: {:?}", first);
            let told: Vec<&String> = life.iter().map(|(_, body)| body).collect();
            let expect: Vec<&String> = events.iter().skip(begin.unwrap_or(0)).take(told.len()).collect();
            prop_assert_eq!(told, expect);
        }
        for event in &events {
            prop_assert!(run.arrived.iter().any(|(_, body)| body == event), "{event:?} is missing");
        }
    }

    /// The same of two streams in one file, with lines in parts: after a kill, a part of an event may come again that was told whole.
    #[test]
    fn every_line_of_streams_arrives_in_order_and_groups_whole(
        more in prop::collection::vec((0usize..5, 0usize..5), 1..12), acts in prop::collection::vec(act(), 0..60), turn in 60usize..400,
        mut dice in any::<u64>(),
    ) {
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % sides
        };
        let names = ["stdout", "stderr"];
        let mut events = [Vec::new(), Vec::new()];
        let (mut text, mut ends) = (String::new(), vec![0]);
        for (n, more) in more.iter().enumerate() {
            let mut pair = [event(n, more.0), event(n, more.1)];
            for (all, event) in events.iter_mut().zip(&pair) {
                all.push(event.join("\n"));
            }
            while pair.iter().any(|lines| !lines.is_empty()) {
                let which = roll(2) as usize;
                if pair[which].is_empty() {
                    continue;
                }
                let line = pair[which].remove(0);
                if roll(3) == 0 {
                    let (head, tail) = line.split_at(1 + roll(line.len() as u64 - 1) as usize);
                    text += &cri(names[which], "P", head);
                    let other = 1 - which;
                    if roll(2) == 0 && !pair[other].is_empty() {
                        let line = pair[other].remove(0);
                        text += &cri(names[other], "F", &line);
                    }
                    text += &cri(names[which], "F", tail);
                } else {
                    text += &cri(names[which], "F", &line);
                }
            }
            ends.push(text.len());
        }
        let acts: Vec<(usize, Act)> = acts.into_iter().map(|(bytes, act)| (bytes * 6, act)).collect();
        let mut run = Run::new("/log/pods/*/*/*.log", &format!("{POD}/0.log"), turn);
        run.go(&text, &ends, &acts);
        for (name, events) in names.iter().zip(&events) {
            for life in &run.lives {
                let mut next = None;
                for (_, body) in life.iter().filter(|(stream, _)| stream.as_deref() == Some(name)) {
                    let whole = events.iter().position(|event| event == body);
                    match (whole, next) {
                        (Some(at), None) => next = Some(at + 1),
                        (Some(at), Some(expect)) => {
                            prop_assert_eq!(at, expect);
                            next = Some(at + 1);
                        }
                        (None, None) => {
                            prop_assert!(events.iter().any(|event| event.contains(body.as_str())), "{body:?}");
                        }
                        (None, Some(_)) => prop_assert!(false, "cut: {:?}", body),
                    }
                }
            }
            for event in events {
                let came = |(stream, body): &(Option<String>, String)| stream.as_deref() == Some(name) && body == event;
                prop_assert!(run.arrived.iter().any(came), "{event:?} is missing");
            }
        }
    }
}
