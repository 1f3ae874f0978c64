//! Kernels as Debian packages: the newest of a series, fetched with a private apt configuration and unpacked below
//! `target/kernels`, never installed. Nothing of the system's apt changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::shell::{Run, find_program, say, target};

/// A series of kernels, and the releases of Debian that have it.
#[derive(Debug)]
pub(crate) struct Series {
    /// The versions' start: `5.10`, `7`.
    pub(crate) name: &'static str,
    suites: &'static [&'static str],
}

pub(crate) static V5_10: Series = Series {
    name: "5.10",
    suites: &["bullseye", "bullseye-security"],
};
pub(crate) static V6_1: Series = Series {
    name: "6.1",
    suites: &["bookworm", "bookworm-security"],
};
pub(crate) static V6_12: Series = Series {
    name: "6.12",
    suites: &["trixie", "trixie-security"],
};
pub(crate) static V7: Series = Series {
    name: "7",
    suites: &["sid"],
};
static ALL: [&Series; 4] = [&V5_10, &V6_1, &V6_12, &V7];

/// Which of a version's builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flavour {
    /// For any machine.
    Generic,
    /// For virtual machines of the large providers.
    Cloud,
}

/// A kernel that lies unpacked on disk.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// Its package and version: `linux-image-6.1.0-56-amd64 6.1.192-2`.
    pub(crate) version: String,
    /// The compressed image.
    pub(crate) image: PathBuf,
    /// The folder with its modules.
    pub(crate) modules: PathBuf,
}

/// Package lists older than this are fetched anew.
const LISTS_LIVE: Duration = Duration::from_secs(24 * 3600);

/// The newest kernel of a series, fetched when it is not here.
///
/// # Errors
/// It cannot be fetched, and none of an earlier day is here.
pub(crate) fn kernel(series: &Series, flavour: Flavour) -> Result<Kernel> {
    let folder = folder().join(format!("{}-{}", series.name, flavour.name()));
    let newest = lists().and_then(|()| newest(series, flavour));
    let newest = match newest {
        Ok(newest) => newest,
        Err(reason) if folder.join(STAMP).exists() => {
            say(format!("kernel {}: taken as it is here: {reason:#}", series.name));
            return unpacked(&folder);
        }
        Err(reason) => return Err(reason),
    };
    let version = format!("{} {}", newest.name, newest.version);
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|have| have == version) {
        return unpacked(&folder);
    }
    say(format!("kernel {}: fetching {version}", series.name));
    fetch(&newest, &folder)?;
    fs::write(folder.join(STAMP), version)?;
    unpacked(&folder)
}

/// Says which version was unpacked; written last.
const STAMP: &str = "version";

fn folder() -> PathBuf {
    target().join("kernels")
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Flavour::Generic => "generic",
            Flavour::Cloud => "cloud",
        }
    }
}

fn unpacked(folder: &Path) -> Result<Kernel> {
    // `/lib` is `/usr/lib` since Debian 12, and newer packages keep the image with the modules.
    let all = ["lib/modules", "usr/lib/modules"].map(|place| folder.join(place));
    let modules = all
        .iter()
        .filter_map(|place| fs::read_dir(place).ok()?.next()?.ok())
        .next()
        .with_context(|| format!("{} holds no modules", folder.display()))?
        .path();
    let boot = fs::read_dir(folder.join("boot")).into_iter().flatten().flatten();
    let image = boot
        .map(|file| file.path())
        .chain([modules.join("vmlinuz")])
        .find(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("vmlinuz") && file.exists()
        })
        .with_context(|| format!("{} holds no kernel image", folder.display()))?;
    let version = fs::read_to_string(folder.join(STAMP))?;
    Ok(Kernel {
        version,
        image,
        modules,
    })
}

/// A package of the lists.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    depends: Vec<String>,
}

fn newest(series: &Series, flavour: Flavour) -> Result<Package> {
    let packages = available()?;
    let mut best: Option<&Package> = None;
    for package in packages
        .iter()
        .filter(|package| is_kernel(&package.name, series, flavour))
    {
        if best.is_none_or(|best| version_key(&best.version) < version_key(&package.version)) {
            best = Some(package);
        }
    }
    best.cloned()
        .with_context(|| format!("Debian's {} have no kernel {}", series.suites.join(", "), series.name))
}

/// `linux-image-VERSION-ARCH`: neither an unsigned one, nor a package that only names the newest.
fn is_kernel(package: &str, series: &Series, flavour: Flavour) -> bool {
    let Some(rest) = package.strip_prefix("linux-image-") else {
        return false;
    };
    let ending = match flavour {
        Flavour::Generic => format!("-{}", architecture()),
        Flavour::Cloud => format!("-cloud-{}", architecture()),
    };
    let Some(version) = rest.strip_suffix(&ending) else {
        return false;
    };
    let of_series = version
        .strip_prefix(series.name)
        .is_some_and(|rest| rest.starts_with('.'));
    // 6.1.0-0.deb11.48 is a newer kernel for an older Debian.
    of_series && !version.contains("-cloud") && !version.contains("-rt") && !version.contains("-0.deb")
}

