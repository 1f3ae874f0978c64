use super::*;
use proptest::prelude::*;

/// Groups of the lines of a text, none of them told by time.
fn groups(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut joiner = Joiner::new(Limits::default());
    let mut tell = |group: Group<'_, ()>| out.push(String::from_utf8_lossy(group.text).into_owned());
    text.split('\n')
        .for_each(|line| joiner.push(line.as_bytes(), 0, (), &mut tell));
    joiner.close(&mut tell);
    out
}

/// Each of these is one group, whatever follows it and whatever is before.
#[test]
fn traces_are_one_group() {
    let traces = [
        "2026-01-02 ERROR boom\njava.lang.IllegalStateException: a\n\tat b.C.d(C.java:1)\nCaused by: java.io.IOException: e\n\t... 3 more",
        "Exception in thread \"main\" java.lang.Error: x\n\tat a.B.c(B.java:1)\n\tSuppressed: d.E: f\n\t\tat g.H.i(H.java:2)",
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 1\n\nDuring handling of the above exception, \
         another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 3, in <module>\nValueError",
        "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/srv/main.go:3 +0x1\n\ngoroutine 2 [select]:\nmain.f(0x1, {0x2, 0x3})\n\
         \t/srv/main.go:7 +0x2\ncreated by main.main in goroutine 1\n\t/srv/main.go:2 +0x3\nexit status 2",
        "thread 'main' panicked at src/main.rs:2:5:\nboom\nstack backtrace:\n   0: a\n             at ./b.rs:1:2\nnote: Some details",
        "thread 'main' panicked at 'boom', src/main.rs:2:5\nnote: run with `RUST_BACKTRACE=1`",
        "/srv/a.js:3\n  throw new Error(1)\n  ^\n\nError: 1\n    at f (/srv/a.js:3:9) {\n  code: 'X'\n}\n\nNode.js v20.1.0",
        "TypeError: x\n    at f (/srv/a.js:1:2)\n    at async g (/srv/a.js:3:4)",
        "Unhandled exception. System.Exception: a\n ---> B.C: d\n   at E.F()\n   --- End of inner exception stack trace ---\n   at G.H()\n\
         --- End of stack trace from previous location ---\n   at I.J()",
        "a.rb:3:in 'f': boom (RuntimeError)\n\tfrom a.rb:7:in '<main>'",
        "PHP Fatal error:  Uncaught Exception: a in /b.php:3\nStack trace:\n#0 /b.php(5): f()\n#1 {main}\n  thrown in /b.php on line 3",
        "{\n  \"a\": [\n    1,\n    {\"b\": \"}\"}\n  ],\n\n  \"c\": true\n}",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow\nAbC=\n-----END RSA PRIVATE KEY-----",
        "info: A.B[14]\n      text",
    ];
    for trace in traces {
        assert_eq!(groups(trace), [trace]);
        let between = format!("before it\n\n{trace}\n2026-01-02T03:04:05Z INFO after it");
        let expect = ["before it", trace, "2026-01-02T03:04:05Z INFO after it"];
        assert_eq!(groups(&between), expect, "{trace}");
    }
}

#[test]
fn lines_that_are_none_of_it_stay_apart() {
    for text in [
        "a\nb\nc",
        "{\"a\":1}\n{\"b\":2}",
        "Traceback is a word\nError of mine: x",
        "panic is near\nmain.go has (parentheses)",
        "{ not json\nat all",
        "[main] text\nmore",
        "error\nCaused: by me",
        "a\n#1 is a number",
        "thread 'x' goes on\nnote: nothing",
        "{\n2026-01-02 text",
        "  one\n  two\n three",
    ] {
        assert_eq!(groups(text), text.split('\n').collect::<Vec<_>>(), "{text}");
    }
    // Whatever a trace waits for, a record is one.
    let cut = "Traceback (most recent call last):\n2026-01-02 03:04:05 INFO next";
    assert_eq!(groups(cut).len(), 2);
}

