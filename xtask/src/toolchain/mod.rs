//! The toolchain of the kernel side: a rustc that has `core` for BPF and a bpf-linker built on the same LLVM. One that
//! is there already is taken first; else it is installed, from distribution packages and crates.io.

mod compiler;
mod linker;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::shell::say;
pub(crate) use compiler::{BPF_TARGET, Compiler, Core};

/// Debian's second Rust: its `core` for BPF comes prebuilt, so that neither nightly nor build-std is needed.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// A pair that was tried together.
pub(crate) struct Toolchain {
    /// Compiles the kernel side.
    pub(crate) compiler: Compiler,
    /// Path of the bpf-linker that reads this compiler's bitcode.
    pub(crate) linker: PathBuf,
}

/// Finds a toolchain or installs one, telling each step.
pub(crate) fn find_or_install() -> Result<Toolchain> {
    say("eBPF toolchain: looking for a rustc with core for BPF");
    let mut compilers = compiler::usable();
    if compilers.is_empty() {
        compilers.push(install_compiler()?);
    }
    for compiler in &compilers {
        say(format!(
            "eBPF toolchain: looking for a bpf-linker on LLVM {} or later",
            compiler.version.llvm
        ));
        if let Some(linker) = linker::usable(compiler) {
            return Ok(Toolchain {
                compiler: compiler.clone(),
                linker,
            });
        }
    }
    // The first compiler for which a linker can be made.
    let mut reasons = Vec::new();
    for compiler in compilers {
        match linker::install(&compiler) {
            Ok(linker) => return Ok(Toolchain { compiler, linker }),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    }
    bail!("no bpf-linker fits: {}", reasons.join("; "))
}

fn install_compiler() -> Result<Compiler> {
    say("eBPF toolchain: none found, taking the distribution's packages");
    apt::install(&COMPILER_PACKAGES).context(
        "no Rust compiler here has core for BPF: install Debian's rustc-web, cargo-web and libstd-rust-web-dev-bpf, or \
         run `rustup toolchain install nightly --component rust-src`",
    )?;
    let found = compiler::usable().into_iter().next();
    found.with_context(|| {
        format!(
            "the distribution's Rust is too old (Rust {} or later is needed): run \
             `rustup toolchain install nightly --component rust-src`",
            env!("CARGO_PKG_RUST_VERSION")
        )
    })
}
