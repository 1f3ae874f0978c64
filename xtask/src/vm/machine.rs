//! A machine under qemu: started, its console read line by line, ended in time.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::entries::Entry;
use super::packages::Kernel;
use crate::shell::find_program;

/// MiB of memory. What programs write in the machine is memory too.
const MEMORY: u32 = 3072;

/// What a machine said of itself.
#[derive(Debug)]
pub(super) struct Ended {
    /// `uname -r`.
    pub(super) release: String,
    /// Exit status of what it ran.
    pub(super) status: i32,
    /// From the start of qemu to the first program in the host's files.
    pub(super) boot: Duration,
}

/// Boots the kernel, shows `out` (a folder) to it as writable, gives each line of the console to `line`, and writes all to `log`.
///
/// # Errors
/// The machine was not through before the deadline, or ended without saying so (a kernel's panic).
pub(super) fn run(
    entry: &Entry,
    kernel: &Kernel,
    initramfs: &Path,
    out: &Path,
    log: &Path,
    deadline: Duration,
    mut line: impl FnMut(&str),
) -> Result<Ended> {
    let mut log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let start = Instant::now();
    let mut qemu = Qemu(
        command(entry, kernel, initramfs, out)
            .spawn()
            .context("cannot start qemu")?,
    );
    let console = qemu.0.stdout.take().context("qemu has no console")?;
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for bytes in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if send.send(text).is_err() {
                return;
            }
        }
    });
    let (mut release, mut status, mut boot) = (String::new(), None, Duration::ZERO);
    let mut panic = None;
    loop {
        let text = match lines.recv_timeout(deadline.saturating_sub(start.elapsed())) {
            Ok(text) => text,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => bail!("not through after {} s", deadline.as_secs()),
        };
        writeln!(log, "[{:7.2}] {text}", start.elapsed().as_secs_f64())?;
        if let Some(at) = text.find("onlooker-vm: ") {
            match text[at..].split_whitespace().collect::<Vec<_>>().as_slice() {
                [_, "booted", found] => {
                    release = (*found).to_owned();
                    boot = start.elapsed();
                }
                [_, "end", code] => status = code.parse().ok(),
                _ => {}
            }
        }
        if text.contains("Kernel panic") {
            panic.get_or_insert(text.clone());
        }
        if !release.is_empty() {
            line(&text);
        }
    }
    match status {
        Some(status) => Ok(Ended { release, status, boot }),
        None => match panic {
            Some(panic) => bail!("{panic}"),
            None => bail!("the machine ended without saying so"),
        },
    }
}

/// The emulator of this machine's architecture.
pub(super) fn program() -> String {
    format!("qemu-system-{}", std::env::consts::ARCH)
}

fn command(entry: &Entry, kernel: &Kernel, initramfs: &Path, out: &Path) -> Command {
    let qemu = program();
    // Should this process be killed, the machine ends with it.
    let mut command = match find_program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", &qemu]);
            command
        }
        None => Command::new(&qemu),
    };
    let share = |path: &Path, tag: &str, options: &str| {
        format!(
            "local,path={},mount_tag={tag},security_model=none,multidevs=remap{options}",
            path.display()
        )
    };
    command
        // One thread for all processors: with one for each, one was seen to run into a breakpoint that the kernel had set while
        // it changed its own code (static keys, tracepoints) and taken away again: `Oops: int3`.
        .args([
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max",
            "-nographic",
            "-no-reboot",
            "-nic",
            "none",
        ])
        .args(["-smp", &entry.cpus.to_string(), "-m", &MEMORY.to_string()])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-virtfs", &share(Path::new("/"), "host", ",readonly=on")])
        .args(["-virtfs", &share(out, "out", "")])
        .args([
            "-append",
            &format!("console=ttyS0 panic=-1 quiet {}", entry.command_line),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// A running qemu; dropping it ends it.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}
