//! One frame of the live summary as text: a pure function of snapshots and the terminal's size.

use super::quantile::{Quantile, quantile};
use super::{Frame, Row, Snapshot};
use crate::signal::Role;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width of the service column, least and most.
const SERVICE: (usize, usize) = (10, 40);

/// A column: title, width, and its place in the order in which columns give way on narrow terminals (0: never).
struct Column {
    title: &'static str,
    width: usize,
    gives_way: u8,
    cell: fn(&Line<'_>) -> String,
}

/// Columns behind the service, left to right.
const COLUMNS: &[Column] = &[
    Column {
        title: "ROLE",
        width: 6,
        gives_way: 6,
        cell: |line| line.now.role.as_str().to_string(),
    },
    Column {
        title: "REQ/S",
        width: 8,
        gives_way: 0,
        cell: |line| line.rate.map_or("-".to_string(), rate),
    },
    Column {
        title: "ERRORS",
        width: 14,
        gives_way: 4,
        cell: |line| errors(line.errors, line.count),
    },
    Column {
        title: "P50 MS",
        width: 8,
        gives_way: 2,
        cell: |line| line.quantile(0.50),
    },
    Column {
        title: "P95 MS",
        width: 8,
        gives_way: 1,
        cell: |line| line.quantile(0.95),
    },
    Column {
        title: "P99 MS",
        width: 8,
        gives_way: 5,
        cell: |line| line.quantile(0.99),
    },
    Column {
        title: "OPEN",
        width: 6,
        gives_way: 3,
        cell: |line| line.now.active.to_string(),
    },
];

/// Draws a frame for a terminal of `width` columns and `height` lines: at most `height - 1` lines, the cursor's line stays
/// free. Rates are over the last frame, errors and quantiles over the window; what is not known is `-`.
pub fn render(frame: &Frame<'_>, width: usize, height: usize) -> String {
    let lines = lines(frame);
    let columns = fitting(width);
    let taken: usize = columns.iter().map(|column| column.width + 2).sum();
    let longest = lines.iter().map(|line| line.service.width()).max().unwrap_or(0);
    let service = longest
        .clamp(SERVICE.0, SERVICE.1)
        .min(width.saturating_sub(taken))
        .max(1);

    let mut out = String::new();
    let mut row = |first: &str, cell: &dyn Fn(&Column) -> String| {
        let mut text = padded(first, service);
        for column in &columns {
            let _ = write!(text, "  {:>width$}", cell(column), width = column.width);
        }
        let _ = writeln!(out, "{}", cut(text.trim_end(), width));
    };
    // The head, the last line, and the cursor's line.
    let room = height.saturating_sub(3);
    if room == 0 {
        return cut(&footer(frame), width) + "\n";
    }
    let shown = if lines.len() <= room { lines.len() } else { room - 1 };
    row("SERVICE", &|column| column.title.to_string());
    for line in &lines[..shown] {
        row(&line.service, &|column| (column.cell)(line));
    }
    if lines.is_empty() {
        let hint = "no exchange seen yet: send a request to any HTTP server of this host";
        let _ = writeln!(out, "{}", cut(hint, width));
    }
    if shown < lines.len() {
        let _ = writeln!(out, "{}", cut(&format!("… and {} more", lines.len() - shown), width));
    }
    let _ = writeln!(out, "{}", cut(&footer(frame), width));
    out
}

/// A row of the table before it is text.
struct Line<'a> {
    service: String,
    now: &'a Row,
    /// Exchanges per second over the last frame.
    rate: Option<f64>,
    /// Exchanges, errors and durations of the window.
    count: Option<u64>,
    errors: Option<u64>,
    buckets: Vec<u64>,
}

impl Line<'_> {
    fn quantile(&self, q: f64) -> String {
        match quantile(q, self.now.bounds, &self.buckets) {
            Quantile::Unknown => "-".to_string(),
            Quantile::About(seconds) => milliseconds(seconds),
            Quantile::Beyond(seconds) => format!(">{}", milliseconds(seconds)),
        }
    }
}

