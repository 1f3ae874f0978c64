//! Names of calls, from the tables of the crate `syscalls`, which are made from the kernel's own, and of their errors.

use crate::signal;
use onlooker_common::errors::call;
use std::borrow::Cow;

#[cfg(target_arch = "aarch64")]
pub(super) use syscalls::{aarch64::Sysno as Native, arm::Sysno as Compat};
#[cfg(target_arch = "x86_64")]
pub(super) use syscalls::{x86::Sysno as Compat, x86_64::Sysno as Native};

/// `abi` of calls that are not the kernel's own.
#[cfg(target_arch = "x86_64")]
const COMPAT: &str = "i386";
/// `abi` of calls that are not the kernel's own.
#[cfg(target_arch = "aarch64")]
const COMPAT: &str = "arm";

/// Name and ABI of a call as the kernel side has it. No ABI: the kernel's own.
pub(crate) fn call(call: u16) -> (Cow<'static, str>, &'static str) {
    let number = usize::from(call & call::NUMBER);
    let compat = call & call::COMPAT != 0;
    let known = if compat {
        Compat::new(number).map(|known| known.name())
    } else {
        Native::new(number).map(|known| known.name())
    };
    let name = match known {
        Some(name) => name.into(),
        None if number == usize::from(call::UNKNOWN) => "unknown".into(),
        None => format!("syscall_{number}").into(),
    };
    (name, if compat { COMPAT } else { "" })
}

/// Name of an error, or its number.
pub(crate) fn errno(number: u16) -> Cow<'static, str> {
    match signal::errno(number.into()) {
        Some(name) => name.into(),
        None => format!("errno_{number}").into(),
    }
}

/// Numbers of the calls with a name, as the kernel side has them: of both kinds, where they have it.
pub(crate) fn numbers(name: &str) -> impl Iterator<Item = u16> {
    let native = name.parse::<Native>().ok().map(|known| known.id() as u16);
    let compat = name
        .parse::<Compat>()
        .ok()
        .map(|known| known.id() as u16 | call::COMPAT);
    native.into_iter().chain(compat)
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! same {
        ($($name:ident)*) => { [$((stringify!($name), libc::$name as u16)),*] };
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn calls_are_named_as_libc_numbers_them() {
        let calls = same!(SYS_read SYS_write SYS_open SYS_close SYS_stat SYS_ioctl SYS_access SYS_connect SYS_execve SYS_wait4 SYS_futex
            SYS_openat SYS_newfstatat SYS_unlinkat SYS_faccessat SYS_epoll_wait SYS_epoll_pwait SYS_getxattr SYS_renameat2
            SYS_bpf SYS_statx SYS_io_uring_enter SYS_clone3 SYS_openat2 SYS_faccessat2 SYS_epoll_pwait2 SYS_landlock_create_ruleset
            SYS_recvmmsg SYS_sendmmsg SYS_preadv2 SYS_copy_file_range SYS_memfd_create SYS_getdents64);
        for (name, number) in calls {
            assert_eq!(call(number), (name.trim_start_matches("SYS_").into(), ""), "{number}");
        }
        // arch/x86/entry/syscalls/syscall_32.tbl
        for (name, number) in [
            ("open", 5),
            ("openat", 295),
            ("access", 33),
            ("fstatat64", 300),
            ("socketcall", 102),
            ("close", 6),
        ] {
            assert_eq!(call(number | call::COMPAT), (name.into(), "i386"));
        }
    }

    #[test]
    fn what_has_no_name_is_a_number() {
        assert_eq!(call(call::UNKNOWN), ("unknown".into(), ""));
        assert_eq!(call(599), ("syscall_599".into(), ""));
        assert_eq!(errno(4000), "errno_4000");
        assert_eq!(numbers("no_such_call").count(), 0);
    }
}
