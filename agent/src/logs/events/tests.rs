use super::*;
use crate::collectors::own::events::EventCounts;
use crate::signal::ProcessKey;
use crate::trace::clock::ClockSource;
use proptest::prelude::*;

/// Unix time is 1,000 s ahead of the monotonic clock.
struct Ahead;

impl ClockSource for Ahead {
    fn read(&mut self) -> (Nanos, u64) {
        (0, 1000 * SECOND)
    }
}

const OWN: u32 = 7;

/// Events under test, and the records they became.
struct Bench {
    events: Events,
    out: Vec<LogRecord>,
}

impl Bench {
    fn new(kinds: usize, rate: u32) -> Bench {
        let config = EventsConfig {
            interval: Duration::from_secs(60),
            kinds,
            rate,
            own: OWN,
            host: Arc::new(Resource {
                attributes: vec![("host.name".into(), AttributeValue::Text("h".into()))],
            }),
        };
        Bench {
            events: Events::new(config, Clock::new(Box::new(Ahead))),
            out: Vec::new(),
        }
    }

    /// `count` events of a service at a time in seconds; returns the bodies told since the last call.
    fn tell(&mut self, at: f64, service: &str, body: &str, count: u64) -> Vec<String> {
        self.event(at, service, body, count, signal::Severity::Warn)
    }

    fn event(&mut self, at: f64, name: &str, body: &str, count: u64, severity: signal::Severity) -> Vec<String> {
        let service = service(name);
        let event = EventSignal {
            at: nanos(at),
            name: "onlooker.syscall.error",
            severity,
            who: Who::Process(ProcessKey { pid: 412, start: 1 }),
            tid: 413,
            body,
            attributes: &[("error.type", Detail::Text("EACCES")), ("n", Detail::Int(3))],
            count,
        };
        let out = &mut self.out;
        self.events.tell(&event, Some(&service), &mut |record| out.push(record));
        self.bodies()
    }

    fn tidy(&mut self, at: f64) -> Vec<String> {
        let out = &mut self.out;
        self.events.tidy(nanos(at), &mut |record| out.push(record));
        self.bodies()
    }

    fn end(&mut self, at: f64) -> Vec<String> {
        let out = &mut self.out;
        self.events.end(nanos(at), &mut |record| out.push(record));
        self.bodies()
    }

    fn bodies(&mut self) -> Vec<String> {
        self.out.drain(..).map(|record| record.body).collect()
    }

    /// seen, delivered, lost to the rate, lost to the table; what is pending by the table itself must be the rest.
    fn ledger(&self) -> (u64, u64, u64, u64) {
        let count = &self.events.counts().events()[0];
        let pending: u64 = self.events.kinds.values().map(|kind| kind.pending).sum();
        assert_eq!(count.pending(), pending, "{count:?}");
        let lost: u64 = count.lost.iter().map(|(_, lost)| lost).sum();
        assert_eq!(count.seen, count.delivered + lost + pending, "{count:?}");
        (count.seen, count.delivered, count.lost[0].1, count.lost[1].1)
    }
}

fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9) as Nanos
}

fn service(name: &str) -> Arc<Service> {
    let attribute = ("service.name".into(), AttributeValue::Text(name.to_owned().into()));
    Arc::new(Service {
        name: name.into(),
        namespace: None,
        resource: Arc::new(Resource {
            attributes: vec![attribute],
        }),
    })
}

const TEXT: &str = "openat /etc/billing/tls.key: EACCES";

#[test]
fn the_first_at_once_the_rest_once_a_minute_with_their_count() {
    let mut bench = Bench::new(100, 10);
    assert_eq!(
        bench.tell(100.0, "billing", TEXT, 1),
        ["billing[412]: openat /etc/billing/tls.key: EACCES"]
    );
    for n in 0..134 {
        let at = 101.0 + f64::from(n) / 10.0;
        assert_eq!(bench.tell(at, "billing", TEXT, 1), [""; 0]);
    }
    assert_eq!(bench.ledger(), (135, 1, 0, 0));
    assert_eq!(bench.tidy(159.9), [""; 0]);
    assert_eq!(
        bench.tidy(160.2),
        ["billing[412]: openat /etc/billing/tls.key: EACCES (x134 in 1 min)"]
    );
    assert_eq!(bench.ledger(), (135, 135, 0, 0));
    // Nothing new, nothing told; then it is forgotten.
    assert_eq!(bench.tidy(221.0), [""; 0]);
    assert!(bench.events.kinds.is_empty() && bench.events.tellers.is_empty());
    assert_eq!(
        bench.tell(300.0, "billing", TEXT, 5),
        ["billing[412]: openat /etc/billing/tls.key: EACCES (x5)"]
    );
}

