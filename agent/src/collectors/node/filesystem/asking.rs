//! Asks mounts for their space on threads of its own: a mount that does not answer holds one of them, and nothing else.
//!
//! One thread asks one mount after the other, which is cheapest while all answer at once. When that takes longer, more join
//! in, and as many again as there are that hang, up to a bound. A mount is not asked again while it still owes an answer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a mount says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Space {
    pub(super) size: f64,
    pub(super) free: f64,
    pub(super) available: f64,
    pub(super) files: f64,
    pub(super) files_free: f64,
}

/// How a mount is asked: its space, or what is wrong with it.
pub(super) type Ask = dyn Fn(&Path) -> Result<Space, String> + Send + Sync;

/// Threads at most, those that hang included.
const MOST: usize = 64;
/// A mount that takes longer has others asked beside it.
const SLOW: Duration = Duration::from_millis(5);
/// A scrape ends after so many times the patience, where threads wait for a CPU and not for mounts.
const LATE: u32 = 5;
/// An answer that came late is told up to so long after.
const FRESH: Duration = Duration::from_secs(120);
/// A thread asks and notes the answer: it needs little.
const STACK: usize = 128 << 10;

/// Asks mounts.
pub(super) struct Asking {
    shared: Arc<Shared>,
    /// Threads that ask at the same time when answers take their time.
    workers: usize,
    /// What is waited for an answer once a mount was asked.
    patience: Duration,
    /// A mount that owes an answer for longer is stuck.
    timeout: Duration,
}

struct Shared {
    ask: Box<Ask>,
    state: Mutex<State>,
    /// There is something in the queue, or all is over.
    work: Condvar,
    /// Nothing of this round is open.
    done: Condvar,
}

#[derive(Default)]
struct State {
    round: u64,
    /// Mounts of this round that were not heard of yet.
    open: usize,
    queue: VecDeque<Arc<Path>>,
    /// Mounts that owe an answer, and since when.
    owing: HashMap<Arc<Path>, (Instant, u64)>,
    answers: HashMap<Arc<Path>, Answer>,
    threads: usize,
    idle: usize,
    over: bool,
}

struct Answer {
    said: Result<Space, String>,
    at: Instant,
    round: u64,
}

impl Asking {
    pub(super) fn new(workers: usize, patience: Duration, timeout: Duration, ask: Box<Ask>) -> Asking {
        Asking {
            shared: Arc::new(Shared {
                ask,
                state: Mutex::default(),
                work: Condvar::new(),
                done: Condvar::new(),
            }),
            workers: workers.clamp(1, MOST),
            patience: patience.min(timeout),
            timeout,
        }
    }

    /// What each mount says; `None`: it does not answer.
    pub(super) fn ask(&self, mounts: &[Arc<Path>]) -> Vec<Option<Result<Space, String>>> {
        let end = Instant::now() + self.patience * LATE;
        let mut state = self.shared.lock();
        let wanted: HashSet<&Arc<Path>> = mounts.iter().collect();
        state.answers.retain(|mount, _| wanted.contains(mount));
        state.round += 1;
        let queue = wanted.into_iter().filter(|mount| !state.owing.contains_key(*mount));
        state.queue = queue.cloned().collect();
        state.open = state.queue.len();
        let mut wish = 1;
        while state.open > 0 && Instant::now() < end && self.may_hear_more(&state) {
            if !self.call_threads(&mut state, wish) {
                break;
            }
            let waited = self.shared.done.wait_timeout(state, SLOW.min(self.patience));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            wish = self.workers;
        }
        // Those that no thread was left for are asked next time.
        state.queue.clear();
        let state = &*state;
        mounts.iter().map(|mount| self.known(state, mount)).collect()
    }

    /// Is there a mount that was not asked yet and can be, or one that was asked a short while ago?
    fn may_hear_more(&self, state: &State) -> bool {
        let asked = state.owing.values().filter(|(_, round)| *round == state.round);
        let mut young = asked.filter(|(since, _)| since.elapsed() < self.patience);
        young.next().is_some() || (!state.queue.is_empty() && state.owing.len() < MOST)
    }

    /// What a mount said in this round; what it said before while it is not yet stuck.
    fn known(&self, state: &State, mount: &Arc<Path>) -> Option<Result<Space, String>> {
        let answer = state.answers.get(mount)?;
        let owes_for = state
            .owing
            .get(mount)
            .map_or(Duration::ZERO, |(since, _)| since.elapsed());
        let told = answer.round == state.round || (owes_for < self.timeout && answer.at.elapsed() < FRESH);
        told.then(|| answer.said.clone())
    }

