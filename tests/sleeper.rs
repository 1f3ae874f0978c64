//! Programs that sleep until a signal ends them.

use crate::process::{Program, copy_as, unique};
use crate::require::which;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A program that sleeps, under a name of its own.
#[derive(Debug)]
pub struct Sleeper {
    /// Name of its service.
    pub name: String,
    program: PathBuf,
    _dir: TempDir,
}

impl Sleeper {
    /// Makes the program.
    pub fn new() -> Result<Sleeper> {
        let (dir, name) = (TempDir::new()?, unique("sleeper"));
        let program = copy_as(&which("sleep").context("sleep")?, dir.path(), &name)?;
        Ok(Sleeper {
            name,
            program,
            _dir: dir,
        })
    }

    /// Runs it, ends it with a signal, and returns its pid. That it was this signal is the word of `wait`.
    pub fn killed_by(&self, signal: libc::c_int) -> Result<u32> {
        let mut command = Command::new(&self.program);
        command.arg("1000");
        let mut program = Program::start(&self.name, command)?;
        program.signal(signal);
        let status = program.wait(wait::SOON)?;
        ensure!(status.signal() == Some(signal), "{status}");
        Ok(program.pid())
    }

    /// The same so many times, one after the other.
    pub fn killed(&self, signal: libc::c_int, times: usize) -> Result<Vec<u32>> {
        (0..times).map(|_| self.killed_by(signal)).collect()
    }
}
