//! `cargo xtask dist`: what is given to others, under `target/dist`. One file an artifact; the table [`ARTIFACTS`] lists them,
//! the table in `files.rs` what packages hold.
//!
//! The same commit gives the same bytes, wherever it is built by the same toolchain: times are those of the last commit
//! (`SOURCE_DATE_EPOCH`, <https://reproducible-builds.org/specs/source-date-epoch/>), entries are sorted, folders of the machine are
//! not in it. `--check` builds everything once more, from nothing and in another folder, and compares.

mod archive;
mod build;
mod crates;
mod date;
mod deb;
mod files;
mod image;
mod licences;
mod program;
mod sbom;
mod sums;
mod tarball;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{Run, say, target};
use crate::{programs, run, test, toolchain};
use build::Arch;
use crates::Crates;

/// Everything that is made, in this order, of each architecture.
const ARTIFACTS: &[Artifact] = &[
    program::ARTIFACT,
    tarball::ARTIFACT,
    deb::ARTIFACT,
    image::ARTIFACT,
    sbom::ARTIFACT,
    licences::ARTIFACT,
];

/// One file that is given to others.
struct Artifact {
    /// Its file name.
    name: fn(&Release) -> String,
    /// Writes it to that path.
    make: fn(&Release, &Path) -> Result<()>,
}

/// What artifacts are made of.
struct Release {
    /// The workspace's version.
    version: &'static str,
    /// Commit, 40 hex digits; empty outside of a clone.
    commit: String,
    /// Seconds since 1970 that stand wherever a time must.
    epoch: u64,
    arch: &'static Arch,
    /// The static program.
    program: PathBuf,
    /// What is linked into it and what built it.
    crates: Crates,
    /// Full text of the licences of all of it.
    licences: String,
    /// Where artifacts may leave what they need on the way.
    scratch: PathBuf,
}

impl Release {
    /// Name of files that no packager prescribes.
    fn stem(&self) -> String {
        stem(self.version, self.arch)
    }
}

fn stem(version: &str, arch: &Arch) -> String {
    format!("onlooker-{version}-linux-{}", arch.name)
}

/// Options of the command.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Build everything once more, from nothing and in another folder, and compare
    #[arg(long)]
    check: bool,
    /// Install the package into a root that is thrown away, run the image under containerd, and look at what both see
    #[arg(long)]
    smoke: bool,
    /// Architecture by Debian's and OCI's name; this machine's without it. Repeatable.
    #[arg(long, value_name = "ARCH", value_parser = build::names())]
    arch: Vec<String>,
}

/// Makes everything; with `--check` an error that names what differs.
pub(crate) fn run(options: &Options) -> Result<()> {
    let arches = build::chosen(&options.arch)?;
    let folder = target().join("dist");
    // Asked once: a commit made meanwhile is no difference.
    let origin = Origin {
        commit: commit(),
        epoch: epoch()?,
    };
    let first = make(&arches, &origin, &folder, &target().join("dist-build/1"))?;
    if options.check {
        let again = target().join("dist-again");
        // What the first build found there already must not be found by the second.
        let build = target().join("dist-build/2");
        renew(&build)?;
        let second = make(&arches, &origin, &again, &build)?;
        compare(&first, &second)?;
        fs::remove_dir_all(&again).with_context(|| format!("cannot remove {}", again.display()))?;
        say("dist: two builds gave the same bytes");
    }
    if options.smoke {
        smoke(&arches, &folder)?;
    }
    for (name, sum) in &first {
        let size = fs::metadata(folder.join(name))?.len();
        say(format!("dist: {sum}  {size:>9}  {name}"));
    }
    say(format!("dist: {} and {} are in target/dist", first.len(), sums::NAME));
    Ok(())
}

/// The tests of what was made (`tests/tests/dist.rs`), with the program that was made.
fn smoke(arches: &[&'static Arch], folder: &Path) -> Result<()> {
    let Some(arch) = arches.iter().find(|arch| arch.is_here()) else {
        bail!(
            "--smoke starts what was made, and nothing was made for {}",
            std::env::consts::ARCH
        );
    };
    let missing = programs::install();
    if !missing.is_empty() {
        say(format!("dist: {}", missing.join("; ")));
    }
    let program = folder.join(stem(env!("CARGO_PKG_VERSION"), arch));
    test::as_root(&run::starter()?, &program)
        .env("ONLOOKER_DIST", folder)
        // What cannot run has not passed.
        .env("CI", "true")
        .args(["test", "--package", "onlooker-tests", "--test", "dist"])
        .args(["--", "--include-ignored"])
        .run()
        .context("what was made does not do what it should")?;
    say("dist: package and image were started and see this host");
    Ok(())
}

/// What is built.
struct Origin {
    /// See [`Release::commit`].
    commit: String,
    /// See [`Release::epoch`].
    epoch: u64,
}

/// Makes all artifacts in an empty folder, building in another; their names and sums.
fn make(arches: &[&'static Arch], origin: &Origin, folder: &Path, build: &Path) -> Result<Vec<(String, String)>> {
    renew(folder)?;
    let toolchain = toolchain::find_or_install()?;
    for &arch in arches {
        let release = Release {
            version: env!("CARGO_PKG_VERSION"),
            commit: origin.commit.clone(),
            epoch: origin.epoch,
            arch,
            program: build::program(&toolchain, arch, origin.epoch, build)?,
            crates: crates::read(arch.target)?,
            licences: String::new(),
            scratch: build.join("scratch").join(arch.name),
        };
        let release = Release {
            licences: licences::text(&release)?,
            ..release
        };
        fs::create_dir_all(&release.scratch)?;
        for artifact in ARTIFACTS {
            let name = (artifact.name)(&release);
            say(format!("dist: {name}"));
            (artifact.make)(&release, &folder.join(&name)).with_context(|| format!("cannot make {name}"))?;
        }
    }
    sums::write(folder)
}

/// An empty folder.
fn renew(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// An error that names every artifact that two runs made differently.
fn compare(first: &[(String, String)], second: &[(String, String)]) -> Result<()> {
    let differing: Vec<&str> = first
        .iter()
        .filter(|one| !second.contains(one))
        .chain(
            second
                .iter()
                .filter(|(name, _)| !first.iter().any(|(other, _)| other == name)),
        )
        .map(|(name, _)| name.as_str())
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    bail!(
        "two builds gave different bytes of {}: compare target/dist with target/dist-again",
        differing.join(", ")
    )
}

/// `SOURCE_DATE_EPOCH`, else the time of the last commit.
fn epoch() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(given) => given,
        Err(_) => Run::new("git")
            .args(["log", "-1", "--format=%ct"])
            .read()
            .context("no time to give to files: set SOURCE_DATE_EPOCH outside of a clone")?,
    };
    text.trim()
        .parse()
        .with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970"))
}

/// The commit that is built; a tree with changes is told, since its commit does not give these bytes.
fn commit() -> String {
    let git = |args: &[&str]| Run::new("git").args(args).read().map(|text| text.trim().to_owned());
    if git(&["status", "--porcelain", "--untracked-files=no"]).is_ok_and(|changes| !changes.is_empty()) {
        say("dist: this tree has changes that are in no commit: others cannot build the same");
        return String::new();
    }
    git(&["rev-parse", "HEAD"]).unwrap_or_default()
}

#[cfg(test)]
mod tests;