fn lines<'a>(frame: &Frame<'a>) -> Vec<Line<'a>> {
    let before = frame
        .previous
        .map(|previous| (index(previous), frame.now.uptime.saturating_sub(previous.uptime)));
    let oldest = frame.oldest.map(index);
    let mut lines: Vec<Line<'a>> = frame
        .now
        .rows
        .iter()
        .map(|now| {
            let key = (&*now.service, now.role);
            let rate = before
                .as_ref()
                .filter(|(_, apart)| !apart.is_zero())
                .map(|(rows, apart)| {
                    let past = rows.get(&key).map_or(0, |row| row.count);
                    since(now.count, past) as f64 / apart.as_secs_f64()
                });
            let past = oldest.as_ref().map(|rows| rows.get(&key).copied());
            Line {
                service: printable(&now.service),
                now,
                rate,
                count: past.map(|past| since(now.count, past.map_or(0, |row| row.count))),
                errors: past.map(|past| since(now.errors, past.map_or(0, |row| row.errors))),
                buckets: past.map_or_else(Vec::new, |past| buckets_since(now, past)),
            }
        })
        .collect();
    lines.sort_by(|a, b| {
        let by_rate = b.rate.unwrap_or(0.0).total_cmp(&a.rate.unwrap_or(0.0));
        by_rate.then_with(|| (&a.service, a.now.role).cmp(&(&b.service, b.now.role)))
    });
    lines
}

fn index(snapshot: &Snapshot) -> HashMap<(&str, Role), &Row> {
    snapshot
        .rows
        .iter()
        .map(|row| ((&*row.service, row.role), row))
        .collect()
}

/// Growth of a counter; one that fell began anew.
fn since(now: u64, past: u64) -> u64 {
    now.checked_sub(past).unwrap_or(now)
}

fn buckets_since(now: &Row, past: Option<&Row>) -> Vec<u64> {
    let Some(past) = past.filter(|past| past.buckets.len() == now.buckets.len()) else {
        return now.buckets.clone();
    };
    let pairs = now.buckets.iter().zip(&past.buckets);
    pairs
        .map(|(now, past)| now.checked_sub(*past))
        .collect::<Option<Vec<_>>>()
        .unwrap_or_else(|| now.buckets.clone())
}

/// The columns that fit beside a service column of its least width.
fn fitting(width: usize) -> Vec<&'static Column> {
    let mut columns: Vec<&Column> = COLUMNS.iter().collect();
    while SERVICE.0 + columns.iter().map(|column| column.width + 2).sum::<usize>() > width {
        let next = columns.iter().enumerate().filter(|(_, column)| column.gives_way > 0);
        let Some((index, _)) = next.min_by_key(|(_, column)| column.gives_way) else {
            break;
        };
        columns.remove(index);
    }
    columns
}

fn footer(frame: &Frame<'_>) -> String {
    let now = frame.now;
    let cpu = frame.previous.and_then(|previous| {
        let apart = now.uptime.saturating_sub(previous.uptime).as_secs_f64();
        let used = now.cpu_seconds? - previous.cpu_seconds?;
        (apart > 0.0).then(|| format!("{:.1}%", used.max(0.0) / apart * 100.0))
    });
    let cpu = cpu.unwrap_or_else(|| "-".to_string());
    let memory = now.resident_bytes.map_or("-".to_string(), |bytes| {
        format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
    });
    let (lost, up, connections) = (now.lost, uptime(now.uptime), now.connections);
    format!("events lost {lost} · own cpu {cpu} · own memory {memory} · up {up} · connections {connections}")
}

fn rate(value: f64) -> String {
    match value {
        v if v < 99.95 => format!("{v:.1}"),
        v if v < 99_999.5 => format!("{v:.0}"),
        v if v < 9_999_950.0 => format!("{:.1}k", v / 1e3),
        v => format!("{:.1}M", v / 1e6),
    }
}

fn errors(errors: Option<u64>, count: Option<u64>) -> String {
    match (errors, count) {
        (Some(errors), Some(count)) if count > 0 => {
            format!("{:.1}% ({errors})", errors as f64 / count as f64 * 100.0)
        }
        _ => "-".to_string(),
    }
}

fn milliseconds(seconds: f64) -> String {
    match seconds * 1e3 {
        // A fast service answers in microseconds.
        ms if ms < 0.0995 => format!("{ms:.3}"),
        ms if ms < 9.995 => format!("{ms:.2}"),
        ms if ms < 99.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s:02}s"),
        (0, h, m, _) => format!("{h}h{m:02}m"),
        (d, h, _, _) => format!("{d}d{h:02}h"),
    }
}

/// Names come from strangers: nothing in them may steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || c.width() == Some(0) { '?' } else { c })
        .collect()
}

/// Cut to `width` columns, the cut marked.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

fn padded(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let missing = width.saturating_sub(text.width());
    text + &" ".repeat(missing)
}

#[cfg(test)]
mod tests;
