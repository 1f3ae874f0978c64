//! Calls on sockets, at `sys_exit`: for kernels without the socket tracepoints. Costs every system call some nanoseconds.

use super::socket::CAPTURE;
use super::{Alternative, Hook, Probe, Program};
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "syscall",
    group: Some("capture"),
    loses: "requests and responses of every program",
    alternatives: &[
        Alternative {
            name: "tp/sys_exit",
            programs: &[Program {
                name: "sys_exit_cast_tp",
                hook: Hook::Tracepoint("raw_syscalls", "sys_exit"),
            }],
            again: &[Program {
                name: "sys_exit_cast_again",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            needs: &[CAPTURE, FD_WALK, &[EXIT_RET]],
            casts: true,
            undivided: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf+cast/sys_exit",
            programs: &[Program {
                name: "sys_exit_cast",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            again: &[Program {
                name: "sys_exit_cast_again",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            needs: &[CAPTURE, FD_WALK],
            casts: true,
            ..Alternative::BASE
        },
        Alternative {
            name: "tp_btf/sys_exit",
            programs: &[Program {
                name: "sys_exit_btf",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            again: &[Program {
                name: "sys_exit_btf_again",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            needs: &[CAPTURE, FD_WALK],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sys_exit",
            programs: &[Program {
                name: "sys_exit_raw",
                hook: Hook::RawTracepoint("sys_exit"),
            }],
            needs: &[CAPTURE, FD_WALK],
            ..Alternative::BASE
        },
    ],
    ..Probe::BASE
};

/// From a file descriptor to its socket.
pub(super) const FD_WALK: &[usize] = &[
    TASK_FILES,
    FILES_FDT,
    FDT_FD,
    FDT_MAX,
    FILE_PRIVATE,
    FILE_INODE,
    INODE_MODE,
    SOCKET_SK,
];
