//! The encoder: each family and sample goes to the output at once. It keeps only the names of the families written and the
//! hashes of the label sets of the open one, to keep out what would make a scraper refuse the whole answer.

use super::Format;
use super::float::{write_float, write_integer, write_open_metrics_float};
use crate::metric::{Encoder, Exemplar, Family, HistogramView, Kind, SummaryView, Value};
use rustc_hash::FxHashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};

/// Output is handed on when this much has gathered, bytes.
const CHUNK: usize = 64 * 1024;

/// Families of a host with the usual collectors: room is made for them at once.
const FAMILIES: usize = 896;

/// What an encoder kept out, because one bad line costs a scraper all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Families opened a second time (the first stays) or without a name.
    pub families: u64,
    /// Samples with the labels of an earlier one (the first stays), outside of a family, or with a value of the wrong form.
    pub samples: u64,
}

/// Writes series as [`Format`] has them.
pub struct PrometheusEncoder<W: Write> {
    out: W,
    format: Format,
    buffer: Vec<u8>,
    error: Option<io::Error>,
    refused: Refused,
    /// Hashes of the names of all families so far, and of the label sets of the open one. 64 keyed bits: at 10,000 series a false
    /// match has odds of 1 : 10^11.
    families: FxHashSet<u64>,
    series: FxHashSet<u64>,
    hashing: RandomState,
    open: Option<Open>,
}

/// The open family.
struct Open {
    /// Name of samples without suffix.
    base: String,
    kind: Kind,
    /// Suffix of plain samples: `_total` and `_info` in OpenMetrics, where they are no part of the family's name.
    suffix: &'static str,
    /// Bounds of the family's last histogram, and each as it is written.
    bounds: (Vec<f64>, Vec<Box<[u8]>>),
}

impl Open {
    /// Sees to it that the bounds are there as text; they are the same for all histograms of a family.
    fn prepare(&mut self, bounds: &[f64], format: Format) {
        let (known, texts) = &mut self.bounds;
        if texts.is_empty() || *known != bounds {
            *known = bounds.to_vec();
            *texts = bounds
                .iter()
                .chain([&f64::INFINITY])
                .map(|bound| {
                    let mut text = Vec::new();
                    match format {
                        Format::Text => write_float(&mut text, *bound),
                        Format::OpenMetrics => write_open_metrics_float(&mut text, *bound),
                    }
                    text.into()
                })
                .collect();
        }
    }
}

impl<W: Write> PrometheusEncoder<W> {
    /// An encoder that writes to `out` in pieces of about 64 KiB.
    pub fn new(format: Format, out: W) -> PrometheusEncoder<W> {
        PrometheusEncoder {
            out,
            format,
            buffer: Vec::with_capacity(CHUNK + CHUNK / 8),
            error: None,
            refused: Refused::default(),
            families: FxHashSet::with_capacity_and_hasher(FAMILIES, Default::default()),
            series: FxHashSet::default(),
            hashing: RandomState::new(),
            open: None,
        }
    }

