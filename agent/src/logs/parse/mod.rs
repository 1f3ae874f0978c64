//! Lines of logs to records: time, severity, text, attributes and the ids of the trace, of the formats that programs write most.
//!
//! Nothing is invented. A word that is no level gives no severity, a time that is not certain (see [`Zone`]) stays an attribute, an id
//! that may be something else stays where it was. What is not recognised is told whole as the body. A field of a structured line whose
//! meaning OpenTelemetry's semantic conventions name gets that name; all others keep theirs, members of objects with their path
//! (`http.request.id`). Colours of terminals are left out.
//!
//! The format of the line before is tried first. None that is remembered accepts what another one is certain of, so what a line means
//! does not depend on those before.

mod access;
mod brackets;
mod console;
mod database;
mod draft;
mod errors;
mod exception;
mod glog;
mod header;
mod ids;
mod json;
mod keyed;
mod keys;
mod level;
mod logfmt;
mod scan;
mod syslog;
mod time;
mod zone;

use super::{Severity, SpanContext};
use crate::trace::span::Attribute;
use std::borrow::Cow;
pub use zone::{Rules, Zone};

/// Attributes of a line; further ones are left out and counted in [`Parsed::dropped`].
pub const ATTRIBUTES: usize = 64;
/// Bytes of an attribute's name; attributes with longer ones are left out and counted.
pub const NAME_BYTES: usize = 256;
/// Bytes of an attribute's text; longer ones are cut and counted in [`Parsed::cut`].
pub const VALUE_BYTES: usize = 16 * 1024;

/// What a line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Unix time in nanoseconds, when it is certain.
    pub timestamp: Option<u64>,
    /// How bad it is, when the line says so in words that are known.
    pub severity: Severity,
    /// The word or number that says so, as it is written: `SeverityText` of the data model.
    pub severity_text: Option<Cow<'static, str>>,
    /// The text for people: the message, or all of a line that has none.
    pub body: String,
    /// What else it says. Names are unique.
    pub attributes: Vec<Attribute>,
    /// The span that the line says it was written in; its id is zero when the line tells of the trace alone.
    pub span: Option<SpanContext>,
    /// Name of the event, if the line has one.
    pub event_name: Option<Cow<'static, str>>,
    /// What the line was taken for.
    pub format: Format,
    /// Attributes left out for [`ATTRIBUTES`] or [`NAME_BYTES`].
    pub dropped: u32,
    /// Values cut for [`VALUE_BYTES`].
    pub cut: u32,
}

/// What a line is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// An object of JSON: logrus, zap, slog, zerolog, pino, bunyan, winston, python-json-logger, structlog, logstash, log4j2, ECS,
    /// tracing, Serilog, Google's and AWS's, and others.
    Json,
    /// `key=value key="a value"`.
    Logfmt,
    /// klog and glog.
    Glog,
    /// Access logs of nginx and Apache: common and combined.
    Access,
    /// nginx's error log.
    NginxError,
    /// Apache's error log.
    ApacheError,
    /// RFC 5424, RFC 3164, and the level prefixes of systemd.
    Syslog,
    /// PostgreSQL with its usual prefixes.
    Postgres,
    /// Redis and Valkey.
    Redis,
    /// Ruby's logger, and so Rails'.
    Ruby,
    /// Python's `logging`, both of its usual forms.
    Python,
    /// Logback, log4j and Spring Boot.
    Java,
    /// zap for people, with tabs.
    ZapConsole,
    /// .NET's console logger.
    Dotnet,
    /// `[time] channel.LEVEL: message` of Monolog, `[time LEVEL target]` of `env_logger` and their kin.
    Bracketed,
    /// A time, a level, or both before the text.
    Header,
    /// None of these: all of it is the body.
    #[default]
    Plain,
}

/// What a line is read with.
#[derive(Clone, Copy, Debug)]
struct Context<'a> {
    /// Unix time, nanoseconds.
    now: u64,
    zone: &'a Zone,
}

type Reader = fn(&str, &Context<'_>) -> Option<Parsed>;

/// Reads the lines of one stream.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    zone: Zone,
    last: Format,
}

impl Parser {
    /// For a stream whose times without offset are of a zone.
    pub fn new(zone: Zone) -> Parser {
        Parser {
            zone,
            last: Format::Plain,
        }
    }

    /// Reads a line, or lines joined, without the last line's end. `now` is Unix time in nanoseconds: years that are not written and
    /// what cannot be are judged by it. Bytes that are not UTF-8 become U+FFFD.
    pub fn parse(&mut self, line: &[u8], now: u64) -> Parsed {
        let cx = Context { now, zone: &self.zone };
        let text = String::from_utf8_lossy(line);
        let text = scan::without_colours(&text);
        let text = text.trim_end_matches(['\n', '\r']);
        let formats = candidates(text);
        let remembered = reader(self.last).filter(|_| formats.contains(&self.last));
        let parsed = remembered.and_then(|read| read(text, &cx)).or_else(|| {
            formats
                .iter()
                .filter(|format| **format != self.last)
                .find_map(|format| reader(*format)?(text, &cx))
        });
        let mut parsed = parsed.unwrap_or_else(|| plain(text));
        // A header is what is left when nothing else is known: remembered, it would hide what is.
        self.last = if parsed.format == Format::Header {
            Format::Plain
        } else {
            parsed.format
        };
        if !matches!(parsed.format, Format::Json | Format::Logfmt) {
            parsed.span = parsed.span.or_else(|| ids::find(text));
            exception::describe(&mut parsed);
        }
        parsed
    }
}

fn plain(text: &str) -> Parsed {
    Parsed {
        body: text.to_owned(),
        ..Parsed::default()
    }
}

fn reader(format: Format) -> Option<Reader> {
    Some(match format {
        Format::Json => json::read,
        Format::Logfmt => logfmt::read,
        Format::Glog => glog::read,
        Format::Access => access::read,
        Format::NginxError => errors::nginx,
        Format::ApacheError => errors::apache,
        Format::Syslog => syslog::read,
        Format::Postgres => database::postgres,
        Format::Redis => database::redis,
        Format::Ruby => console::ruby,
        Format::Python => console::python,
        Format::ZapConsole => console::zap,
        Format::Dotnet => console::dotnet,
        Format::Java => header::java,
        Format::Bracketed => brackets::read,
        Format::Header => header::read,
        Format::Plain => return None,
    })
}

/// Which formats may begin so, the certain ones first.
fn candidates(text: &str) -> &'static [Format] {
    use Format::{
        Access, ApacheError, Bracketed, Dotnet, Glog, Header, Java, Json, Logfmt, NginxError, Postgres, Python, Redis,
        Ruby, Syslog, ZapConsole,
    };
    match text.bytes().next() {
        Some(b'{') => &[Json],
        Some(b'<') => &[Syslog],
        Some(b'[') => &[ApacheError, Bracketed, Header],
        Some(b'0'..=b'9') => &[
            NginxError, Postgres, Python, ZapConsole, Java, Syslog, Access, Redis, Logfmt, Header,
        ],
        Some(b'A'..=b'Z') => &[Glog, Ruby, Python, Java, Syslog, Access, Logfmt, Header],
        Some(b'a'..=b'z' | b'_' | b'@' | b'-' | b':') => &[Dotnet, Logfmt, Access, Header],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
