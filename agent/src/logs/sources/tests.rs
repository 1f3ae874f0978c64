//! The reader over folders of its own, with a clock of its own; kills are simulated by dropping its state.

mod groups;
mod limits;
mod rotation;
mod torture;

use super::checkpoint::Checkpoint;
use super::counts::SourceCounts;
use super::globs::Globs;
use super::rate::{Rate, Rates};
use super::reader::{Reader, Round};
use super::sender::{Outlet, Room, Sender, plain};
use super::settings::{Limits, Mine, Settings, StartAt};
use super::tracker::Open;
use crate::collectors::own::events::EventCounts;
use crate::host::Host;
use crate::logs::LogRecord;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Keeps what it is given.
pub(super) struct Sink {
    records: Mutex<Vec<LogRecord>>,
    /// Records that it holds at most.
    room: AtomicUsize,
}

impl Default for Sink {
    fn default() -> Sink {
        Sink {
            records: Mutex::default(),
            room: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Outlet for Sink {
    fn room(&self) -> Room {
        Room {
            records: self.room.load(Ordering::Relaxed).saturating_sub(self.len()),
            bytes: usize::MAX,
        }
    }

    fn take(&self, record: LogRecord) {
        assert!(self.room().records > 0, "nothing is handed on where there is no room");
        self.records.lock().expect("sound").push(record);
    }
}

impl Sink {
    pub(super) fn len(&self) -> usize {
        self.records.lock().expect("sound").len()
    }

    pub(super) fn take_all(&self) -> Vec<LogRecord> {
        std::mem::take(&mut self.records.lock().expect("sound"))
    }
}

/// Reads these patterns below a folder, from the beginning.
pub(super) fn settings(root: &Path, include: &[&str]) -> Settings {
    let host = Host {
        root: root.to_owned(),
        ..Host::default()
    };
    Settings {
        host,
        node: None,
        pods: None,
        globs: Globs::new(include.iter().map(|glob| glob.parse().expect("a pattern")), []),
        services: Vec::new(),
        journal: None,
        start: StartAt::Beginning,
        state: root.join("state/logs.json"),
        rate: Rate::default(),
        multiline: None,
        mine: Mine::default(),
        limits: Limits::default(),
    }
}

/// A reader and what it reads.
struct Bench {
    dir: tempfile::TempDir,
    settings: Settings,
    sink: Arc<Sink>,
    counts: Arc<SourceCounts>,
    open: Open,
    reader: Option<Reader>,
    now: Duration,
}

fn wall() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as u64
}

impl Bench {
    fn new(include: &[&str]) -> Bench {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("log")).expect("a folder");
        let settings = settings(dir.path(), include);
        Bench {
            settings,
            sink: Arc::default(),
            counts: Arc::default(),
            open: Open::default(),
            reader: None,
            now: Duration::from_secs(100),
            dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("log").join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(self.path(name))
            .expect("a file");
        file.write_all(text.as_ref()).expect("written");
    }

    /// Written an hour ago.
    fn age(&self, name: &str) {
        let file = File::options().write(true).open(self.path(name)).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(3600))
            .expect("set");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("renamed");
    }

    /// What logrotate does with `copytruncate`.
    fn copy_truncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).expect("copied");
        self.truncate(from);
    }

    fn truncate(&self, name: &str) {
        File::options()
            .write(true)
            .open(self.path(name))
            .expect("a file")
            .set_len(0)
            .expect("truncated");
    }

    /// Begins, from the checkpoint that there is.
    fn start(&mut self) {
        let sender = Sender::new(
            self.sink.clone(),
            Arc::new(plain),
            Rates::new(self.settings.rate),
            self.counts.clone(),
        );
        let checkpoint = Checkpoint::read(&self.settings.state).expect("a checkpoint or none");
        self.open = Open::default();
        self.reader = Some(Reader::new(
            self.settings.clone(),
            sender,
            self.open.clone(),
            checkpoint.as_ref(),
        ));
        self.look();
    }

    fn reader(&mut self) -> &mut Reader {
        self.reader.as_mut().expect("started")
    }

    fn look(&mut self) {
        let now = self.now;
        self.reader().look(now, wall());
        self.reader().tell();
    }

    /// Reads what there is, without looking for files.
    fn records(&mut self) -> Vec<LogRecord> {
        self.now += Duration::from_secs(1);
        let now = self.now;
        while self.reader().round(now) == Round::Busy {}
        self.reader().tell();
        self.sink.take_all()
    }

    /// The same, the lines alone.
    fn read(&mut self) -> Vec<String> {
        self.records().into_iter().map(|record| record.body).collect()
    }

    /// Looks for files and reads, settles everything and writes the checkpoint.
    fn go_on(&mut self) -> Vec<String> {
        self.look();
        self.now += Duration::from_secs(1);
        let now = self.now;
        while self.reader().round(now) == Round::Busy {}
        self.reader().tell();
        let records = self.sink.take_all();
        let texts = records.iter().map(|record| record.body.clone()).collect();
        for record in records {
            record.receipt.expect("a receipt").settle();
        }
        self.save();
        texts
    }

    fn save(&mut self) {
        let (saved, looked) = (self.reader().saved(), self.reader().looked);
        let path = self.settings.state.clone();
        Checkpoint::new(wall(), Some(looked), saved, None)
            .write(&path)
            .expect("written");
    }

    /// Drops all that is in memory.
    fn kill(&mut self) {
        self.reader = None;
        self.sink.take_all();
        self.counts.open.set(0);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn lost(&self, reason: &str) -> u64 {
        let events = self.counts.events();
        let lost = events[0].lost.iter().find(|(name, _)| *name == reason);
        lost.expect("a reason").1
    }
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn lines_are_read_as_they_come() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.append("a.log", "one\ntwo\nthr");
    bench.start();
    assert_eq!(bench.read(), ["one", "two"]);
    bench.append("a.log", "ee\n");
    bench.append("a.log", "\r\nfour\r\n\nfi");
    bench.pass(LONG);
    assert_eq!(
        bench.read(),
        ["three", "four"],
        "a line without end waits for it, however long"
    );
    bench.append("a.log", "ve\n");
    assert_eq!(bench.read(), ["five"]);
    bench.append("b.log", "six\n");
    assert_eq!(bench.read(), [""; 0], "not known yet");
    assert_eq!(bench.go_on(), ["six"]);
    assert_eq!((bench.counts.lines.get(), bench.lost("empty")), (8, 2));
    assert_eq!(
        (
            bench.counts.open.get(),
            bench.counts.known.get(),
            bench.counts.lag_bytes.get()
        ),
        (2, 2, 0)
    );
}

