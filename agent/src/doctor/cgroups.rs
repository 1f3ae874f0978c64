//! Cgroups: how a process is known to be a container's or a systemd unit's.

use super::{Finding, Patient};

/// The version that is mounted.
pub(super) fn version(patient: &Patient<'_>) -> Vec<Finding> {
    let name = "cgroups";
    let root = patient.host.sys.join("fs/cgroup");
    let hybrid = root.join("unified/cgroup.procs");
    let old = ["memory", "pids", "cpu", "systemd"]
        .iter()
        .any(|controller| root.join(controller).is_dir());
    let loses = "containers and units of processes that end before they are looked at; others are named by \
                 /proc/PID/cgroup";
    vec![if root.join("cgroup.controllers").exists() {
        Finding::pass(name, format!("version 2 at {}", root.display()))
    } else if hybrid.exists() {
        Finding::pass(
            name,
            format!("version 1, and version 2 at {}", root.join("unified").display()),
        )
    } else if old {
        let fix = format!(
            "boot with systemd.unified_cgroup_hierarchy=1, or mount version 2 beside: `sudo mkdir {0} && sudo mount -t \
             cgroup2 none {0}`",
            root.join("unified").display()
        );
        Finding::warn(name, format!("version 1 alone at {}", root.display()), loses, fix)
    } else {
        let fix = format!(
            "sudo mount -t cgroup2 none {}; in a container, mount the host's",
            root.display()
        );
        Finding::warn(name, format!("none mounted at {}", root.display()), loses, fix)
    }]
}
