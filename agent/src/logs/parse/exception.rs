//! Names and messages of exceptions in texts that hold a stack trace. The trace itself stays in the body.

use super::Parsed;

/// Adds `exception.type` and `exception.message` of the semantic conventions when the body holds a trace.
pub(super) fn describe(parsed: &mut Parsed) {
    if memchr::memchr(b'\n', parsed.body.as_bytes()).is_none() || parsed.get("exception.type").is_some() {
        return;
    }
    let body = std::mem::take(&mut parsed.body);
    if let Some((kind, message)) = python(&body).or_else(|| frames(&body)) {
        parsed.text("exception.type", kind);
        parsed.text("exception.message", message);
    }
    parsed.body = body;
}

/// The last line of the last traceback: what was raised at the end.
fn python(body: &str) -> Option<(&str, &str)> {
    let at = body.rfind("Traceback (most recent call last):")?;
    let line = body
        .get(at..)?
        .lines()
        .skip(1)
        .find(|line| !line.starts_with([' ', '\t']))?;
    named(line)
}

/// The line before the first `    at …`: Java, JavaScript and .NET.
fn frames(body: &str) -> Option<(&str, &str)> {
    let mut before = "";
    for line in body.lines() {
        if line.trim_start().starts_with("at ") && line.starts_with([' ', '\t']) {
            let line = before
                .strip_prefix("Unhandled exception. ")
                .or_else(|| before.strip_prefix("Uncaught "))
                .unwrap_or(before);
            let thread = line
                .strip_prefix("Exception in thread \"")
                .and_then(|line| line.split_once("\" "));
            return named(thread.map_or(line, |(_, line)| line));
        }
        // A line that continues a message is none of its own.
        if !line.starts_with([' ', '\t']) {
            before = line;
        }
    }
    None
}

/// `java.lang.IllegalStateException: message`: a name without blanks, and a message or none.
fn named(line: &str) -> Option<(&str, &str)> {
    let (kind, message) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    let first = kind.bytes().next()?;
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._$".contains(&byte);
    (first.is_ascii_alphabetic() && kind.len() <= 200 && kind.bytes().all(letters)).then_some((kind, message))
}
