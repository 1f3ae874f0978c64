//! Errors that are answers: what a call says when nothing is wrong. They are counted apart, by call and error.
//!
//! `docs/syscall-errors.md` is this table for people; a test holds the two together.

use super::names::numbers;
use onlooker_common::errors::{CallKey, call};

/// Calls that answer with an error when nothing is wrong.
pub(super) struct Row {
    /// Errors.
    pub(super) errors: &'static [(&'static str, u16)],
    /// Names of calls; none: a rule, see the kernel side's `by_rule`.
    pub(super) calls: &'static [&'static str],
    /// Why.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the document, which a test makes and holds against this")
    )]
    pub(super) because: &'static str,
}

const ENOENT: (&str, u16) = ("ENOENT", libc::ENOENT as u16);
const EINTR: (&str, u16) = ("EINTR", libc::EINTR as u16);
const EAGAIN: (&str, u16) = ("EAGAIN", libc::EAGAIN as u16);
const ETIMEDOUT: (&str, u16) = ("ETIMEDOUT", libc::ETIMEDOUT as u16);

/// The table.
pub(super) static TABLE: &[Row] = &[
    Row {
        errors: &[
            EINTR,
            ("ERESTARTSYS", 512),
            ("ERESTARTNOINTR", 513),
            ("ERESTARTNOHAND", 514),
            ("ERESTART_RESTARTBLOCK", 516),
        ],
        calls: &[],
        because: "any call: a signal came; the program or the kernel calls again",
    },
    Row {
        errors: &[ENOENT],
        calls: &[],
        because: "`open`, `openat`, `openat2`, `execve`, `execveat` of a path that ends with the name of a library (`NAME.so`, \
                  `NAME.so.VERSION`) or begins with `/usr/`, `/lib`, `/bin/`, `/sbin/`, `/proc/`, `/sys/`: the search for libraries, modules \
                  and programs, and what ended or is not there on this machine",
    },
    Row {
        errors: &[ENOENT],
        calls: &[
            "stat",
            "lstat",
            "newfstatat",
            "fstatat64",
            "stat64",
            "lstat64",
            "statx",
            "access",
            "faccessat",
            "faccessat2",
            "readlink",
            "readlinkat",
        ],
        because: "the question whether something is there, answered",
    },
    Row {
        errors: &[("EINVAL", libc::EINVAL as u16)],
        calls: &["readlink", "readlinkat"],
        because: "the question whether something is a link, answered (`realpath` asks of each part of a path)",
    },
    Row {
        errors: &[EAGAIN],
        calls: &[
            "read",
            "pread64",
            "readv",
            "preadv",
            "preadv2",
            "write",
            "pwrite64",
            "writev",
            "pwritev",
            "pwritev2",
            "recvfrom",
            "recvmsg",
            "recvmmsg",
            "sendto",
            "sendmsg",
            "sendmmsg",
            "accept",
            "accept4",
            "socketcall",
            "sendfile",
            "sendfile64",
            "splice",
            "tee",
            "vmsplice",
            "copy_file_range",
            "getrandom",
            "ioctl",
            "io_uring_enter",
            "io_getevents",
            "mq_timedsend",
            "mq_timedreceive",
            "semop",
            "semtimedop",
            "rt_sigtimedwait",
            "rt_sigtimedwait_time64",
            "flock",
            "fcntl",
            "fcntl64",
        ],
        because: "nothing there now: the program waits or tries later (EWOULDBLOCK is the same number)",
    },
    Row {
        errors: &[EAGAIN, ETIMEDOUT],
        calls: &["futex", "futex_time64", "futex_wait", "futex_waitv"],
        because: "the value changed before the wait began; the wait was as long as it should be",
    },
    Row {
        errors: &[ETIMEDOUT],
        calls: &["mq_timedsend", "mq_timedreceive", "rt_sigtimedwait"],
        because: "the wait was as long as it should be",
    },
    Row {
        errors: &[("ETIME", libc::ETIME as u16)],
        calls: &["io_uring_enter"],
        because: "the wait was as long as it should be",
    },
    Row {
        errors: &[
            ("EINPROGRESS", libc::EINPROGRESS as u16),
            ("EALREADY", libc::EALREADY as u16),
        ],
        calls: &["connect"],
        because: "a connection is on its way; how it ends, the connection's own metrics tell",
    },
    Row {
        errors: &[("ECHILD", libc::ECHILD as u16)],
        calls: &["wait4", "waitid", "waitpid"],
        because: "no child is left: how shells and supervisors end their loop",
    },
    Row {
        errors: &[("ENOTTY", libc::ENOTTY as u16)],
        calls: &["ioctl"],
        because: "the question whether it is a terminal (`isatty`), answered",
    },
    Row {
        errors: &[("ESPIPE", libc::ESPIPE as u16)],
        calls: &["lseek", "_llseek"],
        because: "the question whether it is a pipe, answered",
    },
    Row {
        errors: &[
            ("ENODATA", libc::ENODATA as u16),
            ("EOPNOTSUPP", libc::EOPNOTSUPP as u16),
        ],
        calls: &["getxattr", "lgetxattr", "fgetxattr"],
        because: "a file without that attribute (`ls` and `cp` ask each for its labels and access lists)",
    },
    Row {
        errors: &[("ENXIO", libc::ENXIO as u16)],
        calls: &["lseek", "_llseek"],
        because: "no hole or no data beyond this place: how `cp` and `tar` find the end of sparse files",
    },
    Row {
        errors: &[("EEXIST", libc::EEXIST as u16)],
        calls: &["mkdir", "mkdirat"],
        because: "the folder is there, as it should be (`mkdir -p`)",
    },
    Row {
        errors: &[ENOENT],
        calls: &["bpf"],
        because: "a map has no such key, or no further one: how all who read maps find their end",
    },
    Row {
        errors: &[("ESRCH", libc::ESRCH as u16)],
        calls: &["kill", "tkill", "tgkill"],
        because: "the question whether a process lives, answered",
    },
];

