//! The calls that the standard library does not have.

use std::io::{Error, Result};
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn done(result: libc::c_int) -> Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Nanoseconds of the monotonic clock, which all processes of the host share.
pub(crate) fn now() -> u64 {
    // SAFETY: the place is valid.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
        time
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A TCP socket of the address' family.
pub(crate) fn socket(address: &SocketAddr, wait: bool) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | if wait { 0 } else { libc::SOCK_NONBLOCK };
    // SAFETY: the descriptor is new and nobody else's.
    unsafe {
        let fd = libc::socket(family, kind, 0);
        done(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// An address as the kernel has it, for one call.
fn with<T>(address: &SocketAddr, call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> T) -> T {
    match address {
        SocketAddr::V4(four) => {
            // SAFETY: plain data.
            let mut raw: libc::sockaddr_in = unsafe { zeroed() };
            raw.sin_family = libc::AF_INET as u16;
            raw.sin_port = four.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(four.ip().octets());
            call((&raw const raw).cast(), size_of_val(&raw) as u32)
        }
        SocketAddr::V6(six) => {
            // SAFETY: plain data.
            let mut raw: libc::sockaddr_in6 = unsafe { zeroed() };
            raw.sin6_family = libc::AF_INET6 as u16;
            raw.sin6_port = six.port().to_be();
            raw.sin6_addr.s6_addr = six.ip().octets();
            call((&raw const raw).cast(), size_of_val(&raw) as u32)
        }
    }
}

/// `connect`, without anything around it that takes time.
pub(crate) fn connect(socket: &OwnedFd, address: &SocketAddr) -> Result<()> {
    // SAFETY: the address is valid for its length.
    done(with(address, |place, length| unsafe {
        libc::connect(socket.as_raw_fd(), place, length)
    }))
}

/// A listening socket. Others may have its address too, when they are as this one (`SO_REUSEPORT`).
pub(crate) fn shared(address: &SocketAddr) -> Result<TcpListener> {
    let socket = socket(address, true)?;
    let yes: libc::c_int = 1;
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, &yes)?;
    // SAFETY: the address is valid for its length.
    done(with(address, |place, length| unsafe {
        libc::bind(socket.as_raw_fd(), place, length)
    }))?;
    backlog(&socket, 1)?;
    Ok(TcpListener::from(socket))
}

fn set<T>(socket: RawFd, level: libc::c_int, name: libc::c_int, value: &T) -> Result<()> {
    let place = (value as *const T).cast();
    // SAFETY: the value is valid for its length.
    done(unsafe { libc::setsockopt(socket, level, name, place, size_of::<T>() as u32) })
}

/// How long what was sent may stay without an answer.
pub(crate) fn user_timeout(socket: &OwnedFd, millis: u64) -> Result<()> {
    set(
        socket.as_raw_fd(),
        libc::IPPROTO_TCP,
        libc::TCP_USER_TIMEOUT,
        &(millis as libc::c_uint),
    )
}

/// Closing resets.
pub(crate) fn linger_zero(socket: &impl AsRawFd) -> Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// Bytes that lie unread.
pub(crate) fn unread(socket: &impl AsRawFd) -> Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the place is valid.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &mut bytes) })?;
    Ok(bytes as u64)
}

/// `listen` once more: the kernel takes the new backlog.
pub(crate) fn backlog(socket: &impl AsRawFd, backlog: u64) -> Result<()> {
    // SAFETY: no memory is touched.
    done(unsafe { libc::listen(socket.as_raw_fd(), backlog as libc::c_int) })
}

/// Wakes whoever waits in `accept`.
pub(crate) fn shut(socket: &impl AsRawFd) {
    // SAFETY: no memory is touched.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Goes on in a child, while this process ends. Nothing else may run in it.
pub(crate) fn leave_to_child() -> Result<()> {
    // SAFETY: there is one thread; the parent does nothing more.
    unsafe {
        match libc::fork() {
            0 => Ok(()),
            child => {
                done(child)?;
                libc::_exit(0)
            }
        }
    }
}

/// As many open files as the system allows.
pub(crate) fn many_files() -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the place is valid.
    done(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the place is valid.
    done(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })
}
