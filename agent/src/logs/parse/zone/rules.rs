//! Files of the time zone database (TZif, RFC 9636) and the rule for the years behind their tables (POSIX's `TZ`, with the RFC's
//! extension of its hours). A reader of our own: the crates that read these bring a calendar along.

use super::super::time::{civil, days, leap};

/// Bytes of a file; the largest of the database has 4 KiB.
const FILE: usize = 64 * 1024;
const DAY: i64 = 86_400;

/// The offsets of a place over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Unix time from which an offset holds, in order.
    changes: Vec<(i64, i32)>,
    /// Before the first of them.
    first: i32,
    /// Behind the last of them.
    ever: Option<Yearly>,
}

/// The same every year.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Yearly {
    standard: i32,
    /// Offset, start and end.
    summer: Option<(i32, Change, Change)>,
}

/// A day of the year and a time of that day in seconds, by the clocks of then.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    day: Day,
    second: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Day {
    /// 1 to 365, the 29th of February never counted.
    Julian(i64),
    /// 0 to 365.
    Zero(i64),
    /// Month, week (5 is the last), weekday (0 is Sunday).
    Month(u32, i64, i64),
}

impl Rules {
    /// Reads a file; `None` when it is none.
    pub fn read(bytes: &[u8]) -> Option<Rules> {
        (bytes.len() <= FILE).then_some(())?;
        let first = Header::read(bytes)?;
        if first.version < b'2' {
            return Rules::table(bytes.get(HEADER..)?, &first, 4, None);
        }
        // The first table is for readers of 32-bit times.
        let second = bytes.get(HEADER + first.length(4)..)?;
        let header = Header::read(second)?;
        let body = second.get(HEADER..)?;
        let footer = body.get(header.length(8)..)?.strip_prefix(b"\n")?;
        let end = footer.iter().position(|byte| *byte == b'\n')?;
        Rules::table(body, &header, 8, Yearly::read(footer.get(..end)?))
    }

    fn table(body: &[u8], header: &Header, width: usize, ever: Option<Yearly>) -> Option<Rules> {
        let (times, rest) = body.split_at_checked(header.times * width)?;
        let (kinds, rest) = rest.split_at_checked(header.times)?;
        let (types, _) = rest.split_at_checked(header.types * 6)?;
        let offset = |kind: usize| {
            let bytes: [u8; 4] = types.get(kind * 6..kind * 6 + 4)?.try_into().ok()?;
            let offset = i32::from_be_bytes(bytes);
            (offset.abs() <= 26 * 3600).then_some(offset)
        };
        let mut changes = Vec::with_capacity(header.times);
        for (time, kind) in times.chunks_exact(width).zip(kinds) {
            let time = time.iter().fold(0u64, |time, byte| time << 8 | u64::from(*byte));
            // Sign of the narrower ones.
            let time = if width == 4 {
                i64::from(time as u32 as i32)
            } else {
                time as i64
            };
            changes.push((time, offset(usize::from(*kind))?));
        }
        changes.is_sorted_by_key(|(time, _)| *time).then_some(())?;
        Some(Rules {
            changes,
            first: offset(0)?,
            ever,
        })
    }

    /// Seconds east of UTC at a Unix time.
    fn offset_at(&self, unix: i64) -> i32 {
        let place = self.changes.partition_point(|(time, _)| *time <= unix);
        match (
            &self.ever,
            place.checked_sub(1).and_then(|place| self.changes.get(place)),
        ) {
            (Some(ever), _) if place == self.changes.len() => ever.offset_at(unix),
            (_, Some((_, offset))) => *offset,
            (_, None) => self.first,
        }
    }

    /// Seconds east of UTC when the clocks show `local`; `None` in the hour that clocks show twice or not at all.
    pub(super) fn offset_at_local(&self, local: i64) -> Option<i32> {
        // Clocks change once in two days at most, so it is one of these.
        let candidates = [
            self.offset_at(local.checked_sub(DAY)?),
            self.offset_at(local.checked_add(DAY)?),
        ];
        let [before, after] = candidates.map(|offset| self.offset_at(local.saturating_sub(offset.into())) == offset);
        match (before, after) {
            (true, true) => (candidates[0] == candidates[1]).then_some(candidates[0]),
            (true, false) => Some(candidates[0]),
            (false, true) => Some(candidates[1]),
            (false, false) => None,
        }
    }
}

const HEADER: usize = 44;

/// Counts of what a table has.
struct Header {
    version: u8,
    rest: usize,
    leaps: usize,
    times: usize,
    types: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER)?;
        let counts = bytes.strip_prefix(b"TZif")?.get(16..)?;
        let mut counts = counts
            .chunks_exact(4)
            .map(|count| count.iter().fold(0usize, |count, byte| count << 8 | usize::from(*byte)));
        let (utc, standard, leaps) = (counts.next()?, counts.next()?, counts.next()?);
        let (times, types, letters) = (counts.next()?, counts.next()?, counts.next()?);
        let most = [utc, standard, leaps, times, types, letters].into_iter().max()?;
        (most <= FILE).then_some(())?;
        Some(Header {
            version: *bytes.get(4)?,
            rest: utc + standard + letters,
            leaps,
            times,
            types,
        })
    }

    /// Bytes of the table with times of so many bytes.
    fn length(&self, width: usize) -> usize {
        self.times * (width + 1) + self.types * 6 + self.leaps * (width + 4) + self.rest
    }
}

