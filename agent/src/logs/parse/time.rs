//! Times as lines have them, to Unix time: by hand, without patterns, because every line has one.
//!
//! A time is used when it is certain: a local time only when its zone was told, one without a year as the nearest such moment that is
//! not ahead of now, and none before 2000 or more than a day ahead.

use super::Context;
use super::zone::Zone;

const DAY: i64 = 86_400;
const NANOS: u64 = 1_000_000_000;
/// 2000-01-01: clocks that were never set stand before it.
const FIRST: i64 = 946_684_800;

/// A time as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    year: Option<i32>,
    month: u32,
    day: u32,
    /// Seconds of the day.
    second: u32,
    nanos: u32,
    /// Seconds east of UTC, when it says so.
    offset: Option<i32>,
}

impl Stamp {
    /// Unix time in nanoseconds, when it is certain and makes sense.
    pub(super) fn unix(&self, cx: &Context<'_>) -> Option<u64> {
        let today = i64::try_from(cx.now / NANOS).ok()?;
        let Some(year) = self.year else {
            // A year has at most 366 days, so one of these is the last that is not ahead.
            let (year, ..) = civil(today);
            return (year - 8..=year + 1)
                .rev()
                .find_map(|year| self.in_year(year, cx.zone).filter(|unix| *unix <= today + DAY))
                .and_then(|unix| self.checked(unix, today));
        };
        self.in_year(year, cx.zone).and_then(|unix| self.checked(unix, today))
    }

    fn in_year(&self, year: i32, zone: &Zone) -> Option<i64> {
        let local = days(year, self.month, self.day)? * DAY + i64::from(self.second);
        let offset = match self.offset {
            Some(offset) => offset,
            None => zone.offset_at_local(local)?,
        };
        Some(local - i64::from(offset))
    }

    fn checked(&self, unix: i64, today: i64) -> Option<u64> {
        let seconds = u64::try_from(unix).ok()?;
        (FIRST..=today.saturating_add(DAY))
            .contains(&unix)
            .then(|| seconds.checked_mul(NANOS)?.checked_add(self.nanos.into()))?
    }
}

/// Unix time of a number of seconds, milliseconds, microseconds or nanoseconds: the one in which it lies between 2000 and tomorrow.
/// These do not overlap.
pub(super) fn epoch(number: i64, cx: &Context<'_>) -> Option<u64> {
    let number = u64::try_from(number).ok()?;
    let last = cx.now.saturating_add(DAY as u64 * NANOS);
    [NANOS, 1_000_000, 1000, 1]
        .iter()
        .filter_map(|unit| number.checked_mul(*unit))
        .find(|unix| (FIRST as u64 * NANOS..=last).contains(unix))
}

/// The same of a number with a fraction: seconds or milliseconds, exact to a microsecond, which is about what a double can tell.
pub(super) fn epoch_float(number: f64, cx: &Context<'_>) -> Option<u64> {
    let last = cx.now.saturating_add(DAY as u64 * NANOS);
    [1e6, 1e3]
        .iter()
        .map(|unit| (number * unit).round())
        .filter(|micros| *micros > 0.0 && *micros < 1e16)
        .map(|micros| micros as u64 * 1000)
        .find(|unix| (FIRST as u64 * NANOS..=last).contains(unix))
}

/// A whole text that is a time.
pub(super) fn of_text(text: &str, cx: &Context<'_>) -> Option<u64> {
    let bytes = text.trim_ascii().as_bytes();
    if let Some((stamp, length)) = iso(bytes).or_else(|| rfc2822(bytes)).or_else(|| clf(bytes)) {
        return (length == bytes.len()).then(|| stamp.unix(cx))?;
    }
    if bytes.len() < 9 || bytes.len() > 32 || !bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let text = text.trim_ascii();
    // Read as whole numbers: a double would cost digits that are there.
    match text.split_once('.') {
        None => epoch(text.parse().ok()?, cx),
        Some((whole, fraction)) => {
            let start = epoch(whole.parse().ok()?, cx)?;
            let unit = match whole.len() {
                0..=10 => 9,
                11..=13 => 6,
                _ => return None,
            };
            let (nanos, used) = fraction_of(fraction.as_bytes(), unit)?;
            (used == fraction.len()).then(|| start + u64::from(nanos))
        }
    }
}

