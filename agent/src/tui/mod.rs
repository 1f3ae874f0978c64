//! What a human sees in the terminal. The live summary: a table of services, refreshed in place once a second.
//!
//! It reads [`Snapshot`]s, which the caller makes from the aggregate; it knows neither probes nor protocols.

pub mod quantile;
pub mod render;
pub mod screen;

use crate::signal::Role;
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Time between frames.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Frames over which quantiles and errors are taken (10 s).
pub const WINDOW: usize = 10;

/// The state of everything the summary shows, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since the agent started. Tells how far two snapshots are apart.
    pub uptime: Duration,
    /// One row per service and role.
    pub rows: Vec<Row>,
    /// Events lost so far, of all kinds.
    pub lost: u64,
    /// CPU time of the agent so far, seconds; `None`: not known.
    pub cpu_seconds: Option<f64>,
    /// Resident memory of the agent, bytes; `None`: not known.
    pub resident_bytes: Option<u64>,
    /// Connections that are followed now.
    pub connections: u64,
}

/// Everything so far about one service in one role.
#[derive(Clone, Debug)]
pub struct Row {
    /// `service.name`.
    pub service: Arc<str>,
    /// Role.
    pub role: Role,
    /// Exchanges that ended.
    pub count: u64,
    /// Those of them with an `error.type`.
    pub errors: u64,
    /// Durations per bucket, not cumulative, one more than `bounds`.
    pub buckets: Vec<u64>,
    /// Upper bounds of the buckets, seconds.
    pub bounds: &'static [f64],
    /// Exchanges open now.
    pub active: u64,
}

/// The running summary; ends when dropped.
#[derive(Debug)]
pub struct Summary {
    _stop: Sender<()>,
}

/// Shows the summary on standard output from a thread of its own, so that a terminal which stalls holds up nobody else.
/// Without a terminal the frames follow one another as plain lines.
///
/// # Errors
/// The thread cannot be started.
pub fn start(source: impl Fn() -> Snapshot + Send + 'static) -> io::Result<Summary> {
    let (stop, stopped) = channel::<()>();
    thread::Builder::new()
        .name("summary".to_string())
        .stack_size(256 << 10)
        .spawn(move || {
            let terminal = io::stdout().is_terminal();
            let mut history = History::default();
            loop {
                history.push(source());
                // A standard output that is gone ends the summary, not the agent.
                if draw(&history, terminal).is_err() {
                    return;
                }
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
    Ok(Summary { _stop: stop })
}

fn draw(history: &History, terminal: bool) -> io::Result<()> {
    let Some(frame) = history.frame() else { return Ok(()) };
    if terminal {
        let (columns, lines) = screen::size();
        return screen::show(&render::render(&frame, columns, lines), columns);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", render::render(&frame, 120, 50))?;
    out.flush()
}

/// What one frame is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The present.
    pub now: &'a Snapshot,
    /// One frame ago, for rates.
    pub previous: Option<&'a Snapshot>,
    /// A window ago, or as far back as there is, for quantiles and errors.
    pub oldest: Option<&'a Snapshot>,
}

/// The last snapshots, at most [`WINDOW`] + 1.
#[derive(Debug, Default)]
pub struct History {
    snapshots: VecDeque<Snapshot>,
}

impl History {
    /// Adds the present, forgets what is older than the window.
    pub fn push(&mut self, now: Snapshot) {
        if self.snapshots.len() > WINDOW {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(now);
    }

    /// The present frame; `None` before the first snapshot.
    pub fn frame(&self) -> Option<Frame<'_>> {
        let now = self.snapshots.back()?;
        let previous = self
            .snapshots
            .len()
            .checked_sub(2)
            .and_then(|index| self.snapshots.get(index));
        let oldest = previous.and(self.snapshots.front());
        Some(Frame { now, previous, oldest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_keeps_one_window() {
        let mut history = History::default();
        assert!(history.frame().is_none());
        for second in 0..50 {
            history.push(Snapshot {
                uptime: Duration::from_secs(second),
                ..Snapshot::default()
            });
            let frame = history.frame().expect("a frame");
            let seconds = |snapshot: Option<&Snapshot>| snapshot.map(|s| s.uptime.as_secs());
            assert_eq!(frame.now.uptime.as_secs(), second);
            assert_eq!(seconds(frame.previous), second.checked_sub(1));
            assert_eq!(
                seconds(frame.oldest),
                (second > 0).then(|| second.saturating_sub(WINDOW as u64))
            );
            assert!(history.snapshots.len() <= WINDOW + 1);
        }
    }

    #[test]
    fn the_summary_ends_when_dropped() {
        let alive = Arc::new(());
        let held = alive.clone();
        let (took, taken) = channel();
        let summary = start(move || {
            let _ = (&held, took.send(()));
            Snapshot::default()
        });
        taken.recv().expect("a snapshot was taken");
        drop(summary.expect("started"));
        // The sender lives in the thread: it is gone when the thread is.
        while taken.recv().is_ok() {}
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
