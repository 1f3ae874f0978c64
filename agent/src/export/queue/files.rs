//! The folder of one signal and its files, behind traits, so that tests can have a disk that is full or fails.

use super::segment::ReadAt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file of the folder.
pub(in crate::export) trait Store: ReadAt + Send + Sync {
    /// Writes all of it there.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// What was written is on the medium afterwards, with the length.
    fn sync(&self) -> io::Result<()>;
}

/// The folder.
pub(in crate::export) trait Files: Send + Sync {
    /// Numbers of its segments, in their order.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// Makes the file of a segment, which must not be there.
    fn create(&self, number: u64) -> io::Result<Arc<dyn Store>>;
    /// Opens the file of a segment.
    fn open(&self, number: u64) -> io::Result<Arc<dyn Store>>;
    /// Removes the file of a segment.
    fn remove(&self, number: u64) -> io::Result<()>;
    /// Names of files that were made are on the medium afterwards.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub(in crate::export) struct Folder {
    path: PathBuf,
}

/// What the name of a segment's file ends in.
const ENDING: &str = ".segment";

impl Folder {
    /// Makes the folder, for its owner alone, if it is not there.
    pub(in crate::export) fn make(path: &Path) -> io::Result<Folder> {
        make_private(path)?;
        Ok(Folder { path: path.into() })
    }

    fn file(&self, number: u64) -> PathBuf {
        // Twenty digits: any number of 64 bits, in the order of the names.
        self.path.join(format!("{number:020}{ENDING}"))
    }
}

/// Makes a folder and those above it that are missing, for their owner alone.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Files for Folder {
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            numbers.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Store>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(options.open(self.file(number))?))
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Store>> {
        let path = self.file(number);
        // What cannot be written (a read-only file system) can still be sent.
        let both = OpenOptions::new().read(true).write(true).open(&path);
        let file = both.or_else(|_| OpenOptions::new().read(true).open(&path))?;
        Ok(Arc::new(file))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        std::fs::remove_file(self.file(number))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Store for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