/// `2026-01-02T03:04:05.123Z` and its kin: `-` or `/` between the parts of the date, `T`, blank or `_` before the time, a comma or a
/// dot before the fraction, an offset or none. With its length.
pub(super) fn iso(bytes: &[u8]) -> Option<(Stamp, usize)> {
    let year = number::<4>(bytes, 0)?;
    let dash = *bytes.get(4)?;
    if (dash != b'-' && dash != b'/') || *bytes.get(7)? != dash || !b"T t_".contains(bytes.get(10)?) {
        return None;
    }
    let (month, day) = (number::<2>(bytes, 5)?, number::<2>(bytes, 8)?);
    let (second, nanos, mut at) = clock(bytes, 11)?;
    let offset = offset(bytes, &mut at);
    let stamp = Stamp {
        year: Some(year as i32),
        month,
        day,
        second,
        nanos,
        offset,
    };
    days(year as i32, month, day)?;
    Some((stamp, at))
}

/// `02/Jan/2026:03:04:05 +0000`, of access logs.
pub(super) fn clf(bytes: &[u8]) -> Option<(Stamp, usize)> {
    day_month_year(bytes, *b"//:")
}

/// Day, month, year and clock with these between them, and an offset or none.
fn day_month_year(bytes: &[u8], between: [u8; 3]) -> Option<(Stamp, usize)> {
    let day = number::<2>(bytes, 0)?;
    let month = month(bytes.get(3..6)?)?;
    let year = number::<4>(bytes, 7)? as i32;
    if [bytes[2], bytes[6], *bytes.get(11)?] != between {
        return None;
    }
    let (second, nanos, mut at) = clock(bytes, 12)?;
    let offset = offset(bytes, &mut at);
    days(year, month, day)?;
    let stamp = Stamp {
        year: Some(year),
        month,
        day,
        second,
        nanos,
        offset,
    };
    Some((stamp, at))
}

/// `Jan  2 03:04:05`, of RFC 3164: without year and zone.
pub(super) fn bsd(bytes: &[u8]) -> Option<(Stamp, usize)> {
    let month = month(bytes.get(..3)?)?;
    let day = match bytes.get(3..6)? {
        [b' ', b' ', digit] => u32::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?),
        [b' ', ..] => number::<2>(bytes, 4)?,
        _ => return None,
    };
    (*bytes.get(6)? == b' ').then_some(())?;
    let (second, nanos, at) = clock(bytes, 7)?;
    // Any year that has the 29th of February.
    days(2000, month, day)?;
    let stamp = Stamp {
        month,
        day,
        second,
        nanos,
        ..Stamp::default()
    };
    Some((stamp, at))
}

/// `Fri Jan 02 03:04:05.123456 2026`, of Apache's error log and of `ctime`.
pub(super) fn ctime(bytes: &[u8]) -> Option<(Stamp, usize)> {
    (*bytes.get(3)? == b' ').then_some(())?;
    let (stamp, at) = bsd(&bytes[4..])?;
    let at = at + 4;
    (*bytes.get(at)? == b' ').then_some(())?;
    let year = number::<4>(bytes, at + 1)? as i32;
    days(year, stamp.month, stamp.day)?;
    let stamp = Stamp {
        year: Some(year),
        ..stamp
    };
    Some((stamp, at + 5))
}

/// `02 Jan 2026 03:04:05.123`, of Redis and, with an offset, of RFC 2822.
pub(super) fn day_first(bytes: &[u8]) -> Option<(Stamp, usize)> {
    day_month_year(bytes, [b' '; 3])
}

/// `Fri, 02 Jan 2026 03:04:05 GMT`.
fn rfc2822(bytes: &[u8]) -> Option<(Stamp, usize)> {
    (bytes.get(3..5)? == b", ").then_some(())?;
    let (stamp, length) = day_first(&bytes[5..])?;
    Some((stamp, length + 5))
}

/// `0102 03:04:05.123456` of klog, or with the year before it of newer glog.
pub(super) fn glog(bytes: &[u8]) -> Option<(Stamp, usize)> {
    let digits = bytes.iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
    let (year, start) = match digits {
        4 => (None, 0),
        8 => (Some(number::<4>(bytes, 0)? as i32), 4),
        _ => return None,
    };
    let (month, day) = (number::<2>(bytes, start)?, number::<2>(bytes, start + 2)?);
    (*bytes.get(start + 4)? == b' ').then_some(())?;
    let (second, nanos, at) = clock(bytes, start + 5)?;
    days(year.unwrap_or(2000), month, day)?;
    let stamp = Stamp {
        year,
        month,
        day,
        second,
        nanos,
        offset: None,
    };
    Some((stamp, at))
}

