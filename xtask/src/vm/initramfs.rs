//! The first file system of a machine: busybox, the modules that reach the host's files, a script. An archive in cpio's
//! `newc` form (`Documentation/driver-api/early-userspace/buffer-format.rst`), not compressed: kernels take it as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::entries::{Cgroups, Entry};
use super::share;
use crate::apt;
use crate::shell::{Run, find_program, tools};

/// What reaches the host's files; the devices of tests' networks, and what `ss` asks; block devices that are files, and a file system
/// on one (with the checksum that its module asks the kernel for by name). Those that a kernel has built in are not among its modules.
const MODULES: [&str; 11] = [
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "virtiofs",
    "overlay",
    "virtio_rng",
    "tun",
    "tcp_diag",
    "loop",
    "crc32c_generic",
    "ext4",
];

/// What runs first; see the file.
const INIT: &str = include_str!("init.sh");

/// Writes the archive for a machine that runs `guest`, a shell script, in the host's files.
pub(super) fn write(entry: &Entry, modules: &Path, guest: &str, to: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for folder in [
        "bin", "proc", "sys", "dev", "mnt", "mnt/host", "mnt/rw", "newroot", "modules",
    ] {
        archive.folder(folder);
    }
    let busybox = busybox()?;
    archive.file("bin/busybox", 0o755, &fs::read(&busybox)?);
    let mut order = String::new();
    for (name, bytes) in with_dependencies(modules)? {
        archive.file(&format!("modules/{name}"), 0o644, &bytes);
        order += &format!("{name}\n");
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    let settings = format!(
        "FILES={}\nCGROUPS={}\nTYPES={}\n",
        share::file_system(entry.flavour),
        if entry.cgroups == Cgroups::V1 { 1 } else { 2 },
        if entry.types { "kept" } else { "hidden" },
    );
    archive.file("settings", 0o644, settings.as_bytes());
    archive.file("guest", 0o755, guest.as_bytes());
    archive.file("init", 0o755, INIT.as_bytes());
    fs::write(to, archive.finish()).with_context(|| format!("cannot write {}", to.display()))
}

/// A busybox that needs no library: the machine's, or one unpacked below `target/tools` (the package that holds it excludes the
/// one with libraries).
fn busybox() -> Result<PathBuf> {
    let own = tools().join("bin/busybox");
    for found in find_program("busybox").into_iter().chain([own.clone()]) {
        if fs::read(&found).is_ok_and(|bytes| is_static(&bytes)) {
            return Ok(found);
        }
    }
    let into = tools().join("bin");
    apt::unpack("busybox-static", "bin/busybox", &into)
        .or_else(|_| apt::unpack("busybox-static", "usr/bin/busybox", &into))?;
    Ok(own)
}

/// Whether a program names no loader.
fn is_static(program: &[u8]) -> bool {
    let start = &program[..program.len().min(4096)];
    !start.windows(7).any(|bytes| bytes == b"/ld-lin" || bytes == b"ld-musl")
}

/// The modules wanted and what they depend on, each after what it needs.
fn with_dependencies(modules: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = BTreeMap::new();
    index(&modules.join("kernel"), &mut files)?;
    let mut loaded = Vec::new();
    for name in MODULES {
        add(name, &files, &mut loaded)?;
    }
    Ok(loaded)
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, loaded: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let Some(file) = files.get(name) else {
        return Ok(());
    };
    let file_name = format!("{name}.ko");
    if loaded.iter().any(|(other, _)| *other == file_name) {
        return Ok(());
    }
    let bytes = decompressed(file)?;
    for needed in depends(&bytes) {
        add(&needed, files, loaded)?;
    }
    loaded.push((file_name, bytes));
    Ok(())
}

/// Modules below a folder by the name that others call them.
fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            index(&path, files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// A module's bytes, its signature included.
fn decompressed(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).with_context(|| format!("cannot read {}", file.display())),
    };
    Run::new(program).args(["-q", "-d", "-c"]).arg(file).read_bytes()
}

/// Names in `depends=` of a module's `.modinfo`.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|bytes| bytes == KEY) else {
        return Vec::new();
    };
    let rest = &module[at + KEY.len()..];
    let value = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// A `newc` archive.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | mode, content);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        // Inode, mode, owner, group, links, time, size, four numbers of devices, length of the name, no check sum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_have_the_form_that_kernels_read() {
        let mut archive = Archive::default();
        archive.folder("a");
        archive.file("a/b", 0o755, b"hello");
        let bytes = archive.finish();
        assert!(bytes.starts_with(b"070701"));
        assert!(bytes.len().is_multiple_of(4));
        // A header has 110 bytes; the name follows, both padded to four.
        let second = 112;
        assert_eq!(&bytes[second..second + 6], b"070701");
        assert_eq!(&bytes[second + 14..second + 22], b"000081ed");
        assert_eq!(&bytes[second + 54..second + 62], b"00000005");
        assert_eq!(&bytes[second + 116..second + 121], b"hello");
        assert!(bytes.windows(10).any(|part| part == b"TRAILER!!!"));
    }

    #[test]
    fn dependencies_are_read_from_the_module() {
        assert_eq!(
            depends(b"\x7fELF\0depends=9pnet,virtio-ring\0name=x\0"),
            ["9pnet", "virtio_ring"]
        );
        assert!(depends(b"\0depends=\0").is_empty());
        assert!(depends(b"nothing").is_empty());
    }

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        assert!(!is_static(b"\x7fELF....\0/lib64/ld-linux-x86-64.so.2\0"));
        assert!(is_static(b"\x7fELF...."));
    }
}
