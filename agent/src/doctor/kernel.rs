//! The kernel: is it one that the agent loads on?

use super::{Finding, Patient, proc};
use crate::kernel::btf::Btf;
use crate::kernel::layout::Layout;
use crate::kernel::{kfuncs, lockdown, tracefs};
use crate::probes::{Hook, REGISTRY, WITHOUT_AGAIN};

/// Oldest kernel with everything that the maps and programs use: the ring buffer came with it.
const OLDEST: (u32, u32) = (5, 8);
/// What is lost when nothing can be loaded.
pub(super) const EVERYTHING: &str = "everything: the agent does not start";

/// Its version.
pub(super) fn version(patient: &Patient<'_>) -> Vec<Finding> {
    let release = proc::text(patient.host.proc.join("sys/kernel/osrelease")).unwrap_or_default();
    let (major, minor) = OLDEST;
    vec![match proc::release(patient.host) {
        Some(version) if version >= OLDEST => Finding::pass("version", format!("Linux {release}")),
        Some(_) => Finding::fail(
            "version",
            format!("Linux {release} is older than {major}.{minor}"),
            EVERYTHING,
            format!("install and boot a kernel of {major}.{minor} or later"),
        ),
        None => Finding::warn(
            "version",
            format!(
                "not known: {} cannot be read",
                patient.host.proc.join("sys/kernel/osrelease").display()
            ),
            "nothing, when the kernel is new enough",
            format!("mount proc, and name its place with --path.procfs; compare `uname -r` with {major}.{minor}"),
        ),
    }]
}

/// The processor's architecture, which is that of this program.
pub(super) fn architecture(_: &Patient<'_>) -> Vec<Finding> {
    let arch = std::env::consts::ARCH;
    vec![match arch {
        "x86_64" => Finding::pass("architecture", arch),
        _ => Finding::warn(
            "architecture",
            format!("{arch}: onlooker is tested on x86_64 alone"),
            "perhaps requests seen at the exit of system calls (--capture.hooks=syscall)",
            "--capture.hooks=socket on Linux 6.3 or later",
        ),
    }]
}

/// The kernel's types, and the members of them that probes read.
pub(super) fn types(patient: &Patient<'_>) -> Vec<Finding> {
    let path = patient.host.types();
    let btf = match Btf::read(&path) {
        Ok(btf) => btf,
        Err(error) => {
            let fix = "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all current distributions ship; \
                       in a container, mount the host's /sys and name its place with --path.sysfs";
            return vec![
                Finding::fail("BTF", error.to_string(), EVERYTHING, fix),
                Finding::fail("struct members", "not known without BTF", EVERYTHING, "see BTF"),
            ];
        }
    };
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    let found = format!("{} in {}, valid", proc::bytes(size), path.display());
    let faults = Layout::resolve(&btf);
    let all = onlooker_common::layout::COUNT;
    let members = match faults.faults.as_slice() {
        [] => Finding::pass("struct members", format!("all {all} that probes read are there")),
        missing => {
            let list: Vec<&str> = missing.iter().map(|(_, fault)| fault.as_str()).collect();
            let named = format!("{} of {all} are not as expected: {}", list.len(), list.join("; "));
            let lost: Vec<&str> = REGISTRY
                .iter()
                .filter(|probe| {
                    let works = |way: &crate::probes::Alternative| faults.missing(way.needs).is_none();
                    !probe.alternatives.iter().any(works)
                })
                .map(|probe| probe.loses)
                .collect();
            if lost.is_empty() {
                Finding::pass(
                    "struct members",
                    format!("{named}; other ways to attach need none of them"),
                )
            } else {
                let fix = "none on this kernel; please report it with this output and `uname -a`";
                Finding::warn("struct members", named, lost.join("; "), fix)
            }
        }
    };
    vec![Finding::pass("BTF", found), members]
}

/// Lockdown, which in its stricter mode forbids programs to read the kernel's memory.
pub(super) fn lockdown(patient: &Patient<'_>) -> Vec<Finding> {
    let security = patient.host.running().join("kernel/security");
    let loses = "requests and responses of every program: programs may not read the kernel's memory";
    let boot = lockdown::WAY_OUT;
    vec![match proc::text(security.join("lockdown")) {
        Some(modes) if modes.contains("[confidentiality]") => Finding::fail("lockdown", "confidentiality", loses, boot),
        Some(modes) if modes.contains("[integrity]") => {
            Finding::pass("lockdown", "integrity, which allows what the agent does")
        }
        Some(modes) if modes.contains("[none]") => Finding::pass("lockdown", "none"),
        Some(modes) => Finding::warn("lockdown", format!("not known: {modes:?}"), "perhaps everything", boot),
        // Another file of securityfs, which every kernel with security modules has.
        None if security.join("lsm").exists() => Finding::pass("lockdown", "this kernel has none"),
        None => {
            let found = format!(
                "not known: securityfs is not mounted at {}, or hidden",
                security.display()
            );
            if patient.captures() {
                Finding::pass(
                    "lockdown",
                    format!("{found}; the kernel accepts the programs, so it forbids nothing"),
                )
            } else {
                let fix = format!(
                    "look with `sudo mount -t securityfs none {0} && cat {0}/lockdown`; if confidentiality, {boot}",
                    security.display()
                );
                Finding::warn("lockdown", found, "in mode confidentiality: everything", fix)
            }
        }
    }]
}

/// Where the kernel gives tracepoints their numbers.
pub(super) fn tracefs(patient: &Patient<'_>) -> Vec<Finding> {
    let places = tracefs::PLACES.map(|place| patient.host.sys.join(place));
    // The folder itself may be closed to other users than root.
    let there = places.iter().any(|place| place.join("events").exists());
    let mounted = there || proc::mounted(patient.host, "tracefs") == Some(true);
    let state = if mounted { "mounted" } else { "not mounted" };
    let needing: Vec<&str> = REGISTRY
        .iter()
        .flat_map(|probe| probe.ways(kfuncs::preemptible()))
        .filter(|way| {
            way.programs
                .iter()
                .any(|program| matches!(program.hook, Hook::Tracepoint(..)))
        })
        .map(|way| way.name)
        .collect();
    vec![if needing.is_empty() {
        Finding::pass("tracefs", format!("{state}; no probe needs it on this kernel"))
    } else if mounted {
        Finding::pass("tracefs", format!("{state}; needed for {}", needing.join(", ")))
    } else {
        Finding::warn(
            "tracefs",
            format!("not mounted; needed for {}", needing.join(", ")),
            WITHOUT_AGAIN,
            format!("sudo mount -t tracefs tracefs {}", places[0].display()),
        )
    }]
}
