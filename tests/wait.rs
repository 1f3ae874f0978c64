//! Waiting for conditions, never for time to pass.

use anyhow::{Result, anyhow};
use std::time::{Duration, Instant};

/// Deadline of what should take a moment: generous, because the machine is shared.
pub const SOON: Duration = Duration::from_secs(10);

/// Asks again and again until the answer is `Ok`, at most until the deadline, then gives the last error.
pub fn until<T>(what: &str, deadline: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(2);
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(anyhow!("{what}: not within {deadline:?}: {error:#}"));
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
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
