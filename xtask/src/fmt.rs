//! `cargo xtask fmt`: formats every crate, the kernel side included.

use anyhow::Result;

use crate::shell::Run;

/// Options of formatting.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only tell whether something is not formatted
    #[arg(long)]
    pub(crate) check: bool,
}

/// Formats, or checks.
pub(crate) fn run(options: &Options) -> Result<()> {
    let fmt = Run::cargo().args(["fmt", "--all"]);
    if options.check { fmt.arg("--check") } else { fmt }.run()
}
