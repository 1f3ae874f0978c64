//! Lines as container runtimes write them: pure functions of bytes.

use super::time::rfc3339;
pub use crate::signal::Stream;
use serde::Deserialize;
use std::borrow::Cow;

fn iostream(word: &[u8]) -> Option<Stream> {
    match word {
        b"stdout" => Some(Stream::Stdout),
        b"stderr" => Some(Stream::Stderr),
        _ => None,
    }
}

/// How the lines of a file are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Plain,
    /// By a container runtime, in CRI's way or in that of Docker's `json-file`; every line tells which.
    Container,
}

/// What a program wrote, or a part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// When the runtime read it: Unix time, nanoseconds.
    pub(super) time: Option<u64>,
    pub(super) stream: Option<Stream>,
    /// The line ends here; else the next piece of the same stream goes on with it.
    pub(super) ends: bool,
    pub(super) text: Cow<'a, [u8]>,
}

/// Takes the wrapping off a line (without its newline). `None`: it is not wrapped so, e.g. torn.
pub(super) fn unwrap(format: Format, line: &[u8]) -> Option<Piece<'_>> {
    match (format, line.first()) {
        (Format::Plain, _) => Some(Piece {
            time: None,
            stream: None,
            ends: true,
            text: Cow::Borrowed(line),
        }),
        (Format::Container, Some(b'{')) => docker(line),
        (Format::Container, _) => cri(line),
    }
}

/// `TIME STREAM TAGS TEXT`; tags are parted by `:`, the first is `P` (the line goes on) or `F`. Kubernetes,
/// `staging/src/k8s.io/cri-client/pkg/logs`, and its design proposal "CRI: Log management for container stdout/stderr streams".
fn cri(line: &[u8]) -> Option<Piece<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = rfc3339(parts.next()?)?;
    let stream = iostream(parts.next()?)?;
    let tag = parts.next()?.split(|byte| *byte == b':').next()?;
    let ends = match tag {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Piece {
        time: Some(time),
        stream: Some(stream),
        ends,
        // An empty text may come without the blank before it.
        text: Cow::Borrowed(parts.next().unwrap_or_default()),
    })
}

#[derive(Deserialize)]
struct Docker<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

/// An object a line; a log text without newline goes on in the next one of its stream
/// (<https://docs.docker.com/engine/logging/drivers/json-file/>).
fn docker(line: &[u8]) -> Option<Piece<'_>> {
    let Docker { log, stream, time } = serde_json::from_slice(line).ok()?;
    let ends = log.ends_with('\n');
    let text = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(mut text) => {
            if ends {
                text.pop();
            }
            Cow::Owned(text.into_bytes())
        }
    };
    let text = match text {
        Cow::Borrowed([text @ .., b'\n']) => Cow::Borrowed(text),
        text => text,
    };
    Some(Piece {
        time: rfc3339(time.as_bytes()),
        stream: iostream(stream.as_bytes()),
        ends,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: u64 = 1_475_713_029_669_794_202;

    fn piece(line: &str) -> Option<(Option<u64>, Option<Stream>, bool, String)> {
        unwrap(Format::Container, line.as_bytes()).map(|piece| {
            let text = String::from_utf8_lossy(&piece.text).into_owned();
            (piece.time, piece.stream, piece.ends, text)
        })
    }

    #[test]
    fn reads_cri() {
        let time = "2016-10-06T00:17:09.669794202Z";
        for (rest, stream, ends, text) in [
            (" stdout P a b ", Stream::Stdout, false, "a b "),
            (" stderr F", Stream::Stderr, true, ""),
            (" stdout F ", Stream::Stdout, true, ""),
            (" stdout F:x:y  z", Stream::Stdout, true, " z"),
        ] {
            let expect = Some((Some(TIME), Some(stream), ends, text.to_owned()));
            assert_eq!(piece(&format!("{time}{rest}")), expect);
        }
        for torn in [
            "",
            "2016-10-06T00:17",
            &format!("{time} std"),
            &format!("{time} stdout X a"),
            "plain text of a line",
        ] {
            assert_eq!(piece(torn), None, "{torn:?}");
        }
    }

    #[test]
    fn reads_docker() {
        let line =
            |log: &str| format!(r#"{{"log":"{log}","stream":"stderr","time":"2016-10-06T00:17:09.669794202Z"}}"#);
        for (log, ends, text) in [
            (r"one\n", true, "one"),
            (r"one", false, "one"),
            (r"a\tb\n", true, "a\tb"),
            (r"", false, ""),
            (r"\n", true, ""),
        ] {
            let expect = Some((Some(TIME), Some(Stream::Stderr), ends, text.to_owned()));
            assert_eq!(piece(&line(log)), expect, "{log}");
        }
        assert_eq!(piece(r#"{"log":"x\n"}"#), Some((None, None, true, "x".to_owned())));
        for torn in [r#"{"log":"x"#, "{", r#"{"msg":"x"}"#] {
            assert_eq!(piece(torn), None, "{torn:?}");
        }
    }

    proptest! {
        #[test]
        fn takes_any_bytes(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            unwrap(Format::Container, &line);
            prop_assert_eq!(unwrap(Format::Plain, &line).map(|piece| piece.text.into_owned()), Some(line));
        }

        #[test]
        fn takes_what_looks_like_it(line in "[0-9T:.Z+-]{0,40} ?(stdout|stderr)? ?[PF:]{0,3} ?.{0,9}") {
            unwrap(Format::Container, line.as_bytes());
        }
    }
}
