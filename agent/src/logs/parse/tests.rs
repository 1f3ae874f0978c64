//! Golden lines: `agent/tests/data/logs` has a file a format, and beside it what is made of its lines. After a change that is meant,
//! `INSTA_UPDATE=always cargo test -p onlooker --lib -- logs::parse` writes them again; read the difference.

use super::*;
use crate::logs::multiline::{Joiner, Limits};
use crate::trace::context::Hex;
use crate::trace::span::AttributeValue;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::PathBuf;

/// 2026-01-03T00:00:00Z.
const NOW: u64 = 1_767_398_400_000_000_000;
/// 2026-01-02T03:04:05Z.
const THEN: u64 = 1_767_323_045_000_000_000;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/logs")
}

/// The files of lines by name, each as its groups.
fn corpus() -> Vec<(String, Vec<Vec<u8>>)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("golden lines")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().expect("named").to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).expect("readable");
            let mut groups = Vec::new();
            let mut joiner = Joiner::new(Limits::default());
            let mut tell = |group: crate::logs::multiline::Group<'_, ()>| groups.push(group.text.to_vec());
            for line in bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|byte| *byte == b'\n') {
                joiner.push(line, 0, (), &mut tell);
            }
            joiner.close(&mut tell);
            (name, groups)
        })
        .collect()
}

fn show(line: &[u8], parsed: &Parsed) -> String {
    let mut out = String::new();
    let text = String::from_utf8_lossy(line);
    for line in text.lines() {
        let _ = writeln!(out, "> {}", line.escape_debug());
    }
    let _ = write!(out, "{:?}", parsed.format);
    if let Some(time) = parsed.timestamp {
        let _ = write!(out, " time={}", time as i128 - i128::from(THEN));
    }
    if let Some(text) = &parsed.severity_text {
        let _ = write!(out, " severity={} {text:?}", parsed.severity.number());
    } else if parsed.severity != Severity::UNSPECIFIED {
        let _ = write!(out, " severity={}", parsed.severity.number());
    }
    if let Some(span) = &parsed.span {
        let _ = write!(
            out,
            " span={}-{}-{:02x}",
            Hex(&span.trace_id),
            Hex(&span.span_id),
            span.flags
        );
    }
    if parsed.body.as_bytes() == line {
        let _ = writeln!(out, " body=line");
    } else {
        let _ = writeln!(out, "\n  {:?}", parsed.body);
    }
    for (name, value) in &parsed.attributes {
        let _ = match value {
            AttributeValue::Text(text) => writeln!(out, "  {name} = {text:?}"),
            value => writeln!(out, "  {name} = {value:?}"),
        };
    }
    out
}

#[test]
fn golden_lines() {
    for (name, groups) in corpus() {
        let mut parser = Parser::new(Zone::Unknown);
        let shown: Vec<String> = groups.iter().map(|line| show(line, &parser.parse(line, NOW))).collect();
        insta::with_settings!({snapshot_path => "../../../tests/data/logs", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name.as_str(), shown.join("\n"));
        });
    }
}

/// What a line means does not depend on the format of those before it.
#[test]
fn the_remembered_format_changes_nothing() {
    let lines: Vec<Vec<u8>> = corpus().into_iter().flat_map(|(_, groups)| groups).collect();
    for before in &lines {
        let mut parser = Parser::new(Zone::Utc);
        parser.parse(before, NOW);
        for line in &lines {
            let mut warm = parser.clone();
            let expect = Parser::new(Zone::Utc).parse(line, NOW);
            assert_eq!(warm.parse(line, NOW), expect, "{:?}", String::from_utf8_lossy(line));
        }
    }
}

#[test]
fn local_times_take_the_zone_that_was_told() {
    let line = b"2026-01-02 03:04:05,500 - shop - INFO - sold";
    assert_eq!(Parser::new(Zone::Unknown).parse(line, NOW).timestamp, None);
    assert_eq!(
        Parser::new(Zone::Utc).parse(line, NOW).timestamp,
        Some(THEN + 500_000_000)
    );
    let east = Parser::new(Zone::Fixed(3600)).parse(line, NOW).timestamp;
    assert_eq!(east, Some(THEN + 500_000_000 - 3_600_000_000_000));
}

#[test]
fn limits_are_kept_and_counted() {
    let many: Vec<String> = (0..200).map(|at| format!("\"k{at}\":{at}")).collect();
    let long = "x".repeat(VALUE_BYTES + 10);
    let name = "n".repeat(NAME_BYTES + 1);
    let line = format!("{{\"msg\":\"m\",\"long\":\"{long}\",\"{name}\":1,{}}}", many.join(","));
    let parsed = Parser::default().parse(line.as_bytes(), NOW);
    assert_eq!(parsed.attributes.len(), ATTRIBUTES);
    assert_eq!((parsed.dropped, parsed.cut), (200 - (ATTRIBUTES as u32 - 1) + 1, 1));
    let deep = format!("{{\"msg\":\"m\",\"a\":{}1{}}}", "{\"a\":".repeat(100), "}".repeat(100));
    assert_eq!(Parser::default().parse(deep.as_bytes(), NOW).attributes.len(), 1);
    let deeper = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    assert_eq!(Parser::default().parse(deeper.as_bytes(), NOW).format, Format::Plain);
}

