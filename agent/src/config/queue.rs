//! Settings of the export by OTLP that no standard variable has.

use std::path::{Path, PathBuf};

/// Settings of the queues before the receiver of OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpQueue {
    /// Where batches wait.
    pub kind: QueueKind,
    /// Folder of the queues on the disk; empty: in memory.
    pub path: PathBuf,
    /// Bytes of the queues of all signals on the disk.
    pub max_bytes: u64,
}

impl OtlpQueue {
    /// The folder of the queues; `None`: they are in memory.
    pub fn folder(&self) -> Option<&Path> {
        let on_disk = self.kind == QueueKind::Disk && !self.path.as_os_str().is_empty();
        on_disk.then_some(self.path.as_path())
    }
}

words! {
    /// Where batches of OTLP wait for their receiver.
    QueueKind {
        /// On the disk: they outlive the agent.
        Disk = "disk",
        /// In memory.
        Memory = "memory",
    }
}
