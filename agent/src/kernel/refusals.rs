//! What the kernel refused, in one line with the reason and the fix; and a switch for tests that refuses in its place.

use super::{loader::LoadError, lockdown, tracefs};
use crate::privilege;
use crate::probes::{Alternative, Hook, Probe, Program, REGISTRY};
use aya::programs::{ProgramError, trace_point::TracePointError};
use std::error::Error;
use std::io;

/// The environment variable of the test switch: names of probes, alternatives (of one probe: `PROBE:ALTERNATIVE`), programs or
/// tracepoints, separated by commas, that are treated as if the kernel refused them. For tests of what the agent does without them; of no use otherwise.
pub(super) const VARIABLE: &str = "ONLOOKER_TEST_REFUSE";

/// What the test switch refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals(Vec<String>);

impl Refusals {
    /// Reads [`VARIABLE`].
    ///
    /// # Errors
    /// It names what does not exist, so that no test passes because it refuses nothing.
    pub(super) fn from_env() -> Result<Refusals, LoadError> {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        let refusals = Refusals::parse(&text)?;
        if !refusals.0.is_empty() {
            tracing::warn!(
                refused = text,
                "{VARIABLE} is set: these are treated as refused by the kernel"
            );
        }
        Ok(refusals)
    }

    fn parse(text: &str) -> Result<Refusals, LoadError> {
        let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let known = |word: &&str| {
            REGISTRY.iter().any(|probe| {
                probe.alternatives.iter().any(|alternative| {
                    let mut programs = alternative.all();
                    programs.any(|program| named(word, probe, alternative, program))
                })
            })
        };
        match words.iter().find(|word| !known(word)) {
            Some(word) => Err(LoadError::Setup(format!(
                "{VARIABLE}: {word:?} is no probe, alternative, program or tracepoint"
            ))),
            None => Ok(Refusals(words.into_iter().map(str::to_owned).collect())),
        }
    }

    /// Why a program does not attach, when the switch refuses it.
    pub(super) fn of(&self, probe: &Probe, alternative: &Alternative, program: &Program) -> Option<String> {
        let mut words = self.0.iter();
        let word = words.find(|word| named(word, probe, alternative, program))?;
        Some(format!("refused by {VARIABLE}={word}"))
    }
}

fn named(word: &str, probe: &Probe, alternative: &Alternative, program: &Program) -> bool {
    [probe.name, alternative.name, program.name, program.hook.point()].contains(&word)
        || word.split_once(':') == Some((probe.name, alternative.name))
}

/// Why a program was refused, and what to do about it. `confidential`: see [`lockdown::is_confidential`].
pub(super) fn program(error: &ProgramError, hook: Hook, confidential: Option<bool>) -> String {
    let point = hook.point();
    match error {
        ProgramError::TracePointError(TracePointError::FileError { filename, io_error }) => {
            tracefs::refused(filename, io_error)
        }
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            tracing::debug!(log, "verifier");
            verifier(io_error, &log, confidential)
        }
        _ => match io_of(error) {
            Some(io) if io.kind() == io::ErrorKind::NotFound => format!("this kernel has no tracepoint {point}"),
            Some(io) if io.kind() == io::ErrorKind::PermissionDenied => match hook {
                Hook::Tracepoint(..) | Hook::MajorFaults if vital_missing().is_empty() => tracefs::closed(io),
                _ => denied(io),
            },
            _ => chain(error),
        },
    }
}

/// Reasons why alternatives and second copies were refused, in one line; one that holds for all alternatives is told once.
pub(super) fn told(alternatives: &[(&str, String)], copies: &[(&str, String)]) -> Option<String> {
    let named = |(name, reason): &(&str, String)| format!("{name}: {reason}");
    let mut reasons: Vec<String> = match alternatives {
        [(_, first), rest @ ..] if !rest.is_empty() && rest.iter().all(|(_, reason)| reason == first) => {
            vec![first.clone()]
        }
        _ => alternatives.iter().map(named).collect(),
    };
    reasons.extend(copies.iter().map(named));
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// What the verifier said, by the line of its log that tells.
fn verifier(error: &io::Error, log: &str, confidential: Option<bool>) -> String {
    let closing = ["processed", "stack depth", "verification time"];
    let last = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !closing.iter().any(|word| line.starts_with(word)));
    match last {
        None if error.kind() == io::ErrorKind::PermissionDenied => denied(error),
        None => format!("refused by the kernel: {error}"),
        Some(last) if last.contains("program is too large") => {
            format!("too large for this kernel's verifier ({last}); a newer kernel walks it in fewer steps")
        }
        Some(last) if last.contains("unknown func") || last.contains("cannot use helper") => match confidential {
            // Without the helper's name: so it is one reason for all alternatives, told once.
            Some(true) => format!(
                "lockdown=confidentiality forbids programs to read the kernel's memory: {}",
                lockdown::WAY_OUT
            ),
            Some(false) => {
                format!("this kernel offers it less than it needs ({last}): the kernel is older than the program")
            }
            None => format!(
                "this kernel offers it less than it needs ({last}): the kernel is older than the program, or under \
                 lockdown=confidentiality, which /sys/kernel/security does not tell here ({} in that case)",
                lockdown::WAY_OUT
            ),
        },
        Some(last) => format!(
            "refused by this kernel's verifier: {error}: {last}; please report it with the log of --log.level=debug"
        ),
    }
}

