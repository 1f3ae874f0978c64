//! The static program itself, for those who need nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Artifact, Release};

pub(super) const ARTIFACT: Artifact = Artifact {
    name: Release::stem,
    make,
};

fn make(release: &Release, to: &Path) -> Result<()> {
    fs::copy(&release.program, to)
        .map(drop)
        .with_context(|| format!("cannot copy {}", release.program.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::twice;
    use super::*;

    #[test]
    fn the_program_is_copied_as_it_is() {
        assert_eq!(twice(&ARTIFACT), b"\x7fELF and more");
    }
}
