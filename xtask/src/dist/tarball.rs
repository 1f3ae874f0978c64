//! A tar archive for hosts without dpkg: everything in one folder, with the commands that install it in `install.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::archive::{Archive, gzip};
use super::files::{self, In};
use super::{Artifact, Release};

pub(super) const ARTIFACT: Artifact = Artifact {
    name: |release| format!("{}.tar.gz", release.stem()),
    make,
};

fn make(release: &Release, to: &Path) -> Result<()> {
    let mut archive = Archive::default();
    let places = [In::All, In::Host, In::Configuration, In::Tarball];
    for file in files::all()?.iter().filter(|file| file.is_in(&places)) {
        let path = format!("{}/{}", release.stem(), file.beside);
        archive.file(&path, file.mode, file.bytes(release)?)?;
    }
    fs::write(to, gzip(&archive.tar(release.epoch)?)?).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::twice;
    use super::*;
    use flate2::read::GzDecoder;

    #[test]
    fn it_holds_program_unit_and_configuration_in_one_folder_twice_the_same() {
        let bytes = twice(&ARTIFACT);
        let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
        let paths: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
            .collect();
        for name in [
            "onlooker",
            "onlooker.service",
            "onlooker.yaml",
            "onlooker.env",
            "LICENSE",
            "docs/install.md",
            "deploy/prometheus/prometheus.yml",
        ] {
            let path = format!("onlooker-1.2.3-linux-amd64/{name}");
            assert!(paths.contains(&path), "{path} is not among {paths:?}");
        }
        assert!(
            paths.iter().all(|path| path.starts_with("onlooker-1.2.3-linux-amd64/")),
            "{paths:?}"
        );
    }
}
