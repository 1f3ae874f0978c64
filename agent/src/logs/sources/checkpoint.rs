//! The file that remembers how far every source is settled: written beside and renamed, so that it is the old one or the new one
//! whenever the host stops. What is settled meanwhile is appended to a second file (`.changes`), a line each: that is cheap, so that after a
//! kill little comes twice.

use super::mark::{FileId, Mark};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
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
    /// When it was looked for files last, Unix time in milliseconds; those of former versions do not tell.
    #[serde(default)]
    pub(super) looked: Option<u64>,
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
    pub(super) fn new(written: u64, looked: Option<u64>, files: Vec<Saved>, journal: Option<String>) -> Checkpoint {
        Checkpoint {
            version: VERSION,
            written,
            looked,
            files,
            journal,
        }
    }

    /// Reads it, with what was settled since. `None`: there is none, this is the first start.
    ///
    /// # Errors
    /// It cannot be read, or is torn or of another make.
    pub(super) fn read(path: &Path) -> io::Result<Option<Checkpoint>> {
        let mut found = Checkpoint::read_alone(path)?;
        if let Some(found) = &mut found {
            found.follow(&changes_of(path));
        }
        Ok(found)
    }

    /// Goes on to what was settled since it was written. What of that cannot be read is left out: then lines come twice.
    fn follow(&mut self, path: &Path) {
        let Ok(file) = File::open(path) else { return };
        let mut lines = io::BufReader::new(io::Read::take(file, LARGEST)).lines();
        let mut next = || serde_json::from_str::<Change>(&lines.next()?.ok()?).ok();
        if !matches!(next(), Some(Change::Since { version: VERSION, written }) if written == self.written) {
            return;
        }
        let mut files: BTreeMap<FileId, Saved> = self.files.drain(..).map(|saved| (saved.id, saved)).collect();
        while let Some(change) = next() {
            match change {
                Change::Looked(looked) => self.looked = Some(looked),
                Change::File(saved) => drop(files.insert(saved.id, saved)),
                Change::Journal(cursor) => self.journal = Some(cursor),
                Change::Since { .. } => break,
            }
        }
        self.files = files.into_values().collect();
    }

    fn read_alone(path: &Path) -> io::Result<Option<Checkpoint>> {
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

    /// Writes it in place of the one before; tells its bytes. The folder is made when it is not there.
    ///
    /// # Errors
    /// The file system's; the one before is still there.
    pub(super) fn write(&self, path: &Path) -> io::Result<u64> {
        if let Some(folder) = folder_of(path) {
            fs::create_dir_all(folder)?;
        }
        let beside = with(path, ".new");
        let mut file = File::create(&beside)?;
        let bytes = serde_json::to_vec(self)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&beside, path)?;
        sync_folder_of(path)?;
        Ok(bytes.len() as u64)
    }
}

/// A line of the file of changes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    /// The first: the checkpoint that these follow.
    Since { version: u32, written: u64 },
    /// When it was looked for files last, Unix time in milliseconds.
    Looked(u64),
    /// A file is settled so far.
    File(Saved),
    /// The journal is.
    Journal(String),
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Names have to outlive a power loss too.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path).unwrap_or(Path::new(".")))?.sync_data()
}

fn changes_of(path: &Path) -> PathBuf {
    with(path, ".changes")
}

/// The path with more at its end.
fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// What was settled since a checkpoint was written, beside it. A kill leaves all of it; a loss of power what was there at the last
/// [`Changes::sync`].
#[derive(Debug)]
pub(super) struct Changes {
    file: File,
    bytes: u64,
    synced: u64,
}

impl Changes {
    /// After this checkpoint, which is in its place.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn begin(path: &Path, checkpoint: &Checkpoint) -> io::Result<Changes> {
        let path = changes_of(path);
        let is_new = !path.exists();
        let file = File::create(&path)?;
        if is_new {
            // Where it is there already it stays.
            sync_folder_of(&path)?;
        }
        let mut changes = Changes {
            file,
            bytes: 0,
            synced: 0,
        };
        changes.write(&[Change::Since {
            version: VERSION,
            written: checkpoint.written,
        }])?;
        Ok(changes)
    }

    /// These files are settled further, and the journal, if it is told. `looked`: when it was looked for files last.
    ///
    /// # Errors
    /// The file system's. What comes after it is not to be told here.
    pub(super) fn add(&mut self, looked: u64, files: Vec<Saved>, journal: Option<String>) -> io::Result<()> {
        let files = files.into_iter().map(Change::File);
        let all = [Change::Looked(looked)].into_iter().chain(files);
        self.write(&all.chain(journal.map(Change::Journal)).collect::<Vec<_>>())
    }

    fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut text = Vec::new();
        for change in changes {
            serde_json::to_writer(&mut text, change)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Bytes of it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes it to the medium.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.synced != self.bytes {
            self.file.sync_data()?;
            self.synced = self.bytes;
        }
        Ok(())
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
        Checkpoint::new(5, Some(4), vec![saved], Some("s=1;i=2".into()))
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

    fn settled(offset: u64) -> Saved {
        let mut saved = some().files.remove(0);
        saved.mark.offset = offset;
        saved
    }

    /// Cut off anywhere, the changes before the cut are there.
    #[test]
    fn changes_follow_their_checkpoint() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("logs.json");
        some().write(&path).expect("written");
        let mut changes = Changes::begin(&path, &some()).expect("begun");
        changes.add(7, vec![settled(20)], None).expect("added");
        changes
            .add(8, vec![settled(30)], Some("s=1;i=3".into()))
            .expect("added");
        changes.sync().expect("synced");
        let whole = fs::read(changes_of(&path)).expect("read");
        assert_eq!(whole.len() as u64, changes.bytes());
        let mut before = 12;
        for len in 0..=whole.len() {
            fs::write(changes_of(&path), &whole[..len]).expect("torn");
            let found = Checkpoint::read(&path).expect("read").expect("is there");
            assert_eq!(found.files.len(), 1);
            let offset = found.files[0].mark.offset;
            assert!(
                offset >= before && [12, 20, 30].contains(&offset),
                "{len} bytes: {offset}"
            );
            before = offset;
        }
        let found = Checkpoint::read(&path).expect("read").expect("is there");
        let expect = (Some(8), Some("s=1;i=3"), vec![settled(30)]);
        assert_eq!((found.looked, found.journal.as_deref(), found.files), expect);
        // Those of a checkpoint before are passed over.
        Checkpoint { written: 6, ..some() }.write(&path).expect("written");
        let found = Checkpoint::read(&path).expect("read").expect("is there");
        assert_eq!(found.files[0].mark.offset, 12);
    }

    #[test]
    fn those_of_former_versions_are_read() {
        let old = r#"{"version":1,"written":5,"files":[],"journal":null}"#;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("logs.json");
        fs::write(&path, old).expect("written");
        assert_eq!(
            Checkpoint::read(&path).expect("read").map(|found| found.looked),
            Some(None)
        );
    }
}
