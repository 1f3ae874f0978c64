//! The file that remembers how far every source is settled: written beside and renamed, so that it is the old one or the new one
//! whenever the host stops.

use super::mark::{FileId, Mark};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Largest file that is read, bytes: some 300 each of the files that can be known.
const LARGEST: u64 = 16 << 20;
/// Of the format; others are not read.
const VERSION: u32 = 1;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// When it was written, Unix time in milliseconds.
    pub(super) written: u64,
    /// Of files.
    pub(super) files: Vec<Saved>,
    /// Of the journal: where to read on.
    pub(super) journal: Option<String>,
}

/// How far a file is settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Which.
    pub(super) id: FileId,
    /// Where it was.
    pub(super) path: PathBuf,
    /// From when on files beside it belong to it, Unix time in milliseconds.
    pub(super) since: u64,
    /// How far.
    pub(super) mark: Mark,
}

impl Checkpoint {
    /// Of this moment.
    pub(super) fn new(written: u64, files: Vec<Saved>, journal: Option<String>) -> Checkpoint {
        Checkpoint {
            version: VERSION,
            written,
            files,
            journal,
        }
    }

    /// Reads it. `None`: there is none, this is the first start.
    ///
    /// # Errors
    /// It cannot be read, or is torn or of another make.
    pub(super) fn read(path: &Path) -> io::Result<Option<Checkpoint>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if file.metadata()?.len() > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is larger than any that onlooker writes",
            ));
        }
        let found: Checkpoint = serde_json::from_reader(io::BufReader::new(file))?;
        match found.version {
            VERSION => Ok(Some(found)),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is of version {other}, this onlooker writes {VERSION}"),
            )),
        }
    }

    /// Writes it in place of the one before. The folder is made when it is not there.
    ///
    /// # Errors
    /// The file system's; the one before is still there.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder)?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(&beside, path)?;
        // The name has to outlive a power loss too.
        File::open(folder.unwrap_or(Path::new(".")))?.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::super::mark::Print;
    use super::*;

    fn some() -> Checkpoint {
        let mark = Mark {
            offset: 12,
            head: Print::of(b"hello world\n"),
            before: Print::of(b"hello world\n"),
        };
        let saved = Saved {
            id: FileId { dev: u64::MAX, ino: 7 },
            path: "/var/log/a.log".into(),
            since: 3,
            mark,
        };
        Checkpoint::new(5, vec![saved], Some("s=1;i=2".into()))
    }

    #[test]
    fn is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/logs.json");
        assert_eq!(Checkpoint::read(&path).expect("none yet"), None);
        some().write(&path).expect("written");
        some().write(&path).expect("written again");
        assert_eq!(Checkpoint::read(&path).expect("read"), Some(some()));
        let names = fs::read_dir(path.parent().expect("a folder")).expect("read").count();
        assert_eq!(names, 1);
    }

    #[test]
    fn a_torn_one_is_no_checkpoint() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("logs.json");
        some().write(&path).expect("written");
        let whole = fs::read(&path).expect("read");
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).expect("torn");
            Checkpoint::read(&path).expect_err("torn");
        }
        let other = String::from_utf8(whole)
            .expect("text")
            .replace("\"version\":1", "\"version\":2");
        fs::write(&path, other).expect("written");
        let error = Checkpoint::read(&path).expect_err("of another version");
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    /// What a kill between write and rename leaves is not read.
    #[test]
    fn half_written_ones_are_passed_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("logs.json");
        some().write(&path).expect("written");
        fs::write(dir.path().join("logs.json.new"), "{\"ver").expect("half");
        assert_eq!(Checkpoint::read(&path).expect("read"), Some(some()));
        some().write(&path).expect("written");
    }
}
