//! A process that appends is killed, again and again.

use super::*;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const FOLDER: &str = "ONLOOKER_TEST_QUEUE_FOLDER";
const NAME: &str = "export::queue::disk::tests::crash::child";

/// The process that is killed: no test. Tells what was appended once it is, and what the receiver has before it is marked, as a
/// receiver would know of it.
#[test]
#[ignore = "it is a part of `killed_at_any_time_nothing_is_lost`, which runs it"]
fn child() {
    let Ok(path) = std::env::var(FOLDER) else { return };
    let mut out = io::stdout().lock();
    let (mut disk, found) = open(Path::new(&path), LARGE);
    disk.segment_size = 20_000;
    writeln!(out, "torn {}", found.torn_bytes).unwrap();
    let first = std::env::var("ONLOOKER_TEST_QUEUE_FIRST").unwrap().parse().unwrap();
    for number in first.. {
        let place = append(&mut disk, number, true);
        writeln!(out, "appended {number}").unwrap();
        match number % 3 {
            0 => {
                writeln!(out, "done {number}").unwrap();
                disk.done(place);
            }
            1 => disk.release(&[place]),
            _ => {}
        }
        // The receiver takes the oldest.
        if number % 5 == 0
            && let Some(batch) = disk.next()
        {
            writeln!(out, "done {}", batch.items).unwrap();
            disk.done(batch.place);
        }
    }
}

#[test]
fn killed_at_any_time_nothing_is_lost() {
    let folder = folder();
    let mut wait = BTreeSet::new();
    let (mut last, mut torn, mut twice) = (0u32, 0u64, 0usize);
    const ROUNDS: usize = 25;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            // What was under way when it was killed may be there or not.
            .env("ONLOOKER_TEST_QUEUE_FIRST", (last + 2).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        // Not always at the same call.
        let enough = 50 + round * 37 % 200;
        for line in lines.by_ref() {
            let line = line.unwrap();
            let Some((what, number)) = line.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u32>() else { continue };
            match what {
                "torn" => torn += u64::from(number),
                "appended" => {
                    wait.insert(number);
                    last = last.max(number);
                }
                "done" => drop(wait.remove(&number)),
                _ => continue,
            }
            told += 1;
            if told == enough {
                // SIGKILL.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(told >= enough, "the process ended by itself in round {round}");
        let (mut disk, _) = open(folder.path(), LARGE);
        let mut there = BTreeSet::new();
        while let Some(batch) = disk.next() {
            assert_eq!(batch.body, body(batch.items));
            assert!(there.insert(batch.items), "{} twice", batch.items);
        }
        let missing: Vec<_> = wait.difference(&there).collect();
        assert_eq!(missing, [] as [&u32; 0], "in round {round}");
        // At most the one that was appended and not told, and the one that was done and is not marked.
        let more = there.difference(&wait).count();
        assert!(more <= 2, "{more} in round {round}");
        twice += more;
        wait = there;
        assert_eq!(disk.take_lost(), []);
    }
    assert!(
        last > 1000 && twice <= 2 * ROUNDS,
        "{last} appended, {torn} bytes torn, {twice} twice"
    );
}
