//! Every limit reached: what is given up, that it is counted, and that no exchange is lost.

use super::*;
use crate::budget::What;

#[test]
fn a_full_table_gives_up_labels_one_after_the_other() {
    let mut aggregate = Aggregate::new(AggregateConfig {
        series_limit: 16,
        ..AggregateConfig::default()
    });
    let count = |aggregate: &Aggregate, labels: &[(&str, &str)]| {
        sum(
            &samples(aggregate),
            "http_server_request_duration_seconds_count",
            labels,
        )
    };
    let first = "abcdefghijklmnop";
    for (id, name) in (0u64..).zip(first.chars()) {
        aggregate.end(&service("shop"), &get(id, &format!("/{name}")), |_| None);
    }
    assert_eq!((aggregate.series.len(), aggregate.folded()), (16, Folded::default()));
    // Routes first.
    assert_eq!(&**aggregate.end(&service("shop"), &get(20, "/new"), |_| None), "/new");
    assert_eq!(
        count(&aggregate, &[("http_route", "_OTHER"), ("http_request_method", "GET")]),
        1.0
    );
    // Then operations (4 series without route are allowed), then statuses, then services.
    for (id, name) in (0u64..).zip(["PUT", "POST", "HEAD", "LOCK", "MOVE"]) {
        aggregate.end(
            &service("shop"),
            &exchange(30 + id, Role::Server, name, "/new", Some(200)),
            |_| None,
        );
    }
    assert_eq!(
        count(
            &aggregate,
            &[("http_request_method", "_OTHER"), ("http_response_status_code", "200")]
        ),
        2.0
    );
    for status in [201, 202, 203, 400, 500, 501] {
        let one = exchange(u64::from(status), Role::Server, "LOCK", "/new", Some(status));
        aggregate.end(&service("shop"), &one, |_| None);
    }
    assert_eq!(count(&aggregate, &[("http_response_status_code", "2xx")]), 2.0);
    let errors = [
        ("service_name", "_OTHER"),
        ("http_response_status_code", "5xx"),
        ("error_type", "_OTHER"),
    ];
    assert_eq!(count(&aggregate, &errors), 2.0);
    assert_eq!(aggregate.folded().series, 12);
    assert_eq!(count(&aggregate, &[]), 28.0);
    // Series that are known go on as before.
    aggregate.end(&service("shop"), &get(99, "/a"), |_| None);
    assert_eq!(count(&aggregate, &[("http_route", "/a")]), 2.0);
}

#[test]
fn services_beyond_the_limit_are_other() {
    let mut aggregate = Aggregate::new(AggregateConfig {
        service_limit: 2,
        ..AggregateConfig::default()
    });
    for (id, name) in (0u64..).zip(["a", "b", "c", "d"]) {
        let one = get(id, "/");
        aggregate.begin(&service(name), &Begin::of(&one));
        aggregate.end(&service(name), &one, |_| None);
    }
    assert_eq!(aggregate.folded().services, 2);
    let rows: Vec<_> = aggregate
        .rows()
        .into_iter()
        .map(|row| (row.service.to_string(), row.count))
        .collect();
    assert_eq!(rows, [("_OTHER".into(), 2), ("a".into(), 1), ("b".into(), 1)]);
    // Places are given back.
    aggregate.expire(u64::MAX);
    aggregate.end(&service("c"), &get(9, "/"), |_| None);
    assert!(aggregate.rows().iter().any(|row| &*row.service == "c"));
}

#[test]
fn routes_beyond_the_cap_are_other_and_counted_each_time() {
    let mut aggregate = Aggregate::new(AggregateConfig {
        routes_per_service: 2,
        ..AggregateConfig::default()
    });
    for (id, (target, expect)) in [
        ("/a", "/a"),
        ("/b", "/b"),
        ("/c", "_OTHER"),
        ("/c", "_OTHER"),
        ("/a", "/a"),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            &**aggregate.end(&service("shop"), &get(id as u64, target), |_| None),
            *expect
        );
    }
    assert_eq!(aggregate.folded().routes, 2);
    // The cap is per service and role.
    assert_eq!(&**aggregate.end(&service("bank"), &get(10, "/c"), |_| None), "/c");
    let client = exchange(11, Role::Client, "GET", "/c", Some(200));
    assert_eq!(&**aggregate.end(&service("shop"), &client, |_| None), "/c");
}

