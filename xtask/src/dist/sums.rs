//! `SHA256SUMS`, as `sha256sum --check` reads it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};

/// The file's name.
pub(super) const NAME: &str = "SHA256SUMS";

/// SHA-256 in lower-case hex digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the sums of all files of a folder; names and sums in order of the names.
pub(super) fn write(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut sums = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name that is no text")?;
        if name != NAME {
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {name}"))?;
            sums.push((name, sha256(&bytes)));
        }
    }
    sums.sort();
    let text: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    fs::write(folder.join(NAME), text).context("cannot write the sums")?;
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::{Run, find_program};

    #[test]
    fn sums_are_those_of_the_standard_and_can_be_checked() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "").unwrap();
        fs::write(folder.path().join("a"), "abc").unwrap();
        let sums = write(folder.path()).unwrap();
        assert_eq!(sums[0], ("a".to_owned(), abc.to_owned()));
        assert_eq!(
            sums,
            write(folder.path()).unwrap(),
            "the sums themselves are not summed"
        );
        if let Some(sha256sum) = find_program("sha256sum") {
            Run::new(sha256sum)
                .args(["--check", "--strict", NAME])
                .within(folder.path())
                .read()
                .unwrap();
        }
    }
}
