//! `cargo xtask run`: build, then start the agent with the privileges it needs.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::shell::{Run, find_program, say};
use crate::{build, privileges};

/// Options of the run.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    build: build::Options,
    /// Arguments for onlooker
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// Replaces this process by the agent; returns only on failure.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Before the build, so that nobody waits minutes to be told.
    let starter = starter()?;
    let program = build::run(&options.build)?;
    say("starting onlooker (end it with Ctrl-C)");
    let run = match starter {
        Starter::Root => Run::new(program),
        Starter::Sudo => Run::new("sudo").arg("-E").arg(program),
    };
    Err(run.args(&options.args).replace())
}

/// How the agent, and the tests that start it, become root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starter {
    /// We are root already.
    Root,
    /// By `sudo -E`.
    Sudo,
}

/// Checks kernel and user; an error tells every lack, a sentence each.
pub(crate) fn starter() -> Result<Starter> {
    let mut missing = privileges::missing_in_kernel();
    let starter = if privileges::is_root() {
        missing.extend(privileges::missing_capabilities());
        Starter::Root
    } else {
        if find_program("sudo").is_none() {
            missing.push("onlooker loads programs into the kernel and needs root: start this command from a root shell (`su -`).".to_owned());
        }
        Starter::Sudo
    };
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    say(match starter {
        Starter::Root => "privileges: BTF and bpf() are there, this user is root",
        Starter::Sudo => "privileges: BTF and bpf() are there, root by sudo",
    });
    Ok(starter)
}