#[test]
fn a_rate_is_remembered_until_it_is_whole() {
    let mut bench = Bench::new(100, 2);
    bench.events.interval = SECOND;
    assert_eq!(bench.tell(100.0, "a", "x", 1).len(), 1);
    bench.tidy(102.0);
    assert!(bench.events.kinds.is_empty() && bench.events.tellers.len() == 1);
    assert_eq!(bench.tell(103.0, "a", "x", 1).len(), 1);
    bench.tidy(104.0);
    assert_eq!(bench.tell(105.0, "a", "y", 1), [""; 0], "not a new burst");
    bench.tidy(107.0);
    assert_eq!(bench.ledger(), (3, 2, 1, 0));
    bench.tidy(170.0);
    assert!(bench.events.tellers.is_empty());
}

/// One after another in less than the interval is told when the interval is over, without a count that says nothing.
#[test]
fn a_single_one_more_is_told_without_a_count() {
    let mut bench = Bench::new(100, 10);
    bench.tell(100.0, "billing", TEXT, 1);
    bench.tell(110.0, "billing", TEXT, 1);
    assert_eq!(bench.tidy(160.0), [format!("billing[412]: {TEXT}")]);
    // Quiet for less than an interval since then: summed again. Quiet for longer: at once.
    assert_eq!(bench.tell(219.0, "billing", TEXT, 1), [""; 0]);
    assert_eq!(bench.tidy(220.0).len(), 1);
    assert_eq!(bench.tell(280.0, "billing", TEXT, 1).len(), 1);
    assert_eq!(bench.ledger(), (4, 4, 0, 0));
}

#[test]
fn record() {
    let mut bench = Bench::new(100, 10);
    bench.tell(100.0, "billing", TEXT, 1);
    let event = |at: f64| EventSignal {
        at: nanos(at),
        name: "onlooker.syscall.error",
        severity: signal::Severity::Warn,
        who: Who::Process(ProcessKey { pid: 412, start: 1 }),
        tid: 413,
        body: TEXT,
        attributes: &[("error.type", Detail::Text("EACCES")), ("n", Detail::Int(3))],
        count: 2,
    };
    let mut out = Vec::new();
    let service = service("billing");
    for at in [102.0, 101.0, 130.0] {
        bench
            .events
            .tell(&event(at), Some(&service), &mut |record| out.push(record));
    }
    bench.events.tidy(nanos(160.5), &mut |record| out.push(record));
    let text = |text: &str| AttributeValue::Text(text.to_owned().into());
    let expect = LogRecord {
        timestamp: 1130 * SECOND,
        observed: nanos(1160.5),
        severity: Severity::WARN,
        event_name: Some("onlooker.syscall.error".into()),
        body: format!("billing[412]: {TEXT} (x6 in 1 min)"),
        attributes: vec![
            ("error.type".into(), text("EACCES")),
            ("n".into(), AttributeValue::Int(3)),
            ("thread.id".into(), AttributeValue::Int(413)),
            ("onlooker.event.count".into(), AttributeValue::Int(6)),
            (
                "onlooker.event.first_time".into(),
                text("1970-01-01T00:18:21.000000000Z"),
            ),
            (
                "onlooker.event.last_time".into(),
                text("1970-01-01T00:18:50.000000000Z"),
            ),
        ],
        resource: service.resource.clone(),
        span: None,
        severity_text: None,
        receipt: None,
    };
    assert_eq!(out, [expect]);
}

#[test]
fn what_is_nobodys_has_the_hosts_resource_and_no_process() {
    let mut bench = Bench::new(100, 10);
    let event = EventSignal {
        at: nanos(5.0),
        name: "onlooker.oom_kill",
        severity: signal::Severity::Error,
        who: Who::Host,
        tid: 0,
        body: "out of memory",
        attributes: &[],
        count: 1,
    };
    let out = &mut bench.out;
    bench.events.tell(&event, None, &mut |record| out.push(record));
    let record = &bench.out[0];
    assert_eq!(
        (record.body.as_str(), record.severity),
        ("out of memory", Severity::ERROR)
    );
    assert_eq!(record.resource.attributes[0].0, "host.name");
    assert_eq!(
        record.attributes,
        [("onlooker.event.count".into(), AttributeValue::Int(1))]
    );
}

