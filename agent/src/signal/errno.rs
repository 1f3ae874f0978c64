//! Names of errors, from the table of the crate `syscalls`, which is made from the kernel's own.

use syscalls::Errno;

/// Name of an error (errno(3)); those with which the kernel calls again have one too. `None`: there is no such error.
pub fn errno(number: u32) -> Option<&'static str> {
    Errno::new(number.try_into().ok()?).name()
}

/// The same as a label: `_OTHER` when there is no such error.
pub fn errno_or_other(number: u32) -> &'static str {
    errno(number).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! same {
        ($($name:ident)*) => { [$((stringify!($name), libc::$name as u32)),*] };
    }

    #[test]
    fn errors_are_named_as_libc_numbers_them() {
        let errors = same!(EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY
            EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM
            ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ENODATA ETIME EPROTO EOVERFLOW EILSEQ
            EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT
            EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN
            ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT
            ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL
            EHWPOISON);
        for (name, number) in errors {
            assert_eq!(errno(number), Some(name), "{number}");
        }
        // include/linux/errno.h: of the kernel alone.
        for (name, number) in [
            ("ERESTARTSYS", 512),
            ("ERESTARTNOINTR", 513),
            ("ERESTARTNOHAND", 514),
            ("ERESTART_RESTARTBLOCK", 516),
        ] {
            assert_eq!(errno(number), Some(name));
        }
        assert_eq!((errno(4000), errno(u32::MAX)), (None, None));
    }
}
