//! Frames as they look.

use super::*;
use insta::assert_snapshot;
use std::sync::Arc;

static BOUNDS: &[f64] = &[0.005, 0.01, 0.1, 1.0, 10.0];

fn row(service: &str, role: Role, count: u64, errors: u64, buckets: [u64; 6], active: u64) -> Row {
    Row {
        service: Arc::from(service),
        role,
        count,
        errors,
        buckets: buckets.to_vec(),
        bounds: BOUNDS,
        active,
    }
}

fn snapshot(second: u64, rows: Vec<Row>) -> Snapshot {
    Snapshot {
        uptime: Duration::from_secs(second),
        rows,
        lost: 0,
        cpu_seconds: Some(second as f64 * 0.012),
        resident_bytes: Some(24_641_536),
        connections: 64,
    }
}

fn oldest() -> Snapshot {
    snapshot(50, vec![row("shop", Role::Server, 100, 10, [100, 0, 0, 0, 0, 0], 0)])
}

fn previous() -> Snapshot {
    snapshot(
        59,
        vec![
            row("shop", Role::Server, 1000, 12, [550, 300, 150, 0, 0, 0], 1),
            row("nginx.service", Role::Server, 99_000, 0, [99_000, 0, 0, 0, 0, 0], 3),
        ],
    )
}

fn now() -> Snapshot {
    snapshot(
        60,
        vec![
            row("shop", Role::Server, 1100, 15, [600, 340, 160, 0, 0, 0], 2),
            row("shop", Role::Client, 7, 7, [0, 0, 0, 0, 0, 7], 0),
            row("nginx.service", Role::Server, 199_000, 0, [199_000, 0, 0, 0, 0, 0], 12),
            row("idle", Role::Server, 0, 0, [0; 6], 0),
        ],
    )
}

fn draw(width: usize, height: usize) -> String {
    let (now, previous, oldest) = (now(), previous(), oldest());
    let text = render(
        &Frame {
            now: &now,
            previous: Some(&previous),
            oldest: Some(&oldest),
        },
        width,
        height,
    );
    for line in text.lines() {
        assert!(line.width() <= width, "{line:?} is wider than {width}");
    }
    text
}

#[test]
fn wide() {
    assert_snapshot!(draw(110, 24), @r"
    SERVICE          ROLE     REQ/S          ERRORS    P50 MS    P95 MS    P99 MS    OPEN
    nginx.service  server    100.0k        0.0% (0)      2.50      4.75      4.95      12
    shop           server       100        0.5% (5)      5.00      71.9      94.4       2
    shop           client       7.0      100.0% (7)    >10000    >10000    >10000       0
    idle           server       0.0               -         -         -         -       0
    events lost 0 · own cpu 1.2% · own memory 23.5 MiB · up 1m00s · connections 64
    ");
}

#[test]
fn narrow_terminals_lose_the_less_important_columns() {
    assert_snapshot!(draw(60, 24), @r"
    SERVICE          ROLE     REQ/S          ERRORS    P99 MS
    nginx.service  server    100.0k        0.0% (0)      4.95
    shop           server       100        0.5% (5)      94.4
    shop           client       7.0      100.0% (7)    >10000
    idle           server       0.0               -         -
    events lost 0 · own cpu 1.2% · own memory 23.5 MiB · up 1m0…
    ");
    assert_snapshot!(draw(30, 24), @r"
    SERVICE         ROLE     REQ/S
    nginx.servi…  server    100.0k
    shop          server       100
    shop          client       7.0
    idle          server       0.0
    events lost 0 · own cpu 1.2% …
    ");
}

#[test]
fn low_terminals_show_the_busiest() {
    assert_snapshot!(draw(100, 6), @r"
    SERVICE          ROLE     REQ/S          ERRORS    P50 MS    P95 MS    P99 MS    OPEN
    nginx.service  server    100.0k        0.0% (0)      2.50      4.75      4.95      12
    shop           server       100        0.5% (5)      5.00      71.9      94.4       2
    … and 2 more
    events lost 0 · own cpu 1.2% · own memory 23.5 MiB · up 1m00s · connections 64
    ");
}

#[test]
fn the_first_frame_knows_no_rates() {
    let now = now();
    assert_snapshot!(render(&Frame { now: &now, previous: None, oldest: None }, 90, 24), @r"
    SERVICE          ROLE     REQ/S          ERRORS    P50 MS    P95 MS    P99 MS    OPEN
    idle           server         -               -         -         -         -       0
    nginx.service  server         -               -         -         -         -      12
    shop           server         -               -         -         -         -       2
    shop           client         -               -         -         -         -       0
    events lost 0 · own cpu - · own memory 23.5 MiB · up 1m00s · connections 64
    ");
}

#[test]
fn nothing_seen() {
    let now = Snapshot {
        cpu_seconds: None,
        resident_bytes: None,
        lost: 9,
        ..snapshot(1, Vec::new())
    };
    assert_snapshot!(render(&Frame { now: &now, previous: None, oldest: None }, 100, 24), @r"
    SERVICE       ROLE     REQ/S          ERRORS    P50 MS    P95 MS    P99 MS    OPEN
    no exchange seen yet: send a request to any HTTP server of this host
    events lost 9 · own cpu - · own memory - · up 1s · connections 64
    ");
}

#[test]
fn a_counter_that_fell_began_anew() {
    let now = snapshot(61, vec![row("shop", Role::Server, 5, 1, [5, 0, 0, 0, 0, 0], 0)]);
    let past = previous();
    let text = render(
        &Frame {
            now: &now,
            previous: Some(&past),
            oldest: Some(&past),
        },
        100,
        24,
    );
    assert!(text.contains(" 2.5 ") && text.contains("20.0% (1)"), "{text}");
}

#[test]
fn every_size_has_a_frame_that_fits() {
    for width in 0..130 {
        for height in 0..12 {
            let lines = draw(width, height).lines().count();
            assert!(
                lines <= height.saturating_sub(1).max(1),
                "{lines} lines on {width}x{height}"
            );
        }
    }
}

#[test]
fn names_cannot_steer_the_terminal() {
    let now = snapshot(
        1,
        vec![row(
            "a\x1b[2J\n\u{202e}日本語日本語日本語日本語",
            Role::Server,
            0,
            0,
            [0; 6],
            0,
        )],
    );
    let text = render(
        &Frame {
            now: &now,
            previous: None,
            oldest: None,
        },
        60,
        24,
    );
    assert!(text.contains("a?[2J??日本"), "{text}");
    assert!(text.lines().all(|line| line.width() <= 60), "{text}");
}

#[test]
fn numbers_stay_short() {
    for (value, expect) in [
        (0.0, "0.0"),
        (99.94, "99.9"),
        (99.96, "100"),
        (99_999.0, "99999"),
        (123_456.0, "123.5k"),
    ] {
        assert_eq!(rate(value), expect);
    }
    for (value, expect) in [(0.000_123, "0.12"), (0.012_34, "12.3"), (0.5, "500"), (10.0, "10000")] {
        assert_eq!(milliseconds(value), expect);
    }
    for (value, expect) in [(59, "59s"), (61, "1m01s"), (3_661, "1h01m"), (90_000, "1d01h")] {
        assert_eq!(uptime(Duration::from_secs(value)), expect);
    }
}
