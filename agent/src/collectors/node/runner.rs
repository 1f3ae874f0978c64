//! Runs collectors for a scrape, so that one that fails, panics or hangs costs its own series and nobody else's.
//!
//! They run one after the other on a thread of their own, which records what each says; the scrape waits for that thread and plays
//! what was recorded. When a collector takes longer than its time the scrape leaves that thread to it and has another
//! thread go on behind it. From then on the collector runs beside scrapes ([`Slot::beside`]), which tell what it last finished, until it is
//! fast enough again.

use super::flags::{Settings, Setup};
use super::{Collect, CollectError, Collector, REGISTRY};
use crate::host::Host;
use crate::metric::{Encoder, Family, Kind, Source, Tape};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a collector may take of a scrape.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// What a late collector found is told up to so long after.
const FRESH: Duration = Duration::from_secs(120);

static DURATION: Family = Family::new(
    "node_scrape_collector_duration_seconds",
    "seconds",
    "How long a collector took in this scrape.",
    Kind::Gauge,
);
static SUCCESS: Family = Family::new(
    "node_scrape_collector_success",
    "",
    "Whether a collector found what it looked for.",
    Kind::Gauge,
);

/// The collectors of a host.
#[derive(Default)]
pub struct Runner {
    slots: Vec<Arc<Slot>>,
    deadline: Duration,
    /// One scrape at a time: a collector cannot be asked twice at once.
    turn: Mutex<Option<Worker>>,
}

/// A collector and what it found.
struct Slot {
    name: &'static str,
    /// Held while it runs.
    collector: Mutex<Box<dyn Collect>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// It was late: it runs beside scrapes.
    beside: bool,
    running: bool,
    /// What it found: for the scrape that it ran for, or for all that come while it runs beside them.
    found: Option<Arc<Found>>,
    /// Memory for what it finds next.
    spare: Tape,
    /// What was last said of it in the log.
    told: Option<String>,
}

/// What a collector found.
struct Found {
    tape: Tape,
    result: Result<(), CollectError>,
    took: Duration,
    at: Instant,
}

/// Collectors that cannot be made with these settings, and why. Those of which nothing was given are made with their defaults, which
/// are good.
pub fn refused(host: &Host, settings: &Settings) -> Vec<(&'static str, String)> {
    let setup = Setup { host, settings };
    let given = |collector: &Collector| collector.flags.iter().any(|flag| setup.is_given(flag));
    let on = REGISTRY.iter().filter(|collector| is_on(collector, settings));
    let set = on.filter(|collector| given(collector));
    set.filter_map(|collector| Some((collector.name, (collector.make)(&setup).err()?)))
        .collect()
}

impl Runner {
    /// Makes the collectors that are switched on; one that cannot be made ([`refused`]) is left out.
    pub fn new(host: &Host, settings: &Settings) -> Runner {
        Runner::with(REGISTRY, host, settings, DEADLINE)
    }

    fn with(registry: &[&'static Collector], host: &Host, settings: &Settings, deadline: Duration) -> Runner {
        let setup = Setup { host, settings };
        let on = registry.iter().filter(|collector| is_on(collector, settings));
        let slots = on.filter_map(|collector| {
            Some(Arc::new(Slot {
                name: collector.name,
                collector: Mutex::new((collector.make)(&setup).ok()?),
                state: Mutex::default(),
            }))
        });
        Runner {
            slots: slots.collect(),
            deadline,
            turn: Mutex::new(None),
        }
    }

    /// Names of the collectors that are on.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.slots.iter().map(|slot| slot.name)
    }

    /// Runs those collectors that are wanted.
    pub fn collect_some(&self, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Encoder) {
        let mut turn = lock(&self.turn);
        let chosen: Vec<&Arc<Slot>> = self.slots.iter().filter(|slot| wanted(slot.name)).collect();
        let (beside, inline): (Vec<_>, Vec<_>) = chosen.iter().partition(|slot| lock(&slot.state).beside);
        let late = self.run(&mut turn, inline.into_iter().cloned().collect());
        // What ran for this scrape is this scrape's; what runs beside them is told by each until it is old.
        let found: Vec<Option<Arc<Found>>> = chosen
            .iter()
            .map(|slot| {
                let mut state = lock(&slot.state);
                if state.beside {
                    state.found.clone()
                } else {
                    state.found.take()
                }
            })
            .collect();
        // A peer that reads slowly keeps nobody else from the collectors.
        drop(turn);
        let mut outcomes = Vec::with_capacity(chosen.len());
        for (slot, found) in chosen.iter().zip(found) {
            match found.filter(|found| found.at.elapsed() < FRESH) {
                Some(found) => {
                    found.tape.play(out);
                    slot.tell(found.result.as_ref().err().map(ToString::to_string), &found.result);
                    outcomes.push((slot.name, found.took, found.result.is_ok()));
                    if let Some(found) = Arc::into_inner(found) {
                        lock(&slot.state).spare = found.tape;
                    }
                }
                None => {
                    let took = late.iter().find(|(name, _)| *name == slot.name);
                    let took = took.map_or(Duration::ZERO, |(_, took)| *took);
                    slot.tell(
                        Some(format!(
                            "it is not through after {:?}, and runs on beside scrapes",
                            self.deadline
                        )),
                        &Ok(()),
                    );
                    outcomes.push((slot.name, took, false));
                }
            }
        }
        // Those run for the next scrape.
        beside.iter().for_each(|slot| slot.start_beside(self.deadline));
        out.family(&DURATION);
        for (name, took, _) in &outcomes {
            out.number(&[("collector", name)], took.as_secs_f64());
        }
        out.family(&SUCCESS);
        for (name, _, success) in &outcomes {
            out.number(&[("collector", name)], f64::from(u8::from(*success)));
        }
    }

