//! Processes begin, become other programs, and end:
//! `sched_process_fork(struct task_struct *parent, struct task_struct *child)`,
//! `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`,
//! `sched_process_exit(struct task_struct *p)`.
//!
//! The second copies (see [`crate::again`]) know by marks of the thread.

use crate::{
    again::{By, may},
    capture::header,
    emit::{self, With},
    globals::forget,
    read::{Access, Direct, Probed, copy_user, opaque},
    task::{Current, actor_of},
    undivided::Undivided,
};
use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_uid_gid, bpf_ktime_get_ns,
        generated::{bpf_get_current_comm, bpf_probe_read_kernel_str, bpf_probe_read_user_str},
    },
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use aya_log_ebpf::trace;
use core::ffi::c_void;
use onlooker_common::{
    layout,
    limits::{ARGS, COMM, ENVIRON, FILENAME, VARIABLE, VARIABLES},
    record::{ExecRecord, ExitRecord, ForkRecord, kind},
};

/// By direct loads.
#[btf_tracepoint(function = "sched_process_fork")]
#[inline(always)]
pub fn process_fork_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_fork::<Direct, false>(ctx.arg(0), ctx.arg(1)) };
    0
}
/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sched_process_fork")]
#[inline(always)]
pub fn process_fork_btf_again(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_fork::<Direct, true>(ctx.arg(0), ctx.arg(1)) };
    0
}
/// By probe reads.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
#[inline(always)]
pub fn process_fork_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_fork::<Probed, false>(ctx.arg::<u64>(0) as *const u8, ctx.arg::<u64>(1) as *const u8) };
    0
}
/// By direct loads.
#[btf_tracepoint(function = "sched_process_exec")]
#[inline(always)]
pub fn process_exec_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_exec::<Direct, false>(ctx.arg(0), ctx.arg(2)) };
    trace!(&ctx, "exec");
    0
}
/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sched_process_exec")]
#[inline(always)]
pub fn process_exec_btf_again(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_exec::<Direct, true>(ctx.arg(0), ctx.arg(2)) };
    0
}
/// By probe reads.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
#[inline(always)]
pub fn process_exec_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_exec::<Probed, false>(ctx.arg::<u64>(0) as *const u8, ctx.arg::<u64>(2) as *const u8) };
    0
}
/// By direct loads.
#[btf_tracepoint(function = "sched_process_exit")]
#[inline(always)]
pub fn process_exit_btf(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_exit::<Direct, false>(ctx.arg(0)) };
    0
}
/// Second copy, see [`crate::again`].
#[btf_tracepoint(function = "sched_process_exit")]
#[inline(always)]
pub fn process_exit_btf_again(ctx: BtfTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_exit::<Direct, true>(ctx.arg(0)) };
    0
}
/// By probe reads.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
#[inline(always)]
pub fn process_exit_raw(ctx: RawTracePointContext) -> i32 {
    let _undivided = Undivided::begin();
    // SAFETY: the arguments are those of the tracepoint.
    unsafe { on_exit::<Probed, false>(ctx.arg::<u64>(0) as *const u8) };
    0
}

#[inline(always)]
unsafe fn on_fork<A: Access, const SECOND: bool>(parent: *const u8, child: *const u8) {
    // SAFETY: the caller's.
    unsafe {
        let child = actor_of::<A>(child);
        if child.tgid != child.tid || !may::<SECOND>(By::Fork) {
            return; // a thread, or the first copy was there
        }
        let parent = actor_of::<A>(parent);
        let head = header(kind::FORK, size_of::<ForkRecord>(), bpf_ktime_get_ns());
        emit::send(kind::FORK, ForkRecord { head, child, parent });
    }
}

#[inline(always)]
unsafe fn on_exit<A: Access, const SECOND: bool>(task: *const u8) {
    // SAFETY: the caller's.
    unsafe {
        let signal: *const u8 = A::get(task, layout::TASK_SIGNAL);
        if signal.is_null() || A::get::<u32>(signal, layout::SIGNAL_LIVE) != 0 {
            return; // other threads live on
        }
        if !may::<SECOND>(By::Exit) {
            return;
        }
        let group: u32 = A::get(signal, layout::SIGNAL_EXIT_CODE);
        let code = if group != 0 {
            group
        } else {
            A::get(task, layout::TASK_EXIT_CODE)
        };
        let head = header(kind::EXIT, size_of::<ExitRecord>(), bpf_ktime_get_ns());
        emit::send(
            kind::EXIT,
            ExitRecord {
                head,
                actor: actor_of::<A>(task),
                code,
                pad: 0,
            },
        );
    }
}

