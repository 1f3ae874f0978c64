//! The CPU budget (`--budget.cpu`): above it the agent gives up detail in a stated order, below it takes it up again.
//! Counts, statuses, durations and sizes are never given up.
//!
//! [`Controller`] is the rule, a state machine fed with times and CPU seconds. [`Shedding`] is what it decides on, read by
//! those who do the work; [`Keeper`] asks the one and tells the other, once a second.

mod keeper;
mod shedding;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;
pub use shedding::{Shedding, What};

use std::collections::VecDeque;
use std::time::Duration;

/// CPU use is measured over this long before a step is taken, and over this long again after each.
pub const WINDOW: Duration = Duration::from_secs(3);
/// Use below this share of the budget: a step back is safe, because one step back at most about doubles the work.
const FAR: f64 = 0.5;
/// Use below this share of the budget: a step back is worth a try, after [`NEAR_WAIT`].
const NEAR: f64 = 0.8;
/// How long use must be below [`FAR`] before a step back.
const FAR_WAIT: Duration = WINDOW;
/// How long use must be below [`NEAR`] before a step back.
const NEAR_WAIT: Duration = Duration::from_secs(15);
/// A step back that does not last this long was wrong: both waits double, at most [`PATIENCE`] times, until one lasts.
const TRIAL: Duration = Duration::from_secs(60);
/// See [`TRIAL`]: the longest waits are 64 times the first, three and sixteen minutes.
const PATIENCE: u32 = 6;

/// How much is given up: 0 nothing, each level more than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// Nothing is given up.
    pub const NONE: Level = Level(0);
    /// Spans hold what OpenTelemetry requires of them and no more.
    pub const SPAN_DETAIL: Level = Level(1);
    /// One trace in 2^7 is kept. The levels from 2 to this one halve the traces step by step.
    pub const FEWEST_SPANS: Level = Level(8);
    /// Targets that were not seen before have the route `_OTHER`; nothing is left to give up.
    pub const ROUTES: Level = Level(9);

    /// Level of a number, at most the last.
    #[cfg(test)]
    pub(crate) fn of(number: u8) -> Level {
        Level(number.min(Level::ROUTES.0))
    }
    /// As a number, 0 to 9.
    pub const fn get(self) -> u8 {
        self.0
    }
    /// Spans go without the attributes that are only recommended.
    pub const fn sheds_span_detail(self) -> bool {
        self.0 >= Level::SPAN_DETAIL.0
    }
    /// One trace in 2 to the power of this is kept.
    pub const fn halvings(self) -> u32 {
        let most = Level::FEWEST_SPANS.0 - Level::SPAN_DETAIL.0;
        let steps = self.0.saturating_sub(Level::SPAN_DETAIL.0);
        (if steps < most { steps } else { most }) as u32
    }
    /// Routes of new targets are not looked for.
    pub const fn sheds_routes(self) -> bool {
        self.0 >= Level::ROUTES.0
    }

    /// What is given up, in words. `spans`: there are spans to give up.
    pub fn words(self, spans: bool) -> String {
        let mut words = Vec::new();
        if spans && self.sheds_span_detail() {
            words.push("span detail".to_owned());
        }
        if spans && self.halvings() > 0 {
            words.push(format!("all but 1 of {} traces", 1 << self.halvings()));
        }
        if self.sheds_routes() {
            words.push("routes of new targets".to_owned());
        }
        match words.is_empty() {
            true => "nothing".to_owned(),
            false => words.join(", "),
        }
    }

    /// The next one; `spans`: there are spans to give up.
    const fn up(self, spans: bool) -> Level {
        match (spans, self.0 < Level::ROUTES.0) {
            (true, true) => Level(self.0 + 1),
            _ => Level::ROUTES,
        }
    }
    /// The one before.
    const fn down(self, spans: bool) -> Level {
        match spans {
            true => Level(self.0.saturating_sub(1)),
            false => Level::NONE,
        }
    }
}

/// A level that changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Before.
    pub from: Level,
    /// From now on.
    pub to: Level,
    /// CPU use that led to it, in cores.
    pub used: f64,
}

/// Decides how much to give up. It has no clock of its own.
#[derive(Debug)]
pub struct Controller {
    budget: f64,
    spans: bool,
    level: Level,
    /// (when, CPU seconds), oldest first: since the last change, and one at most that is [`WINDOW`] old or older.
    samples: VecDeque<(Duration, f64)>,
    used: Option<f64>,
    /// Since when use has been below [`FAR`] and [`NEAR`].
    far: Option<Duration>,
    near: Option<Duration>,
    /// When the last step back was taken, while it may still turn out wrong.
    stepped_back: Option<Duration>,
    /// Steps back that were wrong, since the last that was right.
    failures: u32,
}

impl Controller {
    /// Begins with nothing given up. `budget`: CPU that may be used, in cores (0.01: one percent of one). `spans`: somebody
    /// takes spans; without them the levels that give up spans are left out.
    pub fn new(budget: f64, spans: bool) -> Controller {
        Controller {
            budget,
            spans,
            level: Level::NONE,
            samples: VecDeque::new(),
            used: None,
            far: None,
            near: None,
            stepped_back: None,
            failures: 0,
        }
    }

    /// CPU that may be used, in cores.
    pub fn budget(&self) -> f64 {
        self.budget
    }
    /// CPU use as last measured, in cores.
    pub fn used(&self) -> Option<f64> {
        self.used
    }
    /// How much is given up now.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Told about once a second: the time on a clock that only goes forward, and the CPU seconds used so far.
    pub fn observe(&mut self, now: Duration, cpu: f64) -> Option<Change> {
        if self.samples.back().is_some_and(|(last, _)| now <= *last) {
            return None;
        }
        self.samples.push_back((now, cpu));
        while self.samples.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.samples.pop_front();
        }
        let &(first, before) = self.samples.front()?;
        let measured = now - first;
        if measured < WINDOW {
            return None;
        }
        let used = ((cpu - before) / measured.as_secs_f64()).max(0.0);
        self.used = Some(used);
        for (since, share) in [(&mut self.far, FAR), (&mut self.near, NEAR)] {
            match used < self.budget * share {
                true => _ = since.get_or_insert(first),
                false => *since = None,
            }
        }
        if self.stepped_back.is_some_and(|at| now.saturating_sub(at) > TRIAL) {
            (self.stepped_back, self.failures) = (None, 0);
        }
        let to = if used > self.budget {
            self.level.up(self.spans)
        } else if self.rested(now) {
            self.level.down(self.spans)
        } else {
            self.level
        };
        (to != self.level).then(|| self.change(to, now, cpu, used))
    }

    /// Use has been low for long enough to step back.
    fn rested(&self, now: Duration) -> bool {
        let for_long = |since: Option<Duration>, wait: Duration| {
            since.is_some_and(|since| now.saturating_sub(since) >= wait * (1 << self.failures))
        };
        for_long(self.far, FAR_WAIT) || for_long(self.near, NEAR_WAIT)
    }

    fn change(&mut self, to: Level, now: Duration, cpu: f64, used: f64) -> Change {
        if to < self.level {
            self.stepped_back = Some(now);
        } else if self.stepped_back.take().is_some() {
            self.failures = (self.failures + 1).min(PATIENCE);
        }
        (self.far, self.near) = (None, None);
        // What was used before says nothing of what will be.
        self.samples = VecDeque::from([(now, cpu)]);
        let from = std::mem::replace(&mut self.level, to);
        Change { from, to, used }
    }
}
