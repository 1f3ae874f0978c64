//! When the pipeline's thread looks at the ring, and how soon it gets a processor.

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use std::io;
use std::time::{Duration, Instant};

/// Pause between looks at the ring while much happens. Shorter ones cost more than they give (1 ms: a tenth of a
/// saturated server's throughput); the kernel side wakes us earlier when a quarter of the ring is waiting.
const PAUSE: Duration = Duration::from_millis(20);
/// The same while little happens: a wake-up costs as much as some ten exchanges.
const IDLE_PAUSE: Duration = Duration::from_millis(200);
/// Records a second from which much happens.
const MUCH: u128 = 20_000;
/// Looks without much before a pause is an idle one: a tenth of a second's worth. A burst (64 connections that begin) is over by
/// then.
const PATIENCE: u32 = 5;

/// Nice value of the pipeline's thread. It needs little time, but needs it when the host is busiest: then the ring fills in
/// some 50 ms.
const NICE: i32 = -10;
/// Nice value of the agent's session where the kernel groups tasks by session (`sched(7)`, autogroup): without it the thread
/// shares one turn with nobody, but waits for the turns of a whole busy session: 4 ms of work were seen to take up to 290 ms.
const GROUP_NICE: &str = "-20";

/// Waits for the ring.
#[derive(Debug)]
pub struct Pace {
    epoll: OwnedFd,
    busy: u32,
    /// Begin of the last pause.
    since: Instant,
}

impl Pace {
    /// Watches the ring. Edge-triggered: records that wait are no reason to wake, only the kernel side's call is. (`poll`
    /// would return at once for every single record.)
    ///
    /// # Errors
    /// The kernel has no more file descriptors or watches for us.
    pub fn new(ring: impl AsFd) -> io::Result<Pace> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, ring, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        Ok(Pace {
            epoll,
            busy: 0,
            since: Instant::now(),
        })
    }

    /// Pauses, at most until the kernel side calls. `handled`: records handled since the last pause.
    pub(super) fn pause(&mut self, handled: usize) {
        let much = handled as u128 * 1_000_000 >= MUCH * self.since.elapsed().as_micros().max(1);
        self.busy = if handled > 0 && much {
            PATIENCE
        } else {
            self.busy.saturating_sub(1)
        };
        let pause = if self.busy > 0 { PAUSE } else { IDLE_PAUSE };
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: pause.as_nanos() as _,
        };
        let mut events = Vec::with_capacity(1);
        // Interrupted by a signal: look at the ring a little early.
        self.since = Instant::now();
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout));
    }
}

/// Lets the calling thread go before others. Not allowed without CAP_SYS_NICE: then it takes its turn.
pub(super) fn go_first() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the pipeline keeps its usual priority");
    }
    // Only in a session of our own: in a shell's it would lift all that runs there, and outlast us. Only where the kernel has
    // autogroups; under a cgroup's own weight it has no effect.
    let own = rustix::process::getsid(None).is_ok_and(|session| session == rustix::process::getpid());
    if own && let Err(error) = std::fs::write("/proc/self/autogroup", GROUP_NICE) {
        tracing::debug!(%error, "the agent's session keeps its usual priority");
    }
}