#[test]
fn what_is_there_at_the_first_start_begins_at_its_end() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.start = StartAt::End;
    bench.append("a.log", "old\nhalf of an o");
    bench.append("b.log", "old\n");
    bench.append("a.log.1", "older\n");
    bench.age("a.log.1");
    bench.start();
    assert_eq!(bench.read(), [""; 0]);
    bench.append("a.log", "ld one\nnew\n");
    bench.append("b.log", "new\n");
    bench.append("c.log", "later\n");
    let mut all = bench.go_on();
    all.sort();
    assert_eq!(all, ["later", "new", "new"]);
    bench.kill();
    bench.append("a.log", "down\n");
    bench.append("d.log", "made while down\n");
    bench.start();
    let mut all = bench.go_on();
    all.sort();
    assert_eq!(all, ["down", "made while down"]);
}

#[test]
fn reading_goes_on_where_all_was_settled() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.append("a.log", "one\ntwo\n");
    bench.start();
    assert_eq!(bench.go_on(), ["one", "two"]);
    bench.append("a.log", "three\n");
    assert_eq!(bench.read(), ["three"]);
    bench.append("a.log", "four\n");
    bench.look();
    let now = bench.now + Duration::from_secs(1);
    while bench.reader().round(now) == Round::Busy {}
    for record in bench.sink.take_all() {
        record.receipt.expect("a receipt").settle(); // of four, not of three
    }
    bench.save();
    bench.kill();
    bench.start();
    assert_eq!(bench.go_on(), ["three", "four"]);
    bench.kill();
    bench.start();
    assert_eq!(bench.go_on(), [""; 0]);
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_counted() {
    let mut bench = Bench::new(&["/log/a.log"]);
    bench.append("a.log", b"\0\0\0one\nt\xffo\nth\0ree\n");
    bench.start();
    assert_eq!(bench.read(), ["one", "t\u{fffd}o", "th\0ree"]);
    assert_eq!((bench.counts.nul_bytes.get(), bench.counts.invalid.get()), (3, 1));
}

