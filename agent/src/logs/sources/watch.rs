//! Told by the kernel when names appear or go in folders (inotify(7)). What it does not tell is found by looking now and then.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// Folders that are watched.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
    folders: HashMap<PathBuf, i32>,
    /// Folders that could not be watched at the last [`Watch::set`].
    pub(super) refused: u64,
}

impl Watch {
    pub(super) fn new() -> io::Result<Watch> {
        Ok(Watch {
            inotify: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            folders: HashMap::new(),
            refused: 0,
        })
    }

    /// Watches these folders and no others.
    pub(super) fn set(&mut self, folders: &[PathBuf]) {
        let wanted: HashSet<&PathBuf> = folders.iter().collect();
        let inotify = &self.inotify;
        self.folders.retain(|folder, watch| {
            let stays = wanted.contains(folder);
            if !stays {
                let _ = remove_watch(inotify, *watch); // the folder may be gone, and its watch with it
            }
            stays
        });
        self.refused = 0;
        let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        for folder in wanted {
            // Always: a folder that was made anew has the name and not the watch.
            match add_watch(inotify, folder, names | WatchFlags::ONLYDIR) {
                Ok(watch) => {
                    self.folders.insert(folder.clone(), watch);
                }
                Err(_) => {
                    self.folders.remove(folder);
                    self.refused += 1;
                }
            }
        }
    }

    /// Waits until something was told, or the time is over; tells whether it was.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let time = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&time)), Ok(1..)) {
            return false;
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        let mut told = false;
        loop {
            match events.next() {
                Ok(_) => told = true,
                Err(Errno::INTR) => {}
                Err(_) => return told,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn is_told_of_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut watch = Watch::new().expect("inotify");
        watch.set(&[dir.path().to_owned(), dir.path().join("absent")]);
        assert_eq!(watch.refused, 1);
        assert!(!watch.wait(Duration::ZERO));
        fs::write(dir.path().join("a"), "").expect("a file");
        assert!(watch.wait(Duration::from_secs(10)));
        fs::rename(dir.path().join("a"), dir.path().join("b")).expect("renamed");
        assert!(watch.wait(Duration::from_secs(10)));
        assert!(!watch.wait(Duration::ZERO), "all events were taken");
        watch.set(&[]);
        watch.wait(Duration::ZERO); // that the watch is gone is told too
        fs::remove_file(dir.path().join("b")).expect("removed");
        assert!(!watch.wait(Duration::ZERO));
    }

    #[test]
    fn a_folder_made_anew_is_watched() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("a");
        fs::create_dir(&folder).expect("a folder");
        let mut watch = Watch::new().expect("inotify");
        watch.set(std::slice::from_ref(&folder));
        fs::remove_dir(&folder).expect("removed");
        fs::create_dir(&folder).expect("a folder");
        watch.set(std::slice::from_ref(&folder));
        watch.wait(Duration::ZERO);
        fs::write(folder.join("b"), "").expect("a file");
        assert!(watch.wait(Duration::from_secs(10)));
    }
}
