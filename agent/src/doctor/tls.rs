//! Which TLS library a process has: shared ones by the files that it maps, Go's and those linked in by the executable.

use crate::host::Host;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, ReadCache};
use rustc_hash::FxHashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

/// Bytes of a Go program's table of functions that are searched.
const GO_TABLE_MAX: u64 = 256 << 20;
/// A function of Go's TLS that the linker keeps whenever a connection can be of TLS.
const GO_TLS: &[u8] = b"crypto/tls.(*Conn).Write";

/// A TLS library.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Library {
    /// Name and version as people say it.
    pub(super) name: String,
    /// File that holds its code, as the process sees it.
    pub(super) path: String,
}

/// What is known of the libraries of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Those found.
    pub(super) libraries: Vec<Library>,
    /// There can be no others: a Go program without `crypto/tls`.
    pub(super) none: bool,
}

/// Looks, and remembers executables that many processes run.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// By device and inode.
    programs: FxHashMap<(u64, u64), Linked>,
}

/// What is linked into an executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    GoTls,
    GoWithoutTls,
    /// Functions of OpenSSL's interface: OpenSSL itself or BoringSSL.
    OpenSsl,
    NotKnown,
}

impl Finder {
    /// `None` when this user may not look.
    pub(super) fn look(&mut self, host: &Host, pid: u32) -> Option<Found> {
        let dir = host.proc.join(pid.to_string());
        let mut found = Found::default();
        let maps = BufReader::new(File::open(dir.join("maps")).ok()?);
        for line in maps.split(b'\n') {
            let line = line.ok()?;
            let line = String::from_utf8_lossy(&line);
            // `address perms offset dev inode path` (proc(5)); one line for each piece of a file.
            if let Some(at) = line.find('/')
                && let path = line[at..].trim_end_matches(" (deleted)")
                && let Some(name) = library(path.rsplit('/').next().unwrap_or_default())
                && found.libraries.iter().all(|known| known.path != path)
            {
                let path = path.to_owned();
                found.libraries.push(Library { name, path });
            }
        }
        let path = super::proc::link(dir.join("exe")).unwrap_or_default();
        let name = match self.linked(&dir.join("exe")) {
            Linked::GoTls => "Go's crypto/tls",
            Linked::OpenSsl => "OpenSSL or BoringSSL, linked in",
            linked => {
                found.none = linked == Linked::GoWithoutTls && found.libraries.is_empty();
                return Some(found);
            }
        };
        found.libraries.push(Library {
            name: name.to_owned(),
            path,
        });
        Some(found)
    }

    fn linked(&mut self, exe: &std::path::Path) -> Linked {
        let Ok(mut file) = File::open(exe) else {
            return Linked::NotKnown;
        };
        let Ok(about) = file.metadata() else {
            return Linked::NotKnown;
        };
        let key = (about.dev(), about.ino());
        *self
            .programs
            .entry(key)
            .or_insert_with(|| linked(&mut file).unwrap_or(Linked::NotKnown))
    }
}

/// Reads the executable's sections and symbols, as far as needed.
fn linked(file: &mut File) -> Option<Linked> {
    let cache = ReadCache::new(&mut *file);
    let elf = ElfFile64::<object::Endianness, _>::parse(&cache).ok()?;
    if elf.section_by_name(".go.buildinfo").is_some() {
        let tables = [".gopclntab", ".data.rel.ro.gopclntab"];
        let (at, size) = tables.iter().find_map(|name| elf.section_by_name(name)?.file_range())?;
        drop(elf);
        drop(cache);
        if size > GO_TABLE_MAX {
            return None;
        }
        file.seek(SeekFrom::Start(at)).ok()?;
        let with = holds(&mut BufReader::with_capacity(1 << 16, file).take(size), GO_TLS)?;
        return Some(if with { Linked::GoTls } else { Linked::GoWithoutTls });
    }
    let has = elf
        .dynamic_symbols()
        .chain(elf.symbols())
        .any(|symbol| symbol.is_definition() && symbol.name() == Ok("SSL_write"));
    has.then_some(Linked::OpenSsl)
}

