//! Second copies of programs, for kernels that preempt programs (7.0 and later). While a task is preempted in a program, such a
//! kernel skips that program for every other task on the CPU. The second copy is attached to the same tracepoint behind the
//! first, so it runs right after it in the same task, and deals with what the first was skipped for. Elsewhere no second copy is
//! loaded, and [`config`] takes the marks out of the first.
//!
//! How a second copy knows that the first was there:
//! - calls on sockets: by the mark set here, in the entry of the socket. Two threads in the same direction on the same
//!   connection at the same time, which no protocol of ours bears, could take each other's.
//! - reads by splice: the sequence number is that of the last read seen.
//! - TCP states: the last one told is the same. A connection that is gone has no entry any more.
//! - stalls with a begin and an end: the entry is there after a begin, and gone after an end.
//!
//! A mark stays when the second copy is skipped and not the first; the next call of that thread on that connection in that
//! direction overwrites it. Only if the first copy is skipped at that very call, the call is missed.

use crate::globals::config;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use onlooker_common::socket::SocketState;

/// The first copy deals with a call.
///
/// # Safety
/// `state` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn mark(state: *mut SocketState, direction: u8) {
    if config().again != 0 {
        // SAFETY: the caller's.
        unsafe { (*state).dealt[usize::from(direction & 1)] = bpf_get_current_pid_tgid() as u32 };
    }
}

/// Did the first copy deal with this call? Takes its mark away.
///
/// # Safety
/// `state` is a value of the socket table.
#[inline(always)]
pub(crate) unsafe fn take(state: *mut SocketState, direction: u8) -> bool {
    // SAFETY: the caller's.
    let mark = unsafe { &mut (*state).dealt[usize::from(direction & 1)] };
    let marked = *mark == bpf_get_current_pid_tgid() as u32;
    if marked {
        *mark = 0;
    }
    marked
}