/// Why an operation is not permitted.
fn denied(error: &io::Error) -> String {
    match vital_missing().as_slice() {
        [] => format!(
            "refused by the kernel ({error}), although the agent has the capabilities it needs: a container's seccomp \
             profile or user namespace, a security module, or the kernel's lockdown forbids it; start the agent outside of \
             them"
        ),
        names => {
            let names = names.join(" and ");
            format!("refused by the kernel ({error}): {names} missing; run the agent as root or give it the capability")
        }
    }
}

fn vital_missing() -> Vec<&'static str> {
    let missing = privilege::missing().into_iter();
    let vital = missing.filter(|capability| capability.vital);
    vital.map(|capability| capability.name).collect()
}

/// Why the kernel side cannot be set up.
pub(super) fn setup(error: &(dyn Error + 'static)) -> LoadError {
    match io_of(error) {
        Some(io) if io.kind() == io::ErrorKind::PermissionDenied => {
            let mut why = denied(io);
            if vital_missing().is_empty() {
                why.push_str(
                    "; before Linux 5.11 maps count as locked memory: `ulimit -l unlimited` (systemd: \
                     LimitMEMLOCK=infinity), or CAP_SYS_RESOURCE",
                );
            }
            LoadError::NotPermitted(why)
        }
        _ => LoadError::Setup(chain(error)),
    }
}

fn io_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// An error and what caused it, in one line, nothing twice.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_knows_probes_alternatives_programs_and_tracepoints() {
        let probe = REGISTRY.iter().find(|probe| probe.name == "tcp_state").unwrap();
        let (first, second) = (&probe.alternatives[0], &probe.alternatives[1]);
        let refused = |word: &str| {
            let refusals = Refusals::parse(word).unwrap();
            [first, second].map(|alternative| {
                let refused = |program: &&Program| refusals.of(probe, alternative, program).is_some();
                alternative.programs.iter().filter(refused).count()
            })
        };
        assert_eq!(refused("tcp_state"), [2, 2]);
        assert_eq!(refused(first.name), [2, 0]);
        assert_eq!(refused("tcp_destroy_raw"), [0, 1]);
        assert_eq!(refused("tcp_destroy_sock, tcp_state_btf"), [2, 1]);
        assert_eq!(refused(""), [0, 0]);
        let wrong = Refusals::parse("tcp_state,nothing").unwrap_err().to_string();
        assert!(wrong.contains("\"nothing\" is no probe"), "{wrong}");
    }

    #[test]
    fn a_reason_of_all_alternatives_is_told_once_and_copies_by_name() {
        let refused = |name: &'static str, why: &str| (name, why.to_owned());
        let (old, odd) = (refused("tp_btf/x", "too old"), refused("tp_btf/y", "too odd"));
        let copy = refused("x_again", "too old");
        for (alternatives, copies, expect) in [
            (vec![], vec![], None),
            (vec![old.clone()], vec![], Some("tp_btf/x: too old")),
            (
                vec![old.clone(), refused("raw_tp/x", "too old")],
                vec![],
                Some("too old"),
            ),
            (
                vec![old.clone(), odd],
                vec![],
                Some("tp_btf/x: too old; tp_btf/y: too odd"),
            ),
            (
                vec![],
                vec![copy.clone(), copy.clone()],
                Some("x_again: too old; x_again: too old"),
            ),
            (vec![old], vec![copy], Some("tp_btf/x: too old; x_again: too old")),
        ] {
            assert_eq!(told(&alternatives, &copies).as_deref(), expect);
        }
    }

    #[test]
    fn what_the_verifier_says_is_one_line_with_what_to_do() {
        let io = io::Error::from_raw_os_error;
        for (error, log, expect) in [
            (
                libc::E2BIG,
                "0: (b7) r0 = 0\nBPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns",
                "a newer kernel",
            ),
            (
                libc::EINVAL,
                "8: (85) call unknown#158\nunknown func bpf_get_current_task_btf#158\n\n",
                "older than the program, or under lockdown",
            ),
            (
                libc::EACCES,
                "R2 min value is negative\nprocessed 12 insns (limit 1000000)\n",
                "R2 min value is negative; please report it",
            ),
            (libc::ENOMEM, "", "Cannot allocate memory"),
        ] {
            let said = verifier(&io(error), log, None);
            assert!(said.contains(expect) && !said.contains('\n'), "{said}");
        }
        let log = "program of this type cannot use helper bpf_probe_read#4\n";
        let said = |confidential| verifier(&io(libc::EINVAL), log, Some(confidential));
        assert!(said(true).contains("lockdown=confidentiality") && said(true).ends_with(lockdown::WAY_OUT));
        assert!(!said(false).contains("lockdown"));
    }
}
