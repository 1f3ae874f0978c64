//! The threads that read: one for all files, one for the journal. They wait for files and for room, and nobody waits for them.

use super::checkpoint::{Changes, Checkpoint};
use super::counts::SourceCounts;
use super::journal;
use super::rate::Rates;
use super::reader::{Reader, Round};
use super::sender::{Make, Outlet, Sender};
use super::settings::Settings;
use super::tracker::{Open, Tracker};
use super::watch::Watch;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Pause between looks for files, if nothing is told.
const LOOK: Duration = Duration::from_secs(10);
/// Pause before a look that was found wanting.
const SOON: Duration = Duration::from_millis(50);
/// Looks take this part of a processor at most, and this part of the thread's time: where the processor or the file system is slow, a look
/// takes long, and files that are rotated all the time must be found nevertheless.
const LOOKS_OF_CPU: u32 = 20;
const LOOKS_OF_TIME: u32 = 3;
/// Pause between the times that is written what was settled since: so much comes twice after a kill, with what is under way.
const SAVE: Duration = Duration::from_millis(100);
/// Pause between the times that this goes to the medium: so much comes twice after a loss of power.
const SYNC: Duration = Duration::from_secs(1);
/// Pause between whole checkpoints, and bytes of changes after which one comes at once if they are more than it.
const WHOLE: Duration = Duration::from_secs(10);
const CHANGES: u64 = 256 << 10;
/// Pause while there is no room.
const FULL: Duration = Duration::from_millis(10);
/// How long to wait for threads that are to rest.
const RESTED: Duration = Duration::from_millis(500);
/// Longest pause: how soon an order to end is heard.
const PAUSE: Duration = Duration::from_millis(200);

/// What the threads are to do.
#[derive(Debug, Default)]
pub(super) struct Order {
    order: AtomicU8,
    /// Threads that have nothing in hand any more.
    rested: AtomicUsize,
}

impl Order {
    const READ: u8 = 0;
    const REST: u8 = 1;
    const END: u8 = 2;

    fn give(&self, order: u8) {
        self.order.fetch_max(order, Ordering::Release);
    }
    fn get(&self) -> u8 {
        self.order.load(Ordering::Acquire)
    }
    /// Whether to go on reading.
    pub(super) fn reads(&self) -> bool {
        self.get() == Order::READ
    }
    /// A thread reads no more and has handed on what it held.
    pub(super) fn rested(&self) {
        self.rested.fetch_add(1, Ordering::Release);
    }
    /// To end.
    #[cfg(test)]
    pub(super) fn end(&self) {
        self.give(Order::END);
    }
}

