//! A machine under qemu: started, its console read line by line, ended in time.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::entries::Entry;
use super::packages::Kernel;
use super::share::{Ended, Shares, dying_with_us};

/// MiB of memory. What programs write in the machine is memory too.
const MEMORY: u32 = 3072;

/// What a machine said of itself.
#[derive(Debug)]
pub(super) struct Run {
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
    log_path: &Path,
    deadline: Duration,
    mut line: impl FnMut(&str),
) -> Result<Run> {
    let mut log = File::create(log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
    let start = Instant::now();
    let sockets = log_path.with_extension("sockets");
    std::fs::create_dir_all(&sockets).with_context(|| format!("cannot make {}", sockets.display()))?;
    let shares = Shares::new(entry.flavour, out, &sockets, MEMORY)?;
    let mut qemu = Ended(
        command(entry, kernel, initramfs, &shares)
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
        Some(status) => Ok(Run { release, status, boot }),
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

fn command(entry: &Entry, kernel: &Kernel, initramfs: &Path, shares: &Shares) -> Command {
    let mut command = dying_with_us(&program());
    command
        // One thread for all processors: with one for each, one was seen to run into a breakpoint that the kernel had set while
        // it changed its own code (static keys, tracepoints) and taken away again: `Oops: int3`.
        .args([
            "-accel",
            "tcg,thread=single",
            // All that can be emulated, but for fast `rep movsb`: the kernel copies and clears by it where there is such, and here it goes
            // byte by byte. Programs start in half the time without.
            "-cpu",
            "max,-erms,-fsrm",
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
        .args(&shares.arguments)
        .args([
            "-append",
            // The emulator's counter is one for all processors. Untold, the kernel takes it for many, and reads a clock of the board, which
            // leaves the emulated code each time.
            &format!("console=ttyS0 panic=-1 quiet tsc=reliable {}", entry.command_line),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}
