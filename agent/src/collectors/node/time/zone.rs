//! The time zone of the host: `TZ`, else `etc/localtime`, in files of tzfile(5) (RFC 9636). No crate that is here already gives the
//! zone's abbreviation.

use crate::host::Host;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

/// Bytes of a file at most; the largest zone has 4 KiB.
const MOST: u64 = 1 << 20;
const HEADER: usize = 44;
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// A time zone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Zone {
    /// Unix times from which on something else holds, and what.
    changes: Vec<(i64, Kind)>,
    /// What holds before.
    first: Kind,
    /// What holds after the last change.
    rule: Option<Rule>,
}

/// Seconds east of Greenwich, and their name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kind {
    pub(super) offset: i64,
    pub(super) name: String,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind {
            offset: 0,
            name: "UTC".to_owned(),
        }
    }
}

/// The last line of a file: standard time, and when summer time begins and ends (tzset(3)).
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    standard: Kind,
    summer: Option<(Kind, Date, Date)>,
}

/// A time in each year.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Date {
    day: Day,
    /// Seconds after midnight; may be negative, or past it.
    time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Day {
    /// Month, week (5 is the last one) and day of the week.
    Of(i64, i64, i64),
    /// Day of the year from 1 on, without the 29th of February.
    Julian(i64),
    /// Day of the year from 0 on.
    Ordinal(i64),
}

impl Zone {
    /// The zone of a host; UTC when it has none, or one that cannot be read. `tz` is what `TZ` holds.
    pub(super) fn of(host: &Host, tz: Option<&OsStr>) -> Zone {
        let shared = host.root.join("usr/share/zoneinfo");
        let path = match tz.map(|tz| tz.to_string_lossy().trim_start_matches(':').to_owned()) {
            None => host.root.join("etc/localtime"),
            Some(tz) if tz.starts_with('/') => tz.into(),
            Some(tz) if tz.is_empty() || tz.split('/').any(|part| part == "..") => return Zone::default(),
            Some(tz) => shared.join(tz),
        };
        // A link is one of the host's root, wherever that is mounted.
        let to = fs::read_link(&path).ok();
        let to = to.and_then(|to| Some(host.root.join(to.strip_prefix("/").ok()?)));
        Zone::read(to.unwrap_or(path)).unwrap_or_default()
    }

    fn read(path: PathBuf) -> Option<Zone> {
        let is_small = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MOST);
        is_small
            .then(|| fs::read(path).ok())
            .flatten()
            .and_then(|bytes| Zone::parse(&bytes))
    }

    /// A file holds everything twice: with times of 32 bits, and then of 64.
    fn parse(bytes: &[u8]) -> Option<Zone> {
        let header = Header::parse(bytes)?;
        if header.version == 0 {
            return header.zone(bytes.get(HEADER..)?, 4);
        }
        let second = bytes.get(HEADER + header.length(4)..)?;
        let header = Header::parse(second)?;
        let mut zone = header.zone(second.get(HEADER..)?, 8)?;
        let last = second
            .get(HEADER + header.length(8)..)
            .and_then(|last| std::str::from_utf8(last).ok());
        zone.rule = last.and_then(|last| Rule::parse(last.trim()));
        Some(zone)
    }

    /// What holds at a Unix time.
    pub(super) fn at(&self, time: i64) -> Kind {
        let before = self.changes.partition_point(|(from, _)| *from <= time);
        match &self.rule {
            Some(rule) if before == self.changes.len() => rule.at(time),
            _ => self
                .changes
                .get(before.wrapping_sub(1))
                .map_or(&self.first, |(_, kind)| kind)
                .clone(),
        }
    }
}

/// How many there are of each thing.
struct Header {
    version: u8,
    counts: [usize; 6],
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER)?.strip_prefix(b"TZif")?;
        let mut counts = [0; 6];
        for (count, word) in counts.iter_mut().zip(bytes.get(16..)?.chunks_exact(4)) {
            *count = u32::from_be_bytes(word.try_into().ok()?) as usize;
            if *count as u64 > MOST {
                return None;
            }
        }
        Some(Header {
            version: *bytes.first()?,
            counts,
        })
    }

    /// Bytes behind it, when times have so many.
    fn length(&self, wide: usize) -> usize {
        let [universal, standard, leaps, times, kinds, chars] = self.counts;
        times * (wide + 1) + kinds * 6 + chars + leaps * (wide + 4) + standard + universal
    }

    fn zone(&self, bytes: &[u8], wide: usize) -> Option<Zone> {
        let [.., times, kinds, chars] = self.counts;
        let (at, bytes) = bytes.split_at_checked(times * wide)?;
        let (which, bytes) = bytes.split_at_checked(times)?;
        let (kinds, bytes) = bytes.split_at_checked(kinds * 6)?;
        let chars = bytes.get(..chars)?;
        let kind = |kind: &[u8]| {
            let [a, b, c, d, _, name] = kind.try_into().ok()?;
            let name = chars.get(usize::from(name)..)?.split(|byte| *byte == 0).next()?;
            Some(Kind {
                offset: i32::from_be_bytes([a, b, c, d]).into(),
                name: String::from_utf8_lossy(name).into_owned(),
            })
        };
        let kinds: Vec<Kind> = kinds.chunks_exact(6).map(kind).collect::<Option<_>>()?;
        let time = |bytes: &[u8]| match bytes.try_into() {
            Ok(long) => i64::from_be_bytes(long),
            Err(_) => bytes.try_into().map_or(0, i32::from_be_bytes).into(),
        };
        let changes = at.chunks_exact(wide).map(time).zip(which);
        Some(Zone {
            changes: changes
                .map(|(time, which)| Some((time, kinds.get(usize::from(*which))?.clone())))
                .collect::<Option<_>>()?,
            first: kinds.first()?.clone(),
            rule: None,
        })
    }
}

