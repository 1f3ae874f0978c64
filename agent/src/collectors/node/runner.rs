//! Runs collectors for a scrape, so that one that fails, panics or hangs costs its own series and nobody else's.
//!
//! A scrape is a [`Round`]. A thread runs its collectors one after the other, records what each says, and then tells what was recorded. Who began
//! the round watches it ([`Round::watch`]): when a collector takes longer than its time, that thread is left to it, and another one goes on behind
//! it. From then on the collector runs beside scrapes ([`State::beside`]), which tell what it last finished, until it is fast enough again.

use super::flags::{Settings, Setup};
use super::{Collect, CollectError, Collector, REGISTRY};
use crate::host::Host;
use crate::metric::{Encoder, Family, Kind, Source, Tape};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// What a collector may take of a scrape.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// What a late collector found is told up to so long after.
const FRESH: Duration = Duration::from_secs(120);
/// A collector that never found anything of its kind is asked again after this: looking for twenty kinds of hardware that a host does not have costs
/// as much as five collectors that find something.
const AGAIN: Duration = Duration::from_secs(60);

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
    /// One round at a time: a collector cannot be asked twice at once. Held across threads.
    turn: Arc<Turn<()>>,
}

/// One scrape of some collectors.
pub struct Round {
    chosen: Vec<Arc<Slot>>,
    /// Those of them that run for this round, and those that run beside it.
    inline: Vec<Arc<Slot>>,
    beside: Vec<Arc<Slot>>,
    deadline: Duration,
    progress: Mutex<Progress>,
    through: Condvar,
}

struct Progress {
    /// Place of the collector that runs, and since when it does.
    at: usize,
    since: Instant,
    /// Threads that were left to a collector that was late. One that finds others here than when it began lets be.
    left: usize,
    /// Collectors that were late, and how long each was waited for.
    late: Vec<(&'static str, Duration)>,
    /// Kept until all have run.
    turn: Option<OwnedMutexGuard<()>>,
}

/// How a round goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Every collector has run, or was given up.
    Through,
    /// To be looked at again then.
    Until(Instant),
    /// A collector is late: another thread has to call [`Round::run`].
    Late,
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
    /// Nothing of its kind was found up to now, looked for then.
    nothing: Option<(Arc<CollectError>, Instant)>,
    /// Something was found before.
    any: bool,
    /// Memory for what it finds next.
    spare: Tape,
    /// What was last said of it in the log.
    told: Option<String>,
}

/// What a collector found.
struct Found {
    tape: Tape,
    result: Result<(), Arc<CollectError>>,
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

    pub(crate) fn with(
        registry: &[&'static Collector],
        host: &Host,
        settings: &Settings,
        deadline: Duration,
    ) -> Runner {
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
            turn: Arc::default(),
        }
    }

    /// Names of the collectors that are on.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.slots.iter().map(|slot| slot.name)
    }

    /// Begins a round of those collectors that are wanted, once the one before is through.
    pub async fn round(&self, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Arc<Round> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.begin(wanted, turn)
    }

    /// Runs those collectors that are wanted, and tells what they found. Not to be called from tasks: it waits.
    pub fn collect_some(&self, wanted: &dyn Fn(&str) -> bool, out: &mut dyn Encoder) {
        let turn = Arc::clone(&self.turn).blocking_lock_owned();
        let round = self.begin(wanted, turn);
        loop {
            let runs = Arc::clone(&round);
            let thread = std::thread::Builder::new().name("collectors".to_owned());
            if thread.spawn(move || runs.run()).is_err() {
                // No thread can be had: here, without a deadline.
                let _ = round.run();
            }
            if round.wait() == Watch::Through {
                return round.tell(out);
            }
        }
    }

    fn begin(&self, wanted: &dyn Fn(&str) -> bool, turn: OwnedMutexGuard<()>) -> Arc<Round> {
        let chosen: Vec<Arc<Slot>> = self.slots.iter().filter(|slot| wanted(slot.name)).cloned().collect();
        let (beside, inline) = chosen.iter().cloned().partition(|slot| lock(&slot.state).beside);
        Arc::new(Round {
            chosen,
            inline,
            beside,
            deadline: self.deadline,
            progress: Mutex::new(Progress {
                at: 0,
                since: Instant::now(),
                left: 0,
                late: Vec::new(),
                turn: Some(turn),
            }),
            through: Condvar::new(),
        })
    }
}

impl Round {
    /// Runs the collectors from where the round is. `true`: all are through, and this thread may tell; `false`: one was late here, another
    /// thread went on.
    #[must_use]
    pub fn run(&self) -> bool {
        let (mut at, left) = {
            let progress = lock(&self.progress);
            (progress.at, progress.left)
        };
        loop {
            {
                let mut progress = lock(&self.progress);
                if progress.left != left {
                    return false;
                }
                (progress.at, progress.since) = (at, Instant::now());
            }
            let Some(slot) = self.inline.get(at) else { break };
            slot.run();
            at += 1;
        }
        self.through.notify_all();
        true
    }

