//! What this process may do: capabilities one by one, and the switches and limits of the kernel that concern them.

use super::kernel::EVERYTHING;
use super::{Finding, Patient, Verdict, proc};
use crate::kernel::kfuncs;
use crate::privilege::{self, Capability};
use onlooker_common::fallback::{self, FallbackCounts, FallbackKey};
use onlooker_common::socket::{self, Grave, SocketState};
use onlooker_common::tcp::Connection;

/// Memory of maps counts towards RLIMIT_MEMLOCK before this kernel, and towards a memory cgroup from it on.
const UNCHARGED: (u32, u32) = (5, 11);

const DECLARED: &str = "names that other users' processes declare (OTEL_SERVICE_NAME), of those that began before the \
                        agent; they go by their container, unit or command line";

const NET_BIND_SERVICE: u32 = 10;
const SYS_RESOURCE: u32 = 24;

/// Each capability that the agent makes use of.
pub(super) fn capabilities(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(held) = held(patient) else {
        let path = patient.host.proc.join("self/status");
        let fix = format!(
            "mount proc, and name its place with --path.procfs ({} is not readable)",
            path.display()
        );
        return vec![Finding::warn("capabilities", "not known", "perhaps everything", fix)];
    };
    privilege::NEEDED.iter().map(|needed| judge(needed, held)).collect()
}

fn judge(needed: &Capability, held: u64) -> Finding {
    if needed.held_alone(held) {
        return Finding::pass(needed.name, format!("held: {}", needed.purpose));
    }
    if needed.held(held) {
        return Finding::pass(needed.name, format!("held as part of a wider one: {}", needed.purpose));
    }
    let without = if needed.vital { Verdict::Fail } else { Verdict::Warn };
    let found = format!("not held: {}", needed.purpose);
    Finding::worse(without, needed.name, found, needed.loses, grant(needed.name))
}

/// How to give a capability to the agent.
fn grant(name: &str) -> String {
    let short = name.trim_start_matches("CAP_");
    format!(
        "run as root; or `AmbientCapabilities={name}` in its systemd unit, `--cap-add {short}` for its container, \
         `{}+eip` among its file's (`setcap`)",
        name.to_ascii_lowercase()
    )
}

/// `CapEff`.
fn held(patient: &Patient<'_>) -> Option<u64> {
    let status = proc::text(patient.host.proc.join("self/status"))?;
    u64::from_str_radix(proc::field(&status, "CapEff")?, 16).ok()
}

/// A port that only the privileged may listen on, and whether this process may; for the check of addresses.
pub(super) fn may_bind(patient: &Patient<'_>, port: u16) -> bool {
    let start = proc::number(patient.host.proc.join("sys/net/ipv4/ip_unprivileged_port_start")).unwrap_or(1024);
    port == 0 || port >= start || held(patient).is_none_or(|held| held & 1 << NET_BIND_SERVICE != 0)
}

/// Whether users without capabilities may load programs: of no concern to tracing ones.
pub(super) fn unprivileged_bpf(patient: &Patient<'_>) -> Vec<Finding> {
    let value: Option<u8> = proc::number(patient.host.proc.join("sys/kernel/unprivileged_bpf_disabled"));
    let name = "kernel.unprivileged_bpf_disabled";
    vec![match value {
        Some(value) => Finding::pass(name, format!("{value}; concerns users without CAP_BPF alone")),
        None if patient.trial.is_ok() => Finding::pass(name, "not there; programs load all the same"),
        None => Finding::fail(
            name,
            "not there: this kernel has no bpf() system call, or proc is not mounted",
            EVERYTHING,
            "boot a kernel built with CONFIG_BPF_SYSCALL=y, as every distribution's is",
        ),
    }]
}

