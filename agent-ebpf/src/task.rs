//! The current task.

use crate::read::{Access, Cast, Direct, Probed};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, generated::bpf_get_current_task_btf};
use onlooker_common::{layout, record::Actor};

/// How the current task is reached.
pub(crate) trait Current: Access {
    /// `current`.
    fn task() -> *const u8;
}

impl Current for Direct {
    #[inline(always)]
    fn task() -> *const u8 {
        // SAFETY: no arguments. Kernel 5.11 and later; elsewhere the program is refused and the next alternative is tried.
        unsafe { bpf_get_current_task_btf() as *const u8 }
    }
}

impl Current for Cast {
    #[inline(always)]
    fn task() -> *const u8 {
        Direct::task()
    }
}

impl Current for Probed {
    #[inline(always)]
    fn task() -> *const u8 {
        // SAFETY: no arguments.
        unsafe { bpf_get_current_task() as *const u8 }
    }
}

/// Process and thread of the current task.
#[inline(always)]
pub(crate) fn actor<A: Current>(task: *const u8) -> Actor {
    let ids = bpf_get_current_pid_tgid();
    // SAFETY: `task` is current.
    let start = unsafe {
        let leader: *const u8 = A::get(task, layout::TASK_LEADER);
        A::get(leader, layout::TASK_START)
    };
    Actor {
        start,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
    }
}

/// Process and thread of any task.
///
/// # Safety
/// As for [`Access::get`].
#[inline(always)]
pub(crate) unsafe fn actor_of<A: Access>(task: *const u8) -> Actor {
    // SAFETY: the caller's.
    unsafe {
        let leader: *const u8 = A::get(task, layout::TASK_LEADER);
        Actor {
            start: A::get(leader, layout::TASK_START),
            tgid: A::get(task, layout::TASK_TGID),
            tid: A::get(task, layout::TASK_PID),
        }
    }
}