    /// How the round goes. To be asked at the times that it tells.
    pub fn watch(&self) -> Watch {
        self.judge(&mut lock(&self.progress))
    }

    fn judge(&self, progress: &mut Progress) -> Watch {
        let Some(slot) = self.inline.get(progress.at) else {
            return Watch::Through;
        };
        let took = progress.since.elapsed();
        if took < self.deadline {
            return Watch::Until(progress.since + self.deadline);
        }
        tracing::warn!(collector = slot.name, "takes longer than it may");
        lock(&slot.state).beside = true;
        progress.late.push((slot.name, took));
        progress.left += 1;
        (progress.at, progress.since) = (progress.at + 1, Instant::now());
        Watch::Late
    }

    /// Waits until all are through or one is late.
    fn wait(&self) -> Watch {
        let mut progress = lock(&self.progress);
        loop {
            let until = match self.judge(&mut progress) {
                Watch::Until(until) => until,
                // The next thread finds nothing to run.
                Watch::Late if progress.at == self.inline.len() => return Watch::Through,
                other => return other,
            };
            let left = until.saturating_duration_since(Instant::now());
            progress = match self.through.wait_timeout(progress, left) {
                Ok((progress, _)) => progress,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Tells what was found. To be called once, when all are through.
    pub fn tell(&self, out: &mut dyn Encoder) {
        // What ran for this scrape is this scrape's; what runs beside them is told by each until it is old.
        let found = self.chosen.iter().map(|slot| {
            let mut state = lock(&slot.state);
            if state.beside {
                state.found.clone()
            } else {
                state.found.take()
            }
        });
        let found: Vec<Option<Arc<Found>>> = found.collect();
        // A peer that reads slowly keeps nobody else from the collectors.
        let (late, turn) = {
            let mut progress = lock(&self.progress);
            (std::mem::take(&mut progress.late), progress.turn.take())
        };
        drop(turn);
        let mut outcomes = Vec::with_capacity(self.chosen.len());
        for (slot, found) in self.chosen.iter().zip(found) {
            match found.filter(|found| found.at.elapsed() < FRESH) {
                Some(found) => {
                    found.tape.play(out);
                    let error = found.result.as_ref().err();
                    let nothing = error.is_some_and(|error| error.is_no_data());
                    slot.tell(error.map(ToString::to_string), nothing);
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
                        false,
                    );
                    outcomes.push((slot.name, took, false));
                }
            }
        }
        // Those run for the next scrape.
        self.beside.iter().for_each(|slot| slot.start_beside(self.deadline));
        out.family(&DURATION);
        for (name, took, _) in &outcomes {
            out.number(&[("collector", name)], took.as_secs_f64());
        }
        out.family(&SUCCESS);
        for (name, _, success) in &outcomes {
            out.number(&[("collector", name)], f64::from(u8::from(*success)));
        }
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
        let start = Instant::now();
        let mut tape = {
            let mut state = lock(&self.state);
            let mut tape = std::mem::take(&mut state.spare);
            tape.clear();
            if let Some((nothing, since)) = &state.nothing
                && since.elapsed() < AGAIN
            {
                let result = Err(Arc::clone(nothing));
                state.found = Some(Arc::new(Found {
                    tape,
                    result,
                    took: start.elapsed(),
                    at: start,
                }));
                return;
            }
            tape
        };
        let result = catch_unwind(AssertUnwindSafe(|| lock(&self.collector).collect(&mut tape)));
        let result = result.unwrap_or_else(|_| {
            Err(CollectError::Other(
                "it panicked; this is a fault of onlooker, please report it".to_owned(),
            ))
        });
        let at = Instant::now();
        let result = result.map_err(Arc::new);
        let mut state = lock(&self.state);
        state.nothing = match &result {
            Err(error) if error.is_no_data() && !state.any && tape.is_empty() => Some((Arc::clone(error), at)),
            _ => None,
        };
        state.any |= state.nothing.is_none();
        state.found = Some(Arc::new(Found {
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

    /// Says what is wrong in the log, when it is something else than before. `nothing`: there is nothing of the kind.
    fn tell(&self, what: Option<String>, nothing: bool) {
        let mut state = lock(&self.state);
        if state.told == what {
            return;
        }
        match &what {
            Some(what) if nothing => {
                tracing::debug!(collector = self.name, what, "nothing collected");
            }
            Some(what) => tracing::warn!(collector = self.name, what, "not everything was collected"),
            None => tracing::debug!(collector = self.name, "collected again"),
        }
        state.told = what;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
