//! Metrics that other programs left in files `*.prom` of some folders, in Prometheus' text format.
//!
//! A line that is bad is left out, and with `--collector.textfile.strict` the whole file, as node_exporter has it. Either way
//! `node_textfile_scrape_error` is 1 and the log names file and line.

mod glob;
mod parse;

use super::files::names;
use super::flags::{Flag, Form, Setup};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, HistogramView, Kind, SummaryView, Value};
use parse::{Held, Label, Parsed, Parts, parse};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "textfile",
    about: "metrics that others left in files",
    flags: &[&DIRECTORY, &STRICT],
    make: |setup| Ok(Box::new(TextFile::new(setup))),
    ..Collector::BASE
};

static DIRECTORY: Flag = Flag {
    name: "collector.textfile.directory",
    form: Form::Path,
    help: "Folder whose files *.prom are read; it may hold the wildcards * ? [ ].",
    repeatable: true,
    ..Flag::BASE
};
static STRICT: Flag = Flag {
    name: "collector.textfile.strict",
    form: Form::Switch,
    help: "Leave out a file that has a bad line, not the line alone.",
    default: &["false"],
    ..Flag::BASE
};

/// Bytes of a file at most.
const FILE: u64 = 4 << 20;
/// Bytes of all files at most.
const ALL: u64 = 16 << 20;
/// Files at most.
const FILES: usize = 1000;
/// Names of labels that are given to all series of a family at most.
const NAMES: usize = 64;

static MTIME: Family = Family::new(
    "node_textfile_mtime_seconds",
    "seconds",
    "When a file that was read was last written, as Unix time.",
    Kind::Gauge,
);
static ERROR: Family = Family::new(
    "node_textfile_scrape_error",
    "",
    "Whether something of the folders or files could not be read, or was no metric.",
    Kind::Gauge,
);

struct TextFile {
    directories: Vec<String>,
    strict: bool,
    /// What was said of files in the log.
    told: BTreeMap<String, String>,
}

/// A file as it was read.
struct Text {
    path: String,
    bytes: Vec<u8>,
    mtime: i64,
}

/// What is wrong with files, by path.
#[derive(Default)]
struct Faults(BTreeMap<String, String>);

impl Faults {
    fn note(&mut self, path: impl Into<String>, what: impl ToString) {
        self.0.entry(path.into()).or_insert_with(|| what.to_string());
    }
}

impl TextFile {
    fn new(setup: &Setup<'_>) -> TextFile {
        TextFile {
            directories: setup.texts(&DIRECTORY),
            strict: setup.is_on(&STRICT),
            told: BTreeMap::new(),
        }
    }

    /// Reads all files.
    fn read(&self, faults: &mut Faults) -> Vec<Text> {
        let mut texts = Vec::new();
        let mut left = ALL;
        let folders = self.directories.iter().filter(|folder| !folder.is_empty());
        for folder in folders.flat_map(|folder| glob::paths(folder)) {
            let names = names(&folder).unwrap_or_else(|error| {
                faults.note(folder.to_string_lossy(), error);
                Vec::new()
            });
            for name in names.iter().filter(|name| name.ends_with(".prom")) {
                let path = tidy(&folder.join(name));
                let label = path.to_string_lossy().into_owned();
                if texts.len() >= FILES {
                    faults.note(folder.to_string_lossy(), format!("there are more than {FILES} files"));
                    break;
                }
                match contents(&path, FILE.min(left)) {
                    Ok((bytes, mtime)) => {
                        left -= bytes.len() as u64;
                        texts.push(Text {
                            path: label,
                            bytes,
                            mtime,
                        });
                    }
                    Err(error) => faults.note(label, error),
                }
            }
        }
        texts
    }

    /// Says in the log what is wrong now and was not before.
    fn tell(&mut self, faults: Faults) {
        for (file, what) in &faults.0 {
            if self.told.get(file) != Some(what) {
                tracing::warn!(file, what, "a file of metrics is not told as it is");
            }
        }
        self.told = faults.0;
    }
}

/// A path without `.` and doubled slashes.
fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Bytes of a file and when it was last written.
fn contents(path: &Path, most: u64) -> io::Result<(Vec<u8>, i64)> {
    // A pipe would wait for somebody to write to it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // Before it is read, lest something older seems fresh.
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::with_capacity(about.len().min(most) as usize + 1);
    (&file).take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!(
            "it has more than {most} bytes (a file may have {FILE}, all {ALL})"
        )));
    }
    Ok((bytes, about.mtime()))
}

/// A family of all files.
struct Merged<'a> {
    name: &'a str,
    help: Option<&'a str>,
    kind: Kind,
    parts: Vec<(usize, &'a Parts<'a>)>,
}