    /// What was kept out so far.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Ends the exposition and gives the writer back.
    ///
    /// # Errors
    /// The first error of the writer, after which nothing more was written.
    pub fn finish(mut self) -> io::Result<W> {
        if self.format == Format::OpenMetrics {
            self.buffer.extend_from_slice(b"# EOF\n");
        }
        self.flush();
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.out),
        }
    }

    fn flush(&mut self) {
        if self.error.is_none() {
            self.error = self.out.write_all(&self.buffer).err();
        }
        self.buffer.clear();
    }

    /// Identity of a label set, whatever its order.
    fn identity(&self, labels: &[(&str, &str)]) -> u64 {
        labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| {
                let mut hasher = self.hashing.build_hasher();
                hasher.write(name.as_bytes());
                hasher.write_u8(0xff);
                hasher.write(value.as_bytes());
                hasher.finish()
            })
            .fold(0, u64::wrapping_add)
    }

    fn number_line(&mut self, open: &Open, labels: &[(&str, &str)], value: f64) {
        write_series(&mut self.buffer, &open.base, open.suffix, labels);
        self.buffer.push(b' ');
        self.write_number(value);
        self.buffer.push(b'\n');
    }

    fn histogram_lines(&mut self, open: &mut Open, labels: &[(&str, &str)], view: &HistogramView<'_>) {
        open.prepare(view.bounds, self.format);
        // What all buckets begin with is written once, then copied.
        let start = self.buffer.len();
        let separator = write_labels(&mut self.buffer, &open.base, "_bucket", labels);
        self.buffer.push(separator);
        self.buffer.extend_from_slice(b"le=\"");
        let shared = start..self.buffer.len();
        let mut cumulative = 0u64;
        for (index, (count, bound)) in view.counts.iter().zip(&open.bounds.1).enumerate() {
            if index > 0 {
                self.buffer.extend_from_within(shared.clone());
            }
            cumulative = cumulative.saturating_add(*count);
            self.buffer.extend_from_slice(bound);
            self.buffer.extend_from_slice(b"\"} ");
            self.write_count(cumulative);
            if let (Format::OpenMetrics, Some(Some(exemplar))) = (self.format, view.exemplars.get(index)) {
                write_exemplar(&mut self.buffer, exemplar);
            }
            self.buffer.push(b'\n');
        }
        write_series(&mut self.buffer, &open.base, "_sum", labels);
        self.buffer.push(b' ');
        self.write_number(view.sum);
        self.buffer.push(b'\n');
        write_series(&mut self.buffer, &open.base, "_count", labels);
        self.buffer.push(b' ');
        self.write_count(cumulative);
        self.buffer.push(b'\n');
    }

    fn summary_lines(&mut self, open: &Open, labels: &[(&str, &str)], view: &SummaryView<'_>) {
        for (quantile, value) in view.quantiles {
            let separator = write_labels(&mut self.buffer, &open.base, "", labels);
            self.buffer.push(separator);
            self.buffer.extend_from_slice(b"quantile=\"");
            self.write_number(*quantile);
            self.buffer.extend_from_slice(b"\"} ");
            self.write_number(*value);
            self.buffer.push(b'\n');
        }
        for (suffix, value) in [("_sum", view.sum), ("_count", view.count)] {
            write_series(&mut self.buffer, &open.base, suffix, labels);
            self.buffer.push(b' ');
            self.write_number(value);
            self.buffer.push(b'\n');
        }
    }

    fn write_number(&mut self, value: f64) {
        match self.format {
            Format::Text => write_float(&mut self.buffer, value),
            Format::OpenMetrics => write_open_metrics_float(&mut self.buffer, value),
        }
    }

    fn write_count(&mut self, count: u64) {
        match self.format {
            Format::Text => write_float(&mut self.buffer, count as f64),
            Format::OpenMetrics => write_integer(&mut self.buffer, count),
        }
    }
}

impl<W: Write> Encoder for PrometheusEncoder<W> {
    fn family(&mut self, family: &Family) {
        self.open = None;
        self.series.clear();
        let name = clean_name(&family.name, true);
        let (base, suffix, kind) = names(&name, family.kind, self.format);
        if base.is_empty() || !self.families.insert(self.hashing.hash_one(base)) {
            self.refused.families += 1;
            return;
        }
        let out = &mut self.buffer;
        for (what, text) in [("HELP", ""), ("TYPE", kind)] {
            out.extend_from_slice(b"# ");
            out.extend_from_slice(what.as_bytes());
            out.push(b' ');
            out.extend_from_slice(base.as_bytes());
            out.push(b' ');
            match what {
                "HELP" => write_escaped(out, &family.help, self.format == Format::OpenMetrics),
                _ => out.extend_from_slice(text.as_bytes()),
            }
            out.push(b'\n');
        }
        // A unit must be the end of the family's name, or a scraper refuses it.
        let is_suffix = base.strip_suffix(&*family.unit).is_some_and(|rest| rest.ends_with('_'));
        if self.format == Format::OpenMetrics && !family.unit.is_empty() && is_suffix {
            let _ = writeln!(out, "# UNIT {base} {}", family.unit);
        }
        self.open = Some(Open {
            base: base.to_owned(),
            kind: family.kind,
            suffix,
            bounds: Default::default(),
        });
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: Value<'_>) {
        if self.error.is_some() {
            return;
        }
        let fits = match (&self.open, &value) {
            (None, _) => false,
            (Some(open), Value::Number(_)) => !matches!(open.kind, Kind::Histogram | Kind::Summary),
            (Some(open), Value::Summary(_)) => open.kind == Kind::Summary,
            (Some(open), Value::Histogram(view)) => {
                open.kind == Kind::Histogram && view.counts.len() == view.bounds.len() + 1
            }
        };
        let identity = self.identity(labels);
        if !fits || !self.series.insert(identity) {
            self.refused.samples += u64::from(self.open.is_some() || self.families.is_empty());
            return;
        }
        let Some(mut open) = self.open.take() else { return };
        match value {
            Value::Number(value) => self.number_line(&open, labels, value),
            Value::Histogram(view) => self.histogram_lines(&mut open, labels, view),
            Value::Summary(view) => self.summary_lines(&open, labels, view),
        }
        self.open = Some(open);
        if self.buffer.len() >= CHUNK {
            self.flush();
        }
    }
}

