//! Block devices of a test's own.

use crate::require::{made, which};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A block device that is a file; detached when dropped.
#[derive(Debug)]
pub struct Disk {
    device: PathBuf,
    /// Where it lies, when this folder is its own.
    _dir: Option<TempDir>,
}

/// A device of so many bytes; `None`, said why, on a kernel without the module.
///
/// # Panics
/// Under `CI` when there is none.
pub fn disk(bytes: u64) -> Option<Disk> {
    made("loop device", Disk::new(bytes))
}

/// The same on a file system that can be frozen.
///
/// # Panics
/// Under `CI` when there is none.
pub fn frozen_disk(bytes: u64) -> Option<FrozenDisk> {
    made("file system to freeze", FrozenDisk::new(bytes))
}

/// A folder of a test's own whose files the kernel keeps in its page cache, room for so many bytes; `None`, said why, on a kernel
/// without such a file system.
///
/// # Panics
/// Under `CI` when there is none.
pub fn folder(bytes: u64) -> Option<Folder> {
    made("file system with a page cache", Folder::new(bytes))
}

impl Disk {
    fn new(bytes: u64) -> Result<Disk> {
        let dir = TempDir::new()?;
        let device = attach(&dir.path().join("disk"), bytes)?;
        Ok(Disk {
            device,
            _dir: Some(dir),
        })
    }

    /// Its file in `/dev`.
    pub fn path(&self) -> &str {
        self.device.to_str().unwrap_or_default()
    }

    /// Its name, as in `/sys/block`.
    pub fn name(&self) -> &str {
        self.device.file_name().and_then(OsStr::to_str).unwrap_or_default()
    }

    /// Numbers of `/sys/block/DEV/stat`: requests, sectors and milliseconds of reads, then of writes (Documentation/block/stat.rst).
    ///
    /// # Errors
    /// The file is not as it should be.
    pub fn stat(&self) -> Result<[u64; 6]> {
        let text = fs::read_to_string(format!("/sys/block/{}/stat", self.name()))?;
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(numbers.len() > 7, "{text}");
        Ok([0, 2, 3, 4, 6, 7].map(|n| numbers[n]))
    }

    /// Writes that it has now, by `/sys/block/DEV/inflight`: `reads writes`.
    ///
    /// # Errors
    /// The file is not as it should be.
    pub fn under_way(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/sys/block/{}/inflight", self.name()))?;
        let writes = text.split_whitespace().nth(1).with_context(|| text.clone())?;
        Ok(writes.parse()?)
    }

    /// Writes a setting of its queue.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        let file = format!("/sys/block/{}/queue/{setting}", self.name());
        fs::write(&file, value).with_context(|| format!("{value} to {file}"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("losetup", &[OsStr::new("--detach"), self.device.as_os_str()]);
    }
}

/// Makes a file a device. Nothing is allocated for it yet.
fn attach(file: &Path, bytes: u64) -> Result<PathBuf> {
    File::create_new(file)?.set_len(bytes)?;
    let text = run("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_os_str()])?;
    Ok(text.trim().into())
}

fn run(program: &str, args: &[&OsStr]) -> Result<String> {
    let program = which(program).with_context(|| format!("{program} is not installed"))?;
    let output = Command::new(&program).args(args).output()?;
    ensure!(
        output.status.success(),
        "{}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A block device on a file system of its own: while that is frozen, what is written to the device waits. Thawed and taken away
/// when dropped.
#[derive(Debug)]
pub struct FrozenDisk {
    /// The device.
    pub disk: Disk,
    mount: FileSystem,
}

/// A file system on a device of its own; unmounted when dropped.
#[derive(Debug)]
pub struct FileSystem {
    place: TempDir,
    _below: Disk,
}

/// See [`folder`].
#[derive(Debug)]
pub enum Folder {
    /// Among the temporary files.
    Here(TempDir),
    /// Temporary files lie in memory alone: of those the kernel can free nothing, and what was never written takes no memory at all.
    Apart(FileSystem),
}

impl Folder {
    fn new(bytes: u64) -> Result<Folder> {
        let here = TempDir::new()?;
        if rustix::fs::statfs(here.path())?.f_type != libc::TMPFS_MAGIC {
            return Ok(Folder::Here(here));
        }
        Ok(Folder::Apart(FileSystem::new(bytes + (64 << 20))?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Folder::Here(here) => here.path(),
            Folder::Apart(apart) => apart.place.path(),
        }
    }
}

impl FrozenDisk {
    fn new(bytes: u64) -> Result<FrozenDisk> {
        let mount = FileSystem::new(2 * bytes + (64 << 20))?;
        let disk = Disk {
            device: attach(&mount.place.path().join("disk"), bytes)?,
            _dir: None,
        };
        Ok(FrozenDisk { disk, mount })
    }

    /// Where the file system is mounted.
    pub fn folder(&self) -> &Path {
        self.mount.place.path()
    }

    /// From now on what is written waits.
    ///
    /// # Errors
    /// The file system cannot be frozen.
    pub fn freeze(&self) -> Result<()> {
        self.mount.fsfreeze("--freeze")
    }

    /// What waits goes on.
    ///
    /// # Errors
    /// It was not frozen.
    pub fn thaw(&self) -> Result<()> {
        self.mount.fsfreeze("--unfreeze")
    }
}

impl Drop for FrozenDisk {
    fn drop(&mut self) {
        // The device above it cannot be detached while its writes wait.
        let _ = self.thaw();
    }
}

impl FileSystem {
    fn new(bytes: u64) -> Result<FileSystem> {
        let below = Disk::new(bytes)?;
        run("mkfs.ext4", &["-q".as_ref(), below.device.as_os_str()])?;
        let place = TempDir::new()?;
        run("mount", &[below.device.as_os_str(), place.path().as_os_str()])?;
        Ok(FileSystem { place, _below: below })
    }

    fn fsfreeze(&self, what: &str) -> Result<()> {
        run("fsfreeze", &[what.as_ref(), self.place.path().as_os_str()]).map(drop)
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        // Lazily: the device above may still be going.
        let _ = run("umount", &["--lazy".as_ref(), self.place.path().as_os_str()]);
    }
}
