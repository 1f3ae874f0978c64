//! The host as a value: where its `/proc`, `/sys` and `/` are. Nothing reads a global path.

pub mod calls;

use std::path::{Path, PathBuf};

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
    /// Sysfs of the agent's own mount namespace, for what only the kernel that runs can say.
    pub own_sys: PathBuf,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            proc: "/proc".into(),
            sys: "/sys".into(),
            root: "/".into(),
            udev: "/run/udev/data".into(),
            own_sys: "/sys".into(),
        }
    }
}

impl Host {
    /// Sysfs of the kernel that runs: that of the host if it has the kernel's types, else the agent's own. Metrics may be read from
    /// another tree.
    pub fn running(&self) -> &Path {
        [&self.sys, &self.own_sys]
            .into_iter()
            .find(|sys| types(sys).exists())
            .unwrap_or(&self.sys)
    }

    /// The types of the kernel that runs, in BTF.
    pub fn types(&self) -> PathBuf {
        types(self.running())
    }

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

/// A quarter of the descriptors that the process may have open: so many files may be kept without being in the way of connections, maps
/// and programs.
pub fn quarter_of_descriptors() -> usize {
    let may = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    may.map_or(usize::MAX, |may| usize::try_from(may / 4).unwrap_or(usize::MAX))
}

fn types(sys: &Path) -> PathBuf {
    sys.join("kernel/btf/vmlinux")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_running_kernel_where_the_tree_of_metrics_has_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = Host {
            sys: dir.path().join("tree"),
            own_sys: dir.path().join("own"),
            ..Host::default()
        };
        let place = |sys: &str| dir.path().join(sys).join("kernel/btf/vmlinux");
        let put = |sys: &str| {
            std::fs::create_dir_all(place(sys).parent().expect("a folder")).expect("folders");
            std::fs::write(place(sys), "types").expect("a file");
        };
        assert_eq!(host.types(), place("tree"), "the place to name when there is none");
        put("own");
        assert_eq!((host.running(), host.types()), (host.own_sys.as_path(), place("own")));
        put("tree");
        assert_eq!((host.running(), host.types()), (host.sys.as_path(), place("tree")));
    }

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