#[test]
fn a_collapse_reaches_targets_that_were_cached() {
    let mut aggregate = Aggregate::new(AggregateConfig {
        words_per_place: 2,
        ..AggregateConfig::default()
    });
    for (id, (target, expect)) in [
        ("/u/ann", "/u/ann"),
        ("/u/bob", "/u/bob"),
        ("/u/cat", "/u/{id}"),
        ("/u/ann", "/u/{id}"),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            &**aggregate.end(&service("shop"), &get(id as u64, target), |_| None),
            *expect
        );
    }
}

#[test]
fn open_exchanges_are_bounded() {
    let mut aggregate = Aggregate::new(AggregateConfig {
        open_limit: 3,
        active_limit: 1,
        ..AggregateConfig::default()
    });
    for id in 0..5 {
        let name = ["GET", "PUT", "PUT", "GET", "GET"][id as usize];
        aggregate.begin(
            &service("shop"),
            &Begin::of(&exchange(id, Role::Server, name, "/", None)),
        );
    }
    let all = samples(&aggregate);
    assert_eq!(sum(&all, "http_server_active_requests", &[]), 3.0);
    assert_eq!(
        sum(
            &all,
            "http_server_active_requests",
            &[("http_request_method", "_OTHER")]
        ),
        2.0
    );
    assert_eq!(
        sum(&all, "onlooker_series_folded_total", &[("reason", "open_limit")]),
        2.0
    );
    assert_eq!(
        sum(&all, "onlooker_series_folded_total", &[("reason", "active_limit")]),
        2.0
    );
    for id in 0..5 {
        aggregate.end(&service("shop"), &exchange(id, Role::Server, "GET", "/", None), |_| {
            None
        });
    }
    assert_eq!(sum(&samples(&aggregate), "http_server_active_requests", &[]), 0.0);
    aggregate.expire(u64::MAX);
    assert_eq!(aggregate.active.gauges().count(), 0);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]
    #[test]
    fn nothing_is_lost_under_any_limit(
        limits in (1usize..40, 1usize..6, 1usize..4, 1usize..5, 1usize..8, 1usize..5),
        events in proptest::collection::vec((0u8..6, 0u8..4, 0u8..12, 0usize..8, proptest::bool::ANY), 0..200),
    ) {
        let mut aggregate = Aggregate::new(AggregateConfig {
            series_limit: limits.0,
            routes_per_service: limits.1,
            words_per_place: limits.2,
            service_limit: limits.3,
            open_limit: limits.4,
            active_limit: limits.5,
            target_cap: 4,
            ttl: Duration::from_secs(300),
        });
        let mut expect: BTreeMap<(Role, bool), u64> = BTreeMap::new();
        let mut by_service: BTreeMap<String, u64> = BTreeMap::new();
        for (id, (who, operation, target, status, server)) in events.iter().enumerate() {
            let role = if *server { Role::Server } else { Role::Client };
            let status = [None, Some(200), Some(201), Some(302), Some(404), Some(500), Some(503), Some(999)][*status];
            let target = format!("/{}/{}", (b'a' + target % 4) as char, (b'a' + target) as char);
            let one = exchange(id as u64, role, ["GET", "PUT", "POST", "_OTHER"][*operation as usize], &target, status);
            let name = format!("s{who}");
            aggregate.begin(&service(&name), &Begin::of(&one));
            aggregate.end(&service(&name), &one, |_| None);
            *expect.entry((role, one.error_type().is_some())).or_default() += 1;
            *by_service.entry(name).or_default() += 1;
        }
        let all = samples(&aggregate);
        for role in [Role::Server, Role::Client] {
            let name = format!("http_{}_request_duration_seconds_count", role.as_str());
            let errors: f64 = all.iter().filter(|s| s.name == name && s.labels.contains_key("error_type")).map(|s| s.value).sum();
            let total = sum(&all, &name, &[]);
            let of = |error| expect.get(&(role, error)).copied().unwrap_or(0) as f64;
            proptest::prop_assert_eq!(errors, of(true));
            proptest::prop_assert_eq!(total - errors, of(false));
            for class in 2..=9u16 {
                let classes: f64 = all.iter()
                    .filter(|s| s.name == name)
                    .filter(|s| s.labels.get("http_response_status_code").is_some_and(|c| c.starts_with(&class.to_string())))
                    .map(|s| s.value).sum();
                let truth = events.iter().filter(|e| e.4 == (role == Role::Server))
                    .filter(|e| [0, 200, 201, 302, 404, 500, 503, 999][e.3] / 100 == class).count();
                proptest::prop_assert_eq!(classes, truth as f64);
            }
        }
        let rows: u64 = aggregate.rows().iter().map(|row| row.count).sum();
        proptest::prop_assert_eq!(rows, events.len() as u64);
        proptest::prop_assert_eq!(sum(&all, "onlooker_exchanges_open", &[]), 0.0);
        // And the bound: half on top, and the constant last step.
        proptest::prop_assert!(aggregate.series.len() <= limits.0 + limits.0 / 2 + 2 * 11 * 8);
        for row in aggregate.rows().iter().filter(|row| &*row.service != "_OTHER") {
            proptest::prop_assert!(row.count <= by_service[&*row.service]);
        }
        aggregate.expire(u64::MAX);
        proptest::prop_assert_eq!(aggregate.series.len(), 0);
        proptest::prop_assert_eq!(aggregate.services.len(), 0);
    }
}

