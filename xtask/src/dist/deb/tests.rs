use super::super::tests::{release, twice};
use super::*;

/// A package in a folder, where dpkg-deb is here.
fn package() -> Option<(tempfile::TempDir, PathBuf)> {
    find_program("dpkg-deb")?;
    let (folder, release) = release();
    let path = folder.path().join((ARTIFACT.name)(&release));
    make(&release, &path).unwrap();
    Some((folder, path))
}

#[test]
fn two_packages_of_one_release_are_the_same_bytes() {
    if find_program("dpkg-deb").is_some() {
        assert!(twice(&ARTIFACT).starts_with(b"!<arch>\ndebian-binary"));
    }
}

#[test]
fn the_package_says_what_it_is_and_belongs_to_root() {
    let Some((_folder, path)) = package() else { return };
    let field = |name: &str| {
        Run::new("dpkg-deb")
            .arg("--field")
            .arg(&path)
            .arg(name)
            .read()
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(path.file_name().unwrap(), "onlooker_1.2.3-1_amd64.deb");
    assert_eq!(
        ["Package", "Version", "Architecture"].map(field),
        ["onlooker", "1.2.3-1", "amd64"]
    );
    assert_eq!(field("Depends"), "", "a static program needs nothing");
    assert!(field("Installed-Size").parse::<u64>().unwrap() > 10);
    let list = Run::new("dpkg-deb")
        .env("TZ", "UTC")
        .arg("--contents")
        .arg(&path)
        .read()
        .unwrap();
    let line = |end: &str| {
        list.lines()
            .find(|line| line.ends_with(end))
            .unwrap_or_else(|| panic!("{end} is not in {list}"))
    };
    assert!(line(" ./usr/bin/onlooker").starts_with("-rwxr-xr-x root/root"));
    assert!(line(" ./etc/onlooker/onlooker.env").starts_with("-rw------- root/root"));
    assert!(line(" ./usr/").starts_with("drwxr-xr-x root/root"));
    assert!(list.lines().all(|line| line.contains("2025-11-30 10:53")), "{list}");
}

#[test]
fn configuration_is_kept_and_everything_else_is_summed() {
    let (_folder, release) = release();
    let tree = release.scratch.join("deb");
    super::super::renew(&tree).unwrap();
    let list = files::all().unwrap();
    let bytes = files(&release, &list, &tree).unwrap();
    control(&release, &list, &tree, bytes).unwrap();
    let read = |name: &str| fs::read_to_string(tree.join("DEBIAN").join(name)).unwrap();
    assert_eq!(
        read("conffiles"),
        "/etc/onlooker/onlooker.env\n/etc/onlooker/onlooker.yaml\n"
    );
    let sums = read("md5sums");
    assert!(
        sums.contains("  usr/bin/onlooker\n") && !sums.contains("  etc/") && !sums.contains("DEBIAN"),
        "{sums}"
    );
}

/// Scripts run without a chroot (dpkg tells them the root by DPKG_ROOT), as image builders do it.
fn dpkg(host: &Path, action: &str, what: &Path) -> Result<String> {
    Run::new("dpkg")
        .arg(format!("--root={}", host.display()))
        .args([
            "--force-script-chrootless",
            "--force-depends",
            "--force-not-root",
            "--force-bad-path",
            "--log=/dev/null",
        ])
        .arg(action)
        .arg(what)
        .read()
}

#[test]
fn it_installs_upgrades_and_goes_into_another_root_without_systemd() {
    if !crate::privileges::is_root() || find_program("dpkg").is_none() {
        return;
    }
    let Some((folder, path)) = package() else { return };
    let host = folder.path().join("host");
    fs::create_dir_all(host.join("var/lib/dpkg/updates")).unwrap();
    fs::create_dir_all(host.join("var/lib/dpkg/info")).unwrap();
    fs::write(host.join("var/lib/dpkg/status"), "").unwrap();
    dpkg(&host, "--install", &path).unwrap();
    assert!(host.join("usr/bin/onlooker").exists() && host.join("etc/onlooker/onlooker.yaml").exists());
    // What an operator wrote stays, at an upgrade and when the package goes.
    fs::write(host.join("etc/onlooker/onlooker.yaml"), "mine").unwrap();
    dpkg(&host, "--install", &path).unwrap();
    for folder in ["var/lib/onlooker", "var/lib/private/onlooker/queue"] {
        fs::create_dir_all(host.join(folder)).unwrap();
    }
    dpkg(&host, "--remove", Path::new("onlooker")).unwrap();
    assert!(!host.join("usr/bin/onlooker").exists() && host.join("var/lib/private/onlooker/queue").exists());
    assert_eq!(fs::read(host.join("etc/onlooker/onlooker.yaml")).unwrap(), b"mine");
    dpkg(&host, "--purge", Path::new("onlooker")).unwrap();
    for gone in ["etc/onlooker", "var/lib/onlooker", "var/lib/private/onlooker"] {
        assert!(!host.join(gone).exists(), "{gone} is still there");
    }
}

#[test]
fn scripts_are_read_by_a_plain_shell() {
    for (name, script) in SCRIPTS {
        assert!(
            script.starts_with("#!/bin/sh\n") && script.contains("set -e\n"),
            "{name}"
        );
        let check = Run::new("sh").args(["-n", "-c", script]).read();
        assert!(check.is_ok(), "{name}: {check:?}");
    }
}
