//! Namespaces: the kernel side speaks of processes by their pids and start times of the host, so `/proc` must too.

use super::kernel::EVERYTHING;
use super::{Finding, Patient, proc};

/// Inodes of the first namespaces, the same on every kernel (`include/linux/proc_ns.h`).
const FIRST_PID: &str = "pid:[4026531836]";
/// See [`FIRST_PID`].
const FIRST_USER: &str = "user:[4026531837]";

/// The pid namespace of the `/proc` that is read.
pub(super) fn pid(patient: &Patient<'_>) -> Vec<Finding> {
    let proc = &patient.host.proc;
    let of_init = proc::link(proc.join("1/ns/pid"));
    let own = proc::link(proc.join("self/ns/pid"));
    let status = proc::text(proc.join("self/status")).unwrap_or_default();
    // One id for each namespace from that of the mount down to the process' own.
    let levels = proc::field(&status, "NSpid").map_or(0, |ids| ids.split_whitespace().count());
    let same = levels == 1;
    let loses = "names of all services: pids that the kernel tells are others than those of /proc";
    let fix = "share the host's: `--pid host` for a container, `hostPID: true` for a pod; or mount the host's /proc and \
               name its place with --path.procfs";
    let name = "pid namespace";
    vec![match (of_init.as_deref(), own.as_deref()) {
        (Some(FIRST_PID), _) => Finding::pass(name, "the host's"),
        (None, Some(FIRST_PID)) if same => Finding::pass(name, "the host's"),
        // No other namespace has the kernel's own threads.
        (None, _) if proc::text(proc.join("2/comm")).as_deref() == Some("kthreadd") => {
            Finding::pass(name, "the host's")
        }
        (Some(_), _) => Finding::warn(
            name,
            format!("{} is another than the host's", proc.display()),
            loses,
            fix,
        ),
        (None, Some(own)) if same => Finding::warn(name, format!("{own}, another than the host's"), loses, fix),
        _ => Finding::warn(
            name,
            format!("not known: {}/1/ns/pid cannot be read", proc.display()),
            loses,
            fix,
        ),
    }]
}

/// The user namespace: rights to load programs are those of the first one.
pub(super) fn user(patient: &Patient<'_>) -> Vec<Finding> {
    let own = patient.host.proc.join("self");
    let map = proc::text(own.join("uid_map")).unwrap_or_default();
    let fields: Vec<&str> = map.split_whitespace().collect();
    let first = match proc::link(own.join("ns/user")) {
        Some(link) => Some(link == FIRST_USER),
        None if fields.is_empty() => None,
        None => Some(fields == ["0", "0", "4294967295"]),
    };
    let name = "user namespace";
    vec![match first {
        Some(true) => Finding::pass(name, "the host's"),
        Some(false) => Finding::fail(
            name,
            format!("another than the host's (uid_map: {})", fields.join(" ")),
            EVERYTHING,
            "start the agent outside of it: no rootless container, no `unshare --user`, no PrivateUsers= in its unit",
        ),
        None => Finding::pass(name, "not known: this kernel has none, or /proc/self cannot be read"),
    }]
}

/// The time namespace: start times tell processes of one pid apart.
pub(super) fn time(patient: &Patient<'_>) -> Vec<Finding> {
    let name = "time namespace";
    let Some(offsets) = proc::text(patient.host.proc.join("self/timens_offsets")) else {
        return vec![Finding::pass(name, "this kernel has none")];
    };
    let shifted: Vec<String> = offsets
        .lines()
        .filter(|line| line.split_whitespace().skip(1).any(|value| value != "0"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    vec![if shifted.is_empty() {
        Finding::pass(name, "no offsets")
    } else {
        let loses = "names of all services (boottime), times of spans (monotonic)";
        let fix = "start the agent outside of it: `nsenter --time --target 1`, no `unshare --time`";
        Finding::warn(
            name,
            format!("offsets of seconds and nanoseconds: {}", shifted.join(", ")),
            loses,
            fix,
        )
    }]
}
