//! The host as a value: where its `/proc`, `/sys` and `/` are. Nothing reads a global path.

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
}

impl Default for Host {
    fn default() -> Host {
        Host {
            proc: "/proc".into(),
            sys: "/sys".into(),
            root: "/".into(),
        }
    }
}
