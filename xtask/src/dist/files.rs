//! The one list of what packages hold: a row a file, with where it lies on a host and who ships it.

use std::fs;

use anyhow::{Context, Result};

use super::Release;
use super::archive::gzip;
use crate::shell::root;

/// Where a file's bytes come from.
pub(super) enum From {
    /// The static program.
    Program,
    /// A file of the workspace.
    Workspace(&'static str),
    /// The same, packed: Debian wants changelogs so.
    Packed(&'static str),
    /// The full text of all licences, packed.
    Licences,
}

/// Who ships a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum In {
    /// Everybody: package, image, and tar archive.
    All,
    /// Those who bring it to a host: package and tar archive.
    Host,
    /// As `Host`; an operator changes it, and what he wrote survives upgrades.
    Configuration,
    /// The tar archive alone: the package has it in Debian's form.
    Tarball,
    /// The package alone.
    Package,
}

/// A file of the packages.
pub(super) struct File {
    from: From,
    /// Where it lies on a host, without the leading slash. The tar archive has its last part.
    pub(super) to: &'static str,
    pub(super) mode: u32,
    pub(super) within: In,
}

const fn file(from: From, to: &'static str, mode: u32, within: In) -> File {
    File { from, to, mode, within }
}

/// Every file; folders come with them.
pub(super) const FILES: &[File] = &[
    file(From::Program, "usr/bin/onlooker", 0o755, In::All),
    file(
        From::Workspace("deploy/systemd/onlooker.service"),
        "usr/lib/systemd/system/onlooker.service",
        0o644,
        In::Host,
    ),
    file(
        From::Workspace("deploy/onlooker.yaml"),
        "etc/onlooker/onlooker.yaml",
        0o644,
        In::Configuration,
    ),
    // Headers with secrets go in here.
    file(
        From::Workspace("deploy/systemd/onlooker.env"),
        "etc/onlooker/onlooker.env",
        0o600,
        In::Configuration,
    ),
    file(
        From::Workspace("LICENSE"),
        "usr/share/doc/onlooker/LICENSE",
        0o644,
        In::Tarball,
    ),
    file(
        From::Licences,
        "usr/share/doc/onlooker/third-party-licenses.txt.gz",
        0o644,
        In::All,
    ),
    file(
        From::Packed("CHANGELOG.md"),
        "usr/share/doc/onlooker/changelog.gz",
        0o644,
        In::Package,
    ),
    file(
        From::Workspace("CHANGELOG.md"),
        "usr/share/doc/onlooker/CHANGELOG.md",
        0o644,
        In::Tarball,
    ),
    file(
        From::Workspace("README.md"),
        "usr/share/doc/onlooker/README.md",
        0o644,
        In::Host,
    ),
    file(
        From::Workspace("docs/install.md"),
        "usr/share/doc/onlooker/install.md",
        0o644,
        In::Host,
    ),
    file(
        From::Workspace("docs/quickstart.md"),
        "usr/share/doc/onlooker/quickstart.md",
        0o644,
        In::Host,
    ),
    file(
        From::Workspace("docs/security.md"),
        "usr/share/doc/onlooker/security.md",
        0o644,
        In::Host,
    ),
    file(
        From::Workspace("docs/metrics.md"),
        "usr/share/doc/onlooker/metrics.md",
        0o644,
        In::Host,
    ),
];

impl File {
    /// What it holds.
    pub(super) fn bytes(&self, release: &Release) -> Result<Vec<u8>> {
        let read = |path: &str| fs::read(root().join(path)).with_context(|| format!("cannot read {path}"));
        match self.from {
            From::Program => {
                fs::read(&release.program).with_context(|| format!("cannot read {}", release.program.display()))
            }
            From::Workspace(path) => read(path),
            From::Packed(path) => gzip(&read(path)?),
            From::Licences => gzip(release.licences.as_bytes()),
        }
    }

    /// Whether one of these ships it.
    pub(super) fn is_in(&self, places: &[In]) -> bool {
        places.contains(&self.within)
    }

    /// Its last part.
    pub(super) fn name(&self) -> &'static str {
        self.to.rsplit('/').next().unwrap_or(self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_there_once_and_has_bytes() {
        let (_folder, release) = super::super::tests::release();
        let mut seen = BTreeSet::new();
        for file in FILES {
            assert!(!file.bytes(&release).unwrap().is_empty(), "{}", file.to);
            assert!(seen.insert(file.to), "{} stands twice", file.to);
        }
    }

    #[test]
    fn the_unit_starts_the_program_with_the_files_that_are_shipped() {
        let unit = fs::read_to_string(root().join("deploy/systemd/onlooker.service")).unwrap();
        for file in FILES
            .iter()
            .filter(|file| file.within == In::Configuration || file.to.contains("/bin/"))
        {
            assert!(
                unit.contains(&format!("/{}", file.to)),
                "the unit does not name /{}",
                file.to
            );
        }
    }
}