/// Puts the families of files together: those of one name must agree in type and HELP, or the later is left out.
fn merge<'a>(files: &'a [(&'a Text, Parsed<'a>)], faults: &mut Faults) -> Vec<Merged<'a>> {
    let mut merged: Vec<Merged<'a>> = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (file, (text, parsed)) in files.iter().enumerate() {
        for parts in &parsed.families {
            let (help, kind) = (parts.help.as_deref(), parts.kind.unwrap_or(Kind::Unknown));
            let at = *names.entry(&parts.name).or_insert(merged.len());
            let Some(known) = merged.get_mut(at) else {
                merged.push(Merged {
                    name: &parts.name,
                    help,
                    kind,
                    parts: vec![(file, parts)],
                });
                continue;
            };
            let other = |what| format!("{} has another {what} than in an earlier file", known.name);
            if known.kind != kind {
                faults.note(&text.path, other("TYPE"));
            } else if known.help.is_some() && help.is_some() && known.help != help {
                faults.note(&text.path, other("HELP"));
            } else {
                known.help = known.help.or(help);
                known.parts.push((file, parts));
            }
        }
    }
    merged
}

impl Collect for TextFile {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        let texts = self.read(&mut faults);
        let mut files: Vec<(&Text, Parsed<'_>)> = Vec::with_capacity(texts.len());
        for text in &texts {
            let parsed = parse(&text.bytes);
            let is_bad = parsed.bad.is_some();
            if let Some((line, what)) = &parsed.bad {
                let more = match parsed.bad_lines - 1 {
                    0 => String::new(),
                    more => format!("; {more} more bad lines"),
                };
                faults.note(&text.path, format!("line {line}: {what}{more}"));
            }
            if !(is_bad && self.strict) {
                files.push((text, parsed));
            }
        }
        let merged = merge(&files, &mut faults);
        if !files.is_empty() {
            out.family(&MTIME);
            for (text, _) in &files {
                out.number(&[("file", &text.path)], text.mtime as f64);
            }
        }
        out.family(&ERROR);
        out.number(&[], f64::from(u8::from(!faults.0.is_empty())));
        for family in &merged {
            write(family, &files, out);
        }
        self.tell(faults);
        Ok(())
    }
}

/// Writes a family.
fn write(family: &Merged<'_>, files: &[(&Text, Parsed<'_>)], out: &mut dyn Encoder) {
    let paths = || {
        family
            .parts
            .iter()
            .filter_map(|(file, _)| Some(files.get(*file)?.0.path.as_str()))
    };
    let help = match family.help {
        Some(help) => help.to_owned(),
        None => format!("Read from {}.", paths().take(NAMES).collect::<Vec<_>>().join(", ")),
    };
    out.family(&Family {
        name: family.name.to_owned().into(),
        unit: "".into(),
        help: help.into(),
        kind: family.kind,
    });
    let mut labels: Vec<(&str, &str)> = Vec::new();
    for (file, parts) in &family.parts {
        let Some((_, parsed)) = files.get(*file) else { continue };
        let names = label_names(parts, &parsed.labels);
        for series in &parts.series {
            labels.clear();
            let own = parsed.labels.get(series.labels.clone()).unwrap_or_default();
            labels.extend(own.iter().map(|(name, value)| (&**name, &**value)));
            // All series of a family have the same labels, empty where they have none.
            let missing = names.iter().filter(|name| !own.iter().any(|(known, _)| known == *name));
            labels.extend(missing.map(|name| (*name, "")));
            match &series.value {
                Held::Number(value) => out.number(&labels, *value),
                Held::Summary(whole) => {
                    let view = SummaryView {
                        quantiles: &whole.points,
                        sum: whole.sum,
                        count: whole.count.unwrap_or_default().trunc(),
                    };
                    out.sample(&labels, Value::Summary(&view));
                }
                Held::Histogram(whole) => {
                    let (mut bounds, counts): (Vec<f64>, Vec<u64>) = whole
                        .points
                        .iter()
                        .map(|(bound, count)| (*bound, *count as u64))
                        .unzip();
                    // The last is infinite.
                    bounds.pop();
                    let view = HistogramView {
                        bounds: &bounds,
                        counts: &counts,
                        sum: whole.sum,
                        exemplars: &[],
                    };
                    out.sample(&labels, Value::Histogram(&view));
                }
            }
        }
    }
}

/// Names of labels that any series has; none when there are too many.
fn label_names<'a>(parts: &Parts<'_>, labels: &'a [Label<'_>]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for series in &parts.series {
        for (name, _) in labels.get(series.labels.clone()).unwrap_or_default() {
            if !names.contains(&&**name) {
                names.push(name);
            }
        }
        if names.len() > NAMES {
            return Vec::new();
        }
    }
    names
}

#[cfg(test)]
mod tests;
