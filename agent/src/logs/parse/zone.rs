//! The zone of times that do not say theirs.

mod rules;

use std::sync::Arc;

pub use rules::Rules;

/// Whose local time a line has that tells a time without an offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// Nobody said: such times are kept as attributes and not used.
    #[default]
    Unknown,
    /// UTC, as nearly all containers have it.
    Utc,
    /// Seconds east of UTC, all year.
    Fixed(i32),
    /// As a place has it, with its summer time: the host's own, from `/etc/localtime`.
    Rules(Arc<Rules>),
}

impl Zone {
    /// Reads a file of the time zone database (RFC 9636), as `/etc/localtime` is one. `None` when it is none.
    pub fn of_file(bytes: &[u8]) -> Option<Zone> {
        Rules::read(bytes).map(|rules| Zone::Rules(Arc::new(rules)))
    }

    /// Reads `unknown`, `utc`, or an offset such as `+02:00`.
    pub fn parse(text: &str) -> Option<Zone> {
        let bytes = text.as_bytes();
        match (text, bytes) {
            ("unknown", _) => Some(Zone::Unknown),
            ("utc" | "UTC" | "Z", _) => Some(Zone::Utc),
            (_, [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2]) => {
                let digit = |byte: &u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
                let hours = digit(h1)? * 10 + digit(h2)?;
                let minutes = digit(m1)? * 10 + digit(m2)?;
                let seconds = hours * 3600 + minutes * 60;
                (hours <= 15 && minutes <= 59).then_some(Zone::Fixed(if *sign == b'-' { -seconds } else { seconds }))
            }
            _ => None,
        }
    }

    /// Seconds east of UTC when its clocks show `local` (seconds since 1970 as if it were UTC).
    pub(super) fn offset_at_local(&self, local: i64) -> Option<i32> {
        match self {
            Zone::Unknown => None,
            Zone::Utc => Some(0),
            Zone::Fixed(offset) => Some(*offset),
            Zone::Rules(rules) => rules.offset_at_local(local),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read() {
        assert_eq!(Zone::parse("utc"), Some(Zone::Utc));
        assert_eq!(Zone::parse("-03:30"), Some(Zone::Fixed(-12_600)));
        assert_eq!(Zone::parse("unknown"), Some(Zone::Unknown));
        for bad in ["", "+2", "+02:60", "+16:00", "Europe/Berlin", "+0200"] {
            assert_eq!(Zone::parse(bad), None, "{bad}");
        }
    }
}