    /// Runs collectors in order; gives those that were late, and how long each was waited for.
    fn run(&self, worker: &mut Option<Worker>, slots: Vec<Arc<Slot>>) -> Vec<(&'static str, Duration)> {
        let mut late = Vec::new();
        let mut rest = slots;
        while !rest.is_empty() {
            let job = Arc::new(Job::new(rest.clone()));
            let sent = worker
                .take()
                .or_else(Worker::start)
                .filter(|worker| worker.send(job.clone()));
            let Some(sent) = sent else {
                // No thread can be had: here, without a deadline.
                rest.iter().for_each(|slot| slot.run());
                return late;
            };
            match job.wait(self.deadline) {
                None => {
                    *worker = Some(sent);
                    return late;
                }
                Some((at, took)) => {
                    let slot = &rest[at];
                    tracing::warn!(collector = slot.name, "takes longer than it may");
                    lock(&slot.state).beside = true;
                    late.push((slot.name, took));
                    rest.drain(..=at);
                }
            }
        }
        late
    }
}

impl Source for Runner {
    fn collect(&self, out: &mut dyn Encoder) {
        self.collect_some(&|_| true, out);
    }
}

fn is_on(collector: &Collector, settings: &Settings) -> bool {
    let default = collector.default && !settings.disable_defaults;
    settings.switched.get(collector.name).copied().unwrap_or(default)
}

impl Slot {
    fn run(&self) {
        let mut tape = std::mem::take(&mut lock(&self.state).spare);
        tape.clear();
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| lock(&self.collector).collect(&mut tape)));
        let result = result.unwrap_or_else(|_| {
            Err(CollectError::Other(
                "it panicked; this is a fault of onlooker, please report it".to_owned(),
            ))
        });
        let at = Instant::now();
        lock(&self.state).found = Some(Arc::new(Found {
            tape,
            result,
            took: at - start,
            at,
        }));
    }

    /// Runs it on a thread of its own, unless it still does.
    fn start_beside(self: &Arc<Slot>, deadline: Duration) {
        let slot = Arc::clone(self);
        {
            let mut state = lock(&slot.state);
            // One that is late in a scrape holds itself.
            if state.running || slot.collector.try_lock().is_err() {
                return;
            }
            state.running = true;
        }
        let name = slot.name;
        let started = std::thread::Builder::new()
            .name(format!("collect-{name}").chars().take(15).collect())
            .spawn(move || {
                slot.run();
                let mut state = lock(&slot.state);
                state.running = false;
                let took = state.found.as_ref().map(|found| found.took);
                state.beside = took.is_none_or(|took| took > deadline / 2);
            });
        if let Err(error) = started {
            tracing::warn!(collector = name, %error, "no thread for a collector");
            lock(&self.state).running = false;
        }
    }

    /// Says what is wrong in the log, when it is something else than before.
    fn tell(&self, what: Option<String>, result: &Result<(), CollectError>) {
        let mut state = lock(&self.state);
        if state.told == what {
            return;
        }
        match &what {
            Some(what) if result.as_ref().err().is_some_and(CollectError::is_no_data) => {
                tracing::debug!(collector = self.name, what, "nothing collected");
            }
            Some(what) => tracing::warn!(collector = self.name, what, "not everything was collected"),
            None => tracing::debug!(collector = self.name, "collected again"),
        }
        state.told = what;
    }
}

/// A thread that runs jobs until nobody holds its other end.
struct Worker(std::sync::mpsc::Sender<Arc<Job>>);

impl Worker {
    fn start() -> Option<Worker> {
        let (send, jobs) = std::sync::mpsc::channel::<Arc<Job>>();
        let started = std::thread::Builder::new()
            .name("collectors".to_owned())
            .spawn(move || {
                while let Ok(job) = jobs.recv() {
                    job.run();
                }
            });
        started.ok().map(|_| Worker(send))
    }

    fn send(&self, job: Arc<Job>) -> bool {
        self.0.send(job).is_ok()
    }
}

/// Collectors to be run in order.
struct Job {
    slots: Vec<Arc<Slot>>,
    progress: Mutex<Progress>,
    done: Condvar,
}

struct Progress {
    /// Which runs, and since when; `None`: all are through.
    at: Option<(usize, Instant)>,
    /// Nobody waits any more.
    given_up: bool,
}

impl Job {
    fn new(slots: Vec<Arc<Slot>>) -> Job {
        Job {
            slots,
            progress: Mutex::new(Progress {
                at: Some((0, Instant::now())),
                given_up: false,
            }),
            done: Condvar::new(),
        }
    }

    fn run(&self) {
        for (index, slot) in self.slots.iter().enumerate() {
            {
                let mut progress = lock(&self.progress);
                if progress.given_up {
                    return;
                }
                progress.at = Some((index, Instant::now()));
            }
            slot.run();
        }
        lock(&self.progress).at = None;
        self.done.notify_all();
    }

    /// Waits for all of them, or for the one that takes longer than it may: its place, and how long it was waited for.
    fn wait(&self, deadline: Duration) -> Option<(usize, Duration)> {
        let mut progress = lock(&self.progress);
        loop {
            let (index, since) = progress.at?;
            let took = since.elapsed();
            let Some(left) = deadline.checked_sub(took).filter(|left| !left.is_zero()) else {
                progress.given_up = true;
                return Some((index, took));
            };
            progress = match self.done.wait_timeout(progress, left) {
                Ok((progress, _)) => progress,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
