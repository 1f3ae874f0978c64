//! What a human sees in the terminal. The live summary: a table of services, refreshed in place once a second.
//!
//! It reads [`Snapshot`]s, which the caller makes from the aggregate; it knows neither probes nor protocols.

pub mod quantile;
pub mod render;
pub mod screen;

use crate::cost::{self, Stage};
use crate::signal::Role;
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Time between frames.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Quantiles and errors are taken over at most this long, and over at least half of it once there is so much.
pub const WINDOW: Duration = Duration::from_secs(10);

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

/// The running summary; ends when dropped, and leaves its last frame on the terminal.
#[derive(Debug)]
pub struct Summary {
    _stop: Sender<()>,
}

impl Drop for Summary {
    fn drop(&mut self) {
        screen::leave();
    }
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
                cost::lap(Stage::Summary);
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return screen::leave();
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

/// The snapshots that a frame needs: at most five, since those of many services are not small.
#[derive(Debug, Default)]
pub struct History {
    now: Option<Arc<Snapshot>>,
    previous: Option<Arc<Snapshot>>,
    /// Half a window apart, the oldest first.
    marks: VecDeque<Arc<Snapshot>>,
}

impl History {
    /// Adds the present, forgets what is older than the window.
    pub fn push(&mut self, now: Snapshot) {
        let now = Arc::new(now);
        let age = |mark: &Arc<Snapshot>| now.uptime.saturating_sub(mark.uptime);
        while self.marks.front().is_some_and(|mark| age(mark) > WINDOW) {
            self.marks.pop_front();
        }
        if self.marks.back().is_none_or(|mark| age(mark) >= WINDOW / 2) {
            self.marks.push_back(now.clone());
        }
        self.previous = self.now.replace(now);
    }

    /// The present frame; `None` before the first snapshot.
    pub fn frame(&self) -> Option<Frame<'_>> {
        let now = self.now.as_deref()?;
        let previous = self.previous.as_deref();
        // When the only mark is the present itself (the machine slept), one frame is all there is.
        let oldest = self
            .marks
            .front()
            .map(|mark| &**mark)
            .filter(|mark| mark.uptime < now.uptime)
            .or(previous);
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
            let age = |snapshot: Option<&Snapshot>| snapshot.map(|s| second - s.uptime.as_secs());
            assert_eq!(age(Some(frame.now)), Some(0));
            assert_eq!(age(frame.previous), (second > 0).then_some(1));
            let window = age(frame.oldest);
            match second {
                0 => assert_eq!(window, None),
                1..=10 => assert_eq!(window, Some(second)),
                _ => assert!((6..=10).contains(&window.expect("a window")), "{window:?}"),
            }
            assert!(history.marks.len() <= 3);
        }
    }

    #[test]
    fn after_a_long_sleep_the_last_frame_is_the_window() {
        let mut history = History::default();
        for second in [0, 1, 1000] {
            history.push(Snapshot {
                uptime: Duration::from_secs(second),
                ..Snapshot::default()
            });
        }
        let oldest = history
            .frame()
            .and_then(|frame| frame.oldest)
            .map(|oldest| oldest.uptime.as_secs());
        assert_eq!(oldest, Some(1));
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
