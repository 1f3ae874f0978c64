//! Fields with names become what a line says: of JSON and of logfmt.

use super::keys::{Role, role};
use super::{Context, Format, Parsed, ids, level, time};
use crate::logs::Severity;
use crate::trace::span::AttributeValue;
use std::borrow::Cow;

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Texts(Vec<String>),
}

/// What was found for one part of a record so far.
type Slot<'a> = Option<(u8, &'static str, Value<'a>)>;

/// Collects fields.
#[derive(Debug)]
pub(super) struct Keyed<'a> {
    pub(super) parsed: Parsed,
    time: Slot<'a>,
    level: Slot<'a>,
    body: Slot<'a>,
    seconds: Option<(&'static str, i64)>,
    nanos: Option<(&'static str, i64)>,
    ids: ids::Ids,
    /// Names of the fields that the ids came from, given back if they turn out to be of no use.
    lone_span: Option<(&'static str, Cow<'a, str>)>,
    critical_is_fatal: bool,
}

impl<'a> Keyed<'a> {
    pub(super) fn new(format: Format) -> Keyed<'a> {
        Keyed {
            parsed: Parsed::of(format),
            time: None,
            level: None,
            body: None,
            seconds: None,
            nanos: None,
            ids: ids::Ids::default(),
            lone_span: None,
            critical_is_fatal: false,
        }
    }

    /// Takes a field.
    pub(super) fn take(&mut self, key: &str, value: Value<'a>) {
        let Some((key, role)) = role(key) else {
            return self.attribute(Cow::Owned(key.to_owned()), value);
        };
        if let Some(value) = self.role(key, role, value) {
            self.attribute(Cow::Borrowed(key), value);
        }
    }

    /// Takes a field of a known meaning, or gives its value back if it cannot mean that.
    fn role(&mut self, key: &'static str, role: Role, value: Value<'a>) -> Option<Value<'a>> {
        match (role, value) {
            (Role::Time(rank), value @ (Value::Text(_) | Value::Int(_) | Value::Double(_))) => {
                self.displace(|keyed| &mut keyed.time, rank, key, value);
            }
            (Role::Level(rank), value @ (Value::Text(_) | Value::Int(_))) => {
                self.critical_is_fatal |= matches!(key, "levelname" | "LogLevel");
                self.displace(|keyed| &mut keyed.level, rank, key, value);
            }
            (Role::Body(rank), value @ Value::Text(_)) => {
                self.displace(|keyed| &mut keyed.body, rank, key, value);
            }
            (Role::Seconds, Value::Int(seconds)) => self.seconds = Some((key, seconds)),
            (Role::Nanos, Value::Int(nanos)) => self.nanos = Some((key, nanos)),
            (Role::Trace | Role::Xray | Role::Google, Value::Text(text)) => {
                let id = match role {
                    Role::Xray => ids::xray(&text),
                    Role::Google => ids::google(&text),
                    // Datadog's short ids are the lower half of long ones.
                    _ if key == "dd.trace_id" && text.len() != 32 => None,
                    _ => ids::trace(&text),
                };
                match id {
                    Some(id) if self.ids.trace.is_none_or(|known| known == id) => self.ids.trace = Some(id),
                    _ => return Some(Value::Text(text)),
                }
            }
            (Role::Span, Value::Text(text)) => match ids::span(&text) {
                Some(id) if self.ids.span.is_none() => {
                    self.ids.span = Some(id);
                    self.lone_span = Some((key, text));
                }
                Some(id) if self.ids.span == Some(id) => {}
                _ => return Some(Value::Text(text)),
            },
            (Role::Flags, Value::Text(text)) => match ids::flags(&text) {
                Some(flags) => self.ids.flags = flags,
                None => return Some(Value::Text(text)),
            },
            (Role::Flags, Value::Bool(sampled)) => self.ids.flags = u8::from(sampled),
            (Role::Flags, Value::Int(flags @ 0..=255)) => self.ids.flags = flags as u8,
            (Role::Parent, Value::Text(text)) => match ids::parent(&text) {
                Some(found) if self.ids.trace.is_none() => self.ids = found,
                _ => return Some(Value::Text(text)),
            },
            (Role::Source, Value::Text(text)) => {
                if self.parsed.source(&text).is_none() {
                    return Some(Value::Text(text));
                }
            }
            // These names are used for other things too; a trace has lines.
            (Role::Named("exception.stacktrace"), Value::Text(text)) if !text.contains('\n') => {
                return Some(Value::Text(text));
            }
            (Role::Named(name), value @ Value::Text(_)) | (Role::NamedInt(name), value @ Value::Int(_)) => {
                // Two fields may mean one thing: the first has its name, the second keeps its own.
                let name = if self.parsed.get(name).is_some() { key } else { name };
                self.attribute(Cow::Borrowed(name), value);
            }
            // Google writes the line as a text.
            (Role::NamedInt(name), Value::Text(text)) => match text.parse() {
                Ok(number) if self.parsed.get(name).is_none() => {
                    self.attribute(Cow::Borrowed(name), Value::Int(number));
                }
                _ => return Some(Value::Text(text)),
            },
            (_, value) => return Some(value),
        }
        None
    }

    /// Puts a value into its slot, if it is of a better rank than what is there; the other becomes an attribute.
    fn displace(
        &mut self,
        slot: for<'b> fn(&'b mut Keyed<'a>) -> &'b mut Slot<'a>,
        rank: u8,
        key: &'static str,
        value: Value<'a>,
    ) {
        let slot = slot(self);
        let loser = match slot {
            Some((known, ..)) if *known < rank => Some((rank, key, value)),
            _ => slot.replace((rank, key, value)).filter(|(_, name, _)| *name != key),
        };
        if let Some((_, key, value)) = loser {
            self.attribute(Cow::Borrowed(key), value);
        }
    }

    fn attribute(&mut self, name: Cow<'static, str>, value: Value<'a>) {
        let value = match value {
            Value::Null => return,
            Value::Bool(value) => AttributeValue::Bool(value),
            Value::Int(value) => AttributeValue::Int(value),
            Value::Double(value) => AttributeValue::Double(value),
            Value::Text(text) => self.parsed.cut(text),
            Value::Texts(texts) => AttributeValue::Texts(texts),
        };
        self.parsed.add(name, value);
    }

    /// Whether a message and a time or a level were among the fields.
    pub(super) fn is_log(&self) -> bool {
        let known = [self.time.is_some(), self.level.is_some(), self.body.is_some()];
        known.iter().filter(|known| **known).count() >= 2
    }

    /// All that was said; `line` is the body when no field is.
    pub(super) fn finish(mut self, line: &str, cx: &Context<'_>) -> Parsed {
        self.finish_level();
        self.finish_time(cx);
        self.parsed.body = match self.body.take() {
            Some((_, _, Value::Text(text))) => text.into_owned(),
            _ => line.to_owned(),
        };
        self.parsed.span = self.ids.context();
        if self.parsed.span.is_none()
            && let Some((key, text)) = self.lone_span.take()
        {
            self.attribute(Cow::Borrowed(key), Value::Text(text));
        }
        self.finish_source();
        self.parsed
    }

    /// A `filename` is one of the source when there is a line beside it; else it may be any.
    fn finish_source(&mut self) {
        if self.parsed.get("code.line.number").is_some() && self.parsed.get("code.file.path").is_none() {
            let name = |name: &str| matches!(name, "filename" | "pathname");
            if let Some((name, _)) = self.parsed.attributes.iter_mut().find(|(known, _)| name(known)) {
                *name = Cow::Borrowed("code.file.path");
            }
        }
    }

    fn finish_time(&mut self, cx: &Context<'_>) {
        if let Some((_, key, value)) = self.time.take() {
            self.parsed.timestamp = match &value {
                Value::Text(text) => time::of_text(text, cx),
                Value::Int(number) => time::epoch(*number, cx),
                Value::Double(number) => time::epoch_float(*number, cx),
                _ => None,
            };
            if self.parsed.timestamp.is_none() {
                self.attribute(Cow::Borrowed(key), value);
            }
        }
        if self.parsed.timestamp.is_none()
            && let Some((_, seconds)) = self.seconds
            && let Some(start) = seconds
                .checked_mul(1_000_000_000)
                .and_then(|nanos| time::epoch(nanos, cx))
        {
            let nanos = self.nanos.take().map_or(0, |(_, nanos)| nanos);
            self.parsed.timestamp = Some(start + u64::try_from(nanos).unwrap_or(0).min(999_999_999));
            self.seconds = None;
        }
        for (key, value) in [self.seconds.take(), self.nanos.take()].into_iter().flatten() {
            self.attribute(Cow::Borrowed(key), Value::Int(value));
        }
    }

    fn finish_level(&mut self) {
        let found = match &self.level {
            Some((_, "@l", Value::Text(word))) if word == "Verbose" => Some((Severity::TRACE, level::text(word))),
            Some((_, _, Value::Text(word))) => {
                let read = if self.critical_is_fatal {
                    level::of_word_critical_is_fatal
                } else {
                    level::of_word
                };
                read(word.trim_ascii()).map(|severity| (severity, level::text(word.trim_ascii())))
            }
            Some((_, "level", Value::Int(number))) => self.of_number(*number),
            // Serilog leaves the level out when it is this one.
            None if matches!(&self.time, Some((_, "@t", _))) && matches!(&self.body, Some((_, "@m" | "@mt", _))) => {
                self.parsed.severity = Severity::INFO;
                None
            }
            _ => None,
        };
        match (found, self.level.take()) {
            (Some((severity, text)), _) => {
                self.parsed.severity = severity;
                self.parsed.severity_text = Some(text);
            }
            (None, Some((_, key, value))) => self.attribute(Cow::Borrowed(key), value),
            (None, None) => {}
        }
    }

    /// A level as a number means nothing without the library that wrote it. Python's 30 is a warning, pino's is none.
    fn of_number(&self, number: i64) -> Option<(Severity, Cow<'static, str>)> {
        let has = |name: &str| self.parsed.get(name).is_some();
        let body = self.body.as_ref().map(|(_, key, _)| *key);
        let millis = matches!(&self.time, Some((_, "time", Value::Int(_))));
        let bunyan = has("v") && has("hostname") && has("process.pid");
        let gelf = body == Some("short_message") && has("version");
        let (severity, text) = if body == Some("msg") && (bunyan || millis) {
            level::of_pino(number)?
        } else if gelf {
            level::of_syslog(u8::try_from(number).ok()?)?
        } else {
            return None;
        };
        Some((severity, Cow::Borrowed(text)))
    }
}
