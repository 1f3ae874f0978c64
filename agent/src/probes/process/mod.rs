//! Processes begin, become other programs, and end. What attribution learns of them is told as lives too.

mod ends;
mod lives;

use super::{Alternative, Hook, Probe, Program};
use onlooker_common::layout::*;

/// See the kernel side.
pub(super) static PROBE: Probe = Probe {
    name: "process",
    group: None,
    loses: "lives of processes, which a signal ended, and names of those that end before they are looked at",
    alternatives: &[
        Alternative {
            name: "tp_btf/sched_process_fork+exec+exit",
            programs: &[
                Program {
                    name: "process_fork_btf",
                    hook: Hook::BtfTracepoint("sched_process_fork"),
                },
                Program {
                    name: "process_exec_btf",
                    hook: Hook::BtfTracepoint("sched_process_exec"),
                },
                Program {
                    name: "process_exit_btf",
                    hook: Hook::BtfTracepoint("sched_process_exit"),
                },
            ],
            again: &[
                Program {
                    name: "process_fork_btf_again",
                    hook: Hook::BtfTracepoint("sched_process_fork"),
                },
                Program {
                    name: "process_exec_btf_again",
                    hook: Hook::BtfTracepoint("sched_process_exec"),
                },
                Program {
                    name: "process_exit_btf_again",
                    hook: Hook::BtfTracepoint("sched_process_exit"),
                },
            ],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
        Alternative {
            name: "raw_tp/sched_process_fork+exec+exit",
            programs: &[
                Program {
                    name: "process_fork_raw",
                    hook: Hook::RawTracepoint("sched_process_fork"),
                },
                Program {
                    name: "process_exec_raw",
                    hook: Hook::RawTracepoint("sched_process_exec"),
                },
                Program {
                    name: "process_exit_raw",
                    hook: Hook::RawTracepoint("sched_process_exit"),
                },
            ],
            needs: &[NEEDS],
            ..Alternative::BASE
        },
    ],
    cost: "0.5 us a fork, 0.5 us an end, 28 us an exec (it reads what names a service in the new environment)",
    since: "5.8 and later",
    instruments: &[&lives::FORKS, &lives::EXECS, &lives::EXITS, &lives::DURATION],
    reader: Some(|tools| Ok(Box::new(lives::Lives::new(tools)))),
    ..Probe::BASE
};

const NEEDS: &[usize] = &[
    TASK_TGID,
    TASK_PID,
    TASK_START,
    TASK_LEADER,
    TASK_PARENT,
    TASK_SIGNAL,
    TASK_EXIT_CODE,
    TASK_MM,
    SIGNAL_LIVE,
    SIGNAL_EXIT_CODE,
    MM_ARG_START,
    MM_ARG_END,
    MM_ENV_START,
    MM_ENV_END,
    BPRM_FILENAME,
];
