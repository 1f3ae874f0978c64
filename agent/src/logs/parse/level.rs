//! Words of severity, as OpenTelemetry's data model maps them
//! (<https://opentelemetry.io/docs/specs/otel/logs/data-model-appendix/#appendix-b-severitynumber-example-mappings>).
//! A word that is none of these is no severity.

use crate::logs::Severity;
use std::borrow::Cow;

/// `DEBUG2`: `FINE` of java.util.logging.
pub(super) const DEBUG2: Severity = Severity::new(6);
/// `INFO2`: syslog's notice.
pub(super) const NOTICE: Severity = Severity::new(10);
/// `ERROR2`: syslog's critical.
pub(super) const CRITICAL: Severity = Severity::new(18);
/// `ERROR3`: syslog's alert, zap's panic.
pub(super) const ALERT: Severity = Severity::new(19);

/// Longest word.
const LONGEST: usize = 13;

/// The severity of a word, in any case.
pub(super) fn of_word(word: &str) -> Option<Severity> {
    let length = word.len();
    if !(3..=LONGEST).contains(&length) {
        return None;
    }
    let mut lower = [0u8; LONGEST];
    for (to, from) in lower.iter_mut().zip(word.bytes()) {
        *to = from | 0x20;
    }
    // Digits keep their place under the bit that makes letters small.
    let number = match lower.get(..length)? {
        b"trace" | b"trc" | b"trce" | b"finest" | b"silly" => 1,
        b"debug" | b"dbg" | b"dbug" | b"finer" | b"verbose" => 5,
        b"fine" => 6,
        b"config" => 7,
        b"info" | b"inf" | b"information" | b"informational" => 9,
        b"notice" => 10,
        b"warn" | b"warning" | b"wrn" => 13,
        b"error" | b"err" | b"severe" | b"fail" => 17,
        b"critical" | b"crit" | b"dpanic" => 18,
        b"alert" | b"panic" | b"pnc" => 19,
        b"fatal" | b"ftl" | b"emerg" | b"emergency" => 21,
        [word @ .., digit @ b'2'..=b'4'] => {
            let start = match word {
                b"trace" => 1,
                b"debug" => 5,
                b"info" => 9,
                b"warn" => 13,
                b"error" => 17,
                b"fatal" => 21,
                _ => return None,
            };
            start + digit - b'1'
        }
        _ => return None,
    };
    // What the bit would change into letters is not a word.
    word.bytes()
        .all(|byte| byte.is_ascii_alphanumeric())
        .then(|| Severity::new(number))
}

/// The same where `critical` is the highest there is: Python and .NET.
pub(super) fn of_word_critical_is_fatal(word: &str) -> Option<Severity> {
    of_word(word).map(|severity| {
        if severity == CRITICAL {
            Severity::FATAL
        } else {
            severity
        }
    })
}

/// Syslog's, RFC 5424 section 6.2.1: 0 (emergency) to 7 (debug).
pub(super) fn of_syslog(code: u8) -> Option<(Severity, &'static str)> {
    Some(match code {
        0 => (Severity::FATAL, "emerg"),
        1 => (ALERT, "alert"),
        2 => (CRITICAL, "crit"),
        3 => (Severity::ERROR, "err"),
        4 => (Severity::WARN, "warning"),
        5 => (NOTICE, "notice"),
        6 => (Severity::INFO, "info"),
        7 => (Severity::DEBUG, "debug"),
        _ => return None,
    })
}

/// Those of pino and bunyan, 10 to 60.
pub(super) fn of_pino(number: i64) -> Option<(Severity, &'static str)> {
    Some(match number {
        10 => (Severity::TRACE, "trace"),
        20 => (Severity::DEBUG, "debug"),
        30 => (Severity::INFO, "info"),
        40 => (Severity::WARN, "warn"),
        50 => (Severity::ERROR, "error"),
        60 => (Severity::FATAL, "fatal"),
        _ => return None,
    })
}

/// The word as it was written; the usual ones without memory of their own.
pub(super) fn text(word: &str) -> Cow<'static, str> {
    macro_rules! usual {
        ($($word:literal)*) => {
            match word {
                $($word => Cow::Borrowed($word),)*
                other => Cow::Owned(other.to_owned()),
            }
        };
    }
    usual!("INFO" "info" "Info" "INF" "Information" "DEBUG" "debug" "Debug" "WARN" "warn" "WARNING" "warning" "Warning" "ERROR"
        "error" "Error" "TRACE" "trace" "FATAL" "fatal" "CRITICAL" "critical" "notice" "NOTICE" "LOG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_numbers() {
        let cases = [
            ("INFO", 9),
            ("info", 9),
            ("Warning", 13),
            ("WRN", 13),
            ("SEVERE", 17),
            ("finest", 1),
            ("FINE", 6),
            ("CONFIG", 7),
            ("dpanic", 18),
            ("panic", 19),
            ("Emergency", 21),
            ("ERROR3", 19),
            ("Information", 9),
            ("informational", 9),
        ];
        for (word, number) in cases {
            assert_eq!(of_word(word).map(Severity::number), Some(number), "{word}");
        }
        assert_eq!(of_word_critical_is_fatal("CRITICAL"), Some(Severity::FATAL));
        for unknown in [
            "",
            "high",
            "http",
            "success",
            "INFO1",
            "INFO5",
            "@nfo",
            "ERR0R",
            "info ",
            "informationals",
            "INF\u{f}",
        ] {
            assert_eq!(of_word(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_word_stays_as_it_was() {
        for word in ["INFO", "Informational"] {
            assert_eq!(text(word), word);
        }
    }
}
