//! Unix time of a moment that was taken on `CLOCK_MONOTONIC`: by the difference of the two clocks, which is read anew every
//! few seconds so that steps and slewing of the wall clock are followed.

use crate::signal::Nanos;

/// The difference is read again after this much time.
const EVERY: Nanos = 5_000_000_000;

/// Reads both clocks of the host.
pub trait ClockSource: Send {
    /// (`CLOCK_MONOTONIC`, `CLOCK_REALTIME` since 1970), both in nanoseconds, at one moment.
    fn read(&mut self) -> (Nanos, u64);
}

/// The host's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl ClockSource for SystemClock {
    fn read(&mut self) -> (Nanos, u64) {
        use rustix::time::{ClockId, clock_gettime};
        let now = |id| {
            let at = clock_gettime(id);
            at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64
        };
        // The wall clock is read between two readings of the other; the closest of a few such sandwiches is taken.
        let (mut best, mut result) = (u64::MAX, (0, 0));
        for _ in 0..3 {
            let before = now(ClockId::Monotonic);
            let unix = now(ClockId::Realtime);
            let width = now(ClockId::Monotonic).saturating_sub(before);
            if width < best {
                (best, result) = (width, (before + width / 2, unix));
            }
        }
        result
    }
}

/// Converts moments of signals to Unix time.
pub struct Clock {
    source: Box<dyn ClockSource>,
    /// Unix time minus monotonic time; wrapping, so that it may be negative.
    offset: u64,
    read_at: Nanos,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock")
            .field("offset", &self.offset)
            .field("read_at", &self.read_at)
            .finish()
    }
}

impl Clock {
    /// The host's clocks.
    pub fn system() -> Clock {
        Clock::new(Box::new(SystemClock))
    }
    /// Other clocks.
    pub fn new(mut source: Box<dyn ClockSource>) -> Clock {
        let (mono, unix) = source.read();
        Clock {
            source,
            offset: unix.wrapping_sub(mono),
            read_at: mono,
        }
    }
    /// Reads the clocks again when the last reading is older than 5 s at `now`.
    pub fn refresh(&mut self, now: Nanos) {
        if now.saturating_sub(self.read_at) > EVERY {
            let (mono, unix) = self.source.read();
            self.offset = unix.wrapping_sub(mono);
            // `now` is a moment of a record and so not later than the reading; never go back, whatever the source says.
            self.read_at = mono.max(now);
        }
    }
    /// Unix time of a moment, nanoseconds.
    pub fn unix(&self, at: Nanos) -> u64 {
        at.wrapping_add(self.offset)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Says what it is given, in turn; the last for ever.
    pub(crate) struct Script(pub(crate) Vec<(Nanos, u64)>);

    impl ClockSource for Script {
        fn read(&mut self) -> (Nanos, u64) {
            if self.0.len() > 1 { self.0.remove(0) } else { self.0[0] }
        }
    }

    #[test]
    fn follows_the_wall_clock() {
        let second = 1_000_000_000;
        let mut clock = Clock::new(Box::new(Script(vec![
            (10 * second, 1_000 * second),
            (16 * second, 900 * second),
        ])));
        assert_eq!(clock.unix(11 * second), 1_001 * second);
        clock.refresh(15 * second);
        assert_eq!(clock.unix(15 * second), 1_005 * second, "not yet read again");
        clock.refresh(15 * second + 1);
        assert_eq!(
            clock.unix(17 * second),
            901 * second,
            "stepped back with the wall clock"
        );
    }

    #[test]
    fn wall_clock_before_monotonic() {
        let clock = Clock::new(Box::new(Script(vec![(100, 40)])));
        assert_eq!(clock.unix(160), 100);
    }

    #[test]
    fn system() {
        let clock = Clock::system();
        let (mono, unix) = SystemClock.read();
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        assert!(clock.unix(mono).abs_diff(unix) < 1_000_000_000);
        assert!(unix.abs_diff(wall) < 60_000_000_000);
    }
}
