//! The folder that queues on the disk share, held by one process at a time.

use super::files::{Files, Folder, Store, make_private};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why queues cannot be on the disk.
#[derive(Debug, thiserror::Error)]
pub enum QueueFolderError {
    /// Another agent is at work there.
    #[error("another process has {0:?}: give each agent a folder of its own with --otlp.queue.path")]
    Taken(PathBuf),
    /// It cannot be made or written.
    #[error(
        "cannot make or write {path:?}: {source}; give the agent a folder that it can write with --otlp.queue.path"
    )]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A folder with a folder for each signal. No other process has it while this or a queue in it lives.
#[derive(Clone, Debug)]
pub struct QueueFolder {
    path: PathBuf,
    lock: Arc<File>,
}

impl QueueFolder {
    /// Makes it, if it is not there, for its owner alone, and takes it.
    pub fn open(path: &Path) -> Result<QueueFolder, QueueFolderError> {
        let unusable = |source| QueueFolderError::Unusable {
            path: path.into(),
            source,
        };
        make_private(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(unusable)?;
        // By flock(2): the kernel gives it back when the process ends, however it ends.
        match lock.try_lock() {
            Ok(()) => Ok(QueueFolder {
                path: path.into(),
                lock: Arc::new(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(QueueFolderError::Taken(path.into())),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a signal.
    pub(in crate::export) fn signal(&self, name: &str) -> io::Result<Arc<dyn Files>> {
        let folder = Folder::make(&self.path.join(name))?;
        Ok(Arc::new(Held {
            folder,
            _lock: self.lock.clone(),
        }))
    }
}

/// The folder of a signal, and the lock with it.
#[derive(Debug)]
struct Held {
    folder: Folder,
    _lock: Arc<File>,
}

impl Files for Held {
    fn list(&self) -> io::Result<Vec<u64>> {
        self.folder.list()
    }
    fn create(&self, number: u64) -> io::Result<Arc<dyn Store>> {
        self.folder.create(number)
    }
    fn open(&self, number: u64) -> io::Result<Arc<dyn Store>> {
        self.folder.open(number)
    }
    fn remove(&self, number: u64) -> io::Result<()> {
        self.folder.remove(number)
    }
    fn sync(&self) -> io::Result<()> {
        self.folder.sync()
    }
}

#[cfg(test)]
mod tests;
