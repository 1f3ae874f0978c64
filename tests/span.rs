//! Spans as the agent writes them to standard output.

use crate::truth::Key;
use serde_json::Value;

/// One line of `--export=stdout`.
#[derive(Clone, Debug)]
pub struct Span {
    /// Hexadecimal.
    pub trace_id: String,
    /// Hexadecimal.
    pub span_id: String,
    /// Hexadecimal, empty for a root.
    pub parent_id: String,
    /// `service.name`.
    pub service: String,
    /// Name of the span.
    pub name: String,
    /// `SERVER` or `CLIENT`.
    pub kind: String,
    /// Seconds.
    pub seconds: f64,
    /// Attributes.
    pub attributes: serde_json::Map<String, Value>,
}

impl Span {
    pub(crate) fn parse(line: &str) -> Option<Span> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_string();
        Some(Span {
            trace_id: value.get("trace_id")?.as_str()?.to_string(),
            span_id: text("span_id"),
            parent_id: text("parent_id"),
            service: text("service"),
            name: text("name"),
            kind: text("kind"),
            seconds: value.get("duration_ms")?.as_f64()? / 1e3,
            attributes: value.get("attributes")?.as_object()?.clone(),
        })
    }
    /// A text attribute, empty when absent.
    pub fn text(&self, name: &str) -> &str {
        self.attributes.get(name).and_then(Value::as_str).unwrap_or("")
    }
    /// A whole-number attribute, whether written as a number or as text (OTLP/JSON).
    pub fn int(&self, name: &str) -> Option<u64> {
        let value = self.attributes.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }
    /// `http.response.status_code`.
    pub fn status(&self) -> Option<u16> {
        self.int("http.response.status_code").map(|status| status as u16)
    }
    /// Method as sent.
    pub fn method(&self) -> &str {
        match self.text("http.request.method_original") {
            "" => self.text("http.request.method"),
            original => original,
        }
    }
    /// `url.path`; client spans carry `url.full` by convention.
    pub fn path(&self) -> String {
        match self.text("url.path") {
            "" => crate::truth::path_of(self.text("url.full")),
            path => path.into(),
        }
    }
    /// What it is compared by.
    pub fn key(&self) -> Key {
        Key {
            method: self.method().into(),
            path: self.path(),
            status: self.status(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of spans is read, with or without what is optional; anything else is not a span.
    #[test]
    fn reads_spans() {
        let line = r#"{"trace_id":"t","span_id":"s","parent_id":null,"service":"shop","name":"GET /a","kind":"SERVER",
            "start":1,"duration_ms":2.5,"attributes":{"http.request.method":"_OTHER","http.request.method_original":"PURGE",
            "http.response.status_code":200,"url.path":"/a"}}"#;
        let span = Span::parse(line).unwrap();
        let key = Key {
            method: "PURGE".into(),
            path: "/a".into(),
            status: Some(200),
        };
        assert_eq!(span.key(), key);
        assert_eq!((span.seconds, span.parent_id.as_str()), (0.0025, ""));
        assert!(Span::parse("onlooker is ready").is_none());
        assert!(Span::parse("{}").is_none());
    }
}
