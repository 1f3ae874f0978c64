//! The one list of what packages hold: a row a file or a folder, with where it lies on a host and who ships it.

use std::fs;

use anyhow::{Context, Result, bail};

use super::archive::gzip;
use super::{Release, sbom};
use crate::shell::{Run, root};

/// Where a file's bytes come from.
enum From {
    /// The static program.
    Program,
    /// A file of the workspace.
    Workspace(String),
    /// The same, packed: Debian wants changelogs so.
    Packed(&'static str),
    /// The full text of all licences, packed.
    Licences,
    /// The bill of materials: with it in hand nobody has to look for that of an image or a host.
    Bill,
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
    /// Where it lies on a host, without the leading slash.
    pub(super) to: String,
    /// Where it lies in the tar archive: at the top, or as in the workspace when it came with its folder.
    pub(super) beside: String,
    pub(super) mode: u32,
    pub(super) within: In,
}

/// Folders of the workspace that are shipped with all that the repository has below them, and where they lie on a host: what an
/// operator needs beside the program, with the documents that it and the alerts point at.
const FOLDERS: [(&str, &str); 2] = [
    ("deploy", "usr/share/onlooker/deploy"),
    ("docs", "usr/share/doc/onlooker/docs"),
];

/// Symbolic links of the package, by which links of documents between the two folders hold.
pub(super) const LINKS: [(&str, &str); 2] = [
    ("usr/share/doc/onlooker/deploy", "../../onlooker/deploy"),
    ("usr/share/onlooker/docs", "../doc/onlooker/docs"),
];

/// Every file; folders above them come with them.
pub(super) fn all() -> Result<Vec<File>> {
    let doc = |name: &str| format!("usr/share/doc/onlooker/{name}");
    let ours = |path: &str| From::Workspace(path.to_owned());
    let file = |from: From, to: String, mode: u32, within: In| File {
        from,
        beside: to.rsplit('/').next().unwrap_or(&to).to_owned(),
        to,
        mode,
        within,
    };
    let mut files = vec![
        file(From::Program, "usr/bin/onlooker".to_owned(), 0o755, In::All),
        file(
            ours("deploy/systemd/onlooker.service"),
            "usr/lib/systemd/system/onlooker.service".to_owned(),
            0o644,
            In::Host,
        ),
        file(
            ours("deploy/onlooker.yaml"),
            "etc/onlooker/onlooker.yaml".to_owned(),
            0o644,
            In::Configuration,
        ),
        // Headers with secrets go in here.
        file(
            ours("deploy/systemd/onlooker.env"),
            "etc/onlooker/onlooker.env".to_owned(),
            0o600,
            In::Configuration,
        ),
        file(ours("LICENSE"), doc("LICENSE"), 0o644, In::Tarball),
        file(From::Licences, doc("third-party-licenses.txt.gz"), 0o644, In::All),
        file(From::Bill, doc("onlooker.cdx.json"), 0o644, In::All),
        file(From::Packed("CHANGELOG.md"), doc("changelog.gz"), 0o644, In::Package),
        file(ours("CHANGELOG.md"), doc("CHANGELOG.md"), 0o644, In::Tarball),
        file(ours("README.md"), doc("README.md"), 0o644, In::Host),
        file(ours("ARCHITECTURE.md"), doc("ARCHITECTURE.md"), 0o644, In::Host),
    ];
    for (folder, to) in FOLDERS {
        for path in below(folder)? {
            let rest = path.strip_prefix(folder).unwrap_or_default();
            files.push(File {
                to: format!("{to}{rest}"),
                from: From::Workspace(path.clone()),
                beside: path,
                mode: 0o644,
                within: In::Host,
            });
        }
    }
    Ok(files)
}

/// What the repository has below a folder. Not what lies there: secrets and data that somebody tried it with do.
fn below(folder: &str) -> Result<Vec<String>> {
    let text = Run::new("git")
        .args(["ls-files", "-z", "--", folder])
        .read()
        .with_context(|| format!("cannot tell what of {folder} is of the repository: build in a clone"))?;
    let paths: Vec<String> = text
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect();
    if paths.is_empty() {
        bail!("the repository has nothing below {folder}");
    }
    Ok(paths)
}

impl File {
    /// What it holds.
    pub(super) fn bytes(&self, release: &Release) -> Result<Vec<u8>> {
        let read = |path: &str| fs::read(root().join(path)).with_context(|| format!("cannot read {path}"));
        match &self.from {
            From::Program => {
                fs::read(&release.program).with_context(|| format!("cannot read {}", release.program.display()))
            }
            From::Workspace(path) => read(path),
            From::Packed(path) => gzip(&read(path)?),
            From::Licences => gzip(release.licences.as_bytes()),
            From::Bill => Ok(sbom::text(release)?.into_bytes()),
        }
    }

    /// Whether one of these ships it.
    pub(super) fn is_in(&self, places: &[In]) -> bool {
        places.contains(&self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_there_once_and_has_bytes() {
        let (_folder, release) = super::super::tests::release();
        let (mut hosts, mut archives) = (BTreeSet::new(), BTreeSet::new());
        for file in all().unwrap() {
            assert!(!file.bytes(&release).unwrap().is_empty(), "{}", file.to);
            assert!(hosts.insert(file.to.clone()), "{} stands twice", file.to);
            if file.within != In::Package {
                assert!(archives.insert(file.beside.clone()), "{} stands twice", file.beside);
            }
        }
        for wanted in [
            "usr/share/onlooker/deploy/prometheus/rules/service.yaml",
            "usr/share/doc/onlooker/docs/runbooks/ServiceErrors.md",
        ] {
            assert!(hosts.contains(wanted), "{wanted}");
        }
        for (link, target) in LINKS {
            let folder = link.rsplit_once('/').unwrap().0;
            let mut at: Vec<&str> = folder.split('/').collect();
            for part in target.split('/') {
                if part == ".." {
                    at.pop();
                } else {
                    at.push(part);
                }
            }
            let at = at.join("/") + "/";
            assert!(
                hosts.iter().any(|path| path.starts_with(&at)),
                "{link} points at nothing"
            );
        }
    }

    #[test]
    fn what_lies_in_a_folder_and_is_not_of_the_repository_is_left_out() {
        let folder = root().join("deploy/alertmanager");
        let stray = tempfile::Builder::new().prefix("secret-").tempfile_in(&folder).unwrap();
        let name = stray.path().file_name().unwrap().to_str().unwrap();
        let files = all().unwrap();
        assert!(files.iter().any(|file| file.to.ends_with("/alertmanager.yml")));
        assert!(!files.iter().any(|file| file.to.ends_with(name)), "{name}");
    }

    #[test]
    fn the_unit_starts_the_program_with_the_files_that_are_shipped() {
        let unit = fs::read_to_string(root().join("deploy/systemd/onlooker.service")).unwrap();
        for file in all()
            .unwrap()
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
