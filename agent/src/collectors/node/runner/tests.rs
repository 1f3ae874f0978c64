use super::*;
use crate::export::prometheus::{Format, PrometheusEncoder};
use std::sync::atomic::{AtomicBool, Ordering};

static A: Family = Family::new("a", "", "A.", Kind::Gauge);
static B: Family = Family::new("b", "", "B.", Kind::Gauge);

/// Says one number, and then fails, panics or waits.
struct Says(&'static Family, fn() -> Result<(), CollectError>);

impl Collect for Says {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        out.family(self.0);
        out.number(&[], 1.0);
        self.1()
    }
}

/// Waits until it is let go.
fn hang(free: &AtomicBool) -> Result<(), CollectError> {
    while !free.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

static GOOD: Collector = Collector {
    name: "good",
    make: |_| Ok(Box::new(Says(&B, || Ok(())))),
    ..Collector::BASE
};

fn runner(first: &'static Collector, deadline: Duration) -> Runner {
    Runner::with(&[first, &GOOD], &Host::default(), &Settings::default(), deadline)
}

/// Lines of samples, without durations.
fn scrape(runner: &Runner) -> Vec<String> {
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    runner.collect(&mut encoder);
    let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
    let samples = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("duration"));
    samples.map(|line| line.replace("node_scrape_collector_", "")).collect()
}

#[test]
fn one_that_fails_or_panics_costs_nobody_else_anything() {
    static FAILS: Collector = Collector {
        name: "bad",
        make: |_| Ok(Box::new(Says(&A, || Err(CollectError::Other("no".to_owned()))))),
        ..Collector::BASE
    };
    static PANICS: Collector = Collector {
        name: "bad",
        make: |_| Ok(Box::new(Says(&A, || panic!("on purpose")))),
        ..Collector::BASE
    };
    let expect = [
        "a 1",
        "b 1",
        "success{collector=\"bad\"} 0",
        "success{collector=\"good\"} 1",
    ];
    for bad in [&FAILS, &PANICS] {
        let runner = runner(bad, DEADLINE);
        for _ in 0..3 {
            assert_eq!(scrape(&runner), expect);
        }
    }
}

/// One that hangs is waited for once; when it is through, what it found is told, and it is asked again.
#[test]
fn one_that_hangs_is_waited_for_once() {
    static FREE: AtomicBool = AtomicBool::new(false);
    static HANGS: Collector = Collector {
        name: "bad",
        make: |_| Ok(Box::new(Says(&A, || hang(&FREE)))),
        ..Collector::BASE
    };
    // Long enough for the other one on a busy machine.
    let deadline = Duration::from_millis(500);
    let runner = runner(&HANGS, deadline);
    let without = ["b 1", "success{collector=\"bad\"} 0", "success{collector=\"good\"} 1"];
    assert_eq!(scrape(&runner), without);
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(scrape(&runner), without);
    }
    assert!(start.elapsed() < deadline * 1000, "each scrape waited");
    FREE.store(true, Ordering::Relaxed);
    let all = [
        "a 1",
        "b 1",
        "success{collector=\"bad\"} 1",
        "success{collector=\"good\"} 1",
    ];
    let mut scrapes = 0;
    while scrape(&runner) != all {
        scrapes += 1;
        assert!(scrapes < 10_000, "never told again");
        std::thread::sleep(Duration::from_millis(1));
    }
    // Fast again: it runs within scrapes.
    let mut scrapes = 0;
    while lock(&runner.slots[0].state).beside {
        scrape(&runner);
        scrapes += 1;
        assert!(scrapes < 10_000, "beside scrapes for ever");
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..3 {
        assert_eq!(scrape(&runner), all);
    }
}

/// The thread of a late collector is left to it, another one ends the round, and the first has nothing to say then.
#[tokio::test]
async fn a_round_goes_on_behind_a_late_collector() {
    static FREE: AtomicBool = AtomicBool::new(false);
    static HANGS: Collector = Collector {
        name: "bad",
        make: |_| Ok(Box::new(Says(&A, || hang(&FREE)))),
        ..Collector::BASE
    };
    let runner = runner(&HANGS, Duration::from_millis(500));
    let round = runner.round(&|_| true).await;
    let first = std::thread::spawn({
        let round = Arc::clone(&round);
        move || round.run()
    });
    loop {
        match round.watch() {
            Watch::Until(until) => tokio::time::sleep_until(until.into()).await,
            Watch::Late => break,
            Watch::Through => panic!("it hangs"),
        }
    }
    assert!(runner.turn.try_lock().is_err(), "the round is under way");
    assert!(round.run());
    assert_eq!(round.watch(), Watch::Through);
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    round.tell(&mut encoder);
    let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
    assert!(text.contains("\nb 1\n") && !text.contains("\na 1\n"), "{text}");
    assert!(runner.turn.try_lock().is_ok(), "the next round may begin");
    FREE.store(true, Ordering::Relaxed);
    assert!(!first.join().unwrap());
}