#[test]
fn parts_of_lines_are_merged_by_stream() {
    let pod = "pods/shop_cart-0_uid/server";
    let mut bench = Bench::new(&["/log/pods/*/*/*.log"]);
    fs::create_dir_all(bench.path(pod)).expect("folders");
    let file = format!("{pod}/0.log");
    let line = |stream: &str, tag: &str, text: &str| format!("2024-01-01T00:00:00.5Z {stream} {tag} {text}\n");
    bench.append(&file, line("stdout", "P", "one "));
    bench.start();
    assert_eq!(bench.go_on(), [""; 0]);
    bench.append(
        &file,
        line("stderr", "F", "error") + &line("stdout", "P", "and ") + "torn\n",
    );
    assert_eq!(bench.go_on(), ["error", "torn"]);
    assert_eq!(bench.counts.malformed.get(), 1);
    // Nothing before the first part is forgotten, though what came after it was settled.
    bench.kill();
    bench.append(&file, line("stdout", "F", "two"));
    bench.start();
    assert_eq!(bench.go_on(), ["error", "torn", "one and two"]);
    bench.kill();
    bench.start();
    assert_eq!(bench.go_on(), [""; 0]);
    bench.append(&file, line("stdout", "P", "alone"));
    assert_eq!(bench.go_on(), [""; 0]);
    bench.pass(LONG);
    assert_eq!(bench.go_on(), ["alone"]);
    assert_eq!((bench.counts.parts.get(), bench.counts.held_bytes.get()), (1, 0));
}

#[test]
fn the_agents_own_output_is_not_read() {
    let mut bench = Bench::new(&["/log/**/*.log"]);
    let pod = "pods/ns_onlooker-x2x9z_0e1f/agent";
    fs::create_dir_all(bench.path(pod)).expect("folders");
    bench.append(&format!("{pod}/0.log"), "2024-01-01T00:00:00.5Z stdout F mine\n");
    bench.append("own.log", "mine\n");
    bench.append("a.log", "one\n");
    let metadata = fs::metadata(bench.path("own.log")).expect("a file");
    bench.settings.mine = Mine {
        files: vec![super::FileId::of(&metadata)],
        pod: Some("0e1f".to_owned()),
        ..Mine::default()
    };
    bench.start();
    assert_eq!(bench.go_on(), ["one"]);
}

/// The thread as it runs, from a torn checkpoint to a whole one.
#[test]
fn a_torn_checkpoint_means_from_the_beginning() {
    let mut bench = Bench::new(&["/log/*.log"]);
    bench.settings.start = StartAt::End;
    bench.append("a.log", "one\ntwo\n");
    fs::create_dir_all(bench.dir.path().join("state")).expect("a folder");
    fs::write(&bench.settings.state, "{\"version\":1,\"wri").expect("torn");
    let running = super::start(bench.settings.clone(), bench.sink.clone(), Arc::new(plain)).expect("started");
    while bench.sink.len() < 2 {
        std::thread::yield_now();
    }
    bench.append("b.log", "three\n"); // told by the kernel
    while bench.sink.len() < 3 {
        std::thread::yield_now();
    }
    running.rest();
    for record in bench.sink.take_all() {
        record.receipt.expect("a receipt").settle();
    }
    assert_eq!(running.counts().checkpoint_errors.get(), 1);
    running.finish();
    bench.start();
    bench.append("b.log", "four\n");
    assert_eq!(bench.go_on(), ["four"]);
}
