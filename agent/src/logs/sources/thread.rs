//! The threads that read: one for all files, one for the journal. They wait for files and for room, and nobody waits for them.

use super::checkpoint::Checkpoint;
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
/// Pause between checkpoints.
const SAVE: Duration = Duration::from_secs(1);
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
        reader: Reader::new(settings.clone(), sender(), unsettled, checkpoint.as_ref()),
        journal,
        settings,
        counts: counts.clone(),
        order: order.clone(),
        saved: checkpoint,
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
            Some(Checkpoint::new(millis(written), Vec::new(), None))
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
    saved: Option<Checkpoint>,
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
                    self.save();
                    return;
                }
            }
            if now >= look.max(earliest) {
                let before = cpu();
                let folders = self.reader.look(now, millis(SystemTime::now()));
                if let Some(watch) = &mut watch {
                    watch.set(&folders);
                    self.counts.unwatched.set(watch.refused);
                }
                look = now + LOOK;
                earliest = now + pause_after(cpu().saturating_sub(before), begun.elapsed().saturating_sub(now));
            }
            let round = self.reader.round(now);
            if self.reader.again {
                look = look.min(now + SOON);
            }
            if now >= save {
                self.reader.tell();
                self.save();
                save = now + SAVE;
            }
            let pause = match round {
                Round::Busy => Duration::ZERO,
                Round::Full => FULL,
                Round::Idle(due) => {
                    let until = due.min(look.max(earliest)).min(save).min(now + PAUSE);
                    until.saturating_sub(begun.elapsed())
                }
            };
            match &watch {
                Some(watch) if watch.wait(pause) => look = now,
                Some(_) => {}
                None => std::thread::sleep(pause),
            }
        }
    }

    /// Writes what changed.
    fn save(&mut self) {
        let now = Checkpoint::new(
            millis(SystemTime::now()),
            self.reader.saved(),
            self.journal.settled_to(),
        );
        let same = |saved: &Checkpoint| saved.files == now.files && saved.journal == now.journal;
        if self.saved.as_ref().is_some_and(same) {
            return;
        }
        match now.write(&self.settings.state) {
            Ok(()) => self.saved = Some(now),
            Err(error) => {
                let first = self.counts.checkpoint_errors.get() == 0;
                self.counts.checkpoint_errors.add(1);
                if first {
                    tracing::error!(
                        path = %self.settings.state.display(),
                        %error,
                        "cannot remember how far logs were read: after a restart lines come twice; make the folder writable or \
                         set --logs.state-path"
                    );
                }
            }
        }
    }
}

/// From the beginning of a look that took so much of the processor and so long to the next one.
fn pause_after(cpu: Duration, time: Duration) -> Duration {
    (cpu * LOOKS_OF_CPU).max(time * LOOKS_OF_TIME).min(LOOK)
}

/// What this thread had of the processor so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Unix time in milliseconds.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
