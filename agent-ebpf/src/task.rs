//! The current task.

use crate::read::{Access, Cast, Direct, Probed, kernel};
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

/// Address of the `struct file` behind a descriptor of a task; 0 when there is none.
///
/// # Safety
/// None: all is read by probe reads.
#[inline(always)]
pub(crate) unsafe fn file_of(task: *const u8, fd: u32) -> u64 {
    // SAFETY: `Probed` takes any pointer.
    unsafe {
        let files: *const u8 = Probed::get(task, layout::TASK_FILES);
        let table: *const u8 = Probed::get(files, layout::FILES_FDT);
        if fd >= Probed::get::<u32>(table, layout::FDT_MAX) {
            return 0;
        }
        let array: u64 = Probed::get(table, layout::FDT_FD);
        kernel(array + u64::from(fd) * 8)
    }
}
