//! System calls that say something of the host and have no safe wrapper in a library.

use std::io;

/// `adjtimex(2)`, asking only: the clock's state (`TIME_OK` and its kin), and everything about it.
///
/// # Errors
/// The kernel's.
pub fn adjtimex() -> io::Result<(libc::c_int, libc::timex)> {
    // SAFETY: a `timex` is plain numbers, for which zeros are a value; its `modes` of 0 only asks. The kernel writes to it alone,
    // and it outlives the call.
    let (state, clock) = unsafe {
        let mut clock: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut clock), clock)
    };
    match state {
        -1 => Err(io::Error::last_os_error()),
        state => Ok((state, clock)),
    }
}
