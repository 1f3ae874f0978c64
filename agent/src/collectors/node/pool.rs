//! Small files that are read at every scrape and stay open in between: to open a file of sysfs or of a cgroup costs several times
//! what reading it does.

use crate::host::quarter_of_descriptors;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of a file at most.
const MOST: usize = 1 << 20;
/// Bytes that a file is first read with.
const FIRST: usize = 4096;
/// A file that was not there is looked for again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// Files of one collector. Beyond its limit files are opened for each reading, as if there were none of it.
#[derive(Debug)]
pub struct Pool {
    /// By their paths, which are compared as bytes: this is asked for hundreds of files a scrape.
    files: FxHashMap<OsString, Entry>,
    /// Inode of folders that are checked, and the round in which.
    folders: FxHashMap<PathBuf, (u64, u64)>,
    limit: usize,
    round: u64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// Round in which it was last asked for.
    round: u64,
}

#[derive(Debug)]
enum State {
    Open(File),
    /// Not there, or not to be opened, when it was last looked for.
    Absent(Instant),
}

impl Pool {
    /// Keeps up to so many files open.
    pub fn new(limit: usize) -> Pool {
        Pool {
            files: FxHashMap::default(),
            folders: FxHashMap::default(),
            limit,
            round: 0,
            bytes: vec![0; FIRST],
        }
    }

    /// Keeps up to `most` open, and no more than a quarter of what the process may.
    pub fn within_limits(most: usize) -> Pool {
        Pool::new(most.min(quarter_of_descriptors()))
    }

    /// The text of a file now, without white space around it; `None` when it is not there, cannot be read or has more than 1 MiB.
    /// Bytes that are no UTF-8 become U+FFFD.
    pub fn text(&mut self, path: &Path) -> Option<Cow<'_, str>> {
        let round = self.round;
        let name = path.as_os_str();
        if let Some(entry) = self.files.get_mut(name) {
            entry.round = round;
            match &entry.state {
                State::Absent(since) if since.elapsed() < AGAIN => return None,
                State::Open(file) => match fill(file, &mut self.bytes) {
                    Ok(filled) => return Some(as_text(&self.bytes[..filled])),
                    // Of a device or cgroup that is gone, and perhaps there again (kernfs).
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                    // One that does not know its value now, as the carrier of a device that is down.
                    Err(_) => return None,
                },
                State::Absent(_) => {}
            }
        }
        let (state, filled) = match File::open(path) {
            Ok(file) => {
                let filled = fill(&file, &mut self.bytes).ok();
                (State::Open(file), filled)
            }
            Err(_) => (State::Absent(Instant::now()), None),
        };
        let room = self.files.len() < self.limit;
        match self.files.get_mut(name) {
            Some(entry) => entry.state = state,
            None if room => {
                self.files.insert(name.to_owned(), Entry { state, round });
            }
            None => {}
        }
        Some(as_text(&self.bytes[..filled?]))
    }

    /// Lets go of the files of a folder if another one has its name now, as that of a network device may that was renamed: files
    /// stay those of the device that they were opened of. To be asked before they are.
    pub fn check(&mut self, folder: &Path) {
        let identity = std::fs::metadata(folder).map_or(0, |folder| folder.ino());
        let round = self.round;
        let known = self.folders.insert(folder.to_owned(), (identity, round));
        if known.is_some_and(|(known, _)| known != identity) {
            self.files.retain(|path, _| !Path::new(path).starts_with(folder));
        }
    }

    /// A round is over: lets go of files that nobody asked for in it.
    pub fn sweep(&mut self) {
        let now = self.round;
        self.files.retain(|_, entry| entry.round == now);
        self.folders.retain(|_, (_, round)| *round == now);
        self.round += 1;
    }
}

fn as_text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.trim_ascii())
}

/// Reads a file from its start; one that comes with one read is not asked for more.
fn fill(file: &File, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(n) => {
                filled += n;
                // Files of sysfs and cgroups end with a short read.
                if filled < bytes.len() {
                    return Ok(filled);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if bytes.len() >= MOST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        bytes.resize(bytes.len() * 2, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn text(pool: &mut Pool, path: &Path) -> Option<String> {
        pool.text(path).map(Cow::into_owned)
    }

    fn open(pool: &Pool) -> usize {
        let open = |entry: &&Entry| matches!(entry.state, State::Open(_));
        pool.files.values().filter(open).count()
    }

    #[test]
    fn files_stay_open_up_to_the_limit_and_while_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: usize| dir.path().join(n.to_string());
        (0..4).for_each(|n| fs::write(path(n), format!(" {n}\n")).unwrap());
        let mut pool = Pool::new(2);
        for n in 0..4 {
            assert_eq!(text(&mut pool, &path(n)), Some(n.to_string()));
        }
        assert_eq!(open(&pool), 2);
        fs::write(path(0), "new").unwrap();
        fs::write(path(3), "new").unwrap();
        assert_eq!((text(&mut pool, &path(0)), open(&pool)), (Some("new".into()), 2));
        assert_eq!(text(&mut pool, &path(3)), Some("new".into()), "one beyond the limit");
        pool.sweep();
        assert_eq!(text(&mut pool, &path(1)), Some("1".into()));
        pool.sweep();
        assert_eq!(open(&pool), 1, "the one that was asked for");
    }

    #[test]
    fn what_is_not_there_is_looked_for_now_and_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("late");
        let mut pool = Pool::new(9);
        assert_eq!(text(&mut pool, &path), None);
        fs::write(&path, "here").unwrap();
        assert_eq!(text(&mut pool, &path), None, "not yet");
        if let Some(entry) = pool.files.get_mut(path.as_os_str()) {
            entry.state = State::Absent(Instant::now() - AGAIN);
        }
        assert_eq!(text(&mut pool, &path), Some("here".into()));
        // A folder opens and does not read; it is not looked for again, and read again.
        assert_eq!(text(&mut pool, dir.path()), None);
        assert_eq!(open(&pool), 2);
    }

    #[test]
    fn a_folder_that_took_the_name_of_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        for name in ["eth0", "eth1"] {
            fs::create_dir(place(name)).unwrap();
            fs::write(place(name).join("mtu"), name).unwrap();
        }
        let (folder, file) = (place("eth0"), place("eth0").join("mtu"));
        let mut pool = Pool::new(9);
        pool.check(&folder);
        assert_eq!(text(&mut pool, &file), Some("eth0".into()));
        fs::rename(place("eth0"), place("wan0")).unwrap();
        fs::rename(place("eth1"), place("eth0")).unwrap();
        pool.check(&folder);
        assert_eq!(text(&mut pool, &file), Some("eth1".into()));
        pool.sweep();
        pool.sweep();
        assert_eq!((pool.folders.len(), pool.files.len()), (0, 0));
    }

    #[test]
    fn long_files_are_read_whole_and_endless_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        let long = "x".repeat(3 * FIRST);
        fs::write(&path, &long).unwrap();
        let mut pool = Pool::new(9);
        assert_eq!(text(&mut pool, &path), Some(long.clone()));
        fs::write(&path, "short").unwrap();
        assert_eq!(text(&mut pool, &path), Some("short".into()));
        fs::write(&path, "x".repeat(MOST + 1)).unwrap();
        assert_eq!(text(&mut pool, &path), None);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(text(&mut pool, &path), Some("\u{fffd}".into()));
    }
}
