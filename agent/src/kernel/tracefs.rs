//! Events of tracefs: attaching to what a tracepoint records needs its number, which stands there alone.

use crate::privilege;
use aya::programs::ProgramError;
use aya::programs::trace_point::TracePointError;
use std::io;
use std::path::{Path, PathBuf};

/// Where tracefs is mounted below sysfs, the usual place first (`Documentation/trace/ftrace.rst`).
pub(crate) const PLACES: [&str; 2] = ["kernel/tracing", "kernel/debug/tracing"];

/// Can the number of an event be read? Below `/sys`, whatever root of sysfs is set, for that is where aya reads it.
///
/// # Errors
/// A [`ProgramError::TracePointError`] with the file at the usual place.
pub(super) fn number(group: &str, point: &str) -> Result<(), ProgramError> {
    let [usual, other] = PLACES.map(|place| PathBuf::from(format!("/sys/{place}/events/{group}/{point}/id")));
    match std::fs::read(&usual) {
        Err(_) if std::fs::read(other).is_ok() => Ok(()),
        Err(io_error) => Err(TracePointError::FileError {
            filename: usual,
            io_error,
        }
        .into()),
        Ok(_) => Ok(()),
    }
}

/// Foretells, without opening it, whether the kernel lets this process open an event.
///
/// # Errors
/// As `perf_event_open(2)` would, on kernels with Debian's patch. Others know no value above 2 and would let it be opened; there
/// the next alternative is foretold, and the first attaches.
pub(super) fn may_open() -> io::Result<()> {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if paranoid.trim().parse::<i32>().is_ok_and(|value| value > 2) && !privilege::administrates() {
        return Err(rustix::io::Errno::ACCESS.into());
    }
    Ok(())
}

/// Why the event may not be opened (`perf_event_open(2)`) with CAP_PERFMON, and what to do about it.
pub(super) fn closed(error: &io::Error) -> String {
    format!(
        "perf_event_open was refused ({error}): where kernel.perf_event_paranoid is above 2, Debian's kernels let \
         CAP_SYS_ADMIN alone do it (`sudo sysctl kernel.perf_event_paranoid=2`), and a container's seccomp profile may forbid it"
    )
}

/// Why, and what to do about it.
pub(super) fn refused(file: &Path, error: &io::Error) -> String {
    let file = file.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{file} may not be read: run the agent as root or give it CAP_DAC_READ_SEARCH")
        }
        _ => format!("{file} cannot be read ({error}): `sudo mount -t tracefs tracefs /sys/kernel/tracing`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_number_is_refused_with_the_usual_place_and_a_fix() {
        let Err(ProgramError::TracePointError(TracePointError::FileError { filename, io_error })) =
            number("no", "event")
        else {
            panic!("there is an event no/event");
        };
        assert_eq!(filename, Path::new("/sys/kernel/tracing/events/no/event/id"));
        let said = refused(&filename, &io_error);
        assert!(said.starts_with("/sys/kernel/tracing/events/no/event/id "), "{said}");
        let closed = refused(&filename, &io::ErrorKind::PermissionDenied.into());
        assert!(closed.ends_with("CAP_DAC_READ_SEARCH"), "{closed}");
    }
}
