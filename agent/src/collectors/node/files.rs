//! Reading of the small text files that `/proc` and `/sys` are made of.

use super::CollectError;
use rustix::fs::{Dir, Mode, OFlags};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Bytes of a file at most.
const MOST: usize = 16 << 20;
/// Bytes that a file is first read with.
const FIRST: usize = 4096;
/// Bytes that the kernel makes of a file of several records at a time: the smallest page (`seq_read_iter`, `fs/seq_file.c`).
const PAGE: usize = 4096;

/// A file of `/proc` or `/sys` that is read again and again: it stays open, for opening costs more than reading, and such a file
/// is made anew for a read from its start.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: Option<File>,
    bytes: Vec<u8>,
    end: End,
}

/// By what the end of a file is known. A read more that gives nothing makes the kernel walk the table behind the file once more.
#[derive(Clone, Copy, Debug)]
enum End {
    /// A read that gives nothing.
    Nothing,
    /// A read that comes short.
    Short,
    /// A read after which a record of so many bytes would have had room.
    Room(usize),
}

impl Kept {
    /// Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Kept {
        Kept {
            path: path.into(),
            file: None,
            bytes: Vec::new(),
            end: End::Nothing,
        }
    }

    /// One that the kernel makes as a whole (`single_open`, sysctl, sysfs): a read that has room for all gives all.
    pub fn whole(path: impl Into<PathBuf>) -> Kept {
        let end = End::Short;
        Kept { end, ..Kept::new(path) }
    }

    /// One of records that have at most so many bytes each.
    pub fn records(path: impl Into<PathBuf>, most: usize) -> Kept {
        let end = End::Room(most);
        Kept { end, ..Kept::new(path) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text now.
    ///
    /// # Errors
    /// It cannot be opened or read, has more than 16 MiB, or is no UTF-8.
    pub fn text(&mut self) -> Result<&str, CollectError> {
        self.read()?;
        std::str::from_utf8(&self.bytes).map_err(|error| CollectError::malformed(&self.path, error))
    }

    /// The number that it holds now.
    ///
    /// # Errors
    /// As [`Kept::text`], or it holds something else.
    pub fn number<T: FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, CollectError> {
        self.read()?;
        parsed(&self.path, &String::from_utf8_lossy(&self.bytes))
    }

    /// Its bytes now, where names of files may be among them.
    ///
    /// # Errors
    /// It cannot be opened or read, or has more than 16 MiB.
    pub fn bytes(&mut self) -> Result<&[u8], CollectError> {
        self.read()?;
        Ok(&self.bytes)
    }

    fn read(&mut self) -> Result<(), CollectError> {
        self.fill().map_err(|error| {
            self.file = None;
            CollectError::read(&self.path, error)
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        // One that was opened before may be of a device that is gone, and there again.
        if self.file.is_some() && self.fill_open().is_ok() {
            return Ok(());
        }
        self.file = Some(File::open(&self.path)?);
        self.fill_open()
    }

    fn fill_open(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut filled = 0;
        if self.bytes.capacity() < FIRST {
            self.bytes.reserve(FIRST);
        }
        self.bytes.resize(self.bytes.capacity(), 0);
        loop {
            if filled == self.bytes.len() {
                if filled >= MOST {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                self.bytes.resize(filled * 2, 0);
            }
            let room = self.bytes.len() - filled;
            match file.read_at(&mut self.bytes[filled..], filled as u64) {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    match self.end {
                        End::Short if n < room => break,
                        End::Room(record) if n + record < room.min(PAGE) => break,
                        _ => {}
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

/// The text of a small file (an attribute of `/sys`, a setting of `/proc/sys`), without white space around it. Bytes that are no
/// UTF-8 become U+FFFD.
///
/// # Errors
/// It cannot be opened or read.
pub fn text(path: &Path) -> Result<String, CollectError> {
    small(path).map_err(|error| CollectError::read(path, error))
}

/// Such a file comes with one read: asking for its size, or for more once it came short, is a system call for nothing.
fn small(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut room = [0; FIRST];
    let mut more = Vec::new();
    let mut filled = 0;
    loop {
        let n = match file.read_at(&mut room, filled as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if n < FIRST && more.is_empty() {
            return Ok(String::from_utf8_lossy(&room[..n]).trim().to_owned());
        }
        more.extend_from_slice(&room[..n]);
        filled += n;
        if n < FIRST {
            return Ok(String::from_utf8_lossy(&more).trim().to_owned());
        }
        if filled >= MOST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// The text of a file, `None` when it is not there or cannot be read: what not every device has.
pub fn text_if_any(path: &Path) -> Option<String> {
    text(path).ok()
}

/// The number that a file holds.
///
/// # Errors
/// It cannot be opened or read, or holds something else.
pub fn number<T: FromStr<Err: std::fmt::Display>>(path: &Path) -> Result<T, CollectError> {
    parsed(path, &text(path)?)
}

/// A number of a file's text.
///
/// # Errors
/// It is none.
pub fn parsed<T: FromStr<Err: std::fmt::Display>>(path: &Path, text: &str) -> Result<T, CollectError> {
    let text = text.trim();
    text.parse()
        .map_err(|error| CollectError::malformed(path, format!("{text:?}: {error}")))
}

/// A whole number of a file's text, hexadecimal when it begins with `0x`.
///
/// # Errors
/// It is none.
pub fn integer(path: &Path, text: &str) -> Result<i128, CollectError> {
    let made = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).map(i128::from),
        None => text.parse(),
    };
    made.map_err(|error| CollectError::malformed(path, format!("{text:?}: {error}")))
}

/// The first error of several readings: the others go on.
#[derive(Debug, Default)]
pub struct First(Option<CollectError>);

impl First {
    /// What was read, when it was.
    pub fn ok<T>(&mut self, read: Result<T, CollectError>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.get_or_insert(error);
                None
            }
        }
    }

    /// Was there none?
    ///
    /// # Errors
    /// There was one.
    pub fn result(self) -> Result<(), CollectError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Names in a folder, sorted; those that are no UTF-8 are left out.
///
/// # Errors
/// It cannot be read.
pub fn names(folder: &Path) -> Result<Vec<String>, CollectError> {
    let entries = fs::read_dir(folder).map_err(|error| CollectError::read(folder, error))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// A folder that is listed again and again: it stays open.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    open: Option<Dir>,
}

impl Folder {
    /// Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder {
            path: path.into(),
            open: None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names in it, sorted; those that are no UTF-8 are left out.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(&mut self) -> Result<Vec<String>, CollectError> {
        if let Some(open) = &mut self.open {
            open.rewind();
            // One that has nothing may be gone, and there again.
            match listed(open) {
                Ok(names) if !names.is_empty() => return Ok(names),
                _ => self.open = None,
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.path, flags, Mode::empty()).and_then(Dir::new);
        let names = opened.and_then(|mut opened| Ok((listed(&mut opened)?, opened)));
        let (names, opened) = names.map_err(|error| CollectError::read(&self.path, error.into()))?;
        self.open = (!names.is_empty()).then_some(opened);
        Ok(names)
    }

    /// The same, and none when it is not there: what not every host has, without that being told as a failure.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn names_if_any(&mut self) -> Result<Vec<String>, CollectError> {
        none_if_gone(self.names())
    }
}

fn listed(folder: &mut Dir) -> rustix::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in folder {
        if let Ok(name) = entry?.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Names in a folder, sorted, and none when it is not there: what not every host has, without that being told as a failure.
///
/// # Errors
/// It is there and cannot be read.
pub fn names_if_any(folder: &Path) -> Result<Vec<String>, CollectError> {
    none_if_gone(names(folder))
}

fn none_if_gone(names: Result<Vec<String>, CollectError>) -> Result<Vec<String>, CollectError> {
    match names {
        Err(CollectError::NoData(_)) => Ok(Vec::new()),
        names => names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_file_is_read_anew_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut kept = Kept::new(&path);
        assert!(matches!(kept.text(), Err(CollectError::NoData(_))), "not there");
        fs::write(&path, "one").unwrap();
        assert_eq!(kept.text().unwrap(), "one");
        let long = "x".repeat(3 * FIRST);
        fs::write(&path, &long).unwrap();
        assert_eq!(kept.text().unwrap(), long);
        fs::write(&path, "short").unwrap();
        assert_eq!(kept.text().unwrap(), "short");
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(kept.text(), Err(CollectError::Malformed { .. })));
    }

    #[test]
    fn however_its_end_is_known_a_file_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for length in [0, 1, PAGE - 101, PAGE - 100, PAGE, PAGE + 1, 5 * PAGE] {
            let text = "x".repeat(length);
            fs::write(&path, &text).unwrap();
            for mut kept in [Kept::new(&path), Kept::whole(&path), Kept::records(&path, 100)] {
                assert_eq!(kept.text().unwrap(), text);
                assert_eq!(kept.text().unwrap(), text, "once more");
            }
        }
        // A file of the kernel that has more records than a page holds.
        let lines = fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let found = Kept::records("/proc/self/maps", 300).text().unwrap().lines().count();
        assert!(found.abs_diff(lines) < 20, "{found} of {lines}");
    }

    #[test]
    fn a_folder_is_listed_anew_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        let mut folder = Folder::new(&path);
        assert!(matches!(folder.names(), Err(CollectError::NoData(_))), "not there");
        fs::create_dir(&path).unwrap();
        assert_eq!(folder.names().unwrap(), [""; 0]);
        fs::write(path.join("b"), "").unwrap();
        fs::write(path.join("a"), "").unwrap();
        assert_eq!(folder.names().unwrap(), ["a", "b"]);
        fs::remove_file(path.join("b")).unwrap();
        assert_eq!(folder.names().unwrap(), ["a"]);
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("c"), "").unwrap();
        assert_eq!(folder.names().unwrap(), ["c"], "another one of that name");
    }

    #[test]
    fn numbers_are_told_with_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        fs::write(&path, " 42\n").unwrap();
        assert_eq!(number::<u64>(&path).unwrap(), 42);
        fs::write(&path, "many").unwrap();
        let error = number::<u64>(&path).unwrap_err().to_string();
        assert!(error.contains("n: \"many\": invalid digit"), "{error}");
        assert_eq!(names(dir.path()).unwrap(), ["n"]);
        assert_eq!(integer(&path, "0xffffffffffffffff").unwrap(), i128::from(u64::MAX));
        assert_eq!(integer(&path, "-1").unwrap(), -1);
        let mut first = First::default();
        assert_eq!(first.ok(integer(&path, "0x1f")), Some(31));
        assert_eq!(first.ok(integer(&path, "0x")), None);
        assert_eq!(first.ok(integer(&path, "later")), None);
        assert!(first.result().unwrap_err().to_string().contains("\"0x\": cannot parse"));
    }
}
