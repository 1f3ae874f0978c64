//! CPUs as `/sys/devices/system/cpu` names them (`drivers/base/cpu.c`).

use super::CollectError;
use super::files::Folder;
use std::path::{Path, PathBuf};

/// CPUs at most: eight times what kernels are built for.
const MOST: u32 = 1 << 16;

/// The folder of CPUs.
pub(super) fn folder(sys: &Path) -> PathBuf {
    sys.join("devices/system/cpu")
}

/// Numbers of the CPUs that have a folder, online or not, in order of their names; as text, since that is what becomes a label.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn numbers(folder: &mut Folder) -> Result<Vec<String>, CollectError> {
    let names = folder.names()?;
    let numbers = names.iter().filter_map(|name| name.strip_prefix("cpu"));
    Ok(numbers
        .filter(|number| number.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
        .collect())
}

/// CPUs that the columns of a table are of, by its first line: `CPU0 CPU2 …`; as text, since that is what becomes a label.
///
/// # Errors
/// What is wrong.
pub(super) fn columns(head: Option<&str>) -> Result<Vec<&str>, String> {
    let words = head.unwrap_or_default().split_ascii_whitespace();
    let cpus: Vec<&str> = words.filter_map(|word| word.strip_prefix("CPU")).collect();
    match cpus.is_empty() {
        true => Err("line 1 names no CPU".to_owned()),
        false => Ok(cpus),
    }
}

/// A list of CPUs: `0-3,8`.
///
/// # Errors
/// What is wrong.
pub(super) fn list(text: &str) -> Result<Vec<u32>, String> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().ok().filter(|cpu| *cpu < MOST);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if cpus.len() < MOST as usize => cpus.extend(first..=last),
            _ => return Err(format!("{part:?} is neither a CPU nor a range of them")),
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_or_refused() {
        assert_eq!(list("\n").unwrap(), [0u32; 0]);
        assert_eq!(list("1,3-5,9\n").unwrap(), [1, 3, 4, 5, 9]);
        for wrong in ["1-", "x", "3-2-1", "0-4294967295", "-1"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
        assert_eq!(list("5-3").unwrap(), [0u32; 0], "as the kernel reads it: nothing");
    }
}
