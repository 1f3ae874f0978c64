//! Compilers on this machine that can make the kernel side: what `rustc -vV` says of them and where their `core` for
//! BPF comes from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{Run, find_program, say};

/// The target the kernel side is compiled for: BPF, little endian as every host we run on.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// Names a rustc to take before all others.
const CHOSEN: &str = "ONLOOKER_BPF_RUSTC";

/// Where the compiler's `core` for BPF comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// Shipped with the compiler, as Debian does.
    Prebuilt,
    /// Built from the component `rust-src` by `-Z build-std`.
    Source,
}

/// The lines of `rustc -vV` that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Release as major and minor number.
    pub(crate) release: (u32, u32),
    /// LLVM's major version.
    pub(crate) llvm: u32,
}

impl Version {
    /// Reads what `rustc -vV` printed.
    pub(crate) fn parse(text: &str) -> Result<Version> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let release = field("release:").context("`rustc -vV` names no release")?;
        let llvm = field("LLVM version:").context("`rustc -vV` names no LLVM version")?;
        let major = llvm.split('.').next().and_then(|major| major.parse().ok());
        Ok(Version {
            release: major_minor(release).with_context(|| format!("odd release `{release}` in `rustc -vV`"))?,
            llvm: major.with_context(|| format!("odd LLVM version `{llvm}` in `rustc -vV`"))?,
        })
    }
}

/// A rustc that can compile the kernel side, with the cargo of the same installation.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    /// Path of rustc.
    pub(crate) rustc: PathBuf,
    /// Path or name of cargo.
    pub(crate) cargo: OsString,
    /// What it says of itself.
    pub(crate) version: Version,
    /// Where its `core` comes from.
    pub(crate) core: Core,
}

/// Every compiler here that can make the kernel side, the preferred one first, telling what was found. Those with a
/// prebuilt `core` come first: they build faster and need nothing unstable of cargo.
pub(crate) fn usable() -> Vec<Compiler> {
    let mut found: Vec<Compiler> = Vec::new();
    for rustc in candidates() {
        match inspect(&rustc) {
            Ok(compiler) => {
                let Version {
                    release: (major, minor),
                    llvm,
                } = compiler.version;
                let core = match compiler.core {
                    Core::Prebuilt => "prebuilt core",
                    Core::Source => "core from rust-src",
                };
                say(format!(
                    "found {}: Rust {major}.{minor}, LLVM {llvm}, {core}",
                    rustc.display()
                ));
                found.push(compiler);
            }
            Err(reason) => say(format!("passed over {}: {reason:#}", rustc.display())),
        }
    }
    if std::env::var_os(CHOSEN).is_none() {
        found.sort_by_key(|compiler| compiler.core == Core::Source);
    }
    found
}

fn candidates() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::env::var_os(CHOSEN).map(PathBuf::from).into_iter().collect();
    paths.extend(Some(PathBuf::from("/usr/bin/rustc")).filter(|path| path.exists()));
    match find_program("rustup") {
        Some(rustup) => paths.extend(rustup_compilers(&rustup)),
        None => paths.extend(find_program("rustc")),
    }
    let mut seen = Vec::new();
    paths.retain(|path| {
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        let new = !seen.contains(&path);
        seen.push(path);
        new
    });
    paths
}

/// The compilers of rustup's toolchains, nightly ones first; asking for their paths downloads nothing.
fn rustup_compilers(rustup: &Path) -> Vec<PathBuf> {
    let list = Run::foreign(rustup)
        .args(["toolchain", "list"])
        .read()
        .unwrap_or_default();
    let mut names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.sort_by_key(|name| !name.starts_with("nightly"));
    let which = |name: &&str| {
        Run::foreign(rustup)
            .args(["which", "--toolchain", name, "rustc"])
            .read()
            .ok()
    };
    names
        .iter()
        .filter_map(which)
        .map(|path| PathBuf::from(path.trim()))
        .collect()
}

fn inspect(rustc: &Path) -> Result<Compiler> {
    let version = Version::parse(&Run::foreign(rustc).arg("-vV").read()?)?;
    let (major, minor) = version.release;
    let needed = major_minor(env!("CARGO_PKG_RUST_VERSION"));
    if needed.is_some_and(|needed| version.release < needed) {
        bail!("Rust {major}.{minor} is older than {}", env!("CARGO_PKG_RUST_VERSION"));
    }
    let sysroot = Run::foreign(rustc).args(["--print", "sysroot"]).read()?;
    let core = core_of(Path::new(sysroot.trim())).context("no core for BPF, neither prebuilt nor as rust-src")?;
    let beside = rustc.with_file_name("cargo");
    let cargo = if beside.exists() {
        beside.into_os_string()
    } else {
        "cargo".into()
    };
    Ok(Compiler {
        rustc: rustc.to_path_buf(),
        cargo,
        version,
        core,
    })
}

fn core_of(sysroot: &Path) -> Option<Core> {
    let rustlib = sysroot.join("lib/rustlib");
    if rustlib.join(BPF_TARGET).join("lib").exists() {
        Some(Core::Prebuilt)
    } else if rustlib.join("src/rust/library/core/src/lib.rs").exists() {
        Some(Core::Source)
    } else {
        None
    }
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbose(release: &str, llvm: &str) -> String {
        format!(
            "rustc {release} (0 2026-05-25)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: {release}\n{llvm}"
        )
    }

    #[test]
    fn release_and_llvm_are_read_from_verbose_versions() {
        for (release, llvm, expect) in [
            ("1.96.0", "LLVM version: 22.1.8\n", Some(((1, 96), 22))),
            ("1.97.0-nightly", "LLVM version: 22.1.4\n", Some(((1, 97), 22))),
            ("2.0-beta.1", "LLVM version: 30\n", Some(((2, 0), 30))),
            ("1.96.0", "", None),
            ("1.96.0", "LLVM version: main\n", None),
            ("unknown", "LLVM version: 22.1.8\n", None),
        ] {
            let version = Version::parse(&verbose(release, llvm)).ok();
            assert_eq!(
                version,
                expect.map(|(release, llvm)| Version { release, llvm }),
                "{release} {llvm}"
            );
        }
    }

    #[test]
    fn a_version_that_cannot_be_read_is_told_in_one_sentence() {
        let error = Version::parse("release: 1.96.0\n").unwrap_err().to_string();
        assert_eq!(error, "`rustc -vV` names no LLVM version");
    }

    #[test]
    fn core_is_looked_for_prebuilt_first() {
        let root = std::env::temp_dir().join(format!("xtask-core-{}", std::process::id()));
        assert_eq!(core_of(&root), None);
        let source = root.join("lib/rustlib/src/rust/library/core/src");
        std::fs::create_dir_all(&source).unwrap();
        std::fs::write(source.join("lib.rs"), "").unwrap();
        assert_eq!(core_of(&root), Some(Core::Source));
        std::fs::create_dir_all(root.join("lib/rustlib").join(BPF_TARGET).join("lib")).unwrap();
        assert_eq!(core_of(&root), Some(Core::Prebuilt));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