impl Rule {
    /// `CET-1CEST,M3.5.0,M10.5.0/3`; hours count west of Greenwich there.
    fn parse(text: &str) -> Option<Rule> {
        let mut parts = text.split(',');
        let zones = parts.next()?;
        let (name, rest) = name(zones)?;
        let (west, rest) = clock(rest)?;
        let standard = Kind { offset: -west, name };
        if rest.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        let (name, rest) = self::name(rest)?;
        let offset = if rest.is_empty() {
            standard.offset + HOUR
        } else {
            -clock(rest)?.0
        };
        let (begin, end) = (Date::parse(parts.next()?)?, Date::parse(parts.next()?)?);
        Some(Rule {
            standard,
            summer: Some((Kind { offset, name }, begin, end)),
        })
    }

    fn at(&self, time: i64) -> Kind {
        let Some((summer, begin, end)) = &self.summer else {
            return self.standard.clone();
        };
        let year = year((time + self.standard.offset).div_euclid(DAY));
        let (begin, end) = (begin.of(year) - self.standard.offset, end.of(year) - summer.offset);
        let is_summer = if begin < end {
            (begin..end).contains(&time)
        } else {
            !(end..begin).contains(&time)
        };
        if is_summer {
            summer.clone()
        } else {
            self.standard.clone()
        }
    }
}

impl Date {
    /// `M10.5.0/3`, `J60`, `0/24`.
    fn parse(text: &str) -> Option<Date> {
        let (day, time) = text.split_once('/').unwrap_or((text, "2"));
        let (time, rest) = clock(time)?;
        let day = if let Some(day) = day.strip_prefix('M') {
            let mut numbers = day.split('.').map(|number| number.parse::<u8>().ok().map(i64::from));
            let (month, week, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
            let valid = (1..=12).contains(&month) && (1..=5).contains(&week) && day < 7;
            valid.then_some(Day::Of(month, week, day))?
        } else if let Some(day) = day.strip_prefix('J') {
            Day::Julian(day.parse::<u16>().ok()?.into())
        } else {
            Day::Ordinal(day.parse::<u16>().ok()?.into())
        };
        rest.is_empty().then_some(Date { day, time })
    }

    /// Its seconds since 1970 on the wall of that year.
    fn of(self, year: i64) -> i64 {
        let first = days(year, 1, 1);
        let day = match self.day {
            Day::Ordinal(day) => first + day,
            Day::Julian(day) => first + day - 1 + i64::from(day > 59 && days(year, 3, 1) - first == 60),
            Day::Of(month, week, day) => {
                let first = days(year, month, 1);
                let next = if month == 12 {
                    days(year + 1, 1, 1)
                } else {
                    days(year, month + 1, 1)
                };
                // The first of January 1970 was the fourth day of a week.
                let day = first + (day - first - 4).rem_euclid(7) + (week - 1) * 7;
                if day < next { day } else { day - 7 }
            }
        };
        day * DAY + self.time
    }
}

/// A name in letters, or in angle brackets.
fn name(text: &str) -> Option<(String, &str)> {
    let (name, rest) = match text.strip_prefix('<') {
        Some(text) => text.split_once('>')?,
        None => text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len())),
    };
    (!name.is_empty()).then(|| (name.to_owned(), rest))
}

/// `-3`, `5:30`, `+04:00:00`: seconds, and what stands behind.
fn clock(text: &str) -> Option<(i64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !"+-:".contains(c))
        .unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let (sign, clock) = match clock.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let mut seconds = 0;
    for (part, unit) in clock.split(':').zip([HOUR, 60, 1]) {
        seconds += i64::from(part.parse::<u8>().ok()?) * unit;
    }
    Some((sign * seconds, rest))
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The year of a day.
fn year(day: i64) -> i64 {
    let mut year = 1970 + day.div_euclid(366);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    year
}

#[cfg(test)]
mod tests;
