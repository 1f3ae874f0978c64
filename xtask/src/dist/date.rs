//! Seconds since 1970 as dates are written in files, in UTC.

/// Year, month, day, hour, minute, second, day of the week (0 is Sunday).
fn parts(epoch: u64) -> (u64, usize, u64, u64, u64, u64, usize) {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let weekday = (days + 4) % 7; // 1970-01-01 was a Thursday
    (
        year,
        month,
        day + 1,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        weekday as usize,
    )
}

/// RFC 3339, as OCI and CycloneDX want it: `2026-11-30T12:00:00Z`.
pub(super) fn rfc3339(epoch: u64) -> String {
    let (year, month, day, hour, minute, second, _) = parts(epoch);
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1)
}

/// RFC 5322, as Debian's changelog wants it: `Mon, 30 Nov 2026 12:00:00 +0000`.
pub(super) fn rfc5322(epoch: u64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day, hour, minute, second, weekday) = parts(epoch);
    let (weekday, month) = (DAYS[weekday % 7], MONTHS[month % 12]);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_796_083_199), "2026-11-30T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(rfc5322(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(rfc5322(1_796_040_000), "Mon, 30 Nov 2026 12:00:00 +0000");
        assert_eq!(rfc5322(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 +0000");
    }
}
