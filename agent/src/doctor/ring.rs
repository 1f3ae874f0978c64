//! Memory of the kernel's side against that of the host.

use super::{Finding, Patient, proc, rights};

/// The share of available memory beyond which maps are called large.
const LARGE: u64 = 10;

/// Ring buffer and tables, which the kernel holds whole from the start.
pub(super) fn memory(patient: &Patient<'_>) -> Vec<Finding> {
    let name = "ring and tables";
    let ring = proc::bytes(patient.config.limits.ring_bytes.into());
    let all = rights::map_bytes(patient);
    let takes = format!("ring of {ring}, with tables about {}", proc::bytes(all));
    let info = proc::text(patient.host.proc.join("meminfo")).unwrap_or_default();
    let available = proc::field(&info, "MemAvailable")
        .and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kib| kib * 1024);
    vec![match available {
        Some(free) if all > free / LARGE => Finding::warn(
            name,
            format!("{takes}, of {} available", proc::bytes(free)),
            "memory of other programs; the agent does not start when there is not enough",
            "--limits.ring-bytes=1MiB --limits.connections=2048 (`limits: {ring-bytes: 1MiB, connections: 2048}`)",
        ),
        Some(free) => Finding::pass(name, format!("{takes}, of {} available", proc::bytes(free))),
        None => Finding::pass(name, format!("{takes}; memory of the host is not known")),
    }]
}
