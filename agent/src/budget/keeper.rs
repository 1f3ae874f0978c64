//! Keeps the budget: measures, decides, tells, once a second while there is one.

use super::{Change, Controller, Level, Shedding, What};
use crate::collectors::own::{Own, Reading};
use crate::cost::{Overhead, process_seconds};
use crate::health::Health;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// See the module. The pipeline's thread owns it.
pub struct Keeper {
    controller: Option<Controller>,
    spans: bool,
    shedding: Shedding,
    overhead: Arc<Overhead>,
    health: Arc<Health>,
    /// CPU use in cores, bits of an `f64`.
    used: Arc<AtomicU64>,
    started: Instant,
}

impl Keeper {
    /// `budget` in cores, `None`: nothing is ever given up. `spans`: somebody takes spans.
    pub fn new(
        budget: Option<f64>,
        spans: bool,
        shedding: Shedding,
        overhead: Arc<Overhead>,
        health: Arc<Health>,
    ) -> Keeper {
        Keeper {
            controller: budget.map(|budget| Controller::new(budget, spans)),
            spans,
            shedding,
            overhead,
            health,
            used: Arc::new(AtomicU64::new(f64::NAN.to_bits())),
            started: Instant::now(),
        }
    }

    /// Registers what is known of the budget.
    pub fn register(&self, own: &Own) {
        let shedding = self.shedding.clone();
        own.register(Reading::gauge(
            "onlooker_budget_level",
            "",
            "How much the agent gives up to keep its CPU budget: 0 nothing, 1 span detail, 2 to 8 also all but 1 of 2, 4, ... 128 \
             traces, 9 also routes of targets not seen before. Never counts, statuses, durations or sizes.",
            move || f64::from(shedding.level().get()),
        ));
        for what in What::ALL {
            let shedding = self.shedding.clone();
            let reading = Reading::counter(
                "onlooker_budget_shed_total",
                "",
                "What was given up to keep the CPU budget: spans made without detail, spans not made or dropped, exchanges \
                 counted under _OTHER because the route of a new target was not looked for.",
                move || shedding.shed(what) as f64,
            );
            own.register(reading.label("what", what.as_str()));
        }
        if let Some(budget) = self.controller.as_ref().map(Controller::budget) {
            own.register(Reading::gauge(
                "onlooker_budget_cores",
                "cores",
                "CPU that the agent may use before it gives things up (--budget.cpu), in cores (0.01: one percent of one core).",
                move || budget,
            ));
            let used = self.used.clone();
            own.register(Reading::gauge(
                "onlooker_budget_used_cores",
                "cores",
                "CPU use that is compared with the budget: the agent's process CPU clock over the last 3 s or since the last change \
                 of level, in cores. Without eBPF programs: what they take does not change with the level.",
                move || f64::from_bits(used.load(Ordering::Relaxed)),
            ));
        }
    }

    /// Whether there is a budget to keep: then it is to be asked once a second, whatever happens.
    pub fn watches(&self) -> bool {
        self.controller.is_some()
    }

    /// To be called about once a second, or when the pipeline has worked again.
    pub fn tick(&mut self) {
        let now = Instant::now();
        self.overhead.tick(now);
        if let Some(controller) = &mut self.controller {
            let change = controller.observe(now - self.started, process_seconds());
            if let Some(used) = controller.used() {
                self.used.store(used.to_bits(), Ordering::Relaxed);
            }
            if let Some(change) = change {
                let budget = controller.budget();
                self.tell(change, budget);
            }
        }
    }

    fn tell(&self, change: Change, budget: f64) {
        let Change { from, to, used } = change;
        self.shedding.set(to);
        let sheds = to.words(self.spans);
        self.health.set_shedding((to > Level::NONE).then(|| sheds.clone()));
        let level = to.get();
        let (used, budget) = (Percent(used), Percent(budget));
        if to < from {
            tracing::info!(level, sheds, %used, %budget, "below the CPU budget: gives up less");
        } else if to == Level::ROUTES {
            tracing::warn!(level, sheds, %used, %budget, "above the CPU budget: gives up all that may be given up");
        } else {
            tracing::warn!(level, sheds, %used, %budget, "above the CPU budget: gives up more");
        }
    }
}

/// Cores as percent of one core.
struct Percent(f64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2}%", self.0 * 100.0)
    }
}