impl Yearly {
    /// `CET-1CEST,M3.5.0,M10.5.0/3`.
    fn read(text: &[u8]) -> Option<Yearly> {
        let mut rest = text;
        name(&mut rest)?;
        let standard = i32::try_from(-hours(&mut rest, 24)?).ok()?;
        if rest.is_empty() {
            return Some(Yearly { standard, summer: None });
        }
        name(&mut rest)?;
        let offset = match rest.first()? {
            b',' => standard + 3600,
            _ => i32::try_from(-hours(&mut rest, 24)?).ok()?,
        };
        let start = Change::read(&mut rest)?;
        let end = Change::read(&mut rest)?;
        rest.is_empty().then_some(Yearly {
            standard,
            summer: Some((offset, start, end)),
        })
    }

    fn offset_at(&self, unix: i64) -> i32 {
        let Some((offset, start, end)) = &self.summer else {
            return self.standard;
        };
        let (year, _) = civil(unix.clamp(-1 << 36, 1 << 40) + i64::from(self.standard));
        let start = start.local(year) - i64::from(self.standard);
        let end = end.local(year) - i64::from(*offset);
        let summer = if start < end {
            (start..end).contains(&unix)
        } else {
            !(end..start).contains(&unix)
        };
        if summer { *offset } else { self.standard }
    }
}

impl Change {
    /// `,M3.5.0/2`.
    fn read(rest: &mut &[u8]) -> Option<Change> {
        eat(rest, b',').then_some(())?;
        let day = if eat(rest, b'M') {
            let month = number(rest, 12)?;
            eat(rest, b'.').then_some(())?;
            let week = number(rest, 5)?;
            eat(rest, b'.').then_some(())?;
            let weekday = number(rest, 6)?;
            (month > 0 && week > 0).then_some(Day::Month(month as u32, week, weekday))?
        } else if eat(rest, b'J') {
            Day::Julian(number(rest, 365).filter(|day| *day > 0)?)
        } else {
            Day::Zero(number(rest, 365)?)
        };
        let second = if eat(rest, b'/') { hours(rest, 167)? } else { 2 * 3600 };
        Some(Change { day, second })
    }

    /// When it is in a year, as the clocks show it, in seconds since 1970 as if they were UTC's.
    fn local(&self, year: i32) -> i64 {
        let start = days(year, 1, 1).unwrap_or(0);
        let day = match self.day {
            Day::Julian(day) => start + day - 1 + i64::from(leap(year) && day > 59),
            Day::Zero(day) => start + day,
            Day::Month(month, week, weekday) => {
                let first = days(year, month, 1).unwrap_or(start);
                // 1970-01-01 was a Thursday.
                let ahead = (weekday - (first + 4)).rem_euclid(7);
                let next = days(year, month + 1, 1)
                    .or_else(|| days(year + 1, 1, 1))
                    .unwrap_or(first + 31);
                let day = first + ahead + (week - 1) * 7;
                if day >= next { day - 7 } else { day }
            }
        };
        day * DAY + self.second
    }
}

fn eat(rest: &mut &[u8], byte: u8) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == byte => {
            *rest = after;
            true
        }
        _ => false,
    }
}

/// Letters, or anything between `<` and `>`.
fn name(rest: &mut &[u8]) -> Option<()> {
    let quoted = rest.first() == Some(&b'<');
    let ends = |byte: &u8| {
        if quoted {
            *byte == b'>'
        } else {
            !byte.is_ascii_alphabetic()
        }
    };
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    (end >= 3).then_some(())?;
    *rest = rest.get(end + usize::from(quoted)..)?;
    Some(())
}

fn number(rest: &mut &[u8], most: i64) -> Option<i64> {
    let length = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = rest.split_at_checked(length)?;
    let number = digits
        .iter()
        .fold(0i64, |number, byte| number * 10 + i64::from(byte - b'0'));
    *rest = after;
    (length > 0 && number <= most).then_some(number)
}

/// `-3`, `+5:30`, `2:00:00` in seconds.
fn hours(rest: &mut &[u8], most: i64) -> Option<i64> {
    let negative = eat(rest, b'-');
    if !negative {
        eat(rest, b'+');
    }
    let mut seconds = number(rest, most)? * 3600;
    for unit in [60, 1] {
        if eat(rest, b':') {
            seconds += number(rest, 59)? * unit;
        }
    }
    Some(if negative { -seconds } else { seconds })
}

#[cfg(test)]
mod tests;
