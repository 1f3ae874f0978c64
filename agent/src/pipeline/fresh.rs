//! What a scrape tells includes what happened before it: whoever reads series lets the pipeline handle what waits in the ring first.

use super::looks::STEP;
use crate::kernel::fill::RingFill;
use crate::metric::{Encoder, Source};
use crate::signal::Nanos;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How long a scrape waits at most, for a pipeline that is far behind or waits for a processor.
const PATIENCE: Duration = Duration::from_millis(100);

/// The bell of the pipeline.
#[derive(Debug)]
pub struct Fresh {
    bell: OwnedFd,
    ring: OnceLock<Arc<RingFill>>,
    turns: Mutex<Turns>,
    done: Condvar,
    /// The last look, monotonic nanoseconds.
    looked: AtomicU64,
}

/// How often it was asked for, and up to which of these all was handled.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    asked: u64,
    done: u64,
}

impl Fresh {
    /// A bell that nobody answers: until [`Fresh::answers`], readers do not wait.
    ///
    /// # Errors
    /// The process may open no more files.
    pub fn new() -> io::Result<Fresh> {
        Ok(Fresh {
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            ring: OnceLock::new(),
            turns: Mutex::default(),
            done: Condvar::new(),
            looked: AtomicU64::new(0),
        })
    }

    /// The pipeline reads this ring from now on.
    pub fn answers(&self, ring: Arc<RingFill>) {
        let _ = self.ring.set(ring);
    }

    /// Waits until what is in the ring now was handled, and the pipeline has looked around in the last second, at most
    /// [`PATIENCE`]; not at all when there is nothing to do.
    pub fn wait(&self) {
        let Some(ring) = self.ring.get() else { return };
        let looked = self.looked.load(Ordering::Acquire);
        if ring.bytes() == 0 && super::monotonic() < looked.saturating_add(STEP) {
            return;
        }
        let mut turns = self.turns();
        turns.asked += 1;
        let mine = turns.asked;
        self.wake();
        let late = |turns: &mut Turns| turns.done < mine;
        let outcome = self.done.wait_timeout_while(turns, PATIENCE, late);
        if outcome.is_ok_and(|(_, outcome)| outcome.timed_out()) {
            tracing::debug!("the pipeline is behind: what came last is not told yet");
        }
    }

    /// Ends the pipeline's pause.
    pub fn wake(&self) {
        // A bell that is full was rung and not heard.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it was asked for by now: to be read before the ring is.
    pub(super) fn asked(&self) -> u64 {
        self.turns().asked
    }

    /// The pipeline has looked around.
    pub(super) fn looked(&self, now: Nanos) {
        self.looked.store(now, Ordering::Release);
    }

    /// The ring was read to its end since that, and a look taken that was due.
    pub(super) fn done(&self, asked: u64) {
        let mut turns = self.turns();
        if turns.done < asked {
            turns.done = asked;
            self.done.notify_all();
        }
    }
}

impl AsFd for Fresh {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Has no series of its own: stands before those whose series the pipeline makes.
impl Source for Fresh {
    fn collect(&self, _out: &mut dyn Encoder) {
        self.wait();
    }
}