/// Debian's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What versions are ordered by: the numbers in them; one made again for an older Debian (`~deb12u1`) comes before its original.
fn version_key(version: &str) -> (Vec<u64>, bool) {
    let (number, again) = version
        .split_once('~')
        .map_or((version, false), |(number, _)| (number, true));
    let numbers = number.split(|c: char| !c.is_ascii_digit());
    (numbers.filter_map(|number| number.parse().ok()).collect(), !again)
}

/// Kernel packages of the private lists.
fn available() -> Result<Vec<Package>> {
    Ok(parse(&apt("apt-cache").arg("dumpavail").read()?))
}

fn parse(dump: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    for paragraph in dump.split("\n\n") {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else {
            continue;
        };
        if !name.starts_with("linux-") {
            continue;
        }
        let depends = field("Depends").unwrap_or_default().split(", ");
        packages.push(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            depends: depends
                .filter_map(|one| one.split_whitespace().next())
                .filter(|name| name.starts_with("linux-binary-") || name.starts_with("linux-modules-"))
                .map(str::to_owned)
                .collect(),
        });
    }
    packages
}

/// Downloads the package and those that hold its parts, and unpacks all.
fn fetch(package: &Package, into: &Path) -> Result<()> {
    let known: BTreeMap<String, Package> = available()?
        .into_iter()
        .filter(|package| package.name.starts_with("linux-binary-") || package.name.starts_with("linux-modules-"))
        .map(|package| (package.name.clone(), package))
        .collect();
    let mut wanted = vec![package.clone()];
    let mut next = 0;
    while let Some(package) = wanted.get(next).cloned() {
        for name in &package.depends {
            if !wanted.iter().any(|other| other.name == *name) {
                wanted.push(known.get(name).with_context(|| format!("no package {name}"))?.clone());
            }
        }
        next += 1;
    }
    remove(into)?;
    fs::create_dir_all(into)?;
    let archives = folder().join("archives");
    remove(&archives)?;
    fs::create_dir_all(&archives)?;
    apt("apt-get")
        .args(["download", "-qq"])
        .args(
            wanted
                .iter()
                .map(|package| format!("{}={}", package.name, package.version)),
        )
        .within(&archives)
        .run()?;
    for archive in fs::read_dir(&archives)? {
        Run::new("dpkg-deb").arg("-x").arg(archive?.path()).arg(into).read()?;
    }
    remove(&archives)
}

/// Fetches a package of the newest Debian, not installing it, and copies `file` of it into the folder `bin` of `into`, and its folder
/// `usr/share/SHARE`, if one is named, to `share/SHARE` there.
///
/// # Errors
/// It cannot be fetched, or does not hold them.
pub(crate) fn newest_file(package: &str, file: &str, share: Option<&str>, into: &Path) -> Result<()> {
    lists()?;
    say(format!("packages: unpacking the newest {package}"));
    let unpacked = target().join("packages").join(package);
    remove(&unpacked)?;
    fs::create_dir_all(&unpacked)?;
    apt("apt-get")
        .args(["download", "-qq", &format!("{package}/sid")])
        .within(&unpacked)
        .run()?;
    let archive = fs::read_dir(&unpacked)?
        .next()
        .context("apt-get downloaded nothing")??;
    Run::new("dpkg-deb")
        .arg("-x")
        .arg(archive.path())
        .arg(&unpacked)
        .read()?;
    let bin = into.join("bin");
    fs::create_dir_all(&bin)?;
    let name = Path::new(file).file_name().context("no file is named")?;
    fs::copy(unpacked.join(file), bin.join(name)).with_context(|| format!("{package} holds no {file}"))?;
    if let Some(share) = share {
        let copy = into.join("share").join(share);
        fs::create_dir_all(&copy)?;
        let from = unpacked.join("usr/share").join(share);
        Run::new("cp").arg("-rT").arg(from).arg(copy).run()?;
    }
    remove(&unpacked)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Fetches the lists of all series when those here are old.
fn lists() -> Result<()> {
    let stamp = folder().join("apt/lists-fetched");
    let sources = sources()?;
    let fresh = fs::metadata(&stamp)
        .and_then(|meta| meta.modified())
        .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age < LISTS_LIVE))
        && fs::read_to_string(&stamp).is_ok_and(|have| have == sources);
    if fresh {
        return Ok(());
    }
    for place in ["apt/lists/partial", "apt/cache/archives/partial"] {
        fs::create_dir_all(folder().join(place))?;
    }
    fs::write(folder().join("apt/sources.list"), &sources)?;
    say("kernels: fetching the package lists of their Debian releases");
    apt("apt-get").args(["update", "-qq"]).run()?;
    fs::write(stamp, sources)?;
    Ok(())
}