/// One that never found anything is not asked each time; one that did is.
#[test]
fn what_a_host_does_not_have_is_looked_for_now_and_then() {
    use std::sync::atomic::AtomicUsize;
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static THERE: AtomicBool = AtomicBool::new(false);
    struct Hardware;
    impl Collect for Hardware {
        fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
            ASKED.fetch_add(1, Ordering::Relaxed);
            if !THERE.load(Ordering::Relaxed) {
                return Err(CollectError::NoData("no tape drive".to_owned()));
            }
            out.family(&A);
            out.number(&[], 1.0);
            Ok(())
        }
    }
    static HARDWARE: Collector = Collector {
        name: "bad",
        make: |_| Ok(Box::new(Hardware)),
        ..Collector::BASE
    };
    let runner = runner(&HARDWARE, DEADLINE);
    let without = ["b 1", "success{collector=\"bad\"} 0", "success{collector=\"good\"} 1"];
    let with = [
        "a 1",
        "b 1",
        "success{collector=\"bad\"} 1",
        "success{collector=\"good\"} 1",
    ];
    (0..3).for_each(|_| assert_eq!(scrape(&runner), without));
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    THERE.store(true, Ordering::Relaxed);
    assert_eq!(scrape(&runner), without, "not yet");
    if let Some((_, since)) = &mut lock(&runner.slots[0].state).nothing {
        *since -= AGAIN;
    }
    assert_eq!(scrape(&runner), with);
    // A driver that is loaded anew, a bus that is started anew: seen at once.
    THERE.store(false, Ordering::Relaxed);
    assert_eq!(scrape(&runner), without);
    THERE.store(true, Ordering::Relaxed);
    assert_eq!(scrape(&runner), with);
    assert_eq!(ASKED.load(Ordering::Relaxed), 4);
}

#[test]
fn those_that_are_wanted_run() {
    let runner = runner(&GOOD, DEADLINE);
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    runner.collect_some(&|_| false, &mut encoder);
    let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
    assert!(!text.contains("b 1"), "{text}");
}

#[test]
fn switches_are_heard() {
    static OFF: Collector = Collector {
        name: "off",
        default: false,
        make: |_| Ok(Box::new(Says(&A, || Ok(())))),
        ..Collector::BASE
    };
    let names = |settings: &Settings| {
        let runner = Runner::with(&[&OFF, &GOOD], &Host::default(), settings, DEADLINE);
        runner.names().collect::<Vec<_>>()
    };
    let mut settings = Settings::default();
    assert_eq!(names(&settings), ["good"]);
    settings.switched.insert("off", true);
    assert_eq!(names(&settings), ["off", "good"]);
    settings.disable_defaults = true;
    assert_eq!(names(&settings), ["off"]);
    settings.switched.insert("off", false);
    assert_eq!(names(&settings), [""; 0]);
}

/// Scrapes at the same time each have everything.
#[test]
fn scrapes_at_the_same_time_have_everything() {
    static OTHER: Collector = Collector {
        name: "other",
        make: |_| Ok(Box::new(Says(&A, || Ok(())))),
        ..Collector::BASE
    };
    let runner = runner(&OTHER, DEADLINE);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let all = [
                        "a 1",
                        "b 1",
                        "success{collector=\"other\"} 1",
                        "success{collector=\"good\"} 1",
                    ];
                    assert_eq!(scrape(&runner), all);
                }
            });
        }
    });
}

/// What [`refused`] takes for granted.
#[test]
fn every_collector_can_be_made_with_its_defaults() {
    let (host, settings) = (Host::default(), Settings::default());
    let setup = Setup {
        host: &host,
        settings: &settings,
    };
    for collector in REGISTRY {
        assert_eq!((collector.make)(&setup).err(), None, "{}", collector.name);
    }
}
