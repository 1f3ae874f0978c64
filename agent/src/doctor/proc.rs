//! Small reads of `/proc` and `/sys`. A file that is absent, unreadable or of another form is `None`, never an error.

use crate::host::Host;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a file that are read.
const LIMIT: u64 = 1 << 20;

/// The text of a small file, without white space around it.
pub(super) fn text(path: impl AsRef<Path>) -> Option<String> {
    let mut bytes = vec![];
    File::open(path).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// A number that is all of a file.
pub(super) fn number<T: std::str::FromStr>(path: impl AsRef<Path>) -> Option<T> {
    text(path)?.parse().ok()
}

/// The value behind `name:` in a text of such lines (`/proc/PID/status`, `/proc/meminfo`).
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// Where a link leads, e.g. `pid:[4026531836]`.
pub(super) fn link(path: impl AsRef<Path>) -> Option<String> {
    Some(std::fs::read_link(path).ok()?.to_string_lossy().into_owned())
}

/// (major, minor) of the running kernel.
pub(super) fn release(host: &Host) -> Option<(u32, u32)> {
    let release = text(host.proc.join("sys/kernel/osrelease"))?;
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A file system of this type is mounted where this process sees it; `None` when that cannot be read.
pub(super) fn mounted(host: &Host, kind: &str) -> Option<bool> {
    let mounts = text(host.proc.join("self/mounts"))?;
    Some(mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind)))
}

/// Bytes in the unit that reads best.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}
