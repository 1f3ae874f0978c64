//! The static program: linked against musl, which is in it, so that it needs nothing of the host but the kernel.
//! Why musl: `docs/decisions/2026-11-30-dist.md`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

use crate::apt;
use crate::build::{cargo_home, object_in, without_paths};
use crate::shell::{Run, find_program, root, say};
use crate::toolchain::Toolchain;

/// An architecture that is built for.
pub(super) struct Arch {
    /// Debian's name, which is OCI's too.
    pub(super) name: &'static str,
    /// `uname -m`, by which the kernel side and `std::env::consts` name it.
    machine: &'static str,
    /// Rust's name of it with musl.
    pub(super) target: &'static str,
    /// Compiles the C and assembly of crates (*ring*), and the package that brings it.
    c_compiler: (&'static str, &'static str),
    /// Runs its programs elsewhere, where it is installed.
    emulator: &'static str,
}

const ARCHES: &[Arch] = &[
    Arch {
        name: "amd64",
        machine: "x86_64",
        target: "x86_64-unknown-linux-musl",
        c_compiler: ("musl-gcc", "musl-tools"),
        emulator: "qemu-x86_64-static",
    },
    Arch {
        name: "arm64",
        machine: "aarch64",
        target: "aarch64-unknown-linux-musl",
        c_compiler: ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        emulator: "qemu-aarch64-static",
    },
];

impl Arch {
    /// Whether it is this machine's.
    pub(super) fn is_here(&self) -> bool {
        self.machine == std::env::consts::ARCH
    }
}

/// The names that `--arch` takes.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(ARCHES.iter().map(|arch| arch.name))
}

/// The architectures of those names, each once; this machine's without any.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Arch>> {
    let found: Vec<&Arch> = ARCHES
        .iter()
        .filter(|arch| match names {
            [] => arch.is_here(),
            names => names.iter().any(|name| name == arch.name),
        })
        .collect();
    if found.is_empty() {
        bail!(
            "nothing is built for {}: name another with --arch",
            std::env::consts::ARCH
        );
    }
    Ok(found)
}

/// Builds both sides below `folder`; the path of the program, which is static and runs.
pub(super) fn program(toolchain: &Toolchain, arch: &Arch, epoch: u64, folder: &Path) -> Result<PathBuf> {
    standard_library(arch)?;
    let object = object_in(toolchain, arch.machine, &folder.join("ebpf").join(arch.name))?;
    let c_compiler = c_compiler(arch)?;
    let under = arch.target.replace('-', "_");
    say(format!("user side: compiling onlooker for {}", arch.target));
    Run::cargo()
        .env("CARGO_TARGET_DIR", folder)
        .env("CARGO_INCREMENTAL", "0")
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .env("ONLOOKER_BPF_OBJECT", object)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(folder))
        .env(&format!("CC_{under}"), c_compiler)
        .env(&format!("CFLAGS_{under}"), c_flags())
        .args([
            "build",
            "--locked",
            "--release",
            "-p",
            "onlooker",
            "--target",
            arch.target,
        ])
        .run()?;
    let program = folder.join(arch.target).join("release/onlooker");
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    check_static(&bytes).with_context(|| format!("{} is not what it should be", program.display()))?;
    check_paths(&bytes, &[&root(), &cargo_home()])?;
    starts(arch, &program)?;
    Ok(program)
}

/// Rust's standard library for the target, by rustup where it is not there.
fn standard_library(arch: &Arch) -> Result<()> {
    let there = || {
        let folder = Run::new("rustc")
            .args(["--print", "target-libdir", "--target", arch.target])
            .read();
        folder.is_ok_and(|folder| Path::new(folder.trim()).join("self-contained/libc.a").exists())
    };
    if there() {
        return Ok(());
    }
    if find_program("rustup").is_some() {
        Run::new("rustup").args(["target", "add", arch.target]).run()?;
    }
    if !there() {
        bail!(
            "this Rust has no standard library for {0}: run `rustup target add {0}`",
            arch.target
        );
    }
    Ok(())
}

fn c_compiler(arch: &Arch) -> Result<PathBuf> {
    let (command, package) = arch.c_compiler;
    if find_program(command).is_none() {
        apt::install(&[package])?;
    }
    find_program(command).with_context(|| format!("there is no {command}: install the package {package}"))
}

