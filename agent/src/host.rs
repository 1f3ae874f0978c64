//! The host as a value: where its `/proc`, `/sys` and `/` are. Nothing reads a global path.

pub mod calls;

use std::path::PathBuf;

/// Roots of the host's file systems, as node_exporter's `--path.*` flags set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `--path.procfs`.
    pub proc: PathBuf,
    /// `--path.sysfs`.
    pub sys: PathBuf,
    /// `--path.rootfs`.
    pub root: PathBuf,
    /// `--path.udev.data`.
    pub udev: PathBuf,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            proc: "/proc".into(),
            sys: "/sys".into(),
            root: "/".into(),
            udev: "/run/udev/data".into(),
        }
    }
}

impl Host {
    /// Process id of the agent as the host's `/proc` has it: in a container of its own another one than the agent knows.
    pub fn own_pid(&self) -> u32 {
        let link = std::fs::read_link(self.proc.join("self"));
        let pid = link.ok().and_then(|to| to.to_str()?.parse().ok());
        pid.unwrap_or_else(std::process::id)
    }

    /// `host.name`: what the host's root names in `etc/hostname` when that root is mounted elsewhere (the agent in a
    /// container has another name of its own), else the kernel's `sys/kernel/hostname`. `None` when neither can be read.
    pub fn name(&self) -> Option<std::sync::Arc<str>> {
        let etc = self.root.join("etc/hostname");
        let kernel = self.proc.join("sys/kernel/hostname");
        let order = if self.root == Host::default().root {
            [kernel, etc]
        } else {
            [etc, kernel]
        };
        order.iter().find_map(|path| {
            let text = std::fs::read_to_string(path).ok()?;
            // hostname(5): one line, comments allowed.
            let name = text
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'))?;
            Some(name.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_pid_is_that_of_the_hosts_proc() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = Host {
            proc: dir.path().to_owned(),
            ..Host::default()
        };
        assert_eq!(host.own_pid(), std::process::id());
        std::os::unix::fs::symlink("4711", dir.path().join("self")).expect("a link");
        assert_eq!(host.own_pid(), 4711);
    }

    #[test]
    fn the_name_of_a_mounted_root_comes_before_the_kernels() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = Host {
            proc: dir.path().join("proc"),
            sys: dir.path().join("sys"),
            root: dir.path().to_owned(),
            ..Host::default()
        };
        assert_eq!(host.name(), None);
        std::fs::create_dir_all(dir.path().join("proc/sys/kernel")).expect("folders");
        std::fs::write(dir.path().join("proc/sys/kernel/hostname"), "inner\n").expect("a file");
        assert_eq!(host.name().as_deref(), Some("inner"));
        std::fs::create_dir_all(dir.path().join("etc")).expect("folders");
        std::fs::write(dir.path().join("etc/hostname"), "# ours\n\nouter\n").expect("a file");
        assert_eq!(host.name().as_deref(), Some("outer"));
    }
}
