//! Calls on sockets, at `sys_exit`: for kernels without the socket tracepoints. Costs every system call some nanoseconds.

use super::{Alternative, Hook, Probe, Program};
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "syscall",
    group: Some("capture"),
    loses: "requests and responses of every program",
    alternatives: &[
        Alternative {
            name: "tp_btf/sys_exit",
            programs: &[Program {
                name: "sys_exit_btf",
                hook: Hook::BtfTracepoint("sys_exit"),
            }],
            needs: NEEDS,
        },
        Alternative {
            name: "raw_tp/sys_exit",
            programs: &[Program {
                name: "sys_exit_raw",
                hook: Hook::RawTracepoint("sys_exit"),
            }],
            needs: NEEDS,
        },
    ],
};

const NEEDS: &[usize] = &[
    TASK_FILES,
    TASK_START,
    TASK_LEADER,
    TASK_STATUS,
    FILES_FDT,
    FDT_FD,
    FDT_MAX,
    FILE_PRIVATE,
    FILE_INODE,
    INODE_MODE,
    SOCKET_SK,
    SOCKET_INO,
    SK_FAMILY,
    SK_STATE,
    SK_NUM,
    SK_DPORT,
    SK_DADDR,
    SK_RCV_SADDR,
    SK_V6_DADDR,
    SK_V6_RCV_SADDR,
    SK_NET,
    SK_PROTOCOL,
    SK_TYPE,
    SK_SOCKET,
    NET_INUM,
    TCP_WRITE_SEQ,
    TCP_COPIED_SEQ,
    TCP_SRTT,
    TCP_RCV_NXT,
    TCP_SND_UNA,
    TCP_BYTES_RECEIVED,
    TCP_BYTES_ACKED,
    UNIX_PEER,
];