/// The linker that comes with Rust, so that the machine's does not matter; no folders of this machine.
fn rust_flags(folder: &Path) -> OsString {
    let mut own = OsString::from("--remap-path-prefix=");
    own.push(folder);
    own.push("=target");
    let words = ["-Clinker=rust-lld", "-Ctarget-feature=+crt-static"].map(OsString::from);
    // The last that fits counts, and the folder is below the root.
    let words: Vec<OsString> = words.into_iter().chain(without_paths()).chain([own]).collect();
    words.join(&OsString::from("\u{1f}"))
}

/// The same for C; headers of glibc, which a cross compiler has, would call what musl does not have when hardened.
fn c_flags() -> OsString {
    let mut flags = OsString::from("-U_FORTIFY_SOURCE -ffile-prefix-map=");
    flags.push(cargo_home());
    flags.push("=/cargo");
    flags
}

/// An error when the program asks for an interpreter or for a shared library.
fn check_static(bytes: &[u8]) -> Result<()> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, bytes)? {
        if segment.p_type(endian) == PT_INTERP {
            bail!("it asks for an interpreter, so it is not static");
        }
        for entry in segment.dynamic(endian, bytes)?.unwrap_or_default() {
            if entry.d_tag(endian) == DT_NEEDED {
                bail!("it asks for a shared library, so it is not static");
            }
        }
    }
    Ok(())
}

/// An error when a folder of this machine stands in the program.
fn check_paths(bytes: &[u8], folders: &[&Path]) -> Result<()> {
    for folder in folders {
        let name = folder.as_os_str().as_encoded_bytes();
        // "/" alone is in every program.
        if name.len() > 1 && bytes.windows(name.len()).any(|part| part == name) {
            bail!("the program names {}, a folder of this machine", folder.display());
        }
    }
    Ok(())
}

/// Whether it starts and says its version: here, or by an emulator where one is installed.
fn starts(arch: &Arch, program: &Path) -> Result<()> {
    let run = if arch.is_here() {
        Run::new(program)
    } else if let Some(emulator) = find_program(arch.emulator) {
        Run::new(emulator).arg(program)
    } else {
        say(format!(
            "dist: {} is not started, there is no {}",
            arch.name, arch.emulator
        ));
        return Ok(());
    };
    let told = run.arg("--version").read()?;
    if !told.contains(env!("CARGO_PKG_VERSION")) {
        bail!("it says {:?} for its version", told.trim());
    }
    say(format!("dist: it starts and says {}", told.trim()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_chosen_by_name() {
        let names = |of: &[&str]| -> Vec<&str> {
            let of: Vec<String> = of.iter().map(|&name| name.to_owned()).collect();
            chosen(&of).unwrap().iter().map(|arch| arch.name).collect()
        };
        assert_eq!(names(&["arm64", "amd64", "arm64"]), ["amd64", "arm64"]);
        assert_eq!(names(&[]).len(), 1);
        assert!(chosen(&["vax".to_owned()]).is_err());
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        // This test is one: cargo builds it for the host, whose libc is shared.
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = check_static(&own).unwrap_err().to_string();
        assert!(error.contains("not static"), "{error}");
        assert!(check_static(b"no program at all").is_err());
    }

    #[test]
    fn a_program_without_segments_is_static() {
        let mut header = vec![0; 64];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        header[52] = 64;
        assert!(check_static(&header).is_ok());
    }

    #[test]
    fn folders_of_the_machine_are_found() {
        let check = |bytes: &[u8]| check_paths(bytes, &[Path::new("/home/me"), Path::new("/")]);
        assert!(check(b"\0/cargo/registry/src\0/homeless").is_ok());
        let error = check(b"at /home/me/x.rs").unwrap_err().to_string();
        assert!(error.contains("/home/me"), "{error}");
    }

    #[test]
    fn the_folder_of_the_build_is_renamed_after_the_root() {
        let flags = rust_flags(&root().join("target/dist-build/1")).into_string().unwrap();
        let words: Vec<&str> = flags.split('\u{1f}').collect();
        assert!(
            words.last().unwrap().ends_with("target/dist-build/1=target"),
            "{words:?}"
        );
        assert!(
            words.contains(&format!("--remap-path-prefix={}=.", root().display()).as_str()),
            "{words:?}"
        );
    }
}
