//! The agent's own log: `tracing` events, and `log` records of libraries and of the kernel side, as lines on standard
//! error. Never coloured, so that a line reads the same in a terminal, a file and a journal.

use crate::config::{Log, LogFormat, LogLevel};
use crate::tui::screen;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Starts logging for the whole process. Call once.
///
/// # Errors
/// Something else is the process's log already.
pub fn init(log: Log) -> Result<(), TryInitError> {
    subscriber(log, || Stderr).try_init()
}

/// Own messages by the level; those of libraries at most at `info`, lest `--log.level=debug` drown in them.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // The prefix takes in the kernel side, whose records bear the name of its crate.
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("onlooker", level)
}

fn subscriber<W>(log: Log, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let filtered = tracing_subscriber::registry().with(filter(log.level));
    match log.format {
        LogFormat::Logfmt => Box::new(filtered.with(lines.event_format(Logfmt))),
        LogFormat::Json => Box::new(filtered.with(lines.json().flatten_event(true).with_current_span(false))),
    }
}

/// Standard error, shared with the live summary.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        screen::aside(|| io::stderr().write(line))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `ts=… level=… target=… msg=… key=value`.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::TRACE => "trace",
            Level::DEBUG => "debug",
            Level::INFO => "info",
            Level::WARN => "warn",
            Level::ERROR => "error",
        };
        let mut fields = Fields {
            target: event.metadata().target().to_string(),
            ..Fields::default()
        };
        event.record(&mut fields);
        out.write_str("ts=")?;
        SystemTime.format_time(&mut out)?;
        write!(
            out,
            " level={level} target={} msg={}",
            quoted(&fields.target),
            quoted(&fields.message)
        )?;
        writeln!(out, "{}", fields.rest)
    }
}

#[derive(Default)]
struct Fields {
    target: String,
    message: String,
    rest: String,
}

impl Fields {
    fn take(&mut self, name: &str, value: String) {
        match name {
            "message" => self.message = value,
            // A record of the `log` crate: where it comes from is in its fields.
            "log.target" => self.target = value,
            "log.module_path" | "log.file" | "log.line" => {}
            _ => {
                let _ = write!(self.rest, " {name}={}", quoted(&value));
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_string());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field.name(), value.to_string());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}"));
    }
}

/// A value that is one word, quoted and escaped where it is not; control characters never reach a terminal.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_string();
    }
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
        }
    }

    fn logged(level: LogLevel, format: LogFormat, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(Log { level, format }, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        lines.text()
    }

    #[test]
    fn logfmt_lines() {
        let text = logged(LogLevel::Info, LogFormat::Logfmt, || {
            tracing::warn!(target: "onlooker::x", count = 3, path = "/a b", empty = "", "it is \"so\"\u{1b}[31m");
            tracing::debug!(target: "onlooker::x", "not shown");
        });
        let (time, rest) = text.split_once(' ').expect("fields");
        assert!(time.starts_with("ts=20") && time.ends_with('Z'), "{time}");
        let expect = r#"level=warn target=onlooker::x msg="it is \"so\"\u001b[31m" count=3 path="/a b" empty="""#;
        assert_eq!(rest, format!("{expect}\n"));
    }

    #[test]
    fn json_lines() {
        let text = logged(LogLevel::Info, LogFormat::Json, || tracing::info!(count = 3, "hello"));
        let line: serde_json::Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(
            (&line["level"], &line["message"], &line["count"]),
            (&"INFO".into(), &"hello".into(), &3.into())
        );
    }

    #[test]
    fn levels_hold_for_us_and_info_at_most_for_libraries() {
        for (level, ours, theirs) in [
            (LogLevel::Trace, 5, 3),
            (LogLevel::Debug, 4, 3),
            (LogLevel::Info, 3, 3),
            (LogLevel::Error, 1, 1),
        ] {
            let text = logged(level, LogFormat::Logfmt, || {
                macro_rules! all { ($target:literal) => {
                    tracing::trace!(target: $target, "m");
                    tracing::debug!(target: $target, "m");
                    tracing::info!(target: $target, "m");
                    tracing::warn!(target: $target, "m");
                    tracing::error!(target: $target, "m");
                } }
                all!("onlooker_ebpf::x");
                all!("hyper::proto");
            });
            let count = |target: &str| text.matches(target).count();
            assert_eq!(
                (count("onlooker_ebpf"), count("hyper")),
                (ours, theirs),
                "{level:?}:\n{text}"
            );
        }
    }

    #[test]
    fn records_of_the_log_crate_come_through() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = Log {
            level: LogLevel::Trace,
            format: LogFormat::Logfmt,
        };
        // The one test that takes the process-wide log; others set theirs for a thread.
        subscriber(log, move || writer.clone())
            .try_init()
            .expect("nobody else logs");
        log::trace!(target: "onlooker_ebpf", "from the kernel");
        log::debug!(target: "hyper", "noise");
        let text = lines.text();
        assert!(
            text.contains("level=trace target=onlooker_ebpf msg=\"from the kernel\"\n"),
            "{text}"
        );
        assert!(!text.contains("noise"), "{text}");
    }
}