/// `03:04:05.123` from `at`: seconds of the day, nanoseconds, and where it ends.
pub(super) fn clock(bytes: &[u8], at: usize) -> Option<(u32, u32, usize)> {
    let (hour, minute, second) = (
        number::<2>(bytes, at)?,
        number::<2>(bytes, at + 3)?,
        number::<2>(bytes, at + 6)?,
    );
    // A leap second is the next one's first moment, as POSIX has it.
    if bytes[at + 2] != b':' || bytes[at + 5] != b':' || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut end = at + 8;
    let mut nanos = 0;
    if let Some(b'.' | b',') = bytes.get(end)
        && let Some((fraction, used)) = bytes.get(end + 1..).and_then(|rest| fraction_of(rest, 9))
    {
        nanos = fraction;
        end += 1 + used;
    }
    Some((hour * 3600 + minute * 60 + second, nanos, end))
}

/// Digits of a fraction as nanoseconds of a unit of ten to the `power` nanoseconds, and how many digits there were.
fn fraction_of(bytes: &[u8], power: usize) -> Option<(u32, usize)> {
    let used = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (used > 0 && used <= 12).then_some(())?;
    let mut nanos = 0;
    for place in 0..power {
        let digit = bytes[..used].get(place).map_or(0, |byte| u32::from(byte - b'0'));
        nanos = nanos * 10 + digit;
    }
    Some((nanos, used))
}

/// An offset of UTC, if one stands there; moves on behind it.
fn offset(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let rest = bytes.get(*at..)?;
    let blank = usize::from(rest.first() == Some(&b' '));
    let ends = |length: usize| rest.get(length).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    match rest.get(blank..)? {
        [b'Z' | b'z', ..] if blank == 0 && ends(1) => {
            *at += 1;
            Some(0)
        }
        [b'U', b'T', b'C', ..] | [b'G', b'M', b'T', ..] if ends(blank + 3) => {
            *at += blank + 3;
            Some(0)
        }
        [sign @ (b'+' | b'-'), digits @ ..] => {
            let hours = number::<2>(digits, 0)?;
            let (minutes, length) = match digits.get(2) {
                Some(b':') => (number::<2>(digits, 3)?, 6),
                Some(b'0'..=b'9') => (number::<2>(digits, 2)?, 5),
                // Postgres writes hours alone; behind a blank it may be anything.
                _ if blank == 0 => (0, 3),
                _ => return None,
            };
            if hours > 15 || minutes > 59 || !ends(blank + length) {
                return None;
            }
            *at += blank + length;
            let seconds = (hours * 3600 + minutes * 60) as i32;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Exactly `N` digits from `at`.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u32> {
    let mut value = 0;
    for byte in bytes.get(at..at + N)? {
        value = value * 10 + u32::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(value)
}

fn month(name: &[u8]) -> Option<u32> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let place = NAMES.chunks_exact(3).position(|month| month == name)?;
    Some(place as u32 + 1)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar; `None` when there is no such day.
pub(super) fn days(year: i32, month: u32, day: u32) -> Option<i64> {
    const BEFORE: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const LENGTH: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = leap(year);
    let place = month.checked_sub(1)? as usize;
    let length = u32::from(*LENGTH.get(place)?) + u32::from(leap && month == 2);
    if day == 0 || day > length {
        return None;
    }
    let before = i64::from(BEFORE[place]) + i64::from(leap && month > 2);
    let year = i64::from(year);
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some((year - 1970) * 365 + leaps(year - 1) - leaps(1969) + before + i64::from(day) - 1)
}

/// Year, and seconds since it began, of a Unix time in seconds.
pub(super) fn civil(unix: i64) -> (i32, i64) {
    let day = unix.div_euclid(DAY);
    let start = |year: i64| days(year as i32, 1, 1).unwrap_or(i64::MAX);
    // Off by one at most: 400 years have 146,097 days.
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while start(year) > day {
        year -= 1;
    }
    while start(year + 1) <= day {
        year += 1;
    }
    (year as i32, unix - start(year) * DAY)
}

pub(super) fn leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests;
