//! Processes that the kernel ends for want of memory: `mark_victim(struct task_struct *task, uid_t uid)`, before kernel 6.8
//! `mark_victim(int pid)`; which it is shows in the argument: no pointer of the kernel's is that small. Rare, so by probe reads alone.
//!
//! The path of the victim's memory cgroup is read here, name by name: when user space looks, the victim may be gone, and with
//! cgroup version 1 `/proc` tells the root of one that ends. A pid alone is as good as the task when it is the current one's: most
//! often who asks for more than there is becomes the victim.
//!
//! No second copy: nothing tells whether the first was there.

use crate::{
    capture::header,
    emit,
    globals::offset,
    read::{Access, Probed, kernel},
    task::{Current, actor_of},
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_probe_read_kernel_str},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use core::ffi::c_void;
use onlooker_common::{
    layout::*,
    limits::{CGROUP_LEVELS, CGROUP_NAME},
    record::{Actor, OomRecord, cgroup, kind},
};

/// By probe reads.
#[raw_tracepoint(tracepoint = "mark_victim")]
#[inline(always)]
pub fn oom_victim_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    let victim: u64 = ctx.arg(0);
    let ids = bpf_get_current_pid_tgid();
    let task = if victim >> 32 != 0 {
        victim as *const u8
    } else if victim == ids >> 32 || victim == ids & 0xffff_ffff {
        Probed::task()
    } else {
        core::ptr::null()
    };
    let Some(mut entry) = emit::reserve::<OomRecord>(kind::OOM) else {
        return 0;
    };
    let at = entry.as_mut_ptr();
    // SAFETY: the entry is writable; the task is that of the tracepoint or the current one, read by probe reads.
    unsafe {
        (*at).head = header(kind::OOM, size_of::<OomRecord>(), bpf_ktime_get_ns());
        (*at).known = cgroup::NOT;
        (*at).levels = 0;
        if task.is_null() {
            (*at).actor = Actor {
                start: 0,
                tgid: victim as u32,
                tid: victim as u32,
            };
        } else {
            (*at).actor = actor_of::<Probed>(task);
            path(task, at);
        }
    }
    emit::submit_now(entry);
    0
}

/// Members that the path needs; kernels without memory cgroups lack some.
const NEEDS: [usize; 8] = [
    TASK_CGROUPS,
    CSS_SET_SUBSYS,
    CSS_CGROUP,
    CSS_SUBSYS,
    SUBSYS_NAME,
    CGROUP_NODE,
    NODE_PARENT,
    NODE_NAME,
];
/// The kernel refuses to be built with more controllers (`cgroup_init_early`).
const CONTROLLERS: u64 = 16;
/// `memory` and its NUL, shifted so that the byte behind does not matter.
const MEMORY: u64 = u64::from_le_bytes(*b"memory\0\0") << 8;

/// Writes the path of a task's memory cgroup.
#[inline(always)]
unsafe fn path(task: *const u8, to: *mut OomRecord) {
    for field in NEEDS {
        if offset(field) as u32 == ABSENT {
            return;
        }
    }
    // SAFETY: the caller's; probe reads yield zero where there is nothing.
    unsafe {
        let set: u64 = Probed::get(task, TASK_CGROUPS);
        let mut node: *const u8 = core::ptr::null();
        let mut i = 0;
        while i < CONTROLLERS {
            let css: *const u8 = kernel(set + offset(CSS_SET_SUBSYS) as u64 + i * 8);
            let subsys: *const u8 = Probed::get(css, CSS_SUBSYS);
            let name: u64 = Probed::get(subsys, SUBSYS_NAME);
            if kernel::<u64>(name) << 8 == MEMORY {
                let group: *const u8 = Probed::get(css, CSS_CGROUP);
                node = Probed::get(group, CGROUP_NODE);
                break;
            }
            i += 1;
        }
        if node.is_null() {
            return;
        }
        let mut level = 0;
        let mut parent: *const u8 = Probed::get(node, NODE_PARENT);
        while level < CGROUP_LEVELS {
            if parent.is_null() {
                (*to).levels = level as u32;
                (*to).known = cgroup::WHOLE;
                return;
            }
            let name: u64 = Probed::get(node, NODE_NAME);
            let slot: *mut u8 = (&raw mut (*to).names).cast();
            let slot = slot.add(level * CGROUP_NAME);
            if bpf_probe_read_kernel_str(slot.cast(), CGROUP_NAME as u32, name as *const c_void) <= 0 {
                return;
            }
            node = parent;
            parent = Probed::get(node, NODE_PARENT);
            level += 1;
        }
        (*to).levels = CGROUP_LEVELS as u32;
        (*to).known = if parent.is_null() { cgroup::WHOLE } else { cgroup::LOWER };
    }
}
