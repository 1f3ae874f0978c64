//! `cargo xtask lint`: clippy without warnings, for the host's crates and for the kernel side.

use std::path::Path;

use anyhow::{Context, Result};

use crate::shell::{Run, root, say};
use crate::stage::Ran;
use crate::toolchain::{self, Toolchain};
use crate::{apt, build};

/// Debian's clippy for the compiler of the package rustc-web.
const KERNEL_SIDE_PACKAGE: &str = "rust-web-clippy";

/// Both sides.
pub(crate) fn run() -> Result<()> {
    user_side()?;
    match kernel_side(&toolchain::find_or_install()?)? {
        Ran::Done | Ran::OnceMore(_) => Ok(()),
        Ran::Skipped(reason) => {
            say(format!("kernel side: clippy skipped: {reason}"));
            Ok(())
        }
    }
}

/// Every crate of the host, tests included.
pub(crate) fn user_side() -> Result<()> {
    Run::cargo()
        .args([
            "clippy",
            "--workspace",
            "--exclude",
            "onlooker-ebpf",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
        .run()
}

/// The kernel side, with the clippy that belongs to its compiler.
pub(crate) fn kernel_side(toolchain: &Toolchain) -> Result<Ran> {
    let rustc = &toolchain.compiler.rustc;
    let clippy = rustc.with_file_name("cargo-clippy");
    if !clippy.exists()
        && rustc == Path::new("/usr/bin/rustc")
        && let Err(error) = apt::install(&[KERNEL_SIDE_PACKAGE])
    {
        return Ok(Ran::Skipped(format!("{error:#}")));
    }
    if !clippy.exists() {
        return Ok(Ran::Skipped(format!("{} has no clippy beside it", rustc.display())));
    }
    let cargo = Run::foreign(&clippy)
        .env("CARGO", &toolchain.compiler.cargo)
        .arg("clippy");
    build::on_kernel_side(toolchain, cargo)
        .args(["--", "-D", "warnings"])
        .within(&root())
        .run()
        .context("clippy on the kernel side")?;
    Ok(Ran::Done)
}
