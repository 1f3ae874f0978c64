//! Cgroups of a test's own.

use crate::process::unique;
use crate::require::made;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cgroup that is removed when dropped.
#[derive(Debug)]
pub struct Group(PathBuf);

/// A cgroup with these settings of a controller, for version 2 and for version 1; `None`, said why, where there can be none.
///
/// # Panics
/// Under `CI` when there is none.
pub fn group(controller: &str, two: &[(&str, &str)], one: &[(&str, &str)]) -> Option<Group> {
    made("cgroup", Group::new(controller, two, one))
}

/// A cgroup that may have so many bytes of memory. Otherwise as [`group`].
///
/// # Panics
/// Under `CI` when there is none.
pub fn of_memory(bytes: u64) -> Option<Group> {
    let limit = bytes.to_string();
    group(
        "memory",
        &[("memory.max", &limit)],
        &[("memory.limit_in_bytes", &limit)],
    )
}

impl Group {
    /// Makes one with these settings below the controller's root: version 2 where the controller is there, else version 1.
    fn new(controller: &str, two: &[(&str, &str)], one: &[(&str, &str)]) -> Result<Group> {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let (parent, settings) = if unified {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))?;
            (root.to_owned(), two)
        } else {
            (root.join(controller), one)
        };
        let group = Group(parent.join(unique("stalls")));
        fs::create_dir(&group.0)?;
        for (file, value) in settings {
            fs::write(group.0.join(file), value).with_context(|| (*file).to_string())?;
        }
        Ok(group)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A shell that joins and becomes a program of a service.
    pub fn command(&self, program: &Path, service: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        command
            .args(["-c", script])
            .arg(self.0.join("cgroup.procs"))
            .arg(program)
            .args(args)
            .env("OTEL_SERVICE_NAME", service);
        command
    }

    /// The number behind a key in one of its files.
    ///
    /// # Panics
    /// There is none.
    pub fn number(&self, file: &str, key: &str) -> f64 {
        let text = fs::read_to_string(self.0.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
