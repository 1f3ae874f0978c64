//! The text format of Prometheus, version 0.0.4, as a file has it. Each line stands for itself: one that is bad is left out and
//! noted, and the next is read. What counts as bad is what Prometheus' own parser refuses.
//!
//! Nothing is copied that need not be: names and values are parts of the text.

use crate::metric::Kind;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// Labels of a series at most.
const LABELS: usize = 64;

/// Name and value of a label.
pub(super) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed<'a> {
    pub(super) families: Vec<Parts<'a>>,
    /// Labels of all series.
    pub(super) labels: Vec<Label<'a>>,
    /// The first line that is bad, and what is wrong with it.
    pub(super) bad: Option<(usize, String)>,
    /// How many are.
    pub(super) bad_lines: usize,
}

/// What a file has of a family.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) help: Option<Cow<'a, str>>,
    /// `None`: not told yet, and no series either.
    pub(super) kind: Option<Kind>,
    pub(super) series: Vec<Series>,
}

/// A series.
#[derive(Debug)]
pub(super) struct Series {
    /// Which of the labels are its.
    pub(super) labels: Range<usize>,
    pub(super) value: Held,
}

/// What a series is worth.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Held {
    Number(f64),
    Summary(Box<Whole>),
    Histogram(Box<Whole>),
}

/// A summary, or a histogram, as it is put together from its lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Whole {
    /// Quantiles and their values, ascending; or upper bounds, the last of them infinite, and what each bucket has for itself.
    pub(super) points: Vec<(f64, f64)>,
    pub(super) sum: f64,
    pub(super) count: Option<f64>,
    /// Its first line.
    line: usize,
}

impl Whole {
    /// Puts quantiles, or bounds, in order; of the same one the last line counts.
    fn sort(&mut self) {
        self.points.reverse();
        self.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.points.dedup_by(|a, b| a.0 == b.0);
    }

    /// Makes the buckets' own counts of cumulative ones. Says whether it can: none has less than one before it.
    fn split_buckets(&mut self) -> bool {
        if self.points.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            let highest = self.points.last().map_or(0.0, |(_, count)| *count);
            self.points.push((f64::INFINITY, self.count.unwrap_or(highest)));
        }
        let mut before = 0.0;
        self.points.iter_mut().all(|(_, count)| {
            let cumulative = std::mem::replace(&mut before, *count);
            *count -= cumulative;
            *count >= 0.0
        })
    }
}

/// What a sample is of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The value, a quantile or a bucket.
    Point,
    Sum,
    Count,
}

/// Reads a file.
pub(super) fn parse(text: &[u8]) -> Parsed<'_> {
    let mut parser = Parser::default();
    let mut rest = text;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind.get(1..).unwrap_or_default();
        let result = match end {
            // Half a line is another line: 12 may have been 123.
            None if !line.iter().all(|byte| is_blank(char::from(*byte))) => {
                Err("it does not end: it may be cut off".to_owned())
            }
            _ => parser.line(line, number),
        };
        if let Err(what) = result {
            parser.parsed.note(number, what);
        }
    }
    parser.parsed.finish();
    parser.parsed
}

impl Parsed<'_> {
    fn note(&mut self, line: usize, what: String) {
        self.bad_lines += 1;
        self.bad.get_or_insert((line, what));
    }

    /// Puts summaries and histograms in order, and forgets families without series.
    fn finish(&mut self) {
        let mut families = std::mem::take(&mut self.families);
        for family in &mut families {
            family.series.retain_mut(|series| match &mut series.value {
                Held::Number(_) => true,
                Held::Summary(whole) => {
                    whole.sort();
                    true
                }
                Held::Histogram(whole) => {
                    whole.sort();
                    let good = whole.split_buckets();
                    if !good {
                        self.note(
                            whole.line,
                            format!("a bucket of {} has less than one before it", family.name),
                        );
                    }
                    good
                }
            });
        }
        families.retain(|family| !family.series.is_empty());
        self.families = families;
    }
}

#[derive(Default)]
struct Parser<'a> {
    parsed: Parsed<'a>,
    /// Where the family of a name is.
    names: HashMap<Cow<'a, str>, usize>,
    /// Where the summary or histogram with these labels, sorted, is among the series of its family.
    wholes: HashMap<(usize, Vec<Label<'a>>), usize>,
}

impl<'a> Parser<'a> {
    fn line(&mut self, line: &'a [u8], number: usize) -> Result<(), String> {
        let line = without_blanks(line);
        if let Some(comment) = line.strip_prefix(b"#") {
            return match without_blanks(comment) {
                text if text.starts_with(b"HELP") || text.starts_with(b"TYPE") => self.comment(Cursor::new(text)?),
                _ => Ok(()),
            };
        }
        match line.is_empty() {
            true => Ok(()),
            false => self.sample(Cursor::new(line)?, number),
        }
    }