/// Who may use perf events: plain tracepoints do.
pub(super) fn perf_event_paranoid(patient: &Patient<'_>) -> Vec<Finding> {
    let value: Option<i32> = proc::number(patient.host.proc.join("sys/kernel/perf_event_paranoid"));
    let shown = value.map_or("not there".to_owned(), |value| value.to_string());
    let concerns = match value {
        // What it costs is told with the probe that is refused.
        Some(3..) if kfuncs::preemptible() => {
            "above 2, Debian's kernels let CAP_SYS_ADMIN alone open perf events, as plain tracepoints do"
        }
        _ => "concerns users without CAP_PERFMON alone",
    };
    vec![Finding::pass(
        "kernel.perf_event_paranoid",
        format!("{shown}; {concerns}"),
    )]
}

/// The limit that memory of maps counts towards on older kernels.
pub(super) fn memlock(patient: &Patient<'_>) -> Vec<Finding> {
    let name = "memlock limit";
    let limits = proc::text(patient.host.proc.join("self/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let Some(soft) = soft else {
        let found = "not known: /proc/self/limits cannot be read";
        return vec![Finding::pass(
            name,
            format!("{found}; only kernels before 5.11 ask for it"),
        )];
    };
    let shown = match soft.parse() {
        Ok(count) => proc::bytes(count),
        Err(_) => soft.to_owned(),
    };
    if proc::release(patient.host).is_some_and(|version| version >= UNCHARGED) {
        return vec![Finding::pass(
            name,
            format!("{shown}; this kernel does not count maps towards it"),
        )];
    }
    let need = map_bytes(patient);
    let enough = soft == "unlimited" || soft.parse().is_ok_and(|limit: u64| limit >= need);
    let may_raise = held(patient).is_some_and(|held| held & 1 << SYS_RESOURCE != 0);
    vec![if enough || may_raise {
        let how = if enough {
            "enough"
        } else {
            "raised by the agent, which has CAP_SYS_RESOURCE"
        };
        Finding::pass(name, format!("{shown} for maps of about {}: {how}", proc::bytes(need)))
    } else {
        Finding::fail(
            name,
            format!(
                "{shown}, maps take about {}, and CAP_SYS_RESOURCE, which could raise it, is not held",
                proc::bytes(need)
            ),
            EVERYTHING,
            "`ulimit -l unlimited` before the agent, `LimitMEMLOCK=infinity` in its systemd unit, or CAP_SYS_RESOURCE",
        )
    }]
}

/// Bytes of the maps, about: entries and the ring, without what the kernel keeps beside them.
pub(super) fn map_bytes(patient: &Patient<'_>) -> u64 {
    let limits = &patient.config.limits;
    let entries = |key: usize, value: usize, count: u32| (key + value) as u64 * u64::from(count);
    u64::from(limits.ring_bytes)
        + entries(8, size_of::<SocketState>(), limits.connections)
        + entries(8, size_of::<Connection>(), limits.tcp_connections)
        + entries(size_of::<FallbackKey>(), size_of::<FallbackCounts>(), fallback::ENTRIES)
        + entries(8, size_of::<Grave>(), socket::GRAVES)
}

/// Files of processes of other users, tried and not concluded: security modules and mount options have a say too.
pub(super) fn proc_files(patient: &Patient<'_>) -> Vec<Finding> {
    let (mut asked, mut refused) = (0, 0);
    for pid in super::sockets::pids(patient.host) {
        let dir = patient.host.proc.join(pid.to_string());
        // Kernel threads have no command line and nothing to say; neither has what is gone meanwhile.
        if proc::text(dir.join("cmdline")).is_none_or(|text| text.is_empty()) {
            continue;
        }
        asked += 1;
        let open = std::fs::File::open(dir.join("environ"));
        refused += u64::from(open.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied));
    }
    let name = "/proc/PID/environ";
    if asked == 0 || !patient.host.proc.join("1").exists() {
        let fix = "mount proc without hidepid=, or name its place with --path.procfs";
        return vec![Finding::warn(
            name,
            "processes of other users are not shown in /proc",
            "names of services",
            fix,
        )];
    }
    vec![if refused == 0 {
        Finding::pass(name, format!("readable for all {asked} processes"))
    } else {
        let found = format!("{refused} of {asked} processes do not let this user read it");
        let fix = "run as root; or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, and with every capability that those \
                   processes hold";
        Finding::warn(name, found, DECLARED, fix)
    }]
}
