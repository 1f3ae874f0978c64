//! Waiting for conditions, never for time to pass.

use anyhow::{Result, anyhow};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Deadline of what should take a moment: generous, because the machine is shared.
pub const SOON: Duration = Duration::from_secs(10);

/// How much slower than a machine of its own this one is: `ONLOOKER_TEST_SLOW`, 1 without. An emulated processor is told as 20 by
/// `cargo xtask vm`. Deadlines are that much longer, loads smaller, and errors of measured times may be larger.
pub fn slow() -> u32 {
    static SLOW: OnceLock<u32> = OnceLock::new();
    *SLOW.get_or_init(|| {
        let given = std::env::var("ONLOOKER_TEST_SLOW").ok();
        given
            .and_then(|text| text.parse().ok())
            .filter(|slow| *slow > 0)
            .unwrap_or(1)
    })
}

/// A part of a load that takes a slow machine about as long as the whole takes another; never less than one.
pub fn eased(load: u32) -> u32 {
    (load / slow()).max(1)
}

/// The longest that a slow machine is waited for, if that is longer than on another: what has not come by then does not come, and
/// what it was instead should be told today.
const LONGEST: Duration = Duration::from_secs(240);

/// Asks again and again until the answer is `Ok`, at most until the deadline (times [`slow`]), then gives the last error.
pub fn until<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = (deadline * slow()).min(LONGEST.max(deadline));
    let end = Instant::now() + deadline;
    let longest = Duration::from_millis(100) * slow();
    let mut pause = Duration::from_millis(2) * slow();
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(anyhow!("{what}: not within {deadline:?}: {error:#}"));
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(longest);
    }
}

/// [`until`] for plain conditions.
pub fn until_true(what: &str, deadline: Duration, mut ask: impl FnMut() -> bool) -> Result<()> {
    until(
        what,
        deadline,
        || {
            if ask() { Ok(()) } else { Err(anyhow!("still false")) }
        },
    )
}

/// What "within 5 % or 50 us" allows for so many waits.
pub fn allowed(truth: f64, waits: f64) -> f64 {
    (0.05 * truth).max(50e-6 * waits) * f64::from(slow())
}