#[test]
fn a_line_of_json_is_told_at_once_and_others_after_a_while() {
    let mut told = Vec::new();
    let mut joiner = Joiner::new(Limits::default());
    joiner.push(b"{\"a\":1}", 5, 1, |group| told.push((group.first, group.at)));
    assert_eq!((joiner.deadline(), std::mem::take(&mut told)), (None, vec![(1, 5)]));
    joiner.push(b"text", 6, 2, |group| told.push((group.first, group.at)));
    joiner.push(b"", 7, 3, |group| told.push((group.first, group.at)));
    let wait = Limits::default().wait;
    assert_eq!(joiner.deadline(), Some(7 + wait));
    joiner.flush(6 + wait, |_| panic!("too early"));
    joiner.flush(7 + wait, |group| {
        assert_eq!(
            (group.text, group.first, group.last, group.lines),
            (b"text".as_slice(), 2, 3, 2)
        );
        told.push((group.first, group.at));
    });
    assert_eq!(told, [(2, 6)]);
    let counts = joiner.counts();
    assert_eq!((counts.lines, counts.groups, counts.timed_out), (3, 2, 1));
}

#[test]
fn groups_end_at_their_limits_and_lose_nothing() {
    let limits = Limits {
        lines: 3,
        bytes: 40,
        ..Limits::default()
    };
    let lines = [
        "Error: x",
        "  at a",
        "  at b",
        "  at c",
        "  at d long long long long long",
        "  at e",
    ];
    let mut told: Vec<(String, Option<Cut>)> = Vec::new();
    let mut joiner = Joiner::new(limits);
    let mut tell = |group: Group<'_, ()>| told.push((String::from_utf8_lossy(group.text).into_owned(), group.cut));
    lines
        .iter()
        .for_each(|line| joiner.push(line.as_bytes(), 0, (), &mut tell));
    joiner.close(&mut tell);
    let counts = joiner.counts();
    assert_eq!((counts.cut_lines, counts.cut_bytes), (1, 1));
    assert_eq!(
        told.iter()
            .map(|(text, _)| text.as_str())
            .collect::<Vec<_>>()
            .join("\n"),
        lines.join("\n")
    );
    assert_eq!(
        told.iter().map(|(_, cut)| *cut).collect::<Vec<_>>(),
        [Some(Cut::Lines), Some(Cut::Bytes), None]
    );
    assert!(joiner.memory() <= 4096);
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "Traceback (most recent call last):",
        "  File x",
        "KeyError: 1",
        "",
        "panic: x",
        "goroutine 1 [running]:",
        "main.main()",
        "{",
        "}",
        "  \"a\": [",
        "  \"b\": \"c",
        "java.lang.Error: x",
        "\tat a.B",
        "Caused by: x",
        "/srv/a.js:3",
        "  ^",
        "#0 x",
        "Stack trace:",
        "thread 'a' panicked at b:1:2:",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "{\"a\":1}",
        "text",
        "During handling of the above exception, another exception occurred:",
        "2026-01-02 x",
        "  ",
    ]);
    prop_oneof![3 => known.prop_map(|line| line.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..60)]
}

proptest! {
    /// Every line that is not empty is in one group, in order; groups are within their limits.
    #[test]
    fn nothing_is_lost(lines in prop::collection::vec(line(), 0..60), max_lines in 1u32..9, max_bytes in 10usize..200) {
        let limits = Limits { lines: max_lines, bytes: max_bytes, wait: 5 };
        let mut joiner = Joiner::new(limits);
        let (mut text, mut taken, mut next) = (Vec::new(), 0, 0);
        let mut tell = |group: Group<'_, usize>| {
            assert_eq!(group.first, next, "places go on");
            assert_eq!(group.last + 1 - group.first, group.lines as usize);
            assert!(group.text.len() <= max_bytes || group.lines == 1 || !group.text.contains(&b'\n'));
            next = group.last + 1;
            taken += group.lines;
            text.extend_from_slice(group.text);
            text.push(b'\n');
        };
        for (at, line) in lines.iter().enumerate() {
            if at % 3 == 0 {
                joiner.make_way(line, &mut tell);
                let mut told = 0;
                joiner.push(line, at as u64, at, |group| (told += 1, tell(group)).1);
                prop_assert!(told <= 1, "way was made");
                continue;
            }
            joiner.push(line, at as u64, at, &mut tell);
            if at % 7 == 0 {
                joiner.flush(at as u64 + 5, &mut tell);
            }
        }
        joiner.close(&mut tell);
        prop_assert_eq!(taken as usize, lines.len());
        let told: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
        let given: Vec<u8> = lines.iter().flat_map(|line| [line.strip_suffix(b"\r").unwrap_or(line), b"\n"].concat()).collect();
        let given: Vec<&[u8]> = given.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
        prop_assert_eq!(told, given);
    }
}
