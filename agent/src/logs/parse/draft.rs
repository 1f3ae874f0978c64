//! Adding to what a line says, within its limits.

use super::{ATTRIBUTES, Context, Format, NAME_BYTES, Parsed, VALUE_BYTES, level, time};
use crate::logs::Severity;
use crate::trace::span::AttributeValue;
use std::borrow::Cow;

impl Parsed {
    /// Of a format, with nothing said yet.
    pub(super) fn of(format: Format) -> Parsed {
        Parsed {
            format,
            ..Parsed::default()
        }
    }

    /// Adds an attribute; one of that name is replaced, as readers of JSON do with names that come twice.
    pub(super) fn add(&mut self, name: Cow<'static, str>, value: AttributeValue) {
        if name.is_empty() || name.len() > NAME_BYTES {
            self.dropped += 1;
            return;
        }
        if let Some((_, old)) = self.attributes.iter_mut().find(|(known, _)| *known == name) {
            *old = value;
        } else if self.attributes.len() >= ATTRIBUTES {
            self.dropped += 1;
        } else {
            if self.attributes.capacity() == 0 {
                self.attributes.reserve(8);
            }
            self.attributes.push((name, value));
        }
    }

    /// Whether an attribute is there.
    pub(super) fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.attributes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// Adds a text that is not empty.
    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            let value = self.cut(Cow::Borrowed(value));
            self.add(Cow::Borrowed(name), value);
        }
    }

    /// Adds a whole number, if the text is one.
    pub(super) fn int(&mut self, name: &'static str, value: &str) {
        if let Ok(number) = value.parse() {
            self.add(Cow::Borrowed(name), AttributeValue::Int(number));
        }
    }

    /// A text as a value, no longer than it may be.
    pub(super) fn cut(&mut self, text: Cow<'_, str>) -> AttributeValue {
        if text.len() <= VALUE_BYTES {
            return AttributeValue::Text(Cow::Owned(text.into_owned()));
        }
        self.cut += 1;
        let end = (0..=VALUE_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or_default();
        AttributeValue::Text(Cow::Owned(text.get(..end).unwrap_or_default().to_owned()))
    }

    /// The time, or the text of one that is not certain as the attribute `time`.
    pub(super) fn time(&mut self, stamp: &time::Stamp, written: &str, cx: &Context<'_>) {
        self.timestamp = stamp.unix(cx);
        if self.timestamp.is_none() {
            self.text("time", written.trim());
        }
    }

    /// The severity and its word.
    pub(super) fn level(&mut self, severity: Severity, word: &str) {
        self.severity = severity;
        self.severity_text = Some(level::text(word));
    }

    /// `file.go:12`: where in the source; `None` when it does not look so.
    pub(super) fn source(&mut self, place: &str) -> Option<()> {
        let (file, line) = place.rsplit_once(':')?;
        if file.is_empty() || !file.contains('.') || file.contains(' ') {
            return None;
        }
        let line = line.parse().ok()?;
        self.text("code.file.path", file);
        self.add(Cow::Borrowed("code.line.number"), AttributeValue::Int(line));
        Some(())
    }
}
