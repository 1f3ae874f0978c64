//! Tar archives of which every byte is said: entries in order of their names, one time, root for owner.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Result, bail};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// What an archive holds, by path without a leading slash.
#[derive(Default)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
}

enum Entry {
    Folder { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
}

impl Archive {
    /// Adds a file, and the folders above it.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) -> Result<()> {
        self.add(path, Entry::File { mode, bytes })
    }

    /// Adds a folder, and those above it.
    pub(super) fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        self.add(path, Entry::Folder { mode })
    }

    fn add(&mut self, path: &str, entry: Entry) -> Result<()> {
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            bail!("{path:?} is no path of an archive");
        }
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default().to_owned();
            self.entries.entry(above).or_insert(Entry::Folder { mode: 0o755 });
        }
        if self.entries.insert(path.to_owned(), entry).is_some() {
            bail!("{path} is in the archive twice");
        }
        Ok(())
    }

    /// The archive as POSIX.1-1988's ustar, which everything reads.
    pub(super) fn tar(&self, epoch: u64) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let mut header = Header::new_ustar();
            header.set_mtime(epoch);
            header.set_uid(0);
            header.set_gid(0);
            let (name, mode, kind, bytes) = match entry {
                Entry::Folder { mode } => (format!("{path}/"), mode, EntryType::Directory, &[] as &[u8]),
                Entry::File { mode, bytes } => (path.clone(), mode, EntryType::Regular, bytes.as_slice()),
            };
            header.set_mode(*mode);
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            // Longer names would become an entry of their own, which not everything reads: ustar has room for 255 bytes.
            header.set_path(&name)?;
            header.set_cksum();
            builder.append(&header, bytes)?;
        }
        Ok(builder.into_inner()?)
    }
}

/// Gzip without a name or a time of its own.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn sample(order: &[usize]) -> Archive {
        let files = [
            ("usr/bin/a", 0o755, "program"),
            ("etc/b", 0o600, "secret"),
            ("usr/bin/b", 0o644, ""),
        ];
        let mut archive = Archive::default();
        for &at in order {
            let (path, mode, text) = files[at];
            archive.file(path, mode, text.into()).unwrap();
        }
        archive
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let one = sample(&[0, 1, 2]).tar(1000).unwrap();
        assert_eq!(one, sample(&[2, 0, 1]).tar(1000).unwrap());
        assert_ne!(one, sample(&[0, 1, 2]).tar(1001).unwrap());
        assert_eq!(gzip(&one).unwrap(), gzip(&one).unwrap());
        assert_eq!(gzip(&one).unwrap()[4..8], [0; 4], "the time of gzip");
    }

    #[test]
    fn entries_are_sorted_belong_to_root_and_have_folders_above_them() {
        let bytes = sample(&[0, 1, 2]).tar(1000).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            assert_eq!(
                (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()),
                (0, 0, 1000)
            );
            assert!(header.as_ustar().is_some());
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            seen.push((path, header.mode().unwrap(), text));
        }
        let seen: Vec<(&str, u32, &str)> = seen.iter().map(|(a, b, c)| (a.as_str(), *b, c.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("etc/", 0o755, ""),
                ("etc/b", 0o600, "secret"),
                ("usr/", 0o755, ""),
                ("usr/bin/", 0o755, ""),
                ("usr/bin/a", 0o755, "program"),
                ("usr/bin/b", 0o644, ""),
            ]
        );
    }

    #[test]
    fn paths_that_leave_the_archive_or_come_twice_are_refused() {
        let mut archive = sample(&[0]);
        for path in ["", "/etc/x", "a/../b", "./a", "a//b", "a/", "usr/bin/a"] {
            assert!(archive.file(path, 0o644, Vec::new()).is_err(), "{path:?}");
        }
        let long = "n".repeat(300);
        archive.file(&long, 0o644, Vec::new()).unwrap();
        assert!(archive.tar(0).is_err());
    }
}