    /// A line of HELP or TYPE.
    fn comment(&mut self, mut cursor: Cursor<'a>) -> Result<(), String> {
        let keyword = cursor.word();
        cursor.skip_blanks();
        if !matches!(keyword, "HELP" | "TYPE") || cursor.rest.is_empty() {
            return Ok(());
        }
        let name = cursor.name(true)?;
        if cursor.rest.is_empty() {
            return Ok(());
        }
        if !cursor.rest.starts_with(is_blank) {
            return Err(format!("{keyword} names no metric"));
        }
        let (at, _) = self.family(name)?;
        cursor.skip_blanks();
        let Some(family) = self.parsed.families.get_mut(at) else {
            return Ok(());
        };
        if cursor.rest.is_empty() {
            return Ok(());
        }
        if keyword == "HELP" {
            if family.help.is_some() {
                return Err(format!("a second HELP of {}", family.name));
            }
            family.help = Some(unescaped(cursor.rest)?);
            return Ok(());
        }
        if family.kind.is_some() {
            return Err(format!("a second TYPE of {}, or one behind its series", family.name));
        }
        let kinds = [
            ("counter", Kind::Counter),
            ("gauge", Kind::Gauge),
            ("histogram", Kind::Histogram),
            ("summary", Kind::Summary),
            ("untyped", Kind::Unknown),
        ];
        let kind = kinds.iter().find(|(name, _)| cursor.rest.eq_ignore_ascii_case(name));
        let (_, kind) = kind.ok_or_else(|| format!("{:?} is no type of a metric", cursor.rest))?;
        family.kind = Some(*kind);
        Ok(())
    }

    /// The family that a name belongs to, which is made when there is none, and what of it the name is.
    fn family(&mut self, name: Cow<'a, str>) -> Result<(usize, Part), String> {
        if !is_name(&name, true) {
            return Err(format!("{name:?} is no name of a metric"));
        }
        if let Some(at) = self.names.get(&name) {
            return Ok((*at, Part::Point));
        }
        let suffixes = [
            ("_count", Part::Count, true),
            ("_sum", Part::Sum, true),
            ("_bucket", Part::Point, false),
        ];
        for (suffix, part, of_summaries) in suffixes {
            let base = name.strip_suffix(suffix).filter(|base| !base.is_empty());
            let Some(at) = base.and_then(|base| self.names.get(base)) else {
                continue;
            };
            match self.parsed.families.get(*at).and_then(|family| family.kind) {
                Some(Kind::Histogram) => return Ok((*at, part)),
                Some(Kind::Summary) if of_summaries => return Ok((*at, part)),
                _ => {}
            }
        }
        let at = self.parsed.families.len();
        self.names.insert(name.clone(), at);
        self.parsed.families.push(Parts {
            name,
            help: None,
            kind: None,
            series: Vec::new(),
        });
        Ok((at, Part::Point))
    }

    fn sample(&mut self, mut cursor: Cursor<'a>, line: usize) -> Result<(), String> {
        let mut name = match cursor.rest.starts_with('{') {
            true => None,
            false => Some(cursor.name(true)?),
        };
        cursor.skip_blanks();
        let mut labels = cursor.labels(&mut name)?;
        let name = name.ok_or("it names no metric")?;
        let word = cursor.word();
        let value = number(word).ok_or_else(|| format!("{word:?} is no number"))?;
        if !cursor.rest.is_empty() {
            cursor.skip_blanks();
            return Err(match cursor.rest {
                "" => "there is a blank behind its value".to_owned(),
                rest => format!("{rest:?} behind its value: time stamps are not allowed"),
            });
        }
        let (at, part) = self.family(name)?;
        let Some(family) = self.parsed.families.get_mut(at) else {
            return Ok(());
        };
        let kind = *family.kind.get_or_insert(Kind::Unknown);
        let whole = || {
            Box::new(Whole {
                line,
                ..Whole::default()
            })
        };
        let (point, whole) = match kind {
            Kind::Summary => ("quantile", Held::Summary(whole())),
            Kind::Histogram => ("le", Held::Histogram(whole())),
            _ => {
                let labels = keep(&mut self.parsed.labels, labels);
                let value = Held::Number(value);
                family.series.push(Series { labels, value });
                return Ok(());
            }
        };
        let is_counted = kind == Kind::Histogram && part != Part::Sum;
        if is_counted && (value < 0.0 || value.fract() != 0.0 || !value.is_finite()) {
            return Err(format!("{value} is no count"));
        }
        let mut at_point = None;
        if let Some(found) = labels.iter().position(|(name, _)| name == point) {
            let (_, text) = labels.remove(found);
            let place = number(&text).ok_or_else(|| format!("{point}={text:?} is no number"))?;
            at_point = Some(place).filter(|place| !place.is_nan());
        }
        labels.sort_unstable();
        let known = self.wholes.get(&(at, labels.clone())).copied();
        let index = known.unwrap_or_else(|| {
            self.wholes.insert((at, labels.clone()), family.series.len());
            let labels = keep(&mut self.parsed.labels, labels);
            family.series.push(Series { labels, value: whole });
            family.series.len() - 1
        });
        let Some(Held::Summary(whole) | Held::Histogram(whole)) =
            family.series.get_mut(index).map(|series| &mut series.value)
        else {
            return Ok(());
        };
        match (part, at_point) {
            (Part::Count, _) => whole.count = Some(value),
            (Part::Sum, _) => whole.sum = value,
            (Part::Point, Some(place)) => whole.points.push((place, value)),
            (Part::Point, None) => {}
        }
        Ok(())
    }
}

