//! The wall clock, which the times of spans are told by.

use super::{Finding, Patient};
use crate::agent;
use crate::kernel::clock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When this program was built, seconds since 1970.
const BUILT: &str = env!("ONLOOKER_BUILT");
const LOSES: &str = "times of spans: they do not fit those of other hosts. Counts and durations stay right";

/// It is set: later than this program was made.
pub(super) fn set(_: &Patient<'_>) -> Vec<Finding> {
    vec![judge(SystemTime::now(), BUILT.parse().unwrap_or(0))]
}

fn judge(now: SystemTime, built: u64) -> Finding {
    let built = UNIX_EPOCH + Duration::from_secs(built);
    let shown = humantime::format_rfc3339_seconds(now);
    if now >= built {
        Finding::pass("time", shown.to_string())
    } else {
        let found = format!(
            "{shown}, before this program was built ({})",
            humantime::format_rfc3339_seconds(built)
        );
        Finding::warn(
            "time",
            found,
            LOSES,
            "set it: `sudo timedatectl set-ntp true`, or start chronyd or ntpd",
        )
    }
}

/// Something keeps it in step.
pub(super) fn synchronised(patient: &Patient<'_>) -> Vec<Finding> {
    let name = "synchronisation";
    let spans = agent::exports_spans(patient.config, patient.env);
    vec![match clock::synchronised() {
        Some(true) => Finding::pass(name, "the kernel's clock is kept in step"),
        Some(false) if spans => Finding::warn(
            name,
            "nothing keeps the kernel's clock in step, as far as the kernel was told",
            LOSES,
            "start chronyd, ntpd or systemd-timesyncd (`sudo timedatectl set-ntp true`)",
        ),
        Some(false) => Finding::pass(
            name,
            "nothing keeps the kernel's clock in step, as far as the kernel was told; of no matter while no spans are \
             exported",
        ),
        None => Finding::pass(name, "not known: the kernel does not say"),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_before_the_build_is_told() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(judge(at(1_800_000_000), 1_700_000_000).verdict, Verdict::Pass);
        let finding = judge(at(0), 1_700_000_000);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(finding.found.starts_with("1970-01-01T00:00:00Z, before"), "{finding:?}");
        assert!(BUILT.parse::<u64>().is_ok_and(|built| built > 1_600_000_000), "{BUILT}");
    }
}
