//! Events of tracefs: attaching to what a tracepoint records needs its number, which stands there alone.

use aya::programs::ProgramError;
use aya::programs::trace_point::TracePointError;
use std::io;
use std::path::{Path, PathBuf};

/// Where tracefs is mounted below sysfs, the usual place first (`Documentation/trace/ftrace.rst`).
pub(crate) const PLACES: [&str; 2] = ["kernel/tracing", "kernel/debug/tracing"];

/// Can the number of an event be read?
///
/// # Errors
/// A [`ProgramError::TracePointError`] with the file.
pub(super) fn number(group: &str, point: &str) -> Result<(), ProgramError> {
    let place = |root: &str| {
        Path::new("/sys")
            .join(root)
            .join("events")
            .join(group)
            .join(point)
            .join("id")
    };
    let mut refused = None;
    for root in PLACES {
        let filename: PathBuf = place(root);
        match std::fs::read(&filename) {
            Ok(_) => return Ok(()),
            Err(io_error) => refused.get_or_insert(TracePointError::FileError { filename, io_error }),
        };
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// Why the event may not be opened (`perf_event_open(2)`) with CAP_PERFMON, and what to do about it.
pub(super) fn closed(error: &io::Error) -> String {
    format!(
        "perf_event_open was refused ({error}): where kernel.perf_event_paranoid is above 2, Debian's and Ubuntu's kernels let \
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