/// Room of an exec record's data: what was kept of the environment, then either one more variable or path and arguments.
const EXEC_DATA: usize = ENVIRON + FILENAME + ARGS;

#[inline(always)]
unsafe fn on_exec<A: Current, const SECOND: bool>(task: *const u8, program: *const u8) {
    if !may::<SECOND>(By::Exec) {
        return;
    }
    let Some(mut entry) = emit::reserve::<With<ExecRecord, EXEC_DATA>>(kind::EXEC) else {
        return;
    };
    let at = entry.as_mut_ptr();
    // SAFETY: the entry is writable; every field is written.
    unsafe {
        let data: *mut u8 = (&raw mut (*at).data).cast();
        let mm: *const u8 = A::get(task, layout::TASK_MM);
        let mut environ = 0;
        if !mm.is_null() {
            let (start, end) = (A::get(mm, layout::MM_ENV_START), A::get(mm, layout::MM_ENV_END));
            environ = service_variables(data, start, end);
        }
        let from = opaque(forget(environ));
        if from > ENVIRON as u64 {
            entry.discard(0);
            return;
        }
        let data = data.add(from as usize);
        let filename: u64 = A::get(program, layout::BPRM_FILENAME);
        let n = bpf_probe_read_kernel_str(data.cast(), FILENAME as u32, filename as *const c_void);
        // Without the NUL that the helper counts.
        let mut name = if n > 0 { opaque(n as u64 - 1) } else { 0 };
        if name > FILENAME as u64 {
            name = 0;
        }
        let mut bytes = 0;
        if !mm.is_null() {
            let (start, end) = (
                A::get::<u64>(mm, layout::MM_ARG_START),
                A::get::<u64>(mm, layout::MM_ARG_END),
            );
            let mut n = opaque(end.wrapping_sub(start));
            if n > ARGS as u64 {
                n = ARGS as u64;
            }
            let n = opaque(n);
            let from = opaque(name);
            if n <= ARGS as u64 && from <= FILENAME as u64 && copy_user(data.add(from as usize), n, start) {
                bytes = n;
            }
        }
        let parent: *const u8 = A::get(task, layout::TASK_PARENT);
        let len = size_of::<ExecRecord>() as u64 + environ + name + bytes;
        (*at).record = ExecRecord {
            head: header(kind::EXEC, len as usize, bpf_ktime_get_ns()),
            actor: actor_of::<A>(task),
            cgroup: bpf_get_current_cgroup_id(),
            ppid: A::get(parent, layout::TASK_TGID),
            uid: bpf_get_current_uid_gid() as u32,
            comm: [0; COMM],
            filename: name as u16,
            args: bytes as u16,
            environ: environ as u16,
            pad: 0,
        };
        bpf_get_current_comm((&raw mut (*at).record.comm).cast(), COMM as u32);
    }
    emit::submit_now(entry);
}

/// Copies the variables that name a service, and no others, one behind the other; returns their bytes. A process that ends
/// at once, or writes its title over its environment, has its name all the same.
#[inline(always)]
unsafe fn service_variables(data: *mut u8, start: u64, end: u64) -> u64 {
    const SERVICE: u64 = u64::from_le_bytes(*b"OTEL_SER");
    const RESOURCE: u64 = u64::from_le_bytes(*b"OTEL_RES");
    let mut kept = forget(0);
    let mut at = start;
    // 1 at the start of a variable, 0 behind a part of a long one.
    let mut fresh = forget(1);
    let mut i = 0;
    while i < VARIABLES {
        let to = opaque(forget(kept));
        if at >= end || to > (ENVIRON - VARIABLE) as u64 {
            break;
        }
        // SAFETY: to + VARIABLE <= ENVIRON.
        unsafe {
            let slot = data.add(to as usize);
            let n = bpf_probe_read_user_str(slot.cast(), VARIABLE as u32, at as *const c_void);
            if n <= 0 {
                break;
            }
            let n = n as u64;
            let first = slot.cast::<u64>().read_unaligned();
            let cut = n == VARIABLE as u64;
            if fresh == 1 && (first == SERVICE || first == RESOURCE) {
                kept = forget(kept + n);
            }
            // A whole variable ends with its NUL; of one that was cut the NUL is the helper's.
            at += if cut { n - 1 } else { n };
            fresh = forget(u64::from(!cut));
        }
        i += 1;
    }
    kept
}
