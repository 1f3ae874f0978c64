//! Programs behind others at `sys_exit`: what is attached there calls them as its last act. A tracepoint with one program calls it
//! directly; with two it walks a list, by an indirect call for each, which every system call of the host pays for (70 ns).
//!
//! What the user side has not put into the array is not called, and costs nothing. The kernel takes into one array programs of
//! one type alone, so there are two.

use crate::probes::errors::failed;
use aya_ebpf::{
    EbpfContext,
    macros::map,
    maps::ProgramArray,
    programs::{BtfTracePointContext, RawTracePointContext},
};

/// Called for system calls that failed.
#[map]
static SYS_EXIT_FAILED: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// The same behind a raw tracepoint.
#[map]
static SYS_EXIT_FAILED_RAW: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The last act of a program at the typed `sys_exit`. Nothing of it may be under way any more: it comes back only when nothing
/// was called.
#[inline(always)]
pub(crate) fn typed(ctx: &BtfTracePointContext) {
    if failed(result(ctx)) {
        // SAFETY: the context goes on as it came.
        unsafe { SYS_EXIT_FAILED.tail_call(ctx, 0) };
    }
}

/// The same of one at the raw tracepoint.
#[inline(always)]
pub(crate) fn raw(ctx: &RawTracePointContext) {
    if failed(result(ctx)) {
        // SAFETY: as above.
        unsafe { SYS_EXIT_FAILED_RAW.tail_call(ctx, 0) };
    }
}

/// What the call returned: the second argument of the tracepoint. Read once more, lest the verifier has to carry it through all
/// that came before.
#[inline(always)]
fn result(ctx: &impl EbpfContext) -> i64 {
    // SAFETY: there are two arguments.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<i64>().add(1)) }
}
