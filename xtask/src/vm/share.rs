//! How a machine sees the host's files: by 9p, which qemu serves itself, or by virtiofs, which a daemon of its own serves, for
//! kernels without 9p.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::packages::Flavour;
use crate::shell::find_program;

/// Folders of the host by the name that a machine knows them by, served while this lives.
pub(super) struct Shares {
    /// Arguments for qemu.
    pub(super) arguments: Vec<String>,
    daemons: Vec<Ended>,
}

/// The file system that a flavour's kernels have.
pub(super) fn file_system(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Generic => "9p",
        Flavour::Cloud => "virtiofs",
    }
}

impl Shares {
    /// Serves the host's root for reading as `host`, and `out` for writing as `out`. `sockets`: a folder for sockets.
    pub(super) fn new(flavour: Flavour, out: &Path, sockets: &Path, memory: u32) -> Result<Shares> {
        let folders = [("host", Path::new("/"), ",readonly=on"), ("out", out, "")];
        let mut shares = Shares {
            arguments: Vec::new(),
            daemons: Vec::new(),
        };
        if flavour == Flavour::Generic {
            for (tag, folder, option) in folders {
                shares.add([
                    "-virtfs".to_owned(),
                    format!(
                        "local,path={},mount_tag={tag},security_model=none,multidevs=remap{option}",
                        folder.display()
                    ),
                ]);
            }
            return Ok(shares);
        }
        // The daemons read and write the machine's memory.
        shares.add([
            "-object".to_owned(),
            format!("memory-backend-memfd,id=memory,size={memory}M,share=on"),
            "-numa".to_owned(),
            "node,memdev=memory".to_owned(),
        ]);
        for (tag, folder, _) in folders {
            let socket = sockets.join(tag);
            shares.daemons.push(serve(folder, &socket)?);
            shares.add([
                "-chardev".to_owned(),
                format!("socket,id={tag},path={}", socket.display()),
                "-device".to_owned(),
                format!("vhost-user-fs-pci,chardev={tag},tag={tag}"),
            ]);
        }
        Ok(shares)
    }

    fn add<const N: usize>(&mut self, arguments: [String; N]) {
        self.arguments.extend(arguments);
    }
}

/// Starts the daemon for a folder and waits for its socket. The machine mounts the host's root for reading only.
fn serve(folder: &Path, socket: &Path) -> Result<Ended> {
    let daemon =
        daemon().context("virtiofsd is missing (package virtiofsd, or qemu-system-common before Debian 13)")?;
    let _ = std::fs::remove_file(socket);
    let mut command = dying_with_us(&daemon.display().to_string());
    command
        .arg(format!("--socket-path={}", socket.display()))
        .args(["-o", &format!("source={}", folder.display())])
        .args(["-o", "sandbox=chroot", "-o", "cache=always", "--rlimit-nofile=0", "-f"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut daemon = Ended(command.spawn().context("cannot start virtiofsd")?);
    let start = Instant::now();
    while !socket.exists() {
        if let Some(status) = daemon.0.try_wait()? {
            bail!("virtiofsd ended ({status}); it needs root");
        }
        if start.elapsed() > Duration::from_secs(10) {
            bail!("virtiofsd makes no socket");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(daemon)
}

fn daemon() -> Option<PathBuf> {
    let places = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"].map(PathBuf::from);
    places.into_iter().find(|place| place.exists())
}

/// A command that ends with the thread that starts it, should that be killed.
pub(super) fn dying_with_us(program: &str) -> Command {
    match find_program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", program]);
            command
        }
        None => Command::new(program),
    }
}

/// A running program; dropping it ends it.
pub(super) struct Ended(pub(super) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}
