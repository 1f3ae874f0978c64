//! Properties of the rule: what it never does and what it always does, whatever the agent's use of CPU is.

use super::*;
use proptest::prelude::*;

const BUDGET: f64 = 0.01;

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Runs a controller for so many seconds on a load that costs so many cores, by second and level, and gives the changes with
/// their seconds.
fn run(controller: &mut Controller, from: u64, to: u64, cost: impl Fn(u64, Level) -> f64) -> Vec<(u64, Change)> {
    let mut cpu = from as f64;
    (from..to)
        .filter_map(|second| {
            cpu += cost(second, controller.level());
            Some((second, controller.observe(seconds(second), cpu)?))
        })
        .collect()
}

fn levels(changes: &[(u64, Change)]) -> Vec<u8> {
    changes.iter().map(|(_, change)| change.to.get()).collect()
}

/// A load as it is: a part that no level takes away, spans that are halved step by step, routes.
fn load(base: f64, spans: f64, routes: f64) -> impl Fn(u64, Level) -> f64 {
    move |_, level| {
        let detail = if level.sheds_span_detail() { 0.7 } else { 1.0 };
        let routes = if level.sheds_routes() { 0.0 } else { routes };
        base + spans * detail / f64::from(1 << level.halvings()) + routes
    }
}

#[test]
fn above_the_budget_it_gives_up_step_by_step_in_order() {
    let mut controller = Controller::new(BUDGET, true);
    let changes = run(&mut controller, 0, 120, |_, _| 1.0);
    assert_eq!(levels(&changes), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let at: Vec<u64> = changes.iter().map(|(second, _)| *second).collect();
    assert_eq!(at, [3, 6, 9, 12, 15, 18, 21, 24, 27], "a window before each step");
    assert!(changes.iter().all(|(_, change)| (change.used - 1.0).abs() < 1e-9));
}

#[test]
fn without_spans_routes_are_all_there_is() {
    let mut controller = Controller::new(BUDGET, false);
    assert_eq!(levels(&run(&mut controller, 0, 60, |_, _| 1.0)), [9]);
    assert_eq!(levels(&run(&mut controller, 60, 120, |_, _| 0.0)), [0]);
}

#[test]
fn what_is_given_up_grows_with_the_level() {
    let mut level = Level::NONE;
    let mut seen = Vec::new();
    loop {
        seen.push((
            level.get(),
            level.sheds_span_detail(),
            level.halvings(),
            level.sheds_routes(),
        ));
        if level == level.up(true) {
            break;
        }
        assert_eq!(level.up(true).down(true), level);
        level = level.up(true);
    }
    let expect: Vec<_> = (0..=9u8)
        .map(|n| (n, n >= 1, u32::from(n.saturating_sub(1).min(7)), n == 9))
        .collect();
    assert_eq!(seen, expect);
    assert_eq!(Level::FEWEST_SPANS.up(true), Level::ROUTES);
    assert_eq!(Level::NONE.down(true), Level::NONE);
    assert_eq!(Level::NONE.words(true), "nothing");
    assert_eq!(Level(3).words(true), "span detail, all but 1 of 4 traces");
    assert_eq!(
        Level::ROUTES.words(true),
        "span detail, all but 1 of 128 traces, routes of new targets"
    );
    assert_eq!(Level::ROUTES.words(false), "routes of new targets");
}

/// A load that stays: the level is found and then left alone, but for trials that become rare.
#[test]
fn a_load_that_stays_is_no_reason_to_change_again_and_again() {
    let hour = 3600;
    // What it costs without anything given up, the level that fits, and changes after the first minute.
    for (base, spans, routes, fits) in [
        (0.002, 0.006, 0.001, 0),
        (0.002, 0.009, 0.001, 1),
        (0.004, 0.016, 0.001, 3),
        (0.0005, 0.100, 0.0005, 4),
        (0.0093, 0.050, 0.0020, 9),
        (0.020, 0.050, 0.010, 9),
    ] {
        let mut controller = Controller::new(BUDGET, true);
        let changes = run(&mut controller, 0, hour, load(base, spans, routes));
        assert_eq!(
            controller.level().get(),
            fits,
            "{base} {spans} {routes}: {:?}",
            levels(&changes)
        );
        let later = changes.iter().filter(|(second, _)| *second > 60).count();
        assert!(
            later <= 24,
            "{base} {spans} {routes}: {later} changes, {:?}",
            levels(&changes)
        );
    }
}

/// A load that comes and goes more quickly than levels can follow: trials become rare here too.
#[test]
fn a_load_that_comes_and_goes_does_not_move_the_level_each_time() {
    let mut controller = Controller::new(BUDGET, true);
    let changes = run(
        &mut controller,
        0,
        3600,
        |second, _| if second / 10 % 2 == 0 { 0.1 } else { 0.0 },
    );
    let later = changes.iter().filter(|(second, _)| *second > 600).count();
    assert!(later <= 60, "{later} changes in 300 periods");
}

/// After trials that failed, the end of the load is still found.
#[test]
fn it_recovers_from_any_past() {
    for (base, spans, routes) in [(0.0005, 0.100, 0.0005), (0.020, 0.050, 0.010)] {
        let mut controller = Controller::new(BUDGET, true);
        run(&mut controller, 0, 3600, load(base, spans, routes));
        run(&mut controller, 3600, 4200, |_, _| 0.0002);
        assert_eq!(controller.level(), Level::NONE);
    }
}

#[test]
fn a_clock_that_stands_or_jumps_does_no_harm() {
    let mut controller = Controller::new(BUDGET, true);
    for _ in 0..10 {
        assert_eq!(controller.observe(seconds(5), 7.0), None);
    }
    // Stopped for an hour, then at work: the hour is part of the measure.
    assert_eq!(controller.observe(seconds(3605), 7.5), None);
    assert_eq!(controller.observe(seconds(3604), 9.0), None, "back in time");
    let change = controller.observe(seconds(3608), 8.5).expect("a third of a core");
    assert!((change.used - 1.0 / 3.0).abs() < 1e-9, "{change:?}");
}

proptest! {
    /// Use that is never above the budget changes nothing.
    #[test]
    fn below_the_budget_nothing_is_given_up(uses in prop::collection::vec(0.0..BUDGET, 1..200)) {
        let mut controller = Controller::new(BUDGET, true);
        let changes = run(&mut controller, 0, uses.len() as u64, |second, _| uses[second as usize]);
        prop_assert_eq!(levels(&changes), Vec::<u8>::new());
    }

    /// Whatever use does: one step at a time, never two within a window, up only above the budget, down only below it, and
    /// back to nothing when the load is over.
    #[test]
    fn order_pace_and_recovery(
        phases in prop::collection::vec((1u64..120, prop::sample::select(vec![0.0, 0.3, 0.6, 0.9, 1.2, 3.0, 50.0])), 1..20),
    ) {
        let mut controller = Controller::new(BUDGET, true);
        let mut now = 0;
        let mut changes = Vec::new();
        for (length, share) in &phases {
            changes.extend(run(&mut controller, now, now + length, |_, _| share * BUDGET));
            now += length;
        }
        let mut level = 0;
        let mut last = 0;
        for (second, Change { from, to, used }) in changes {
            prop_assert_eq!(from.get(), level);
            prop_assert_eq!(from.get().abs_diff(to.get()), 1);
            prop_assert!(second - last >= WINDOW.as_secs());
            prop_assert_eq!(to > from, used > BUDGET);
            prop_assert!(to > from || used < BUDGET * NEAR);
            (level, last) = (to.get(), second);
        }
        run(&mut controller, now, now + 600, |_, _| 0.0);
        prop_assert_eq!(controller.level(), Level::NONE);
    }

    /// Halving halves, whatever the ids look like, and what one level keeps the ones below it keep.
    #[test]
    fn traces_thin_out_by_halves(seed: u64, low in prop::bool::ANY) {
        use rand::{Rng, SeedableRng};
        let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
        let shedding = Shedding::default();
        let ids: Vec<[u8; 16]> = (0..4096u128)
            .map(|n| if low { u128::to_be_bytes(n + 1) } else { random.random() })
            .collect();
        let mut before = vec![true; ids.len()];
        for level in 0..=9 {
            shedding.set(Level(level));
            let kept: Vec<bool> = ids.iter().map(|id| !shedding.sheds_trace(id)).collect();
            prop_assert!(kept.iter().zip(&before).all(|(now, before)| *before || !*now));
            let count = kept.iter().filter(|kept| **kept).count() as f64;
            let expect = ids.len() as f64 / f64::from(1 << Level(level).halvings());
            prop_assert!((count - expect).abs() <= 6.0 * expect.sqrt(), "level {}: {} of {}", level, count, expect);
            before = kept;
        }
    }
}
