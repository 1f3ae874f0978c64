use super::*;
use proptest::prelude::*;

/// 2026-01-03T00:00:00Z.
const NOW: u64 = 1_767_398_400_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// 2026-01-02T03:04:05Z.
const THEN: u64 = 1_767_323_045 * SECOND;

fn cx(zone: &Zone) -> Context<'_> {
    Context { now: NOW, zone }
}

fn unix(text: &str) -> Option<u64> {
    of_text(text, &cx(&Zone::Utc))
}

#[test]
fn forms_are_read() {
    for text in [
        "2026-01-02T03:04:05Z",
        "2026-01-02 03:04:05",
        "2026/01/02 03:04:05",
        "2026-01-02T04:04:05+01:00",
        "2026-01-02T04:04:05+0100",
        "2026-01-02 04:04:05+01",
        "2026-01-02 03:04:05 UTC",
        "2026-01-01T22:04:05-05:00",
        "02/Jan/2026:03:04:05 +0000",
        "1767323045",
        "Fri, 02 Jan 2026 03:04:05 GMT",
        "1767323045000",
        "1767323045000000",
        "1767323045000000000",
        " 2026-01-02T03:04:05Z ",
        "1767323045.000",
        "2026-01-02t03:04:05z",
    ] {
        assert_eq!(unix(text), Some(THEN), "{text}");
    }
    for text in [
        "2026-01-02T03:04:05.5Z",
        "2026-01-02 03:04:05,500",
        "1767323045.5",
        "1767323045500",
        "1767323045500.0",
    ] {
        assert_eq!(unix(text), Some(THEN + SECOND / 2), "{text}");
    }
    assert_eq!(unix("2026-01-02T03:04:05.123456789Z"), Some(THEN + 123_456_789));
    assert_eq!(unix("2024-02-29T23:59:60Z"), Some(1_709_251_200 * SECOND));
}

#[test]
fn what_is_no_time_or_cannot_be_is_none() {
    for text in [
        "",
        "soon",
        "2026-01-02",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:05Zulu",
        "2026-01-02T03:04:05+25:00",
        "1999-12-31T23:59:59Z",
        "2026-01-05T00:00:00Z",
        "0",
        "42",
        "17673230451234567890",
        "2026-01-02T03:04:05Z x",
        "12345678901.5",
        "9999-12-31T23:59:59Z",
    ] {
        assert_eq!(unix(text), None, "{text}");
    }
    assert_eq!(of_text("2026-01-02 03:04:05", &cx(&Zone::Unknown)), None);
    assert_eq!(epoch(-1, &cx(&Zone::Utc)), None);
    for number in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
        assert_eq!(epoch_float(number, &cx(&Zone::Utc)), None);
    }
    assert_eq!(
        epoch_float(1_767_323_045.123_456, &cx(&Zone::Utc)),
        Some(THEN + 123_456_000)
    );
}

#[test]
fn a_missing_year_is_the_last_one_that_is_not_ahead() {
    let at = |text: &str| bsd(text.as_bytes()).and_then(|(stamp, _)| stamp.unix(&cx(&Zone::Utc)));
    assert_eq!(at("Jan  2 03:04:05"), Some(THEN));
    // Now is the 3rd of January 2026: December was last year, the 29th of February two years ago.
    assert_eq!(at("Dec 31 00:00:00"), Some(1_767_139_200 * SECOND));
    assert_eq!(at("Feb 29 00:00:00"), Some(1_709_164_800 * SECOND));
    assert_eq!(at("Feb 30 00:00:00"), None);
}

proptest! {
    #[test]
    fn days_and_years_agree(unix in -100_000_000_000i64..100_000_000_000) {
        let (year, second) = civil(unix);
        prop_assert!((0..366 * DAY).contains(&second));
        prop_assert_eq!(days(year, 1, 1).map(|day| day * DAY + second), Some(unix));
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let zone = Zone::Utc;
        for read in [iso, clf, bsd, ctime, day_first, glog] {
            if let Some((stamp, length)) = read(&bytes) {
                prop_assert!(length <= bytes.len());
                stamp.unix(&cx(&zone));
            }
        }
    }
}