/// Puts labels to those of all series.
fn keep<'a>(all: &mut Vec<Label<'a>>, labels: Vec<Label<'a>>) -> Range<usize> {
    let start = all.len();
    all.extend(labels);
    start..all.len()
}

/// What of a line is still to be read.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn new(line: &'a [u8]) -> Result<Cursor<'a>, String> {
        let rest = std::str::from_utf8(line).map_err(|_| "it is no UTF-8".to_owned())?;
        Ok(Cursor { rest })
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    /// Takes what stands here, if it does.
    fn takes(&mut self, what: char) -> bool {
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes so many bytes, or all.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Takes everything up to a blank.
    fn word(&mut self) -> &'a str {
        self.take(self.rest.find(is_blank).unwrap_or(self.rest.len()))
    }

    /// Takes a name, which may be quoted. Whether it is one shows later.
    fn name(&mut self, colon: bool) -> Result<Cow<'a, str>, String> {
        if self.takes('"') {
            return self.quoted();
        }
        let end = self.rest.find(|c| !(is_name_char(c) || (colon && c == ':')));
        Ok(self.take(end.unwrap_or(self.rest.len())).into())
    }

    /// Takes the rest of a quoted text and the quote behind it.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let text = self.take(end.ok_or("a quote is not closed")?);
        self.takes('"');
        unescaped(text)
    }

    /// Takes labels in braces, if there are any, and the name when it is among them.
    fn labels(&mut self, name: &mut Option<Cow<'a, str>>) -> Result<Vec<Label<'a>>, String> {
        let mut labels: Vec<Label<'a>> = Vec::new();
        if !self.takes('{') {
            return Ok(labels);
        }
        loop {
            self.skip_blanks();
            if self.takes('}') {
                break;
            }
            let label = self.name(false)?;
            if label.is_empty() {
                return Err("a label has no name".to_owned());
            }
            self.skip_blanks();
            if self.takes('=') {
                let label = self.label(label, &labels)?;
                labels.push(label);
            } else if name.is_none() && self.rest.starts_with([',', '}']) {
                *name = Some(label);
            } else {
                return Err(format!("no = behind the label {label}"));
            }
            self.skip_blanks();
            if !self.takes(',') && !self.rest.starts_with('}') {
                return Err("neither , nor } behind a label".to_owned());
            }
        }
        self.skip_blanks();
        Ok(labels)
    }

    /// Takes the value of a label that is none of those before.
    fn label(&mut self, label: Cow<'a, str>, before: &[Label<'a>]) -> Result<Label<'a>, String> {
        if !is_name(&label, false) || label == "__name__" {
            return Err(format!("{label:?} is no name of a label"));
        }
        if before.len() >= LABELS {
            return Err(format!("it has more than {LABELS} labels"));
        }
        if before.iter().any(|(known, _)| *known == label) {
            return Err(format!("it has the label {label} twice"));
        }
        self.skip_blanks();
        if !self.takes('"') {
            return Err(format!("the value of the label {label} is not quoted"));
        }
        Ok((label, self.quoted()?))
    }
}

/// A line without blanks at its start.
fn without_blanks(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_blank(char::from(*byte)));
    line.get(start.unwrap_or(line.len())..).unwrap_or_default()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(name: &str, colon: bool) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| is_name_char(c) || (colon && c == ':'))
}

/// Text without its escapes `\\`, `\"` and `\n`.
fn unescaped(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains('\\') {
        return Ok(text.into());
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let letter = match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some(letter @ ('\\' | '"')) => letter,
                Some(other) => return Err(format!("there is no escape \\{other}")),
                None => return Err("it ends in a backslash".to_owned()),
            },
            letter => letter,
        };
        plain.push(letter);
    }
    Ok(plain.into())
}

/// A number as Go reads it: no sign before NaN, and infinite only when it says so.
fn number(text: &str) -> Option<f64> {
    let bare = text.trim_start_matches(['+', '-']);
    let value: f64 = text.parse().ok()?;
    let says_infinite = bare.starts_with(['i', 'I']);
    let good = (value.is_finite() || value.is_nan() || says_infinite) && (!value.is_nan() || bare.len() == text.len());
    good.then_some(value)
}

#[cfg(test)]
mod tests;
