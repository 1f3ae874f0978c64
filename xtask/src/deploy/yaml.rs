//! YAML as values of JSON, from the events of the parser that reads the agent's own configuration.

use anyhow::{Result, bail};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// All documents of a text, empty ones left out. Aliases and keys given twice are errors: no file of ours needs them.
pub(super) fn documents(text: &str) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => bail!("line {}: is no YAML: {}", error.marker().line(), error.info()),
        };
        let line = span.start.line();
        let value = match event {
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => match open.pop() {
                Some(Open::Map(map, _)) => Value::Object(map),
                Some(Open::List(list)) => Value::Array(list),
                None => bail!("line {line}: something ends that did not begin"),
            },
            Event::Scalar(text, style, ..) => scalar(&text, style == ScalarStyle::Plain),
            Event::Alias(_) => bail!("line {line}: has an alias"),
            _ => continue,
        };
        match open.last_mut() {
            None if value.is_null() => {}
            None => documents.push(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => match key.take() {
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
                Some(name) => {
                    if map.contains_key(&name) {
                        bail!("line {line}: {name} is given twice");
                    }
                    map.insert(name, value);
                }
            },
        }
    }
    Ok(documents)
}

/// A collection under way; of a mapping also the key whose value comes next.
enum Open {
    Map(Map<String, Value>, Option<String>),
    List(Vec<Value>),
}

/// What a plain text stands for by YAML's core schema; floats but for the ordinary ones stay texts.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text
            .parse::<i64>()
            .map(Value::from)
            .ok()
            .or_else(|| {
                let number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
                text.parse::<f64>().ok().filter(|_| number).map(Value::from)
            })
            .unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_become_values() {
        let text = "a: 1\nb: [x, 2.5, \"3\", true]\nc: {d: ~}\ne: >-\n  two\n  lines\n---\n- 5m\n---\n";
        let found = documents(text).unwrap();
        let first = json!({"a": 1, "b": ["x", 2.5, "3", true], "c": {"d": null}, "e": "two lines"});
        assert_eq!(found, [first, json!(["5m"])]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (text, part) in [
            ("a: 1\na: 2\n", "given twice"),
            ("a: [1\n", "is no YAML"),
            ("a: &x 1\nb: *x\n", "alias"),
        ] {
            let error = documents(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
