//! Chips and the labels they are told by: the numbers of their folders may be others after each start.

use super::super::{CollectError, files};
use std::fs;
use std::path::{Path, PathBuf};

/// A chip: one folder of `sys/class/hwmon`.
pub(super) struct Chip {
    pub(super) folder: PathBuf,
    /// What no other chip is told by.
    pub(super) label: String,
    /// How the driver calls it.
    pub(super) name: Option<String>,
}

impl Chip {
    /// All there are, in order of their folders.
    pub(super) fn all(class: &Path) -> Result<Vec<Chip>, CollectError> {
        let mut chips = Vec::new();
        for folder in files::names(class)?.iter().map(|name| class.join(name)) {
            if !folder.is_dir() {
                continue;
            }
            let name = files::text_if_any(&folder.join("name")).map(|text| clean(&text));
            let name = name.filter(|name| !name.is_empty());
            let device = device(&folder).or_else(|| name.clone());
            if let Some(label) = device.or_else(|| clean_name(&folder)) {
                chips.push(Chip { folder, label, name });
            }
        }
        tell_apart(&mut chips);
        Ok(chips)
    }
}

/// Type and name of the device that the chip is a part of.
fn device(folder: &Path) -> Option<String> {
    let device = fs::canonicalize(folder.join("device")).ok()?;
    let name = clean_name(&device)?;
    match device.parent().and_then(clean_name) {
        Some(kind) => Some(format!("{kind}_{name}")),
        None => Some(name),
    }
}

/// Chips of one device: their names tell them apart, or else their folders.
fn tell_apart(chips: &mut [Chip]) {
    let mut labels: Vec<String> = Vec::with_capacity(chips.len());
    for chip in chips.iter() {
        let alike: Vec<&Chip> = chips.iter().filter(|other| other.label == chip.label).collect();
        let namesakes = alike.iter().filter(|other| other.name == chip.name).count();
        let end = match &chip.name {
            _ if alike.len() < 2 => None,
            Some(name) if namesakes < 2 => Some(name.clone()),
            _ => clean_name(&chip.folder),
        };
        labels.push(end.map_or_else(|| chip.label.clone(), |end| format!("{}_{end}", chip.label)));
    }
    for (chip, label) in chips.iter_mut().zip(labels) {
        chip.label = label;
    }
}

/// The last part of a path, as far as it goes into a label.
fn clean_name(path: &Path) -> Option<String> {
    let name = clean(&path.file_name()?.to_string_lossy());
    (!name.is_empty()).then_some(name)
}

/// Small letters, digits, `:` and `_` alone, and no `_` at the ends.
pub(super) fn clean(text: &str) -> String {
    let text = text.to_lowercase();
    let cleaned: String = text
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | ':' | '_' => c,
            _ => '_',
        })
        .collect();
    cleaned.trim_matches('_').to_owned()
}
