//! Times as container runtimes write them.

/// Unix time in nanoseconds of an RFC 3339 time (<https://www.rfc-editor.org/rfc/rfc3339#section-5.6>), e.g.
/// `2016-10-06T00:17:09.669794202Z`. `None`: it is none, or before 1970.
pub(super) fn rfc3339(text: &[u8]) -> Option<u64> {
    let digits = |from: usize, to: usize| -> Option<u64> {
        text.get(from..to)?.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'))
        })
    };
    for (at, byte) in [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')] {
        (*text.get(at)? == byte).then_some(())?;
    }
    matches!(text.get(10)?, b'T' | b't' | b' ').then_some(())?;
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    valid.then_some(())?;
    let mut at = 19;
    let mut nanos = 0;
    if text.get(at) == Some(&b'.') {
        let fraction = text.get(at + 1..)?;
        let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (1..=18).contains(&count).then_some(())?;
        let kept = count.min(9);
        nanos = digits(at + 1, at + 1 + kept)? * 10u64.pow(9 - kept as u32);
        at += 1 + count;
    }
    let offset = match text.get(at..)? {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = (digits(at + 1, at + 3)? * 60 + digits(at + 4, at + 6)?) as i64;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let seconds = days(year as i64, month as i64, day as i64) * 86_400 + (hour * 3600 + minute * 60 + second) as i64
        - offset * 60;
    u64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar: years counted from March on, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn reads_times() {
        for (text, expect) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2016-10-06T00:17:09.669794202Z", Some(1_475_713_029_669_794_202)),
            ("2016-10-06T02:17:09.669794202+02:00", Some(1_475_713_029_669_794_202)),
            ("2016-10-05T19:47:09.6-04:30", Some(1_475_713_029_600_000_000)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000_000_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2016-13-06T00:17:09Z", None),
            ("2016-10-06T00:17:09", None),
            ("2016-10-06T00:17:09.Z", None),
            ("9999-12-31T23:59:59Z", None),
            ("", None),
        ] {
            assert_eq!(rfc3339(text.as_bytes()), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_others_write(nanos in 0..9_000_000_000_000_000_000u64) {
            let text = humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(nanos)).to_string();
            prop_assert_eq!(rfc3339(text.as_bytes()), Some(nanos));
        }

        #[test]
        fn takes_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            rfc3339(&text);
        }
    }
}
