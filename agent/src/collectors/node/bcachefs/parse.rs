//! The texts of a file system's files.

/// What the lines hold that can be understood, and what is wrong with another one.
pub(super) type Parsed<T> = (Vec<T>, Option<String>);

/// Asks for each line but those first ones; `None`: it has nothing to tell.
fn lines<'a, T>(text: &'a str, first: usize, mut parse: impl FnMut(&'a str) -> Result<Option<T>, String>) -> Parsed<T> {
    let (mut found, mut wrong) = (Vec::new(), None);
    for (index, line) in text.lines().enumerate().skip(first) {
        match parse(line) {
            Ok(row) => found.extend(row),
            Err(what) => wrong = wrong.or(Some(format!("line {}: {what}", index + 1))),
        }
    }
    (found, wrong)
}

fn three(line: &str) -> Option<[&str; 3]> {
    let mut words = line.split_ascii_whitespace();
    Some([words.next()?, words.next()?, words.next()?])
}

fn count(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let count: u64 = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    Ok(count as f64)
}

/// A number as the kernel writes it for people (`prt_human_readable_u64`): `720`, `1.26k`, `2.05G`.
pub(super) fn amount(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let unit = text.chars().last().and_then(|c| "kmgtpe".find(c.to_ascii_lowercase()));
    let (number, factor) = match (unit, text.strip_suffix(char::is_alphabetic)) {
        (Some(at), Some(number)) => (number, 1024_f64.powi(at as i32 + 1)),
        _ => (text, 1.0),
    };
    let amount = number.trim().parse::<f64>().map(|number| (number * factor).trunc());
    amount
        .ok()
        .filter(|amount| amount.is_finite())
        .ok_or_else(|| format!("{text:?} is no amount"))
}

/// `compression_stats`: algorithms and their bytes as stored and as they were before.
pub(super) fn compression(text: &str) -> Parsed<(&str, f64, f64)> {
    lines(text, 1, |line| match three(line) {
        Some([name, stored, before]) => Ok(Some((name.trim_end_matches(':'), amount(stored)?, amount(before)?))),
        None => Ok(None),
    })
}

/// `errors`: errors and how often they were found; when last, follows.
pub(super) fn errors(text: &str) -> Parsed<(&str, f64)> {
    lines(text, 0, |line| {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some(name), Some(times)) => Ok(Some((name, count(times)?))),
            _ => Ok(None),
        }
    })
}

/// `btree_write_stats`: reasons of writes, how many there were, and their size on average.
pub(super) fn writes(text: &str) -> Parsed<(&str, f64, f64)> {
    lines(text, 1, |line| match three(line) {
        Some([name, writes, size]) => Ok(Some((name.trim_end_matches(':'), count(writes)?, amount(size)?))),
        None => Ok(None),
    })
}

/// `counters/<name>`: what it was since the file system was made.
pub(super) fn counter(text: &str) -> Result<f64, String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("since filesystem creation:"));
    amount(value.ok_or("no line says since when")?)
}

/// `io_done`: bytes by operation and by type of data.
pub(super) fn io_done(text: &str) -> Parsed<(&str, &str, f64)> {
    let mut operation = None;
    lines(text, 0, |line| match line.trim() {
        "read:" => {
            operation = Some("read");
            Ok(None)
        }
        "write:" => {
            operation = Some("write");
            Ok(None)
        }
        line => match (operation, line.split_once(':')) {
            (Some(operation), Some((data, bytes))) => Ok(Some((operation, data.trim(), count(bytes)?))),
            _ => Ok(None),
        },
    })
}

/// `io_errors`: errors by type, those since the file system was made.
pub(super) fn io_errors(text: &str) -> Parsed<(&str, f64)> {
    let mut counted = false;
    lines(text, 0, |line| {
        if line.starts_with("IO errors since ") {
            counted = line.starts_with("IO errors since filesystem creation");
            return Ok(None);
        }
        match line.split_once(':') {
            Some((name, times)) if counted => Ok(Some((name.trim(), count(times)?))),
            _ => Ok(None),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::noise::noise;
    use proptest::prelude::*;

    #[test]
    fn amounts() {
        for (text, expected) in [
            ("0", 0.0),
            (" 720\n", 720.0),
            ("1.26k", 1290.0),
            ("2M", 2097152.0),
            ("0.5G", 536870912.0),
        ] {
            assert_eq!(amount(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "1x", "é", "inf", "1..5k", "many", "1e300E"] {
            assert_eq!(amount(text), Err(format!("{text:?} is no amount")));
        }
    }

    #[test]
    fn tables() {
        let text = "type  compressed  uncompressed  average\nlz4 1k 2k 3k\nzstd: 1 2\nshort 1\nnone x 1\n";
        let expected = vec![("lz4", 1024.0, 2048.0), ("zstd", 1.0, 2.0)];
        assert_eq!(
            compression(text),
            (expected, Some("line 5: \"x\" is no amount".to_owned()))
        );
        assert_eq!(
            writes("  nr size\ninitial:   3  100k\n").0,
            [("initial", 3.0, 102400.0)]
        );
        let (rows, wrong) = errors("bad_csum   2  1767112063\nlost\nmerged 112996595717722851021 \n");
        assert_eq!(rows, [("bad_csum", 2.0)]);
        assert!(wrong.is_some_and(|what| what.starts_with("line 3: \"112996595717722851021\": number too large")));
    }

    #[test]
    fn counters() {
        assert_eq!(
            counter("since mount:    1\nsince filesystem creation:   2.00k\n"),
            Ok(2048.0)
        );
        assert!(counter("since mount: 1\n").is_err());
        assert!(counter("since filesystem creation: \n").is_err());
    }

    #[test]
    fn devices() {
        let text = "sb : 9\nread:\nsb     :   1\nneed_gc_gens:   0\nwrite:\nsb :  x\nsb\nuser :  5\n";
        let (rows, wrong) = io_done(text);
        assert_eq!(
            rows,
            [
                ("read", "sb", 1.0),
                ("read", "need_gc_gens", 0.0),
                ("write", "user", 5.0)
            ]
        );
        assert!(wrong.is_some_and(|what| what.starts_with("line 6: \"x\": ")));
        let text =
            "IO errors since filesystem creation\n  read:    3\n  checksum:5\nIO errors since 8 y ago\n  read:    1\n";
        assert_eq!(io_errors(text), (vec![("read", 3.0), ("checksum", 5.0)], None));
    }

    proptest! {
        #[test]
        fn texts_of_all_sorts(
            text in noise(&["lz4 ", "zstd: ", "1k ", "read:\n", "write:\n", " : ", "\n", "IO errors since ", "filesystem creation",
                "since filesystem creation: ", "G", "9"])
        ) {
            let lines = text.lines().count();
            prop_assert!(compression(&text).0.len() <= lines && errors(&text).0.len() <= lines);
            prop_assert!(writes(&text).0.len() <= lines && io_done(&text).0.len() <= lines);
            prop_assert!(io_errors(&text).0.len() <= lines);
            prop_assert!(counter(&text).is_ok_and(f64::is_finite) || counter(&text).is_err());
            prop_assert!(amount(&text).is_ok_and(f64::is_finite) || amount(&text).is_err());
        }
    }
}