/// Why sources cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the thread that reads logs: {0}")]
pub struct StartError(#[from] io::Error);

/// Threads that read.
#[derive(Debug)]
pub struct Running {
    order: Arc<Order>,
    threads: Vec<JoinHandle<()>>,
    counts: Arc<SourceCounts>,
}

/// Begins to read. Where a checkpoint cannot be read, all files are read from their beginning: twice is better than not.
///
/// # Errors
/// No thread can be started.
pub fn start(settings: Settings, outlet: Arc<dyn Outlet>, make: Make) -> Result<Running, StartError> {
    let counts = Arc::new(SourceCounts::default());
    let order = Arc::new(Order::default());
    let unsettled = Open::default();
    let checkpoint = checkpoint(&settings, &counts);
    let cursor = checkpoint.as_ref().and_then(|checkpoint| checkpoint.journal.clone());
    let sender = || Sender::new(outlet.clone(), make.clone(), Rates::new(settings.rate), counts.clone());
    let mut threads = Vec::new();
    let journal = Arc::new(Tracker::new(unsettled.clone(), cursor.clone()));
    if let Some(its) = settings.journal.clone() {
        let mut reading = journal::Reading {
            settings: settings.clone(),
            journal: its,
            sender: sender(),
            tracker: journal.clone(),
            unsettled: unsettled.clone(),
            order: order.clone(),
            fresh: checkpoint.is_none(),
        };
        let thread = std::thread::Builder::new().name("journal".to_owned());
        threads.push(thread.spawn(move || reading.run(cursor))?);
    }
    let files = Files {
        reader: Reader::new(settings.clone(), sender(), unsettled.clone(), checkpoint.as_ref()),
        journal,
        settings,
        counts: counts.clone(),
        order: order.clone(),
        saved: checkpoint,
        unsettled,
        changes: None,
        dirty: false,
        whole: Duration::ZERO,
        sync: Duration::ZERO,
        size: 0,
    };
    let thread = std::thread::Builder::new().name("logs".to_owned());
    let thread = thread.spawn(move || files.run());
    match thread {
        Ok(thread) => threads.push(thread),
        Err(error) => {
            order.give(Order::END);
            return Err(error.into());
        }
    }
    Ok(Running { order, threads, counts })
}

fn checkpoint(settings: &Settings, counts: &SourceCounts) -> Option<Checkpoint> {
    match Checkpoint::read(&settings.state) {
        Ok(found) => found,
        Err(error) => {
            counts.checkpoint_errors.add(1);
            tracing::error!(
                path = %settings.state.display(),
                %error,
                "how far logs were read cannot be told from this file; they are read from their beginning"
            );
            // Rotated files that were complete before it was written were read.
            let written = std::fs::metadata(&settings.state).and_then(|metadata| metadata.modified());
            let written = written.unwrap_or_else(|_| SystemTime::now());
            Some(Checkpoint::new(millis(written), None, Vec::new(), None))
        }
    }
}

impl Running {
    /// What was counted so far.
    pub fn counts(&self) -> Arc<SourceCounts> {
        self.counts.clone()
    }

    /// Reads no more; what was handed on may still be settled. Waits half a second at most for lines that are held because more may
    /// belong to them: they are handed on as they are.
    pub fn rest(&self) {
        self.order.give(Order::REST);
        let until = Instant::now() + RESTED;
        while self.order.rested.load(Ordering::Acquire) < self.threads.len() && Instant::now() < until {
            std::thread::sleep(FULL);
        }
    }

    /// Remembers how far all was settled, and ends.
    pub fn finish(self) {
        self.order.give(Order::END);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread that reads logs ended by a fault of onlooker, please report it");
            }
        }
    }
}

struct Files {
    reader: Reader,
    journal: Arc<Tracker<Option<String>>>,
    settings: Settings,
    counts: Arc<SourceCounts>,
    order: Arc<Order>,
    /// The last whole checkpoint, with the journal's place as it was told since.
    saved: Option<Checkpoint>,
    unsettled: Open,
    /// `None`: the next one is a whole one.
    changes: Option<Changes>,
    /// Something was settled since the last whole one.
    dirty: bool,
    /// When the next whole one is written, and when the next changes go to the medium.
    whole: Duration,
    sync: Duration,
    /// Bytes of a whole one, about.
    size: u64,
}

impl Files {
    fn run(mut self) {
        let begun = Instant::now();
        let mut watch = Watch::new()
            .inspect_err(|error| tracing::warn!(%error, "new log files are found every 10 s only"))
            .ok();
        let (mut look, mut earliest, mut save) = (Duration::ZERO, Duration::ZERO, SAVE);
        let mut rested = false;
        loop {
            let now = begun.elapsed();
            match self.order.get() {
                Order::READ => {}
                Order::REST => {
                    if !rested && self.reader.rest(now) {
                        rested = true;
                        self.order.rested();
                    }
                    std::thread::sleep(FULL);
                    continue;
                }
                _ => {
                    self.save_whole(now);
                    return;
                }
            }
            if now >= look.max(earliest) {
                let folders = self.reader.look(now, millis(SystemTime::now()));
                if let Some(watch) = &mut watch {
                    watch.set(&folders);
                    self.counts.unwatched.set(watch.refused);
                }
                look = now + LOOK;
                let (processor, time) = self.reader.walked;
                earliest = now + pause_after(processor, time);
            }
            let round = self.reader.round(now);
            if self.reader.again {
                look = look.min(now + SOON);
            }
            if now >= save {
                self.save(now);
                save = now + SAVE;
            }
            let pause = match round {
                Round::Busy => Duration::ZERO,
                Round::Full => FULL,
                Round::Idle(due) => {
                    let until = due.min(look.max(earliest)).min(now + PAUSE);
                    let until = if self.open() { until.min(save) } else { until };
                    until.saturating_sub(begun.elapsed())
                }
            };
            match &watch {
                // A look is wanted already and not due: further names need not wake anybody.
                Some(_) if look <= earliest && !pause.is_zero() => std::thread::sleep(pause),
                Some(watch) if watch.wait(pause) => look = now,
                Some(_) => {}
                None => std::thread::sleep(pause),
            }
        }
    }

