//! `cargo xtask fmt`: formats every crate, the kernel side and the fuzz targets included.

use anyhow::Result;

use crate::shell::{Run, root};

/// Options of formatting.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only tell whether something is not formatted
    #[arg(long)]
    pub(crate) check: bool,
}

/// Formats, or checks.
pub(crate) fn run(options: &Options) -> Result<()> {
    // The fuzz targets are a workspace of their own.
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let fmt = Run::cargo()
            .args(["fmt", "--all", "--manifest-path", manifest])
            .within(&root());
        if options.check { fmt.arg("--check") } else { fmt }.run()?;
    }
    Ok(())
}
