//! When the pipeline's thread looks at the ring, and how soon it gets a processor.

use crate::kernel::mark::Mark;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use std::io;
use std::time::{Duration, Instant};

/// Pause between looks at the ring while much happens. Shorter ones cost more than they give (1 ms: a tenth of a
/// saturated server's throughput); the kernel side wakes us earlier when a quarter of the ring is waiting.
const PAUSE: Duration = Duration::from_millis(20);
/// The shortest pause while little happens. A wake-up costs as much as some ten exchanges, so it is longer the less there is to
/// handle, up to the next look.
const IDLE_PAUSE: Duration = Duration::from_millis(200);
/// Records that may gather in such a pause, by the rate of the last one.
const GATHERED: u128 = 4_000;
/// Records a second from which much happens.
const MUCH: u128 = 20_000;
/// Fewer records are expected in a long pause: the kernel side wakes us early if there are more.
const FEW: u128 = 500;
/// Looks without much before a pause is an idle one: a tenth of a second's worth. A burst (64 connections that begin) is over by
/// then.
const PATIENCE: u32 = 5;

/// The longest pause, and from when on one is long.
const LONGEST: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(1);
/// The shortest pause of all: clocks that differ by less are no reason to go round.
const LEAST: Duration = Duration::from_millis(1);

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
    /// Watches the ring, and the bell of those who read series. Edge-triggered: records that wait are no reason to wake, only the
    /// kernel side's call is. (`poll` would return at once for every single record.)
    ///
    /// # Errors
    /// The kernel has no more file descriptors or watches for us.
    pub fn new(ring: impl AsFd, bell: impl AsFd) -> io::Result<Pace> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for watched in [ring.as_fd(), bell.as_fd()] {
            epoll::add(&epoll, watched, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        }
        Ok(Pace {
            epoll,
            busy: 0,
            since: Instant::now(),
        })
    }

    /// Pauses, at most until somebody calls. `handled`: records handled since the last pause. `left`: until there is other work.
    /// `mark`: when the kernel side calls.
    pub(super) fn pause(&mut self, handled: usize, left: Duration, mark: &mut Mark) {
        let took = self.since.elapsed();
        let pause = self.next(handled, took, left);
        mark.set(expects_few(handled, took, pause));
        let timeout = Timespec {
            tv_sec: pause.as_secs() as _,
            tv_nsec: pause.subsec_nanos() as _,
        };
        let mut events = Vec::with_capacity(2);
        // Interrupted by a signal: look at the ring a little early.
        self.since = Instant::now();
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout));
    }

    /// How long to pause after so many records in that time.
    fn next(&mut self, handled: usize, took: Duration, left: Duration) -> Duration {
        let (handled, took) = (handled as u128, took.as_micros().max(1));
        let much = handled * 1_000_000 >= MUCH * took;
        self.busy = if handled > 0 && much {
            PATIENCE
        } else {
            self.busy.saturating_sub(1)
        };
        if self.busy > 0 {
            return PAUSE;
        }
        let gather = (GATHERED * took).checked_div(handled).unwrap_or(u128::MAX);
        let gather = Duration::from_micros(gather.try_into().unwrap_or(u64::MAX));
        // Never no pause at all.
        gather.max(IDLE_PAUSE).min(left).clamp(LEAST, LONGEST)
    }
}

/// Whether so few records are expected in the pause, at the rate of the last one, that more are a reason to wake early.
fn expects_few(handled: usize, took: Duration, pause: Duration) -> bool {
    pause > LONG && handled as u128 * pause.as_micros() < FEW * took.as_micros().max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Pace {
        let file = || std::fs::File::open("/proc/self/stat").unwrap();
        Pace {
            epoll: file().into(),
            busy: 0,
            since: Instant::now(),
        }
    }

    #[test]
    fn the_less_happens_the_longer_the_pause() {
        let mut pace = pace();
        assert_eq!(pace.next(0, SECOND, SECOND), SECOND);
        assert_eq!(pace.next(0, SECOND, 60 * SECOND), LONGEST);
        assert_eq!(pace.next(1_000, SECOND, 60 * SECOND), 4 * SECOND);
        assert_eq!(pace.next(8_000, SECOND, SECOND), Duration::from_millis(500));
        assert_eq!(pace.next(16_000, SECOND, SECOND), Duration::from_millis(250));
        assert_eq!(
            pace.next(30, Duration::from_millis(2), SECOND),
            Duration::from_micros(266_666)
        );
        assert_eq!(
            pace.next(0, SECOND, Duration::from_millis(30)),
            Duration::from_millis(30)
        );
        assert_eq!(pace.next(0, SECOND, Duration::ZERO), LEAST);
    }

    #[test]
    fn who_expects_little_is_woken_early() {
        assert!(expects_few(0, LONGEST, LONGEST));
        assert!(expects_few(499, LONGEST, LONGEST));
        assert!(
            !expects_few(500, LONGEST, LONGEST),
            "a load that goes on has its pauses"
        );
        assert!(!expects_few(0, SECOND, SECOND));
    }

    #[test]
    fn much_is_looked_at_often_and_for_a_while_longer() {
        let mut pace = pace();
        for _ in 0..2 {
            assert_eq!(pace.next(20_000, SECOND, SECOND), PAUSE);
        }
        for _ in 1..PATIENCE {
            assert_eq!(pace.next(1, PAUSE, SECOND), PAUSE);
        }
        assert!(pace.next(1, PAUSE, SECOND) > PAUSE);
    }
}
