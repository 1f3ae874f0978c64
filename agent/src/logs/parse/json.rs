//! Objects of JSON, read once from left to right without a tree in between.

use super::keyed::{Keyed, Value};
use super::{Context, Format, NAME_BYTES, Parsed};
use crate::trace::span::AttributeValue;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Objects within objects whose members are told one by one; deeper ones are told as JSON.
const DEPTH: usize = 4;
/// Members of a list of texts.
const LIST: usize = 64;

pub(super) fn read(line: &str, cx: &Context<'_>) -> Option<Parsed> {
    if !line.starts_with('{') {
        return None;
    }
    let mut keyed = Keyed::new(Format::Json);
    let mut reader = serde_json::Deserializer::from_str(line);
    let mut path = String::new();
    let object = Object {
        keyed: &mut keyed,
        path: &mut path,
        depth: 0,
    };
    reader.deserialize_map(object).ok()?;
    reader.end().ok()?;
    let mut parsed = keyed.finish(line, cx);
    if parsed.get("target").is_some() {
        shorten(&mut parsed);
    }
    Some(parsed)
}

/// tracing's fields are the event's attributes; one that has the name of another one keeps its path.
fn shorten(parsed: &mut Parsed) {
    for at in 0..parsed.attributes.len() {
        let Some(short) = parsed
            .attributes
            .get(at)
            .and_then(|(name, _)| name.strip_prefix("fields."))
        else {
            continue;
        };
        if short.is_empty() || parsed.get(short).is_some() {
            continue;
        }
        let short = short.to_owned();
        if let Some((name, _)) = parsed.attributes.get_mut(at) {
            *name = Cow::Owned(short);
        }
    }
}

/// Reads the members of an object.
struct Object<'a, 'de> {
    keyed: &'a mut Keyed<'de>,
    /// Path of the object, with a dot at its end.
    path: &'a mut String,
    depth: usize,
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            map.next_value_seed(Member {
                keyed: &mut *self.keyed,
                path: &mut *self.path,
                key,
                depth: self.depth,
            })?;
        }
        Ok(())
    }
}

/// Reads a name without copying it.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads the value of a member.
struct Member<'a, 'de> {
    keyed: &'a mut Keyed<'de>,
    path: &'a mut String,
    key: Cow<'de, str>,
    depth: usize,
}

impl<'de> Member<'_, 'de> {
    fn take(self, value: Value<'de>) {
        if self.path.is_empty() {
            self.keyed.take(&self.key, value);
        } else {
            let length = self.path.len();
            self.path.push_str(&self.key);
            self.keyed.take(self.path, value);
            self.path.truncate(length);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.take(Value::Null);
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.take(Value::Bool(value));
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.take(Value::Int(value));
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        // OTLP has no number for the upper half.
        let value = i64::try_from(value).map_or_else(|_| Value::Text(Cow::Owned(value.to_string())), Value::Int);
        self.take(value);
        Ok(())
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.take(Value::Double(value));
        Ok(())
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.take(Value::Text(Cow::Borrowed(text)));
        Ok(())
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.take(Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut values: Vec<serde_json::Value> = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        if values.iter().all(serde_json::Value::is_string) {
            if values.len() > LIST {
                self.keyed.parsed.cut += 1;
            }
            let texts = values.into_iter().take(LIST).filter_map(|value| match value {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            });
            self.take(Value::Texts(texts.collect()));
        } else {
            self.take(Value::Text(Cow::Owned(serde_json::Value::Array(values).to_string())));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let length = self.path.len();
        if self.depth >= DEPTH || length + self.key.len() > NAME_BYTES {
            let mut object = serde_json::Map::new();
            while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
                object.insert(key, value);
            }
            let text = serde_json::to_string(&object).map_err(A::Error::custom)?;
            self.take(Value::Text(Cow::Owned(text)));
            return Ok(());
        }
        self.path.push_str(&self.key);
        self.path.push('.');
        let path = &mut *self.path;
        Object {
            keyed: self.keyed,
            path: &mut *path,
            depth: self.depth + 1,
        }
        .visit_map(map)?;
        path.truncate(length);
        Ok(())
    }
}

/// Reads an object into attributes of a line that is not JSON as a whole; false, with some of them added, when it is none.
pub(super) fn attributes_of(text: &str, parsed: &mut Parsed) -> bool {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) else {
        return false;
    };
    for (key, value) in object {
        let value = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::Bool(value) => AttributeValue::Bool(value),
            serde_json::Value::String(text) => parsed.cut(Cow::Owned(text)),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => AttributeValue::Int(number),
                (None, Some(number)) if !number.is_nan() && number.fract() != 0.0 => AttributeValue::Double(number),
                _ => parsed.cut(Cow::Owned(number.to_string())),
            },
            value => parsed.cut(Cow::Owned(value.to_string())),
        };
        parsed.add(Cow::Owned(key), value);
    }
    true
}