/// Above the CPU budget routes of new targets are given up, and nothing else: known routes stay, what comes often becomes
/// known, and counts by status are what they are without.
#[test]
fn routes_of_new_targets_are_given_up_and_come_back() {
    let mut aggregate = Aggregate::new(AggregateConfig::default());
    let shedding = Shedding::default();
    aggregate.shed_by(shedding.clone());
    let mut end = |level: u8, id: u64, target: &str| {
        shedding.set(crate::budget::Level::of(level));
        let status = if id.is_multiple_of(3) { 500 } else { 200 };
        let one = exchange(id, Role::Server, "GET", target, Some(status));
        aggregate.end(&service("shop"), &one, |_| None).to_string()
    };
    for id in 0..30 {
        assert_eq!(end(8, id, &format!("/a/{id}")), "/a/{id}");
    }
    for id in 30..90 {
        let (target, expect) = match id % 2 {
            0 => (format!("/a/{}", id % 30), "/a/{id}"),
            _ => (format!("/a/{id}"), OTHER),
        };
        assert_eq!(end(9, id, &target), expect, "{target}");
    }
    assert_eq!(shedding.shed(What::Route), 30);
    let often: Vec<String> = (90..300).map(|id| end(9, id, "/often")).collect();
    let first = often.iter().position(|route| route == "/often").expect("learnt");
    assert!(
        first < 64 && often[first..].iter().all(|route| route == "/often"),
        "{first}"
    );
    assert_eq!(end(8, 300, "/a/31"), "/a/{id}");
    let samples = samples(&aggregate);
    let count = |labels: &[(&str, &str)]| sum(&samples, "http_server_request_duration_seconds_count", labels);
    assert_eq!(count(&[("http_route", OTHER)]), 30.0 + first as f64);
    assert_eq!(shedding.shed(What::Route), 30 + first as u64);
    assert_eq!(count(&[("http_response_status_code", "500")]), 101.0);
    assert_eq!(count(&[("http_response_status_code", "200")]), 200.0);
    assert_eq!(aggregate.folded(), Folded::default());
}
