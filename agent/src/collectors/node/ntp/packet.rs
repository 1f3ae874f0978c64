//! Packets of NTP (RFC 5905, section 7.3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a packet without extensions.
pub(super) const LENGTH: usize = 48;
/// From 1900, where times begin, to 1970.
const UNIX: u64 = 2_208_988_800;
/// Fractions of a second.
const FRACTIONS: f64 = 4_294_967_296.0;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
/// A clock that was not set for so long, or is so wrong, is none (seconds).
const OLDEST: f64 = 131_072.0;
const WORST: f64 = 16.0;

/// Seconds since 1900 and their fractions. They begin anew in 2036.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) u64);

impl Time {
    pub(super) fn of(time: SystemTime) -> Time {
        Time(UNIX << 32).after(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    pub(super) fn after(self, time: Duration) -> Time {
        let fractions = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
        Time(self.0.wrapping_add(time.as_secs() << 32).wrapping_add(fractions))
    }

    /// Seconds; right for times that are less than 68 years apart.
    pub(super) fn since(self, earlier: Time) -> f64 {
        self.0.wrapping_sub(earlier.0) as i64 as f64 / FRACTIONS
    }

    /// Unix time, from 1968 to 2104. Not set: 0.
    pub(super) fn unix(self) -> f64 {
        if self.0 == 0 {
            return 0.0;
        }
        let era = if self.0 >> 63 == 1 { 0.0 } else { FRACTIONS };
        self.0 as f64 / FRACTIONS + era - UNIX as f64
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) leap: u8,
    pub(super) stratum: u8,
    pub(super) root_delay: f64,
    pub(super) root_dispersion: f64,
    pub(super) reference: Time,
    /// When the question was sent, by the clock of who asked.
    pub(super) origin: Time,
    pub(super) received: Time,
    pub(super) sent: Time,
}

/// A question that was sent at this time.
pub(super) fn question(version: u8, sent: Time) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let (rest, time) = bytes.split_at_mut(LENGTH - 8);
    time.copy_from_slice(&sent.0.to_be_bytes());
    rest.iter_mut().take(1).for_each(|first| *first = version << 3 | CLIENT);
    bytes
}

impl Answer {
    /// `None`: it is no answer of a server.
    pub(super) fn parse(bytes: &[u8]) -> Option<Answer> {
        let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let time = |at: usize| Some(Time(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?)));
        let short = |at| Some(f64::from(word(at)?) / 65_536.0);
        let [first, stratum, ..] = *bytes else { return None };
        (first & 7 == SERVER).then_some(())?;
        Some(Answer {
            leap: first >> 6,
            stratum,
            root_delay: short(4)?,
            root_dispersion: short(8)?,
            reference: time(16)?,
            origin: time(24)?,
            received: time(32)?,
            sent: time(40)?,
        })
    }

    /// Is the server's clock set, not long ago, and by one that is?
    pub(super) fn is_valid(&self) -> bool {
        let age = self.sent.since(self.reference);
        self.leap != 3
            && (1..16).contains(&self.stratum)
            && (0.0..=OLDEST).contains(&age)
            && self.root_delay / 2.0 + self.root_dispersion <= WORST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let time = Time::of(UNIX_EPOCH + Duration::from_millis(1_500));
        assert_eq!(time, Time(((UNIX + 1) << 32) + (1 << 31)));
        assert_eq!(time.unix(), 1.5);
        assert_eq!(time.since(time.after(Duration::from_millis(250))), -0.25);
        let later = Time::of(UNIX_EPOCH + Duration::from_secs(2_200_000_000));
        assert_eq!(later.unix(), 2_200_000_000.0, "in 2039");
        assert_eq!(
            later.since(Time(u64::MAX)).round(),
            2_200_000_000.0 + UNIX as f64 - FRACTIONS
        );
        assert_eq!(Time(0).unix(), 0.0);
    }

    #[test]
    fn packets() {
        let question = question(4, Time(7));
        assert_eq!((question[0], question[47]), (0x23, 7));
        assert_eq!(Answer::parse(&question), None, "of a client");
        let mut answer = [0; LENGTH];
        (answer[0], answer[1], answer[5], answer[31]) = (0x64, 2, 1, 9);
        let answer = Answer::parse(&answer).unwrap();
        assert_eq!(
            (answer.leap, answer.stratum, answer.root_delay, answer.origin),
            (1, 2, 1.0, Time(9))
        );
        for length in 0..LENGTH {
            assert_eq!(Answer::parse(&[0x64; LENGTH][..length]), None, "{length}");
        }
    }

    #[test]
    fn clocks_that_are_none() {
        let good = Answer {
            leap: 0,
            stratum: 2,
            root_delay: 0.5,
            root_dispersion: 0.1,
            reference: Time(100 << 32),
            origin: Time(0),
            received: Time(200 << 32),
            sent: Time(200 << 32),
        };
        assert!(good.is_valid());
        let wrong = |change: fn(&mut Answer)| {
            let mut answer = good.clone();
            change(&mut answer);
            !answer.is_valid()
        };
        assert!(wrong(|answer| answer.leap = 3));
        assert!(wrong(|answer| answer.stratum = 0));
        assert!(wrong(|answer| answer.stratum = 16));
        assert!(wrong(|answer| answer.reference = Time(201 << 32)));
        assert!(wrong(|answer| answer.sent = Time(200_000 << 32)));
        assert!(wrong(|answer| answer.root_delay = 40.0));
    }
}
