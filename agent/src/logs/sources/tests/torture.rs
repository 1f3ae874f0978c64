//! Fifty files rotated again and again, by renaming and by copying, while the reader is killed and started: every line that was written
//! arrives at least once. A line has arrived when its receipt was handed back; what was not settled at a kill is gone with it.
//!
//! Who writes waits while a file is copied and truncated: what is written between the two is lost by the nature of `copytruncate`, and
//! nobody can know it.

use super::Bench;
use crate::logs::LogRecord;
use crate::logs::sources::reader::Round;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const FILES: usize = 50;
const ROTATIONS: usize = 20;
const LINES: usize = 12;

/// A small generator, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn write_all(bench: &Bench, done: &AtomicBool) {
    let mut dice = Dice(7);
    let mut next = [0usize; FILES];
    for rotation in 0..=ROTATIONS {
        for (file, next) in next.iter_mut().enumerate() {
            let name = format!("{file}.log");
            let mut write = |lines: usize| {
                let mut text = String::new();
                for _ in 0..lines {
                    text += &format!("{file}/{next} {}\n", "x".repeat(dice.roll(60) as usize));
                    *next += 1;
                }
                // Writes end within lines.
                let (head, tail) = text.split_at(text.len() - 1 - dice.roll(7) as usize);
                bench.append(&name, head);
                bench.append(&name, tail);
            };
            if rotation > 0 {
                write(LINES / 2); // read by nobody before
                for older in (1..rotation).rev() {
                    bench.rename(&format!("{name}.{older}"), &format!("{name}.{}", older + 1));
                }
                match file % 2 {
                    0 => bench.rename(&name, &format!("{name}.1")),
                    _ => bench.copy_truncate(&name, &format!("{name}.1")),
                }
            }
            write(LINES - LINES / 2 * usize::from(rotation < ROTATIONS));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    done.store(true, Ordering::Release);
}

/// Hands some receipts back, in no order.
fn settle(pending: &mut Vec<LogRecord>, arrived: &mut HashSet<String>, total: &mut usize, dice: &mut Dice, all: bool) {
    let mut left = Vec::new();
    while !pending.is_empty() {
        let record = pending.swap_remove(dice.roll(pending.len() as u64) as usize);
        if !all && dice.roll(5) == 0 {
            left.push(record);
            continue;
        }
        let key = record.body.split(' ').next().unwrap_or_default().to_owned();
        arrived.insert(key);
        *total += 1;
        record.receipt.expect("a receipt").settle();
    }
    *pending = left;
}

#[test]
fn every_line_arrives() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.multiline = Some(crate::logs::multiline::Limits::default());
    let writer = Bench {
        dir: tempfile::tempdir().expect("a folder"),
        settings: bench.settings.clone(),
        sink: bench.sink.clone(),
        counts: bench.counts.clone(),
        open: bench.open.clone(),
        reader: None,
        now: bench.now,
    };
    // The writer's folder is the reader's.
    std::fs::remove_dir_all(writer.dir.path()).expect("removed");
    std::os::unix::fs::symlink(bench.dir.path(), writer.dir.path()).expect("a link");
    let done = AtomicBool::new(false);
    let expect = FILES * (ROTATIONS + 1) * LINES;
    assert_eq!(LINES % 2, 0, "half before a rotation, half after");
    let (mut arrived, mut total, mut dice) = (HashSet::new(), 0, Dice(3));
    let mut lives = 0;
    // The first start saves at once, so that every later one goes on.
    bench.start();
    bench.save();
    std::thread::scope(|scope| {
        scope.spawn(|| write_all(&writer, &done));
        let begun = Instant::now();
        let clock = || Duration::from_secs(100) + begun.elapsed();
        let mut pending = Vec::new();
        let mut kill = Duration::ZERO;
        let mut since_done = None;
        while arrived.len() < expect {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{} of {expect} lines arrived",
                arrived.len()
            );
            bench.now = clock();
            if bench.now > kill && !done.load(Ordering::Acquire) {
                bench.kill();
                pending.clear();
                lives += 1;
                kill = bench.now + Duration::from_millis(30 + dice.roll(200));
                bench.start();
            }
            bench.look();
            for _ in 0..3 {
                let now = clock();
                if bench.reader().round(now) != Round::Busy {
                    break;
                }
            }
            pending.extend(bench.sink.take_all());
            let finished = done.load(Ordering::Acquire);
            settle(&mut pending, &mut arrived, &mut total, &mut dice, finished);
            if dice.roll(3) == 0 {
                bench.save();
            }
            if finished && since_done.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(30) {
                break;
            }
        }
    });
    let missing: Vec<String> = (0..FILES)
        .flat_map(|file| (0..(ROTATIONS + 1) * LINES).map(move |n| format!("{file}/{n}")))
        .filter(|key| !arrived.contains(key))
        .collect();
    let some = missing.get(..missing.len().min(5));
    assert!(
        missing.is_empty(),
        "{} of {expect} are missing after {lives} lives: {some:?}",
        missing.len()
    );
    let (rotations, truncations) = (bench.counts.rotations.get(), bench.counts.truncations.get());
    println!("{total} lines for {expect}, {lives} lives, {rotations} rotations, {truncations} truncations");
    assert!(lives > 1 && rotations > 0 && truncations > 0);
}