fn bounded(line: &[u8], parsed: &Parsed) {
    assert!(parsed.attributes.len() <= ATTRIBUTES);
    assert!(parsed.body.len() <= line.len() * 3);
    for (at, (name, value)) in parsed.attributes.iter().enumerate() {
        assert!(!name.is_empty() && name.len() <= NAME_BYTES, "{name:?}");
        assert!(
            !parsed.attributes[..at].iter().any(|(known, _)| known == name),
            "{name:?} twice"
        );
        if let AttributeValue::Text(text) = value {
            assert!(text.len() <= VALUE_BYTES);
        }
    }
    assert!(parsed.timestamp.is_none_or(|time| time <= NOW + 86_400_000_000_000));
}

proptest! {
    #[test]
    fn any_bytes_are_a_line(line in prop::collection::vec(any::<u8>(), 0..300)) {
        bounded(&line, &Parser::new(Zone::Utc).parse(&line, NOW));
    }

    /// Lines of the corpus with bytes exchanged, cut and put together.
    #[test]
    fn any_broken_line_is_a_line(
        first in any::<prop::sample::Index>(), second in any::<prop::sample::Index>(), cut in 0usize..200, from in 0usize..200,
        byte in any::<u8>(), place in any::<prop::sample::Index>(),
    ) {
        let lines: Vec<Vec<u8>> = corpus().into_iter().flat_map(|(_, groups)| groups).collect();
        let mut line = first.get(&lines).clone();
        line.truncate(cut);
        line.extend(second.get(&lines).iter().skip(from));
        if !line.is_empty() {
            let at = place.index(line.len());
            line[at] = byte;
        }
        bounded(&line, &Parser::new(Zone::Utc).parse(&line, NOW));
    }

    #[test]
    fn json_gives_back_its_fields(
        message in "[^\u{1b}]{0,40}", text in "\\PC{0,40}", number in any::<i64>(), flag in any::<bool>(), millis in 0u64..1000,
        trace in prop::array::uniform16(1u8..), span in prop::array::uniform8(1u8..),
    ) {
        let line = serde_json::json!({
            "time": format!("2026-01-02T03:04:05.{millis:03}Z"), "level": "warn", "msg": message, "some_text": text, "number": number,
            "flag": flag, "trace_id": Hex(&trace).to_string(), "span_id": Hex(&span).to_string(),
        });
        let parsed = Parser::default().parse(line.to_string().as_bytes(), NOW);
        prop_assert_eq!(parsed.timestamp, Some(THEN + millis * 1_000_000));
        prop_assert_eq!(parsed.severity, Severity::WARN);
        prop_assert_eq!(&parsed.body, &message);
        prop_assert_eq!(parsed.span.map(|span| (span.trace_id, span.span_id)), Some((trace, span)));
        prop_assert_eq!(parsed.get("some_text"), Some(&AttributeValue::Text(text.into())));
        prop_assert_eq!(parsed.get("number"), Some(&AttributeValue::Int(number)));
        prop_assert_eq!(parsed.get("flag"), Some(&AttributeValue::Bool(flag)));
    }

    #[test]
    fn logfmt_gives_back_its_fields(message in "[ -~]{0,40}", word in "[a-z0-9/:.]{0,20}") {
        let quoted = message.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("level=error msg=\"{quoted}\" some={word} last=x");
        let parsed = Parser::default().parse(line.as_bytes(), NOW);
        prop_assert_eq!(parsed.format, Format::Logfmt);
        prop_assert_eq!(&parsed.body, &message);
        prop_assert_eq!(parsed.get("some"), Some(&AttributeValue::Text(word.into())));
    }

    #[test]
    fn access_logs_give_back_their_fields(path in "/[a-z/]{0,20}", status in 100u16..600, size in any::<u32>(), agent in "[ !#-~&&[^\\\\]]{1,30}") {
        prop_assume!(agent != "-");
        let line = format!("192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] \"GET {path} HTTP/1.1\" {status} {size} \"-\" \"{agent}\"");
        let parsed = Parser::default().parse(line.as_bytes(), NOW);
        prop_assert_eq!(parsed.format, Format::Access);
        prop_assert_eq!(parsed.timestamp, Some(THEN));
        prop_assert_eq!(parsed.get("url.path"), Some(&AttributeValue::Text(path.into())));
        prop_assert_eq!(parsed.get("http.response.status_code"), Some(&AttributeValue::Int(status.into())));
        prop_assert_eq!(parsed.get("http.response.body.size"), Some(&AttributeValue::Int(size.into())));
        prop_assert_eq!(parsed.get("user_agent.original"), Some(&AttributeValue::Text(agent.into())));
    }
}