/// An apt program with a configuration of its own.
fn apt(program: &str) -> Run {
    let apt = folder().join("apt");
    let option = |name: &str, file: &str| format!("{name}={}", apt.join(file).display());
    let mut run = Run::new(program);
    for option in [
        option("Dir::Etc::sourcelist", "sources.list"),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        option("Dir::State::lists", "lists"),
        option("Dir::Cache", "cache"),
        // What is installed here must not matter.
        "Dir::State::status=/dev/null".to_owned(),
        // As root apt would download as another user, who may not write here.
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".to_owned(),
    ] {
        run = run.arg("-o").arg(option);
    }
    run
}

/// Debian's keys, where the package debian-archive-keyring put them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The private `sources.list`: the releases of all series, from the mirrors that this machine's own apt uses.
fn sources() -> Result<String> {
    if find_program("apt-get").is_none() {
        bail!("kernels are fetched as Debian packages, and this system has no apt");
    }
    let told = Run::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ])
        .read()?;
    let keyring = Path::new(KEYRING).exists();
    source_lines(&told, keyring).context(
        "this machine's apt knows no mirror of Debian: kernels are fetched from the mirrors of its own sources.list",
    )
}

/// From lines `LABEL|URI` of the system's sources.
fn source_lines(told: &str, keyring: bool) -> Option<String> {
    let mirror = |label: &str| {
        told.lines().find_map(|line| {
            let (found, uri) = line.split_once('|')?;
            (found == label).then_some(uri)
        })
    };
    let option = if keyring {
        format!("signed-by={KEYRING}")
    } else {
        "trusted=yes".to_owned()
    };
    let main = mirror("Debian")?;
    let mut lines = String::new();
    for suite in ALL.iter().flat_map(|series| series.suites) {
        let uri = if suite.ends_with("-security") {
            mirror("Debian-Security")
        } else {
            Some(main)
        };
        if let Some(uri) = uri {
            lines += &format!("deb [{option}] {uri} {suite} main\n");
        }
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_from_their_relatives() {
        let arch = architecture();
        for (name, series, flavour, expect) in [
            ("linux-image-6.1.0-56-ARCH", &V6_1, Flavour::Generic, true),
            ("linux-image-6.1.0-56-cloud-ARCH", &V6_1, Flavour::Cloud, true),
            ("linux-image-7.2.13+deb14-ARCH", &V7, Flavour::Generic, true),
            ("linux-image-6.12.117+deb13-ARCH", &V6_1, Flavour::Generic, false),
            ("linux-image-6.1.0-56-cloud-ARCH", &V6_1, Flavour::Generic, false),
            ("linux-image-6.1.0-56-rt-ARCH", &V6_1, Flavour::Generic, false),
            ("linux-image-6.1.0-56-ARCH-unsigned", &V6_1, Flavour::Generic, false),
            ("linux-image-6.1.0-56-ARCH-dbg", &V6_1, Flavour::Generic, false),
            ("linux-image-6.1.0-0.deb11.52-ARCH", &V6_1, Flavour::Generic, false),
            ("linux-image-6.1-ARCH", &V6_1, Flavour::Generic, false),
        ] {
            let name = name.replace("ARCH", arch);
            assert_eq!(is_kernel(&name, series, flavour), expect, "{name} {flavour:?}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version_key("6.12.117-1") > version_key("6.12.90-2"));
        assert!(version_key("6.1.192-2") > version_key("6.1.192-1"));
        assert!(version_key("6.12.117-1") > version_key("6.12.117-1~deb12u1"));
    }

    #[test]
    fn parts_of_a_kernel_are_read_from_its_dependencies() {
        let dump = "Package: linux-image-7.2-x\nVersion: 7.2.13-1\nDepends: kmod, linux-binary-7.2-x (= 7.2.13-1), linux-modules-7.2-x (= 7.2.13-1)\nDescription: a\n\nPackage: zlib\nVersion: 1\n";
        let packages = parse(dump);
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].depends, ["linux-binary-7.2-x", "linux-modules-7.2-x"]);
    }

    #[test]
    fn the_mirrors_are_those_of_the_machine() {
        let told = "Something|http://else.example/x/\nDebian|http://mirror.example/debian/\nDebian-Security|http://mirror.example/sec/\n";
        let lines = source_lines(told, true).unwrap();
        assert!(lines.contains("] http://mirror.example/debian/ sid main\n"), "{lines}");
        assert!(
            lines.contains("] http://mirror.example/sec/ bullseye-security main\n"),
            "{lines}"
        );
        assert!(lines.contains("signed-by="), "{lines}");
        let lines = source_lines("Debian|http://mirror.example/debian/\n", false).unwrap();
        assert!(lines.contains("trusted=yes") && !lines.contains("-security"), "{lines}");
        assert_eq!(source_lines("Ubuntu|http://mirror.example/ubuntu/\n", true), None);
    }
}