    /// Sees to it that so many threads are free for the queue, and as many as hang. Says whether that could be.
    fn call_threads(&self, state: &mut State, wish: usize) -> bool {
        let hanging = state
            .owing
            .values()
            .filter(|(since, _)| since.elapsed() >= SLOW)
            .count();
        let wish = if wish > 1 { wish.max(hanging) } else { wish };
        let busy = state.owing.len() - hanging;
        // Those that were started and have not begun yet.
        let coming = state.threads.saturating_sub(state.idle + state.owing.len());
        let mut missing = wish.min(state.queue.len()).saturating_sub(busy + coming);
        let woken = missing.min(state.idle);
        (0..woken).for_each(|_| self.shared.work.notify_one());
        missing -= woken;
        while missing > 0 && state.threads < MOST {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("statfs".to_owned()).stack_size(STACK);
            if let Err(error) = thread.spawn(move || shared.work()) {
                tracing::warn!(%error, "no thread to ask mounts with");
                return false;
            }
            state.threads += 1;
            missing -= 1;
        }
        true
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: asks what is in the queue. One thread waits for more, others end.
    fn work(&self) {
        let mut state = self.lock();
        while !state.over {
            if let Some(mount) = state.queue.pop_front() {
                let round = state.round;
                state.owing.insert(Arc::clone(&mount), (Instant::now(), round));
                drop(state);
                let said = (self.ask)(&mount);
                state = self.lock();
                state.answered(mount, said);
                if state.open == 0 {
                    self.done.notify_one();
                }
            } else if state.idle == 0 {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            } else {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl State {
    fn answered(&mut self, mount: Arc<Path>, said: Result<Space, String>) {
        let round = self.owing.remove(&mount).map(|(_, round)| round);
        if round == Some(self.round) {
            self.open = self.open.saturating_sub(1);
        }
        let answer = Answer {
            said,
            at: Instant::now(),
            round: round.unwrap_or_default(),
        };
        self.answers.insert(mount, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const LONG: Duration = Duration::from_secs(60);

    fn mounts(names: &[&str]) -> Vec<Arc<Path>> {
        names.iter().map(|name| Path::new(name).into()).collect()
    }

    fn space(size: f64) -> Space {
        Space {
            size,
            ..Space::default()
        }
    }

    /// Mounts that begin with `h` hang until something is sent.
    fn asking(patience: Duration, timeout: Duration) -> (Asking, Sender<()>) {
        let (send, gate) = channel();
        let gate: Mutex<Receiver<()>> = Mutex::new(gate);
        let ask = move |mount: &Path| match mount.to_str().unwrap() {
            name if name.starts_with('h') => {
                let _ = gate.lock().unwrap().recv();
                Ok(space(1.0))
            }
            "bad" => Err("no such file or directory".to_owned()),
            name => Ok(space(name.len() as f64)),
        };
        (Asking::new(2, patience, timeout, Box::new(ask)), send)
    }

    #[test]
    fn all_answer() {
        let (asking, _gate) = asking(LONG, LONG);
        for _ in 0..3 {
            let said = asking.ask(&mounts(&["a", "bb", "bad", "a"]));
            let bad = Some(Err("no such file or directory".to_owned()));
            assert_eq!(
                said,
                [Some(Ok(space(1.0))), Some(Ok(space(2.0))), bad, Some(Ok(space(1.0)))]
            );
        }
        assert_eq!(asking.shared.lock().threads, 1, "one is enough");
        assert!(asking.ask(&[]).is_empty());
        assert!(
            asking.shared.lock().answers.is_empty(),
            "mounts that are gone are forgotten"
        );
    }

    #[test]
    fn those_that_hang_cost_themselves_alone_and_come_back() {
        let (asking, gate) = asking(Duration::from_millis(500), Duration::from_millis(500));
        let names: Vec<String> = (0..20)
            .map(|n| format!("h{n}"))
            .chain((0..9).map(|n| format!("ok{n}")))
            .collect();
        let names = mounts(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..3 {
            let start = Instant::now();
            let said = asking.ask(&names);
            assert!(start.elapsed() < Duration::from_secs(2));
            assert!(said[..20].iter().all(Option::is_none));
            assert!(said[20..].iter().all(|said| *said == Some(Ok(space(3.0)))), "{said:?}");
            let state = asking.shared.lock();
            assert_eq!(state.owing.len(), 20, "each is asked once");
            assert!(state.threads <= MOST);
        }
        drop(gate);
        let all = |said: Vec<Option<_>>| said.iter().all(Option::is_some);
        while !all(asking.ask(&names)) {
            std::thread::yield_now();
        }
        while asking.shared.lock().threads > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn threads_are_bounded() {
        let (asking, gate) = asking(Duration::from_millis(300), Duration::from_millis(300));
        let names: Vec<String> = (0..3 * MOST).map(|n| format!("h{n}")).collect();
        let names = mounts(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..2 {
            assert!(asking.ask(&names).iter().all(Option::is_none));
            let state = asking.shared.lock();
            assert!(state.threads <= MOST && state.queue.is_empty());
        }
        drop(gate);
        while asking.ask(&names).iter().any(Option::is_none) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn one_that_is_slow_tells_what_it_said_last() {
        let (asking, gate) = asking(Duration::from_millis(20), LONG);
        let names = mounts(&["h"]);
        assert_eq!(asking.ask(&names), [None], "nothing is known yet");
        gate.send(()).unwrap();
        while asking.shared.lock().answers.is_empty() {
            std::thread::yield_now();
        }
        for _ in 0..2 {
            assert_eq!(
                asking.ask(&names),
                [Some(Ok(space(1.0)))],
                "it is asked, and late again"
            );
            assert_eq!(asking.shared.lock().owing.len(), 1);
        }
    }
}