/// Name of the family in this format, suffix of its samples, its type.
fn names(name: &str, kind: Kind, format: Format) -> (&str, &'static str, &'static str) {
    match (format, kind) {
        (Format::Text, Kind::Counter) => (name, "", "counter"),
        (Format::Text, Kind::Info) => (name, "", "gauge"),
        (Format::Text, Kind::Unknown) => (name, "", "untyped"),
        (_, Kind::Gauge) => (name, "", "gauge"),
        (_, Kind::Histogram) => (name, "", "histogram"),
        (_, Kind::Summary) => (name, "", "summary"),
        // A counter or info whose name lacks the suffix cannot be one in OpenMetrics.
        (Format::OpenMetrics, Kind::Counter) => match name.strip_suffix("_total") {
            Some(base) => (base, "_total", "counter"),
            None => (name, "", "unknown"),
        },
        (Format::OpenMetrics, Kind::Info) => match name.strip_suffix("_info") {
            Some(base) => (base, "_info", "info"),
            None => (name, "", "gauge"),
        },
        (Format::OpenMetrics, Kind::Unknown) => (name, "", "unknown"),
    }
}

/// The name with what the formats do not allow replaced by `_`.
fn clean_name(name: &str, colon: bool) -> std::borrow::Cow<'_, str> {
    let good = |(index, byte): (usize, u8)| {
        byte.is_ascii_alphabetic() || byte == b'_' || (colon && byte == b':') || (index > 0 && byte.is_ascii_digit())
    };
    if name.bytes().enumerate().all(good) {
        return name.into();
    }
    let mut clean = String::with_capacity(name.len() + 1);
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        clean.push('_');
    }
    clean.extend(name.chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => c,
        ':' if colon => c,
        _ => '_',
    }));
    clean.into()
}

fn write_series(out: &mut Vec<u8>, base: &str, suffix: &str, labels: &[(&str, &str)]) {
    if write_labels(out, base, suffix, labels) == b',' {
        out.push(b'}');
    }
}

/// Name and labels without the closing brace; returns what stands before a further label.
fn write_labels(out: &mut Vec<u8>, base: &str, suffix: &str, labels: &[(&str, &str)]) -> u8 {
    out.extend_from_slice(base.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    let mut separator = b'{';
    for (name, value) in labels {
        out.push(separator);
        separator = b',';
        out.extend_from_slice(clean_name(name, false).as_bytes());
        out.extend_from_slice(b"=\"");
        write_escaped(out, value, true);
        out.push(b'"');
    }
    separator
}

/// Backslash and line feed are escaped, the quote where `quote`.
fn write_escaped(out: &mut Vec<u8>, text: &str, quote: bool) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|&byte| matches!(byte, b'\\' | b'\n') || (quote && byte == b'"'))
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\n' => b"\\n",
            b'"' => b"\\\"",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn write_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(b" # {trace_id=\"");
    write_hex(out, &exemplar.trace_id);
    out.extend_from_slice(b"\",span_id=\"");
    write_hex(out, &exemplar.span_id);
    out.extend_from_slice(b"\"} ");
    write_open_metrics_float(out, exemplar.value);
    if exemplar.timestamp.is_finite() && exemplar.timestamp > 0.0 {
        // Fixed point: a timestamp in exponent form loses nothing but is read by nobody.
        let _ = write!(out, " {:.3}", exemplar.timestamp);
    }
}

fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
        }
    }
}
