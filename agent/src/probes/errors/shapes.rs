//! What the arguments of calls are, so that an error can be told with its path, address or descriptor.

use super::expected;
use super::names::numbers;
use onlooker_common::errors::{ERRNOS, NUMBERS, call, shape};
use std::collections::BTreeMap;

/// Shapes and the calls that have them.
static TABLE: &[(u8, &[&str])] = &[
    (
        shape::PATH,
        &[
            "creat",
            "stat",
            "lstat",
            "stat64",
            "lstat64",
            "oldstat",
            "oldlstat",
            "access",
            "unlink",
            "mkdir",
            "rmdir",
            "chdir",
            "chroot",
            "readlink",
            "rename",
            "link",
            "symlink",
            "chmod",
            "chown",
            "lchown",
            "chown32",
            "lchown32",
            "truncate",
            "truncate64",
            "mknod",
            "statfs",
            "statfs64",
            "utime",
            "utimes",
            "uselib",
            "swapon",
            "acct",
            "getxattr",
            "lgetxattr",
            "setxattr",
            "lsetxattr",
            "listxattr",
            "llistxattr",
            "removexattr",
            "lremovexattr",
            "umount2",
            "mq_open",
            "mq_unlink",
        ],
    ),
    (
        shape::PATH | 1,
        &[
            "newfstatat",
            "fstatat64",
            "statx",
            "unlinkat",
            "mkdirat",
            "renameat",
            "renameat2",
            "faccessat",
            "faccessat2",
            "readlinkat",
            "fchmodat",
            "fchmodat2",
            "fchownat",
            "linkat",
            "mknodat",
            "utimensat",
            "utimensat_time64",
            "futimesat",
            "inotify_add_watch",
            "mount",
            "name_to_handle_at",
            "open_tree",
        ],
    ),
    (shape::PATH | shape::SEARCH, &["open", "execve"]),
    (shape::PATH | shape::SEARCH | 1, &["openat", "openat2", "execveat"]),
    (shape::PATH | 2, &["symlinkat", "fspick"]),
    (shape::ADDRESS | shape::FD | 1, &["connect", "bind"]),
    (shape::ADDRESS | shape::FD | 4, &["sendto"]),
    (
        shape::FD,
        &[
            "read",
            "write",
            "close",
            "fstat",
            "fstat64",
            "lseek",
            "_llseek",
            "ioctl",
            "pread64",
            "pwrite64",
            "readv",
            "writev",
            "preadv",
            "pwritev",
            "preadv2",
            "pwritev2",
            "dup",
            "dup2",
            "dup3",
            "sendfile",
            "sendfile64",
            "recvfrom",
            "sendmsg",
            "recvmsg",
            "sendmmsg",
            "recvmmsg",
            "shutdown",
            "listen",
            "getsockname",
            "getpeername",
            "accept",
            "accept4",
            "setsockopt",
            "getsockopt",
            "fcntl",
            "fcntl64",
            "flock",
            "fsync",
            "fdatasync",
            "ftruncate",
            "ftruncate64",
            "getdents",
            "getdents64",
            "fchdir",
            "fchmod",
            "fchown",
            "fchown32",
            "fstatfs",
            "fstatfs64",
            "fallocate",
            "fadvise64",
            "epoll_wait",
            "epoll_pwait",
            "epoll_pwait2",
            "epoll_ctl",
            "splice",
            "tee",
            "vmsplice",
            "copy_file_range",
            "sync_file_range",
            "readahead",
            "fgetxattr",
            "fsetxattr",
            "flistxattr",
            "fremovexattr",
            "timerfd_settime",
            "timerfd_gettime",
            "inotify_rm_watch",
            "setns",
            "syncfs",
            "io_uring_enter",
            "mq_timedsend",
            "mq_timedreceive",
            "mq_notify",
            "pidfd_send_signal",
        ],
    ),
];

/// Places in the kernel side's table with what stands there; with what is expected, if that is counted apart.
pub(super) fn all(is_apart: bool) -> impl Iterator<Item = (u32, u8)> {
    let arguments = TABLE.iter().flat_map(|(shape, calls)| {
        let numbers = calls.iter().flat_map(|name| numbers(name));
        numbers.filter_map(|number| Some((place(number)?, *shape)))
    });
    let mut places: BTreeMap<u32, u8> = arguments.collect();
    let expected = expected::all().filter(|key| is_apart && key.call != call::ANY);
    for key in expected {
        let error = (key.errno < 256).then(|| ERRNOS + u32::from(key.errno));
        for place in place(key.call).into_iter().chain(error) {
            *places.entry(place).or_default() |= shape::EXPECTED;
        }
    }
    places.into_iter()
}

/// Place of a call in that table, if it has one.
fn place(number: u16) -> Option<u32> {
    let compat = if number & call::COMPAT != 0 {
        u32::from(NUMBERS)
    } else {
        0
    };
    let number = number & call::NUMBER;
    (number < NUMBERS).then_some(u32::from(number) + compat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_shape() {
        let calls = TABLE.iter().flat_map(|(_, calls)| *calls);
        let places = calls.flat_map(|name| {
            assert!(numbers(name).count() > 0, "{name}");
            numbers(name).filter_map(place)
        });
        assert_eq!(all(false).count(), places.count());
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn places_are_those_of_the_kernel() {
        let table: BTreeMap<u32, u8> = all(false).collect();
        let at = |number: libc::c_long| table.get(&(number as u32)).copied();
        assert_eq!(at(libc::SYS_open), Some(shape::PATH | shape::SEARCH));
        assert_eq!(at(libc::SYS_openat), Some(shape::PATH | shape::SEARCH | 1));
        assert_eq!(at(libc::SYS_connect), Some(shape::ADDRESS | shape::FD | 1));
        assert_eq!(at(libc::SYS_read), Some(shape::FD));
        assert_eq!(at(libc::SYS_getppid), None);
        // 32-bit `open` is 5.
        assert_eq!(
            table.get(&(u32::from(NUMBERS) + 5)),
            Some(&(shape::PATH | shape::SEARCH))
        );
    }

    /// What the kernel side leaves out because a place says so, the table of expected errors has not.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_may_be_expected_is_marked() {
        let table: BTreeMap<u32, u8> = all(true).collect();
        let marked = |place: Option<u32>| {
            let shape = place.and_then(|place| table.get(&place));
            shape.is_some_and(|shape| shape & shape::EXPECTED != 0)
        };
        for key in expected::all().filter(|key| key.call != call::ANY) {
            assert!(
                marked(place(key.call)) && marked(Some(ERRNOS + u32::from(key.errno))),
                "{key:?}"
            );
        }
        assert!(!marked(Some(ERRNOS + libc::EBADF as u32)) && !marked(place(libc::SYS_close as u16)));
        assert_eq!(table[&(libc::SYS_read as u32)], shape::FD | shape::EXPECTED);
        assert!(all(false).all(|(_, shape)| shape & shape::EXPECTED == 0));
    }
}
