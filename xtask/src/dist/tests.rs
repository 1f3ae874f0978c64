//! What all artifacts share, and a release that is none, for the tests of each.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::crates::{Crate, Role};
use super::*;

/// A release whose program is a few bytes, with crates of both roles, in a folder that goes with it.
pub(super) fn release() -> (TempDir, Release) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("onlooker");
    fs::write(&program, b"\x7fELF and more").unwrap();
    let krate = |name: &str, role, depends_on: &[&str]| Crate {
        name: name.to_owned(),
        version: "1.2.3".to_owned(),
        role,
        licence: Some("MIT/Apache-2.0".to_owned()),
        description: Some("does things".to_owned()),
        repository: Some("https://example.com/repository".to_owned()),
        authors: vec!["A. Author".to_owned()],
        sha256: (name != "onlooker").then(|| "ab".repeat(32)),
        folder: folder.path().to_owned(),
        depends_on: depends_on
            .iter()
            .map(|name| format!("pkg:cargo/{name}@1.2.3"))
            .collect(),
    };
    let release = Release {
        version: "1.2.3",
        commit: "c0ffee".repeat(6) + "c0ff",
        epoch: 1_764_500_000,
        arch: build::chosen(&["amd64".to_owned()]).unwrap()[0],
        program,
        crates: Crates {
            all: vec![
                krate("linked", Role::Linked, &[]),
                krate("maker", Role::Build, &[]),
                krate("onlooker", Role::Linked, &["linked", "maker"]),
            ],
            rust: "1.95.0".to_owned(),
            llvm: Some("22.1.2".to_owned()),
            musl: Some("1.2.5".to_owned()),
        },
        licences: "All the licences.\n".to_owned(),
        scratch: folder.path().join("scratch"),
    };
    fs::create_dir_all(&release.scratch).unwrap();
    (folder, release)
}

/// What an artifact is, made twice in two folders: the same bytes.
pub(super) fn twice(artifact: &Artifact) -> Vec<u8> {
    let [one, two] = [(); 2].map(|()| {
        let (folder, release) = release();
        let path = folder.path().join((artifact.name)(&release));
        (artifact.make)(&release, &path).unwrap();
        fs::read(path).unwrap()
    });
    assert!(one == two, "two runs differ");
    one
}

#[test]
fn artifacts_have_names_of_their_own() {
    let (_folder, release) = release();
    let names: BTreeSet<String> = ARTIFACTS.iter().map(|artifact| (artifact.name)(&release)).collect();
    assert_eq!(names.len(), ARTIFACTS.len(), "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| name.contains("1.2.3") && name.contains("amd64")),
        "{names:?}"
    );
}

#[test]
fn what_differs_is_named() {
    let sum = |name: &str, sum: &str| (name.to_owned(), sum.to_owned());
    let first = [sum("a", "1"), sum("b", "2")];
    assert!(compare(&first, &first).is_ok());
    let error = compare(&first, &[sum("a", "1"), sum("b", "3"), sum("c", "4")]).unwrap_err();
    assert!(error.to_string().contains("different bytes of b, c:"), "{error}");
    let error = compare(&first, &first[..1]).unwrap_err();
    assert!(error.to_string().contains("different bytes of b:"), "{error}");
}
