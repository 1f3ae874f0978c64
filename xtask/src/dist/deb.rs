//! The Debian package, put together by `dpkg-deb`. It needs no other package; its unit is enabled and started as Debian's own are,
//! and nothing is started where systemd does not run.
//!
//! Formats: deb(5), deb-control(5), <https://www.debian.org/doc/debian-policy/>.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive::gzip;
use super::date::rfc5322;
use super::files::{self, File, In, LINKS};
use super::{Artifact, Release};
use crate::shell::{Run, find_program};

pub(super) const ARTIFACT: Artifact = Artifact {
    name: |release| format!("onlooker_{}_{}.deb", version(release), release.arch.name),
    make,
};

/// Who may be written to about the package.
const MAINTAINER: &str = "onlooker maintainers <maintainers@onlooker.example>";

/// Scripts that dpkg runs, each with the name dpkg knows it by.
const SCRIPTS: [(&str, &str); 3] = [
    ("postinst", include_str!("deb/postinst.sh")),
    ("prerm", include_str!("deb/prerm.sh")),
    ("postrm", include_str!("deb/postrm.sh")),
];

const COPYRIGHT: &str = include_str!("deb/copyright");

/// What lintian finds and is meant so. It takes a static program that can be loaded anywhere for a library.
const OVERRIDES: &str = "onlooker: shared-library-lacks-prerequisites [usr/bin/onlooker]\n\
    onlooker: initial-upload-closes-no-bugs [usr/share/doc/onlooker/changelog.Debian.gz:1]\n\
    onlooker: no-manual-page [usr/bin/onlooker]\n\
    onlooker: non-standard-file-perm 0600 != 0644 [etc/onlooker/onlooker.env]\n";

/// Debian's version: ours, and which packaging of it.
fn version(release: &Release) -> String {
    format!("{}-1", release.version)
}

fn make(release: &Release, to: &Path) -> Result<()> {
    let tree = release.scratch.join("deb");
    super::renew(&tree)?;
    let list = files::all()?;
    let sum = files(release, &list, &tree)?;
    control(release, &list, &tree, sum)?;
    let dpkg = find_program("dpkg-deb").context("there is no dpkg-deb: install the package dpkg")?;
    Run::new(dpkg)
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .args(["--root-owner-group", "-Zxz", "--build"])
        .args([&tree, to])
        .run()
}

/// Files as they lie on a host; how many bytes.
fn files(release: &Release, list: &[File], tree: &Path) -> Result<u64> {
    let mut sum = 0;
    let mut put = |path: &str, mode: u32, bytes: &[u8]| {
        sum += bytes.len() as u64;
        write(tree, path, mode, bytes)
    };
    let places = [In::All, In::Host, In::Configuration, In::Package];
    for file in list.iter().filter(|file| file.is_in(&places)) {
        put(&file.to, file.mode, &file.bytes(release)?)?;
    }
    put("usr/share/doc/onlooker/copyright", 0o644, COPYRIGHT.as_bytes())?;
    put(
        "usr/share/doc/onlooker/changelog.Debian.gz",
        0o644,
        &gzip(changelog(release).as_bytes())?,
    )?;
    put("usr/share/lintian/overrides/onlooker", 0o644, OVERRIDES.as_bytes())?;
    for (link, target) in LINKS {
        symlink(target, tree.join(link)).with_context(|| format!("cannot link {link}"))?;
    }
    Ok(sum)
}

/// What dpkg reads: who it is, what an operator may change, what it runs, the sums it checks.
fn control(release: &Release, list: &[File], tree: &Path, bytes: u64) -> Result<()> {
    let text = format!(
        "Package: onlooker\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {}\n\
         Recommends: ca-certificates\nSection: admin\nPriority: optional\n\
         Homepage: https://github.com/onlooker-rs/onlooker\n\
         Description: watches a Linux host from the kernel\n \
         onlooker makes applications that nobody instrumented observable: every HTTP\n \
         service by name with its request rate, errors and latency, what the kernel\n \
         knows of every process, and the metrics of the host, for Prometheus and by\n \
         OTLP. It needs a kernel of 5.8 or later with BTF, and no other package.\n",
        version(release),
        release.arch.name,
        bytes.div_ceil(1024),
    );
    write(tree, "DEBIAN/control", 0o644, text.as_bytes())?;
    let is_configuration = |to: &&str| {
        list.iter()
            .any(|file| file.to == *to && file.within == In::Configuration)
    };
    let mut paths = paths(tree, tree)?;
    paths.retain(|path| !path.starts_with("DEBIAN/"));
    let configuration: String = paths
        .iter()
        .map(String::as_str)
        .filter(is_configuration)
        .map(|path| format!("/{path}\n"))
        .collect();
    write(tree, "DEBIAN/conffiles", 0o644, configuration.as_bytes())?;
    paths.retain(|path| !is_configuration(&path.as_str()));
    let sums = Run::new("md5sum").args(&paths).within(tree).read()?;
    write(tree, "DEBIAN/md5sums", 0o644, sums.as_bytes())?;
    for (name, script) in SCRIPTS {
        write(tree, &format!("DEBIAN/{name}"), 0o755, script.as_bytes())?;
    }
    Ok(())
}

/// Debian's own list of changes: that there is this package, and of what it is made.
fn changelog(release: &Release) -> String {
    let of = match release.commit.as_str() {
        "" => String::new(),
        commit => format!("  * Commit {commit}.\n"),
    };
    format!(
        "onlooker ({}) unstable; urgency=medium\n\n  * Version {}: see changelog.gz.\n{of}\n -- {MAINTAINER}  {}\n",
        version(release),
        release.version,
        rfc5322(release.epoch),
    )
}

/// Writes a file of the tree; folders have the mode that packages give them, whatever this process' mask is.
fn write(tree: &Path, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let at = tree.join(path);
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {}", path.display()))
    };
    let folders: Vec<PathBuf> = at
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != tree)
        .map(Path::to_path_buf)
        .collect();
    for folder in folders.iter().rev() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        chmod(folder, 0o755)?;
    }
    chmod(tree, 0o755)?;
    fs::write(&at, bytes).with_context(|| format!("cannot write {}", at.display()))?;
    chmod(&at, mode)
}

/// All files below a folder, as sorted paths below `tree`; what links point at is not followed.
fn paths(tree: &Path, folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            found.extend(paths(tree, &path)?);
        } else if kind.is_file() {
            found.extend(path.strip_prefix(tree)?.to_str().map(str::to_owned));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
