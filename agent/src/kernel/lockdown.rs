//! The kernel's lockdown (`kernel_lockdown(7)`): in its stricter mode no BPF program may read the kernel's memory.

use std::path::Path;

/// How an operator gets out of the stricter mode.
pub(crate) const WAY_OUT: &str = "boot with lockdown=integrity (Secure Boot asks for no more) or without lockdown";

/// Whether the stricter mode, `confidentiality`, is on; `None` when it cannot be told: securityfs is not mounted, or hidden.
/// `sys` is the root of sysfs.
pub(crate) fn is_confidential(sys: &Path) -> Option<bool> {
    let security = sys.join("kernel/security");
    match std::fs::read_to_string(security.join("lockdown")) {
        // `none [integrity] confidentiality`
        Ok(modes) => Some(modes.contains("[confidentiality]")),
        // Another file of securityfs, which every kernel with security modules has.
        Err(_) => security.join("lsm").exists().then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_in_brackets_counts() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(is_confidential(sys.path()), None);
        let security = sys.path().join("kernel/security");
        std::fs::create_dir_all(&security).unwrap();
        std::fs::write(security.join("lsm"), "capability").unwrap();
        assert_eq!(is_confidential(sys.path()), Some(false));
        for (modes, expect) in [
            ("[none] integrity confidentiality\n", false),
            ("none [integrity] confidentiality\n", false),
            ("none integrity [confidentiality]\n", true),
        ] {
            std::fs::write(security.join("lockdown"), modes).unwrap();
            assert_eq!(is_confidential(sys.path()), Some(expect), "{modes}");
        }
    }
}
