//! bpf-linker: finding one that reads a given compiler's bitcode, or building it from crates.io. Its LLVM must not be
//! older than the compiler's, and it does not tell its LLVM: so each one found is tried on a tiny program.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

use super::compiler::{BPF_TARGET, Compiler, Core};
use crate::apt;
use crate::shell::{Run, find_program, say, target, tools};

/// Names a bpf-linker to take before all others.
const CHOSEN: &str = "ONLOOKER_BPF_LINKER";

/// The release that is built: it knows LLVM 21 to 23.
const VERSION: &str = "^0.13";

/// Smallest program with a function, for compilers with a prebuilt `core`.
const WITH_CORE: &str = "#![no_std]\n#![no_main]\n\
    #[panic_handler]\nfn panic(_: &core::panic::PanicInfo) -> ! { loop {} }\n\
    #[unsafe(no_mangle)]\npub extern \"C\" fn probe(x: u64) -> u64 { x + 1 }\n";

/// Empty module, for compilers whose `core` is not built yet.
const WITHOUT_CORE: &str = "#![feature(no_core)]\n#![no_core]\n#![no_main]\n";

/// The first bpf-linker here that links what the compiler makes, telling what was tried.
pub(crate) fn usable(compiler: &Compiler) -> Option<PathBuf> {
    candidates().into_iter().find(|linker| match probe(compiler, linker) {
        Ok(()) => {
            say(format!(
                "found {}: links the output of {}",
                linker.display(),
                compiler.rustc.display()
            ));
            true
        }
        Err(reason) => {
            say(format!("passed over {}: {reason:#}", linker.display()));
            false
        }
    })
}

/// Builds a bpf-linker for the compiler's LLVM into `target/tools`.
pub(crate) fn install(compiler: &Compiler) -> Result<PathBuf> {
    let llvm = compiler.version.llvm;
    say(format!(
        "eBPF toolchain: building bpf-linker for LLVM {llvm} (about a minute)"
    ));
    let prefix = llvm_prefix(llvm)?;
    Run::cargo_install("bpf-linker", VERSION)
        .env(&format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
        .env("LLVM_PREFIX", &prefix)
        .path_first(&[prefix.join("bin")])
        .args([
            "--force",
            "--no-default-features",
            "--features",
            &format!("llvm-{llvm}"),
        ])
        .run()
        .with_context(|| format!("bpf-linker cannot be built on the LLVM in {}", prefix.display()))?;
    let linker = tools().join("bin/bpf-linker");
    probe(compiler, &linker).context("the bpf-linker just built does not work")?;
    say(format!("built {}", linker.display()));
    Ok(linker)
}

fn candidates() -> Vec<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let mut found: Vec<PathBuf> = [
        env::var_os(CHOSEN).map(PathBuf::from),
        Some(tools().join("bin/bpf-linker")),
        find_program("bpf-linker"),
        home.map(|home| home.join("bin/bpf-linker")),
    ]
    .into_iter()
    .flatten()
    .filter(|path| path.exists())
    .collect();
    found.dedup();
    found
}

/// Compiles and links a tiny program.
fn probe(compiler: &Compiler, linker: &Path) -> Result<()> {
    let folder = target().join("ebpf-probe");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let source = folder.join("probe.rs");
    fs::write(
        &source,
        if compiler.core == Core::Prebuilt {
            WITH_CORE
        } else {
            WITHOUT_CORE
        },
    )
    .with_context(|| format!("cannot write {}", source.display()))?;
    let linker = format!("linker={}", linker.display());
    Run::foreign(&compiler.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["--edition", "2024", "--crate-type", "bin", "--target", BPF_TARGET])
        .args(["-C", "panic=abort", "-C", "opt-level=2", "-C", &linker, "-o"])
        .args([folder.join("probe.o"), source])
        .read()
        .context("it cannot link a tiny program")?;
    Ok(())
}

/// Where LLVM's headers and libraries of that major version are, installing the packages if they are nowhere.
fn llvm_prefix(llvm: u32) -> Result<PathBuf> {
    let config = find_program(&format!("llvm-config-{llvm}"));
    let configured = config.and_then(|config| Run::new(config).arg("--prefix").read().ok());
    let places = [
        Some(PathBuf::from(format!("/usr/lib/llvm-{llvm}"))),
        configured.map(|text| text.trim().into()),
    ];
    if let Some(place) = places.into_iter().flatten().find(|place| has_development_files(place)) {
        say(format!("found LLVM {llvm} in {}", place.display()));
        // What LLVM itself is linked against; without apt the build's own message names what is missing.
        if apt::usable().is_ok() {
            apt::install(&packages(llvm))?;
        }
        return Ok(place);
    }
    apt::install(&packages(llvm)).with_context(|| format!("bpf-linker needs the development files of LLVM {llvm}"))?;
    Ok(PathBuf::from(format!("/usr/lib/llvm-{llvm}")))
}

fn has_development_files(prefix: &Path) -> bool {
    prefix.join("include/llvm-c/Core.h").exists() && prefix.join("bin/llvm-config").exists()
}

fn packages(llvm: u32) -> [String; 4] {
    [
        format!("llvm-{llvm}-dev"),
        format!("libpolly-{llvm}-dev"),
        "libzstd-dev".to_owned(),
        "zlib1g-dev".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::compiler::Version;

    #[test]
    fn packages_follow_the_compilers_llvm() {
        assert_eq!(
            packages(22),
            ["llvm-22-dev", "libpolly-22-dev", "libzstd-dev", "zlib1g-dev"]
        );
        assert_eq!(packages(23)[0], "llvm-23-dev");
    }

    #[test]
    fn a_linker_that_does_not_link_is_told_in_one_sentence() {
        let compiler = Compiler {
            rustc: "/no/such/rustc".into(),
            cargo: "cargo".into(),
            version: Version {
                release: (1, 96),
                llvm: 22,
            },
            core: Core::Prebuilt,
        };
        let text = format!("{:#}", probe(&compiler, Path::new("/no/such/linker")).unwrap_err());
        assert!(
            text.starts_with("it cannot link a tiny program: cannot start `"),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
    }
}
