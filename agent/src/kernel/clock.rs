//! What the kernel's clocks say, and what it knows of them.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of a clock.
pub fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Whether the kernel's clock is kept in step with another (NTP, PTP), as whoever does that tells the kernel; `None` when
/// the kernel does not say. Reads alone.
pub fn synchronised() -> Option<bool> {
    // SAFETY: all fields are integers, for which zero is a value; `modes` 0 asks to change nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: a live struct of the type that the call fills.
    let clock = unsafe { libc::adjtimex(&raw mut state) };
    // adjtimex(2): -1 with errno, else the state of leap seconds; STA_UNSYNC is said apart from it.
    (clock >= 0).then_some(state.status & libc::STA_UNSYNC == 0)
}