/// A receiver that cannot be reached is no event of the agent's own, or each attempt to say so would be one.
#[test]
fn the_agent_does_not_tell_of_itself() {
    let mut bench = Bench::new(100, 10);
    let event = EventSignal {
        at: 1,
        name: "onlooker.tcp.connect_failed",
        severity: signal::Severity::Warn,
        who: Who::Process(ProcessKey { pid: OWN, start: 1 }),
        tid: 0,
        body: "connect 127.0.0.1:4318: ECONNREFUSED",
        attributes: &[],
        count: 1,
    };
    bench
        .events
        .tell(&event, Some(&service("onlooker")), &mut |record| panic!("{record:?}"));
    assert_eq!(bench.ledger(), (0, 0, 0, 0));
}

#[test]
fn services_do_not_share_kinds_nor_rates() {
    let mut bench = Bench::new(100, 5);
    for name in ["a", "b", "c"] {
        let told: Vec<String> = (0..9)
            .flat_map(|n| bench.tell(100.0, name, &format!("open {n}"), 1))
            .collect();
        assert_eq!(told.len(), 4, "a fifth is kept: {told:?}");
    }
    assert_eq!(bench.ledger(), (27, 12, 0, 0));
    assert_eq!(bench.event(100.0, "a", "crash", 1, signal::Severity::Error).len(), 1);
    assert_eq!(bench.event(100.0, "a", "again", 1, signal::Severity::Error), [""; 0]);
    // What waited is told when its interval is over, errors first and then what there is most of, as far as the rate goes.
    bench.tell(101.0, "a", "open 8", 50);
    let told = bench.tidy(160.0);
    let of = |name: &str| -> Vec<String> {
        let start = format!("{name}[");
        let told = told.iter().filter(|body| body.starts_with(&start));
        told.map(|body| body.split(": ").nth(1).unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(of("a")[..2], ["again", "open 8 (x51 in 1 min)"]);
    assert_eq!((of("a").len(), of("b").len(), of("c").len()), (4, 4, 4));
    let (seen, delivered, rate_limited, full) = bench.ledger();
    assert_eq!((seen, rate_limited, full), (79, 4, 0));
    assert_eq!(delivered, 75);
}

#[test]
fn all_services_together_have_a_rate() {
    let mut bench = Bench::new(10_000, 1);
    let told: usize = (0..100)
        .map(|n| bench.tell(100.0, &format!("service-{n}"), "x", 1).len())
        .sum();
    assert_eq!(told, 16, "20 services' worth, less the fifth for errors");
    bench.tidy(161.0);
    let (seen, delivered, rate_limited, _) = bench.ledger();
    assert_eq!((seen, delivered, rate_limited), (100, 32, 68));
}

#[test]
fn kinds_are_limited_in_all_and_by_service() {
    let mut bench = Bench::new(8, 1000);
    for n in 0..5 {
        bench.tell(100.0, "noisy", &format!("open {n}"), 2);
    }
    assert_eq!(bench.ledger(), (10, 4, 0, 6), "a quarter of the kinds");
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        bench.tell(100.0, name, "x", 1);
    }
    assert_eq!(bench.ledger(), (17, 10, 0, 7), "no ninth kind");
    assert_eq!(bench.events.kinds.len(), 8);
    // Known kinds go on.
    bench.tell(101.0, "noisy", "open 0", 3);
    assert_eq!(bench.tidy(160.0), ["noisy[412]: open 0 (x3 in 1 min)"]);
    assert_eq!(bench.events.kinds.len(), 1, "the others were quiet");
}

#[test]
fn texts_and_attributes_are_cut() {
    let mut bench = Bench::new(8, 10);
    let long = "ä".repeat(BODY_LIMIT);
    let attributes: Vec<_> = (0..99).map(|_| ("file.path", Detail::Text(&long))).collect();
    let event = EventSignal {
        at: 1,
        name: "x",
        severity: signal::Severity::Info,
        who: Who::Process(ProcessKey::default()),
        tid: 0,
        body: &long[..],
        attributes: &attributes,
        count: 1,
    };
    let out = &mut bench.out;
    bench
        .events
        .tell(&event, Some(&service("a")), &mut |record| out.push(record));
    let record = &bench.out[0];
    assert_eq!(record.body.len(), "a[0]: ".len() + BODY_LIMIT);
    assert_eq!(record.attributes.len(), ATTRIBUTES_LIMIT + 1);
    let AttributeValue::Text(text) = &record.attributes[0].1 else {
        panic!()
    };
    assert_eq!(text.len(), TEXT_LIMIT);
}

/// What a table of the default size may take: see `docs/decisions/2026-11-27-events.md`.
#[test]
fn a_kind_is_small() {
    let bare = size_of::<Kind>() + size_of::<Box<str>>();
    let usual = bare + 60 + 3 * (size_of::<Attribute>() + 16);
    let largest = bare + BODY_LIMIT + ATTRIBUTES_LIMIT * (size_of::<Attribute>() + TEXT_LIMIT);
    assert!(usual <= 512 && largest <= 11_000, "{usual} {largest}");
}

#[test]
fn the_end_tells_what_is_pending() {
    let mut bench = Bench::new(100, 1);
    bench.tell(100.0, "a", "x", 1);
    bench.tell(100.0, "a", "y", 1);
    bench.tell(101.0, "a", "x", 2);
    assert_eq!(bench.ledger(), (4, 1, 0, 0));
    assert_eq!(bench.end(130.0), ["a[412]: x (x2 in 30 s)", "a[412]: y"]);
    assert_eq!(bench.ledger(), (4, 4, 0, 0));
}

#[test]
fn spans_of_time() {
    let check = |seconds: f64, expect: &str| assert_eq!(span_of_time(nanos(seconds)), expect);
    check(0.0, "1 s");
    check(44.6, "45 s");
    check(60.9, "1 min");
    check(89.0, "1 min");
    check(91.0, "2 min");
    check(3600.0, "60 min");
    check(7300.0, "2 h");
}

proptest! {
    /// Whatever happens: every event is told once, lost once, or pending; tables keep their limits; a service tells no more than
    /// a burst and its rate, and a kind no more than once per interval.
    #[test]
    fn nothing_is_lost_in_silence(
        steps in prop::collection::vec((0u64..20_000, 0u8..4, 0u8..12, 1u64..50, any::<bool>()), 1..400),
        kinds in 1usize..20,
        rate in 1u32..6,
    ) {
        let mut bench = Bench::new(kinds, rate);
        let (mut now, mut told, mut tidied) = (1000 * SECOND, Vec::new(), 0);
        for (pause, name, body, count, urgent) in steps {
            now += pause * 1_000_000;
            let at = now as f64 / 1e9;
            if now - tidied > SECOND {
                tidied = now;
                told.extend(bench.tidy(at).into_iter().map(|body| (now, body)));
            }
            let severity = if urgent { signal::Severity::Error } else { signal::Severity::Info };
            let service = format!("s{name}");
            told.extend(bench.event(at, &service, &format!("b{body}"), count, severity).into_iter().map(|body| (now, body)));
            bench.ledger();
            prop_assert!(bench.events.kinds.len() <= kinds && bench.events.tellers.len() <= 2 * kinds);
        }
        let counts: u64 = told.iter().map(|(_, body)| {
            body.split_once("(x").map_or(1, |(_, rest)| rest.split([' ', ')']).next().unwrap().parse().unwrap())
        }).sum();
        prop_assert_eq!(counts, bench.ledger().1);
        for name in 0..4 {
            let start = format!("s{name}[");
            let times: Vec<Nanos> = told.iter().filter(|(_, body)| body.starts_with(&start)).map(|(at, _)| *at).collect();
            for (index, begin) in times.iter().enumerate() {
                let in_a_minute = times[index..].iter().take_while(|at| *at - begin < 60 * SECOND).count();
                prop_assert!(in_a_minute <= 2 * rate as usize, "{} in a minute", in_a_minute);
            }
            for body in 0..12 {
                let start = format!("s{name}[412]: b{body}");
                let same = |told: &str| told.strip_prefix(&start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
                let times: Vec<Nanos> = told.iter().filter(|(_, body)| same(body)).map(|(at, _)| *at).collect();
                prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 60 * SECOND), "{:?}", times);
            }
        }
        bench.end(now as f64 / 1e9);
        let (seen, delivered, rate_limited, full) = bench.ledger();
        prop_assert_eq!(seen, delivered + rate_limited + full);
    }
}