/// Whether a text stands somewhere in a stream; `None` when that cannot be read.
fn holds(from: &mut impl Read, text: &[u8]) -> Option<bool> {
    let mut buffer = vec![0; 1 << 16];
    let mut kept = 0;
    loop {
        let count = from.read(&mut buffer[kept..]).ok()?;
        if count == 0 {
            return Some(false);
        }
        let end = kept + count;
        if buffer[..end].windows(text.len()).any(|window| window == text) {
            return Some(true);
        }
        // The text may begin in one piece and end in the next.
        let keep = (text.len() - 1).min(end);
        buffer.copy_within(end - keep..end, 0);
        kept = keep;
    }
}

/// The library that a shared object's file name tells.
fn library(file: &str) -> Option<String> {
    let (stem, version) = file.split_once(".so")?;
    let version = version.trim_start_matches('.');
    // Python wheels carry copies named `libssl-6bd0d8f5.so.1.1`.
    let stem = stem.split_once('-').map_or(stem, |(stem, _)| stem);
    let name = match stem {
        "libssl" => match version.split('.').next().unwrap_or_default() {
            "" => "OpenSSL or BoringSSL".to_owned(),
            // LibreSSL counts from 26, OpenSSL has come to 4.
            major if major.parse().is_ok_and(|major: u32| major > 20) => "LibreSSL".to_owned(),
            _ => format!("OpenSSL {version}"),
        },
        "libgnutls" => "GnuTLS".to_owned(),
        "libssl3" => "NSS".to_owned(),
        "libmbedtls" => "Mbed TLS".to_owned(),
        "libwolfssl" => "wolfSSL".to_owned(),
        "libs2n" => "s2n-tls".to_owned(),
        "libjvm" => "Java (JSSE)".to_owned(),
        _ if stem.starts_with("libconscrypt") || stem.starts_with("libnetty_tcnative") => "BoringSSL".to_owned(),
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_by_their_files() {
        for (file, expect) in [
            ("libssl.so.3", Some("OpenSSL 3")),
            ("libssl.so.1.1", Some("OpenSSL 1.1")),
            ("libssl-6bd0d8f5.so.1.1", Some("OpenSSL 1.1")),
            ("libssl.so.53", Some("LibreSSL")),
            ("libgnutls.so.30.34.3", Some("GnuTLS")),
            ("libssl3.so", Some("NSS")),
            ("libnetty_tcnative_linux_x86_64.so", Some("BoringSSL")),
            ("libcrypto.so.3", None),
            ("libssl.a", None),
            ("", None),
        ] {
            assert_eq!(library(file).as_deref(), expect, "{file}");
        }
    }

    #[test]
    fn a_text_across_pieces_is_found() {
        struct Bytewise<'a>(&'a [u8]);
        impl Read for Bytewise<'_> {
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                let count = self.0.len().min(to.len()).min(5);
                to[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let long = [b"x".repeat(70_000).as_slice(), GO_TLS, b"y"].concat();
        assert_eq!(holds(&mut Bytewise(&long), GO_TLS), Some(true));
        assert_eq!(holds(&mut Bytewise(&long[..70_010]), GO_TLS), Some(false));
    }

    #[test]
    fn maps_and_executables_that_are_not_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = Host {
            proc: dir.path().to_owned(),
            ..Host::default()
        };
        assert_eq!(Finder::default().look(&host, 1), None);
        std::fs::create_dir(dir.path().join("1")).expect("a folder");
        let maps = "7f00-7f01 r--p 0 fd:00 1 /usr/lib/libssl.so.3\n7f01-7f02 r-xp 0 fd:00 1 /usr/lib/libssl.so.3\n\
                    7f02-7f03 r--p 0 fd:00 1 /usr/lib/libc.so.6\n7f03-7f04 rw-p 0 00:00 0 [heap]\n";
        std::fs::write(dir.path().join("1/maps"), maps).expect("a file");
        let found = Finder::default().look(&host, 1).expect("maps");
        let expect = Library {
            name: "OpenSSL 3".into(),
            path: "/usr/lib/libssl.so.3".into(),
        };
        assert_eq!((found.libraries.as_slice(), found.none), ([expect].as_slice(), false));
    }
}
