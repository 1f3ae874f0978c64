//! System calls that say something of the host and have no safe wrapper in a library.

mod ethtool;

pub use ethtool::{Driver, Link, driver, link, statistics};

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

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

/// The first part of `struct perf_event_attr`, which every kernel takes (`PERF_ATTR_SIZE_VER0`).
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
}

/// `exclude_hv`: what a hypervisor does is not counted.
const EXCLUDE_HV: u64 = 1 << 6;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOEXEC: libc::c_ulong = 1 << 3;

/// `perf_event_open(2)`: begins to count an event on a processor, whatever process it is of, as `kind` and `config` of `struct
/// perf_event_attr` say.
///
/// # Errors
/// There is no such event or processor, or it is not allowed.
pub fn perf_event_open(kind: u32, config: u64, cpu: u32) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        kind,
        size: size_of::<Attributes>() as u32,
        config,
        sample_period: 0,
        sample_type: 0,
        read_format: 0,
        flags: EXCLUDE_HV,
        wakeup_events: 0,
        bp_type: 0,
        bp_addr: 0,
    };
    let (any_process, no_group) = (-1 as libc::pid_t, -1 as libc::c_int);
    let cpu = libc::c_int::try_from(cpu).map_err(io::Error::other)?;
    // SAFETY: the kernel reads the attributes, as many bytes as their size says, and keeps no pointer to them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            any_process,
            cpu,
            no_group,
            CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor just now, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