    /// Whether something can be settled that was not.
    fn open(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) > 0
    }

    /// Writes what was settled since.
    fn save(&mut self, now: Duration) {
        self.reader.tell();
        if self.changes.is_none() && now < self.sync {
            return; // it failed just now
        }
        let changes = match &mut self.changes {
            Some(changes) if now < self.whole && changes.bytes() < self.size.max(CHANGES) => changes,
            _ => return self.save_whole(now),
        };
        let files = self.reader.changed();
        let journal = self.journal.settled_to();
        let moved = self.saved.as_ref().is_none_or(|saved| saved.journal != journal);
        let mut result = Ok(());
        if moved || !files.is_empty() {
            self.dirty = true;
            let cursor = journal.clone().filter(|_| moved);
            result = changes.add(self.reader.looked, files, cursor);
            if let Some(saved) = &mut self.saved {
                saved.journal = journal;
            }
        }
        if now >= self.sync {
            self.sync = now + SYNC;
            result = result.and_then(|()| changes.sync());
        }
        if let Err(error) = result {
            self.failed(&error, now);
        }
    }

    /// Writes a whole checkpoint, if something changed.
    fn save_whole(&mut self, now: Duration) {
        self.whole = now + WHOLE;
        let looked = Some(self.reader.looked);
        let files = self.reader.saved();
        let all = Checkpoint::new(millis(SystemTime::now()), looked, files, self.journal.settled_to());
        let same = |saved: &Checkpoint| saved.files == all.files && saved.journal == all.journal;
        if !self.dirty && self.changes.is_some() && self.saved.as_ref().is_some_and(same) {
            return;
        }
        let path = &self.settings.state;
        let written = all.write(path).and_then(|size| {
            self.size = size;
            Changes::begin(path, &all)
        });
        match written {
            Ok(changes) => {
                self.changes = Some(changes);
                self.saved = Some(all);
                self.dirty = false;
            }
            Err(error) => self.failed(&error, now),
        }
    }

    /// After a pause a whole one is tried.
    fn failed(&mut self, error: &io::Error, now: Duration) {
        self.changes = None;
        self.sync = now + SYNC;
        let first = self.counts.checkpoint_errors.get() == 0;
        self.counts.checkpoint_errors.add(1);
        if first {
            tracing::error!(
                path = %self.settings.state.display(),
                %error,
                "cannot remember how far logs were read: after a restart lines come twice; make the folder writable or set \
                 --logs.state-path"
            );
        }
    }
}

/// From the beginning of a look that took so much of the processor and so long to the next one.
fn pause_after(cpu: Duration, time: Duration) -> Duration {
    (cpu * LOOKS_OF_CPU).max(time * LOOKS_OF_TIME).min(LOOK)
}

/// Unix time in milliseconds.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::sender::plain;
    use super::super::tests::{Sink, settings};
    use super::*;
    use std::fs::File;
    use std::io::Write;

    #[test]
    fn looks_have_their_part_of_processor_and_time() {
        let millis = Duration::from_millis;
        for (cpu, time, expect) in [
            (10, 10, 200),
            (10, 500, 1500),
            (0, 0, 0),
            (2000, 2000, 10_000),
            (1, 60_000, 10_000),
        ] {
            assert_eq!(pause_after(millis(cpu), millis(time)), millis(expect), "{cpu} {time}");
        }
    }

    fn soon(what: &str, so: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !so() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A kill at any time finds what was settled, though nothing whole is written each time.
    #[test]
    fn what_is_settled_is_told_while_others_come() {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = settings(dir.path(), &["/*.log"]);
        let state = settings.state.clone();
        let sink: Arc<Sink> = Arc::default();
        let running = start(settings, sink.clone(), Arc::new(plain)).expect("threads");
        let told = || {
            let found = Checkpoint::read(&state).ok().flatten()?;
            found.files.first().map(|file| file.mark.offset)
        };
        for n in 1..=3 {
            let log = File::options().create(true).append(true).open(dir.path().join("a.log"));
            log.expect("a file").write_all(b"line\n").expect("written");
            soon("a line", || sink.len() > 0);
            sink.take_all()
                .into_iter()
                .filter_map(|record| record.receipt)
                .for_each(crate::logs::Receipt::settle);
            soon("its place", || told() == Some(5 * n));
        }
        assert!(state.with_extension("json.changes").exists());
        running.finish();
        assert_eq!(told(), Some(15));
    }
}
