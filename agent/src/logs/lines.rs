//! From a whole line to a record: read ([`parse`](super::parse)) and freed from secrets ([`redact`](super::redact)), as
//! [`sources`](super::sources) hands them over.

use super::parse::{Parser, Zone};
use super::redact::{Kind, Kinds, Redactor};
use super::sources::{self, Line};
use super::{LogRecord, Severity};
use crate::config::Logs;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Streams whose format is remembered. Beyond it all are forgotten, which costs a try of each format.
const STREAMS: usize = 4096;

/// Reads lines of all sources.
#[derive(Debug)]
pub struct Lines {
    raw: bool,
    zone: Zone,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By the place of a source's resource in memory, and its stream. Another source that comes to lie there only tries another
    /// format first.
    parsers: FxHashMap<(usize, Option<sources::Stream>), Parser>,
    redactor: Redactor,
    dropped: u64,
    cut: u64,
}

impl Lines {
    /// As the settings say.
    pub fn new(settings: &Logs) -> Lines {
        Lines::with(settings.raw, settings.zone.clone(), settings.redact)
    }

    fn with(raw: bool, zone: Zone, kinds: Kinds) -> Lines {
        Lines {
            raw,
            zone,
            state: Mutex::new(State {
                parsers: FxHashMap::default(),
                redactor: Redactor::new(kinds),
                dropped: 0,
                cut: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a line. What its source knows of time and severity counts where the text says nothing of it.
    pub fn read(&self, line: &Line<'_>) -> LogRecord {
        let mut record = sources::plain(line);
        let state = &mut *self.state();
        if !self.raw {
            let key = (Arc::as_ptr(&line.source.resource) as usize, line.stream);
            if state.parsers.len() >= STREAMS && !state.parsers.contains_key(&key) {
                state.parsers.clear();
            }
            let parser = state
                .parsers
                .entry(key)
                .or_insert_with(|| Parser::new(self.zone.clone()));
            let parsed = parser.parse(line.text.as_bytes(), line.observed);
            state.dropped += u64::from(parsed.dropped);
            state.cut += u64::from(parsed.cut);
            record.timestamp = parsed.timestamp.unwrap_or(record.timestamp);
            if parsed.severity != Severity::UNSPECIFIED {
                record.severity = parsed.severity;
                record.severity_text = parsed.severity_text.filter(|text| *text != parsed.severity.text());
            }
            record.body = parsed.body;
            record.event_name = parsed.event_name;
            record.span = parsed.span;
            // Names of a record are unique; the line's own come first.
            let had = std::mem::replace(&mut record.attributes, parsed.attributes);
            for (name, value) in had {
                if record.attributes.iter().all(|(known, _)| *known != name) {
                    record.attributes.push((name, value));
                }
            }
        }
        state.redactor.record(&mut record.body, &mut record.attributes);
        if let Some(Cow::Owned(name)) = &mut record.event_name {
            state.redactor.text(name);
        }
        record
    }

    /// How often a kind of secret was replaced.
    pub fn redacted(&self, kind: Kind) -> u64 {
        let state = self.state();
        let counts = state.redactor.counts();
        counts.filter(|(known, _)| *known == kind).map(|(_, count)| count).sum()
    }

    /// Fields that were left out.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Values that were cut.
    pub fn cut(&self) -> u64 {
        self.state().cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::sources::{Described, Format, Stream};
    use crate::trace::span::AttributeValue;

    fn source() -> Described {
        Described {
            format: Format::Plain,
            resource: Arc::default(),
            service: "shop".into(),
        }
    }

    fn read(lines: &Lines, source: &Described, text: &str) -> LogRecord {
        lines.read(&Line {
            source,
            stream: Some(Stream::Stderr),
            time: Some(1_700_000_000_000_000_000),
            observed: 1_700_000_001_000_000_000,
            severity: Severity::INFO,
            text,
        })
    }

    fn has(record: &LogRecord, name: &str, value: &str) -> bool {
        let expect = AttributeValue::Text(value.to_owned().into());
        record
            .attributes
            .iter()
            .any(|(known, found)| known == name && *found == expect)
    }

    #[test]
    fn what_the_line_says_comes_before_what_its_source_says() {
        let lines = Lines::with(false, Zone::Unknown, Kinds::default());
        let source = source();
        let text =
            r#"{"time":"2023-11-14T22:13:30Z","level":"warning","msg":"slow","user":"ann","log.iostream":"mine"}"#;
        let record = read(&lines, &source, text);
        assert_eq!(record.timestamp, 1_700_000_010_000_000_000);
        assert_eq!((record.severity, record.body.as_str()), (Severity::WARN, "slow"));
        assert_eq!(record.severity_text.as_deref(), Some("warning"));
        assert!(has(&record, "user", "ann") && has(&record, "log.iostream", "mine"));
        assert_eq!(record.attributes.len(), 2, "names are unique");
        let record = read(&lines, &source, "nothing that is known");
        assert_eq!(record.timestamp, 1_700_000_000_000_000_000);
        assert_eq!(record.severity, Severity::INFO);
        assert!(has(&record, "log.iostream", "stderr"));
    }

    #[test]
    fn secrets_go_whether_lines_are_read_or_not() {
        let source = source();
        for raw in [false, true] {
            let lines = Lines::with(raw, Zone::Unknown, Kinds::default());
            let record = read(&lines, &source, "connecting to postgres://shop:hunter2@db/shop");
            assert!(!record.body.contains("hunter2"), "{}", record.body);
            assert_eq!(lines.redacted(Kind::UrlPassword), 1);
            let lines = Lines::with(raw, Zone::Unknown, Kinds::NONE);
            let record = read(&lines, &source, "connecting to postgres://shop:hunter2@db/shop");
            assert!(record.body.contains("hunter2"));
        }
    }

    /// The first line tells of time and severity, all of it is the message, and no line of it is spared.
    #[test]
    fn lines_that_are_one_event_are_read_and_freed_from_secrets() {
        let lines = Lines::with(false, Zone::Unknown, Kinds::default());
        let source = source();
        let java = "2023-11-14T22:13:30.000Z ERROR 1 --- [main] c.e.shop.Cart : cannot sell\n\
                    java.lang.IllegalStateException: none left\n\tat com.example.Cart.sell(Cart.java:12)\n\
                    Caused by: java.io.IOException: postgres://shop:hunter2@db/shop\n\t... 2 more";
        let record = read(&lines, &source, java);
        assert_eq!(record.severity, Severity::ERROR);
        assert_eq!(record.timestamp, 1_700_000_010_000_000_000);
        assert!(record.body.contains("cannot sell\njava.lang.Ill") && record.body.ends_with("\t... 2 more"));
        assert!(!record.body.contains("hunter2"));
        assert!(has(&record, "exception.type", "java.lang.IllegalStateException"));
        assert!(has(&record, "exception.message", "none left"));
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 4, in sell\n    return stock[name]\n\
                      KeyError: 'pears'\n\nDuring handling of the above exception, another exception occurred:\n\n\
                      Traceback (most recent call last):\n  File \"a.py\", line 8, in <module>\nValueError: none left";
        let go = "panic: runtime error: index out of range [3] with length 2\n\ngoroutine 1 [running]:\n\
                  main.(*Cart).Sell(0xc000012120, {0x4b2f3a, 0x5})\n\t/srv/shop/cart.go:12 +0x1d\nexit status 2";
        for text in [python, go] {
            assert_eq!(read(&lines, &source, text).body, text);
        }
        assert!(has(&read(&lines, &source, python), "exception.type", "ValueError"));
        let bare = "Exception in thread \"main\" java.lang.Error: none\n\tat a.B.c(B.java:1)\nCaused by: d.E: \
                    jdbc:postgresql://shop:hunter2@db.example.com/shop lost\n\t... 2 more";
        let record = read(&lines, &source, bare);
        assert_eq!(record.body, bare.replace("hunter2", "[redacted:url-password]"));
        assert!(has(&record, "exception.type", "java.lang.Error"));
        // A key is one with all of its lines.
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----";
        let record = read(&lines, &source, key);
        assert!(!record.body.contains("MIIE"), "{}", record.body);
    }

    #[test]
    fn formats_of_many_streams_are_forgotten_and_not_kept_without_end() {
        let lines = Lines::with(false, Zone::Unknown, Kinds::default());
        let sources: Vec<Described> = (0..STREAMS + 2).map(|_| source()).collect();
        for source in &sources {
            read(&lines, source, "level=info msg=x");
        }
        assert!(lines.state().parsers.len() <= STREAMS);
    }
}
