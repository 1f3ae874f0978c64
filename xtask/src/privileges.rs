//! What the agent needs of the kernel and of its user, read from /proc and /sys; one sentence for what is missing.

use std::fs;
use std::path::Path;

/// CAP_SYS_ADMIN, CAP_PERFMON and CAP_BPF as bits of `CapEff` (include/uapi/linux/capability.h).
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// Oldest kernel the agent loads on: the ring buffer came with it.
const OLDEST: (u32, u32) = (5, 8);

/// Whether this process runs with the effective user id 0.
pub(crate) fn is_root() -> bool {
    status_field(&own_status(), "Uid").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// What the kernel lacks, a sentence each with the way to get it; empty when the agent can be loaded.
pub(crate) fn missing_in_kernel() -> Vec<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    judge_kernel(&Kernel {
        release: release.trim(),
        has_bpf: Path::new("/proc/sys/kernel/unprivileged_bpf_disabled").exists(),
        has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        lockdown: lockdown.trim(),
    })
}

/// What root lacks here (a container with reduced capabilities); `None` when it has what loading needs. Of no meaning
/// for other users.
pub(crate) fn missing_capabilities() -> Option<String> {
    judge_capabilities(&own_status())
}

struct Kernel<'a> {
    release: &'a str,
    has_bpf: bool,
    has_btf: bool,
    lockdown: &'a str,
}

fn judge_kernel(kernel: &Kernel<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    if let Some(version) = version(kernel.release)
        && version < OLDEST
    {
        missing.push(format!(
            "Linux {} is too old: onlooker needs {}.{} or later (ring buffer); install a newer kernel.",
            kernel.release, OLDEST.0, OLDEST.1
        ));
    }
    if !kernel.has_bpf {
        missing.push(
            "This kernel has no bpf() system call: boot one built with CONFIG_BPF_SYSCALL=y (every distribution's is)."
                .to_owned(),
        );
    }
    if !kernel.has_btf {
        missing.push(
            "This kernel does not describe its types in /sys/kernel/btf/vmlinux: boot one built with \
             CONFIG_DEBUG_INFO_BTF=y (Debian 11, Ubuntu 20.10, Fedora 32, RHEL 8.2 or later), and mount /sys."
                .to_owned(),
        );
    }
    if kernel.lockdown.contains("[confidentiality]") {
        missing.push(
            "The kernel is locked down to `confidentiality`, which forbids BPF to read memory: boot with \
             lockdown=integrity or without lockdown."
                .to_owned(),
        );
    }
    missing
}

fn judge_capabilities(status: &str) -> Option<String> {
    let effective = status_field(status, "CapEff").and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())?;
    if effective & SYS_ADMIN != 0 || effective & (BPF | PERFMON) == BPF | PERFMON {
        return None;
    }
    Some(
        "This user is root without CAP_BPF and CAP_PERFMON, as in a container: start the container with \
         `--cap-add BPF --cap-add PERFMON --pid host` or `--privileged`."
            .to_owned(),
    )
}

fn own_status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Kernel<'_> = Kernel {
        release: "6.18.1-cloud",
        has_bpf: true,
        has_btf: true,
        lockdown: "none [integrity] confidentiality",
    };

    fn check(kernel: Kernel<'_>, word: &str) {
        let missing = judge_kernel(&kernel);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].contains(word), "{missing:?}");
        assert!(
            missing[0].ends_with('.') && !missing[0].contains('\n'),
            "one sentence: {missing:?}"
        );
    }

    #[test]
    fn each_lack_of_the_kernel_is_one_sentence() {
        assert!(judge_kernel(&GOOD).is_empty());
        check(
            Kernel {
                release: "5.4.0-1-amd64",
                ..GOOD
            },
            "too old",
        );
        check(Kernel { has_bpf: false, ..GOOD }, "CONFIG_BPF_SYSCALL");
        check(Kernel { has_btf: false, ..GOOD }, "CONFIG_DEBUG_INFO_BTF");
        check(
            Kernel {
                lockdown: "none integrity [confidentiality]",
                ..GOOD
            },
            "lockdown",
        );
    }

    #[test]
    fn releases_of_every_shape_are_compared() {
        for (release, expect) in [
            ("5.8.0", Some((5, 8))),
            ("6.18-rc1", Some((6, 18))),
            ("5.10.0-28-amd64", Some((5, 10))),
            ("odd", None),
        ] {
            assert_eq!(version(release), expect, "{release}");
        }
    }

    #[test]
    fn root_in_a_container_is_told_what_to_add() {
        assert_eq!(judge_capabilities("CapEff:\t000001ffffffffff\n"), None);
        assert_eq!(judge_capabilities("CapEff:\t000000c000000000\n"), None);
        assert!(judge_capabilities("CapEff:\t00000000a80425fb\n").is_some_and(|text| text.contains("CAP_BPF")));
        assert!(
            judge_capabilities("CapEff:\t0000008000000000\n").is_some(),
            "CAP_BPF alone does not do"
        );
    }

    #[test]
    fn the_effective_user_decides() {
        let status = "Name:\tx\nUid:\t1000\t0\t0\t0\n";
        assert_eq!(
            status_field(status, "Uid").and_then(|ids| ids.split_whitespace().nth(1)),
            Some("0")
        );
    }
}