/// Keys of the table: of each call that has one of these names, and of each rule.
pub(super) fn all() -> impl Iterator<Item = CallKey> {
    TABLE.iter().flat_map(|row| {
        row.errors.iter().flat_map(|(_, errno)| {
            let rule = row.calls.is_empty().then_some(call::ANY);
            let calls = row.calls.iter().flat_map(|name| numbers(name)).chain(rule);
            calls.map(|call| CallKey { call, errno: *errno })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;
    use onlooker_common::errors::EXPECTED;
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    /// All of it leaves room in the kernel's table for what comes by rules.
    #[test]
    fn the_table_fits() {
        let keys: BTreeSet<(u16, u16)> = all().map(|key| (key.call, key.errno)).collect();
        assert_eq!(keys.len(), all().count(), "something is there twice");
        assert!(keys.len() < EXPECTED as usize / 2, "{}", keys.len());
    }

    #[test]
    fn every_name_is_that_of_a_call_and_every_error_has_its_number() {
        for row in TABLE {
            for name in row.calls {
                assert!(numbers(name).count() > 0, "{name}");
            }
            for (name, errno) in row.errors {
                assert_eq!(names::errno(*errno), *name);
            }
        }
    }

    #[test]
    fn the_document_is_the_table() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/syscall-errors.md");
        let mut rows = String::new();
        for row in TABLE {
            let code = |names: &[&str]| {
                names
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let errors: Vec<&str> = row.errors.iter().map(|(name, _)| *name).collect();
            let _ = writeln!(rows, "| {} | {} | {} |", code(&errors), code(row.calls), row.because);
        }
        let document = std::fs::read_to_string(file).unwrap_or_default();
        if std::env::var_os("ONLOOKER_WRITE_DOCS").is_some() {
            let head = "| Errors | Calls | Why |\n|---|---|---|\n";
            let (before, _) = document.split_once(head).unwrap_or((&document, ""));
            std::fs::write(file, format!("{before}{head}{rows}")).unwrap();
        } else {
            assert!(
                document.ends_with(&rows),
                "docs/syscall-errors.md is stale: ONLOOKER_WRITE_DOCS=1 writes it anew"
            );
        }
    }
}
