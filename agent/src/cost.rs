//! What the agent itself costs: CPU time by stage, and the share of the host that it takes.
//!
//! A thread that goes from one stage to the next calls [`lap`]: one read of its own CPU clock, so a stage is told apart where
//! it begins and ends (a batch, a scrape, a frame), never within.

mod overhead;

pub use overhead::{Overhead, ProgramSeconds};

use crate::collectors::own::{Own, Reading};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the agent's CPU time goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Until everything is at work.
    Start,
    /// Pipeline: pauses, and looks at a ring that is empty.
    Wait,
    /// Pipeline: from records to exchanges, series and spans.
    Drain,
    /// Pipeline: forgetting what is over, and spans that waited for their place in a trace.
    Tidy,
    /// The runtime's thread: answers of the HTTP server, network traffic of exporters, signals.
    Runtime,
    /// Scrapes: reading series and encoding them.
    Scrape,
    /// Spans to OTLP: taking batches and encoding them. The network's part counts as runtime.
    Otlp,
    /// Spans to standard output.
    Stdout,
    /// The live summary.
    Summary,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 9] = [
        Stage::Start,
        Stage::Wait,
        Stage::Drain,
        Stage::Tidy,
        Stage::Runtime,
        Stage::Scrape,
        Stage::Otlp,
        Stage::Stdout,
        Stage::Summary,
    ];
    /// As the value of a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Start => "start",
            Stage::Wait => "pipeline_wait",
            Stage::Drain => "pipeline_drain",
            Stage::Tidy => "pipeline_tidy",
            Stage::Runtime => "runtime",
            Stage::Scrape => "scrape",
            Stage::Otlp => "export_otlp",
            Stage::Stdout => "export_stdout",
            Stage::Summary => "summary",
        }
    }
}

/// Nanoseconds by stage. Of the process, as the CPU clocks are.
static NANOS: [AtomicU64; Stage::ALL.len()] = [const { AtomicU64::new(0) }; Stage::ALL.len()];

thread_local! {
    /// CPU time of this thread at its last lap, nanoseconds; 0 when it began.
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// This thread's CPU time since its last lap, or since it began, went to `stage`.
pub fn lap(stage: Stage) {
    let now = nanos(ClockId::ThreadCPUTime);
    let since = LAST.with(|last| now.saturating_sub(last.replace(now)));
    NANOS[stage as usize].fetch_add(since, Ordering::Relaxed);
}

/// CPU time of a stage so far, seconds.
pub fn seconds(stage: Stage) -> f64 {
    NANOS[stage as usize].load(Ordering::Relaxed) as f64 * 1e-9
}

/// CPU time of the whole agent so far, user and system, seconds.
pub fn process_seconds() -> f64 {
    nanos(ClockId::ProcessCPUTime) as f64 * 1e-9
}

/// A task on the runtime's thread whose own time counts for a stage, not for [`Stage::Runtime`].
pub async fn counted<F: Future>(stage: Stage, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        lap(Stage::Runtime);
        let poll = Pin::as_mut(&mut future).poll(context);
        lap(stage);
        poll
    })
    .await
}

/// Registers the stages.
pub fn register(own: &Own) {
    for stage in Stage::ALL {
        let reading = Reading::counter(
            "onlooker_stage_cpu_seconds_total",
            "seconds",
            "CPU time of the agent by stage, user and system, in seconds, from the CPU clock of the thread that is at the stage.",
            move || seconds(stage),
        );
        own.register(reading.label("stage", stage.as_str()));
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    fn work(until: f64) {
        while process_seconds() < until {
            black_box((0..1000).sum::<u64>());
        }
    }

    /// Other tests of this process have laps of their own, but none at these stages.
    #[test]
    fn time_goes_to_the_stage_that_ends() {
        let (tidy, wait) = (seconds(Stage::Tidy), seconds(Stage::Wait));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lap(Stage::Wait);
                let begin = nanos(ClockId::ThreadCPUTime);
                while nanos(ClockId::ThreadCPUTime) < begin + 20_000_000 {
                    black_box((0..1000).sum::<u64>());
                }
                lap(Stage::Tidy);
                lap(Stage::Wait);
            });
        });
        let (tidy, wait) = (seconds(Stage::Tidy) - tidy, seconds(Stage::Wait) - wait);
        assert!(tidy >= 0.02, "{tidy}");
        assert!(wait < tidy, "{wait} of {tidy}");
    }

    #[tokio::test]
    async fn a_counted_task_has_its_polls_for_itself() {
        let before = seconds(Stage::Summary);
        let value = counted(Stage::Summary, async {
            work(process_seconds() + 0.005);
            tokio::task::yield_now().await;
            7
        });
        assert_eq!(value.await, 7);
        assert!(seconds(Stage::Summary) > before);
    }
}
